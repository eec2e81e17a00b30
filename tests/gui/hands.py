"""Hands at a window: what they do comes as the screen's own events, to what lies under the pointer or has the focus."""

import random
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QEventLoop, QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from PySide6.QtGui import (
    QAction,
    QColor,
    QDragEnterEvent,
    QDragMoveEvent,
    QDropEvent,
    QImage,
    QKeySequence,
    QWindow,
)
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QLineEdit, QMenu, QMenuBar, QWidget
from shiboken6 import isValid

from vitviz.app.widgets.controls.segmented import Segmented

LEFT = Qt.MouseButton.LeftButton
PLAIN = Qt.KeyboardModifier.NoModifier
_STEPS = 8  # of the pointer on its way when something is dragged


def wait(milliseconds: int) -> None:
    """Let the window go on. QTest.qWait would too, but holds Python's lock, and with it all work in threads."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def window_of(widget: QWidget) -> QWindow:
    """The screen's window that a widget lies in."""
    handle = widget.window().windowHandle()
    assert handle is not None
    return handle


def known(widget: QWidget) -> bool:
    """Whether PySide gives the window of a widget: it may take it for what lay at the same address before."""
    handle = widget.window().windowHandle()
    return isinstance(handle, QWindow) and isValid(handle)


def place_of(widget: QWidget, place: QPoint | None = None) -> QPoint:
    """A point of a widget, its middle by default, in the window it lies in."""
    return widget.mapTo(widget.window(), widget.rect().center() if place is None else place)


def point(widget: QWidget, place: QPoint | None = None) -> None:
    """Bring the pointer to a point of a widget."""
    QTest.mouseMove(window_of(widget), place_of(widget, place))


def click(widget: QWidget, place: QPoint | None = None, held: Qt.KeyboardModifier = PLAIN) -> None:
    """Click on what lies at a point of a widget; its window comes forward, unless something is before it."""
    before = QApplication.activeModalWidget() or QApplication.activePopupWidget()
    if before is None and not widget.isActiveWindow():
        widget.activateWindow()
        QApplication.processEvents()
    if known(widget):
        QTest.mouseClick(window_of(widget), LEFT, held, place_of(widget, place))
    else:
        QTest.mouseClick(widget, LEFT, held, widget.rect().center() if place is None else place)


def choose(control: Segmented, key: str) -> None:
    """Click on one of the choices of a segmented control."""
    click(control, control.cell(key).center().toPoint())


def double_click(widget: QWidget, place: QPoint | None = None) -> None:
    """Click twice, quickly."""
    QTest.mouseDClick(window_of(widget), LEFT, PLAIN, place_of(widget, place))


def drag(
    widget: QWidget, start: QPoint, end: QPoint, held: Qt.KeyboardModifier = PLAIN, rest: int = 0
) -> None:
    """Press at a point of a widget, move to a point of the screen in steps, and let go after `rest` milliseconds."""
    begin = widget.mapToGlobal(start)
    QTest.mousePress(window_of(widget), LEFT, held, place_of(widget, start))
    for step in range(1, _STEPS + 1):
        # A dock that is dragged becomes a window of its own on the way.
        handle = window_of(widget)
        QTest.mouseMove(handle, handle.mapFromGlobal(begin + (end - begin) * step / _STEPS))
    for _ in range(rest // 50):
        wait(50)
        handle = window_of(widget)
        QTest.mouseMove(handle, handle.mapFromGlobal(end))
    handle = window_of(widget)
    QTest.mouseRelease(handle, LEFT, held, handle.mapFromGlobal(end))


def turn(widget: QWidget, place: QPoint, by: int) -> None:
    """Turn the wheel over a point of a widget, by eighths of a degree."""
    QTest.wheelEvent(window_of(widget), place_of(widget, place), QPoint(0, by))


def listening(window: QWidget) -> QWindow | QWidget:
    """The window that keys come to: a dialog before the one that is given. Qt hands them on to a menu that is open."""
    front = QApplication.activeModalWidget() or QApplication.activeWindow() or window
    if not front.isActiveWindow():
        front.activateWindow()
        QApplication.processEvents()
    return window_of(front) if known(front) else QApplication.focusWidget() or front


def press(window: QWidget, keys: str) -> None:
    """Press keys such as "Ctrl+O" wherever the focus is."""
    QTest.keySequence(listening(window), QKeySequence(keys))


def write(window: QWidget, text: str) -> None:
    """Type a text wherever the focus is, letter by letter."""
    for letter in text:
        QTest.keyClick(listening(window), ord(letter))


def answer(dialog: QFileDialog, path: str) -> None:
    """Type a path into a file dialog and take it."""
    field = dialog.findChild(QLineEdit, "fileNameEdit")
    assert field is not None
    click(field)
    press(dialog, "Ctrl+A")
    write(dialog, path)
    # What Qt would complete lies over the dialog as a list.
    if QApplication.activePopupWidget() is not None:
        press(dialog, "Esc")
    press(dialog, "Return")


def drop(widget: QWidget, data: QMimeData, place: QPoint | None = None) -> None:
    """Drag something over a point of a widget, and drop it there."""
    handle, at = window_of(widget), place_of(widget, place)
    for kind in (QDragEnterEvent, QDragMoveEvent):
        QApplication.sendEvent(handle, kind(at, Qt.DropAction.CopyAction, data, LEFT, PLAIN))
    QApplication.sendEvent(handle, QDropEvent(QPointF(at), Qt.DropAction.CopyAction, data, LEFT, PLAIN))


def files(*paths: Path) -> QMimeData:
    """Files as they are dropped and copied."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return data


def pixels(chance: random.Random) -> QMimeData:
    """A picture of one colour as it is dropped by a browser and copied."""
    data, image = QMimeData(), QImage(70, 50, QImage.Format.Format_RGB32)
    image.fill(QColor.fromHsv(chance.randrange(360), 200, 200))
    data.setImageData(image)
    return data


def pick(bar: QMenuBar, path: Sequence[str]) -> bool:
    """Click through the menus to an entry by the words on the way, without their marks; false where it cannot be picked."""
    menu: QMenuBar | QMenu = bar
    for words in path:
        entry = _entry(menu, words)
        if entry is None or not entry.isEnabled() or not menu.isVisible():
            _leave(bar)
            return False
        click(menu, menu.actionGeometry(entry).center())
        below = entry.menu()
        if isinstance(below, QMenu):
            menu = below
    return True


def _entry(menu: QMenuBar | QMenu, words: str) -> QAction | None:
    return next((one for one in menu.actions() if one.text().replace("&", "") == words), None)


def _leave(bar: QMenuBar) -> None:
    while QApplication.activePopupWidget() is not None:
        press(bar, "Esc")
