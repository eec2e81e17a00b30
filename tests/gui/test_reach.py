"""Everything can be reached by keyboard, has a name, and shows that it has the focus."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible, QImage
from PySide6.QtWidgets import QAbstractButton, QAbstractSlider, QApplication, QComboBox, QLineEdit, QWidget

_CONTROLS = (QAbstractButton, QAbstractSlider, QComboBox, QLineEdit)


def walk(window, qtbot) -> list[QWidget]:
    """All stops of Tab, from the photo round to it."""
    window.photo.canvas.setFocus()
    seen = []
    for _ in range(400):
        at = QApplication.focusWidget()
        if at is None or at in seen:
            break
        seen.append(at)
        qtbot.keyClick(at, Qt.Key.Key_Tab)
    return seen


def inner(widget: QWidget) -> bool:
    """Parts of Qt's own controls, which their owner speaks for."""
    at = widget.parentWidget()
    while at is not None:
        if isinstance(at, QComboBox | QLineEdit | QAbstractSlider):
            return True
        at = at.parentWidget()
    return widget.objectName().startswith("qt_")


def interactive(root: QWidget) -> list[QWidget]:
    return [
        widget
        for widget in root.findChildren(QWidget)
        if widget.isVisible()
        and widget.isEnabled()
        and (isinstance(widget, _CONTROLS) or widget.focusPolicy() & Qt.FocusPolicy.ClickFocus)
        and not inner(widget)
        and type(widget).__name__ not in ("QScrollBar", "QMenuBar", "QTabBar")
    ]


@pytest.fixture
def everything(shown, qtbot):
    """The window with every panel open, each built."""
    shown.resize(1600, 1000)
    for dock in shown.docks:
        dock.show()
        _ = dock.panel
    qtbot.wait(50)
    return shown


def test_tab_reaches_every_control_of_every_panel(everything, qtbot):
    missing = []
    for dock in everything.docks:
        dock.show()
        dock.raise_()
        qtbot.waitUntil(dock.panel.isVisible)
        reached = set(walk(everything, qtbot))
        wanted = [*interactive(dock), *interactive(everything.tools), *interactive(everything.photo)]
        missing += [
            (dock.kind.name, type(widget).__name__, widget.accessibleName())
            for widget in wanted
            if widget not in reached and widget.window() is everything
        ]
    assert not missing


def test_every_control_has_a_name_that_is_read_aloud(everything, qtbot):
    nameless = set()
    for dock in everything.docks:
        dock.raise_()
        qtbot.waitUntil(dock.panel.isVisible)
        for widget in interactive(everything):
            name = widget.accessibleName()
            words = name or (widget.text() if isinstance(widget, QAbstractButton) else "")
            if not words.strip("… "):
                nameless.add((dock.kind.name, type(widget).__name__, widget.toolTip()))
            told = QAccessible.queryAccessibleInterface(widget)
            assert told is None or told.isValid()
    assert not nameless


def test_focus_is_seen_on_every_stop_of_tab(everything, qtbot):
    blind = []
    checked = 0
    everything.activateWindow()
    for stop in walk(everything, qtbot):
        stop.setFocus(Qt.FocusReason.MouseFocusReason)
        qtbot.keyClick(stop, Qt.Key.Key_Tab)
        without = stop.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Backtab, Qt.KeyboardModifier.ShiftModifier)
        if QApplication.focusWidget() is not stop:
            continue
        checked += 1
        if stop.grab().toImage().convertToFormat(QImage.Format.Format_RGB32) == without:
            blind.append((type(stop).__name__, stop.accessibleName()))
    assert not blind
    assert checked > 20


def test_tab_goes_from_the_empty_stage_through_all_that_one_can_start_with(window, qtbot):
    welcome = window.photo.welcome
    qtbot.waitUntil(lambda: bool(welcome.models))
    offered = [*welcome.buttons, *(one for one in welcome.scenes if one.isVisible()), *welcome.models]
    assert len(offered) > 6
    assert walk(window, qtbot)[1 : len(offered) + 1] == offered


def test_titles_of_panels_say_which_panel_their_buttons_are_of(everything):
    for dock in everything.docks:
        names = [button.accessibleName() for button in dock.titleBarWidget().findChildren(QAbstractButton)]
        assert all(dock.kind.title in name for name in names), names


def test_the_keyboard_goes_round_all_panels(everything, qtbot):
    everything.photo.canvas.setFocus()
    seen = []
    for _ in range(len(everything.docks) + 1):
        seen.append(everything.docks.focused())
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_F6)
    assert seen == [None, *everything.docks]
    assert everything.docks.focused() is None
