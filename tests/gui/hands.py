"""Mouse, wheel, key and drop events, sent to the window as the system sends them: Qt finds the widget they are for."""

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
_STEPS = 8  # moves of the pointer in a drag


def wait(milliseconds: int) -> None:
    """Run the event loop. QTest.qWait does too, but holds Python's lock meanwhile, so that no thread makes progress."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def window_of(widget: QWidget) -> QWindow:
    """The QWindow of a widget."""
    handle = widget.window().windowHandle()
    assert handle is not None
    return handle


def known(widget: QWidget) -> bool:
    """Whether PySide finds the QWindow of a widget: it may return the wrapper of an older object at the same address."""
    handle = widget.window().windowHandle()
    return isinstance(handle, QWindow) and isValid(handle)


def place_of(widget: QWidget, place: QPoint | None = None) -> QPoint:
    """A point of a widget (its centre by default) in coordinates of its window."""
    return widget.mapTo(widget.window(), widget.rect().center() if place is None else place)


def point(widget: QWidget, place: QPoint | None = None) -> None:
    """Move the pointer to a point of a widget."""
    QTest.mouseMove(window_of(widget), place_of(widget, place))


def click(widget: QWidget, place: QPoint | None = None, held: Qt.KeyboardModifier = PLAIN) -> None:
    """Click at a point of a widget. Its window is activated first, unless a dialog or a popup is open."""
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
    """Press at a point of a widget, move to a point of the screen in steps, and release after `rest` milliseconds."""
    begin = widget.mapToGlobal(start)
    QTest.mousePress(window_of(widget), LEFT, held, place_of(widget, start))
    for step in range(1, _STEPS + 1):
        # A dock becomes a window of its own while it is dragged.
        handle = window_of(widget)
        QTest.mouseMove(handle, handle.mapFromGlobal(begin + (end - begin) * step / _STEPS))
    for _ in range(rest // 50):
        wait(50)
        handle = window_of(widget)
        QTest.mouseMove(handle, handle.mapFromGlobal(end))
    handle = window_of(widget)
    QTest.mouseRelease(handle, LEFT, held, handle.mapFromGlobal(end))


def turn(widget: QWidget, place: QPoint, by: int) -> None:
    """Turn the wheel at a point of a widget, by eighths of a degree."""
    QTest.wheelEvent(window_of(widget), place_of(widget, place), QPoint(0, by))


def listening(window: QWidget) -> QWindow | QWidget:
    """The window that receives keys: an open dialog, otherwise the given one. Qt passes keys on to an open menu."""
    front = QApplication.activeModalWidget() or QApplication.activeWindow() or window
    if not front.isActiveWindow():
        front.activateWindow()
        QApplication.processEvents()
    return window_of(front) if known(front) else QApplication.focusWidget() or front


def press(window: QWidget, keys: str) -> None:
    """Press keys such as "Ctrl+O" where the focus is."""
    QTest.keySequence(listening(window), QKeySequence(keys))


def write(window: QWidget, text: str) -> None:
    """Type a text where the focus is."""
    for letter in text:
        QTest.keyClick(listening(window), ord(letter))


def answer(dialog: QFileDialog, path: str) -> None:
    """Type a path into a file dialog and accept it."""
    field = dialog.findChild(QLineEdit, "fileNameEdit")
    assert field is not None
    click(field)
    press(dialog, "Ctrl+A")
    write(dialog, path)
    # Qt's completions are a popup over the dialog.
    if QApplication.activePopupWidget() is not None:
        press(dialog, "Esc")
    press(dialog, "Return")


def drop(widget: QWidget, data: QMimeData, place: QPoint | None = None) -> None:
    """Drag data over a point of a widget and drop it there."""
    handle, at = window_of(widget), place_of(widget, place)
    for kind in (QDragEnterEvent, QDragMoveEvent):
        QApplication.sendEvent(handle, kind(at, Qt.DropAction.CopyAction, data, LEFT, PLAIN))
    QApplication.sendEvent(handle, QDropEvent(QPointF(at), Qt.DropAction.CopyAction, data, LEFT, PLAIN))


def files(*paths: Path) -> QMimeData:
    """Data of files that are dropped or pasted."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return data


def pixels(chance: random.Random) -> QMimeData:
    """Data of a picture of one colour, as a browser gives it when it is dropped or pasted."""
    data, image = QMimeData(), QImage(70, 50, QImage.Format.Format_RGB32)
    image.fill(QColor.fromHsv(chance.randrange(360), 200, 200))
    data.setImageData(image)
    return data


def pick(bar: QMenuBar, path: Sequence[str]) -> bool:
    """Click through menus to an entry, by texts without "&"; False where an entry is missing or disabled."""
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
