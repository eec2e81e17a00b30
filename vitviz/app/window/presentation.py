"""Presentation: the whole screen, large type, and nothing but pictures and numbers."""

from PySide6.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QDockWidget, QMainWindow, QWidget

from vitviz.app.stage.stage import Stage
from vitviz.app.window.docks import Docks
from vitviz.app.window.status_bar import StatusPanel

LARGER = 1.6
"""How much larger type is: 13 pixels become 21, which are read from the last row on 720 lines."""
MAIN = 1.3
"""How much larger than that the main numbers are."""
_PHOTO = 64
"""Percent of the screen's width that the photo has."""
_SOON = 1000
"""Milliseconds in which a window has its size back."""


class Presentation(QObject):
    """Entered and left with the same key; what was there before comes back."""

    entered = Signal()  # about to hide everything else
    changed = Signal()  # entered or left

    def __init__(self, window: QMainWindow, docks: Docks, stage: Stage, status: StatusPanel) -> None:
        super().__init__(window)
        self._window = window
        self._docks = docks
        self._stage = stage
        self._status = status
        self._hidden: list[QWidget] = []
        self._state = Qt.WindowState.WindowNoState
        self._sizes: dict[QDockWidget, QSize] = {}
        self.on = False
        self._settling = QTimer(self, interval=_SOON, singleShot=True)
        self._settling.timeout.connect(self._forget)

    def toggle(self) -> None:
        """Enter or leave."""
        if self.on:
            self.leave()
        else:
            self.enter()

    def enter(self) -> None:
        """Hide the chrome, enlarge the type, fill the screen."""
        window = self._window
        self.on, self._state = True, window.windowState()
        self._settling.stop()
        self.entered.emit()
        docked = [dock for dock in self._docks if dock.isVisible() and not dock.isFloating()]
        self._sizes = {dock: dock.size() for dock in docked}
        chrome: list[QWidget | None] = [
            window.menuWidget(),
            self._status.about,
            self._status.badge,
        ]
        chrome += [dock.titleBarWidget() for dock in self._docks if not dock.isFloating()]
        # Large type would cut their words off, and the sentence beside them.
        built = [dock.panel for dock in self._docks if dock.built]
        chrome += [choices for panel in built for choices in panel.findChildren(QWidget, "choices")]
        # Height is what a projector lacks; whoever wants a strip below opens it.
        chrome += [dock for dock in self._docks if dock.kind.area == "bottom" and not dock.isFloating()]
        self._hidden = [widget for widget in chrome if widget is not None and not widget.isHidden()]
        for widget in self._hidden:
            widget.hide()
        self._stage.set_bare(True)
        self._resize_type(LARGER, MAIN)
        window.setWindowState(self._state | Qt.WindowState.WindowFullScreen)
        right = [dock for dock in docked if dock.kind.area != "bottom"]
        width = window.screen().size().width() * (100 - _PHOTO) // 100
        window.resizeDocks(right, [width] * len(right), Qt.Orientation.Horizontal)
        self._stage.canvas.setFocus()
        self.changed.emit()

    def leave(self) -> None:
        """Show everything as it was."""
        if not self.on:
            return
        self.on = False
        self._resize_type(1 / LARGER, 1 / MAIN)
        for widget in self._hidden:
            widget.show()
        self._hidden = []
        self._stage.set_bare(False)
        self._window.setWindowState(self._state)
        self._arrange()
        # Mostly the window has its size back only later, and shares it out among the panels anew.
        self._window.installEventFilter(self)
        self._settling.start()
        self.changed.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """The window has its size back, perhaps in several steps: lay the panels out again."""
        if event.type() == QEvent.Type.Resize and not self.on:
            QTimer.singleShot(0, self, self._arrange)
        return False

    def _arrange(self) -> None:
        """Give the panels their sizes."""
        # Not by restoreState: Qt crashes in it once a dock has been dragged over a floating one.
        if self.on:
            return
        docks = [dock for dock in self._sizes if not dock.isHidden() and not dock.isFloating()]
        sizes = [self._sizes[dock] for dock in docks]
        self._window.resizeDocks(docks, [size.width() for size in sizes], Qt.Orientation.Horizontal)
        self._window.resizeDocks(docks, [size.height() for size in sizes], Qt.Orientation.Vertical)

    def _forget(self) -> None:
        self._window.removeEventFilter(self)

    def _resize_type(self, factor: float, main: float) -> None:
        window = self._window
        large = {self._status.weight}
        font = QGuiApplication.font()
        font.setPointSizeF(font.pointSizeF() * factor)
        # Whatever has a font of its own does not follow the application's.
        own = [
            one for one in window.findChildren(QWidget) if one.testAttribute(Qt.WidgetAttribute.WA_SetFont)
        ]
        sizes = {one: one.font().pointSizeF() * factor for one in own}
        QApplication.setFont(font)
        for widget, size in sizes.items():
            changed = widget.font()
            changed.setPointSizeF(size * main if widget in large else size)
            widget.setFont(changed)
        for widget in window.findChildren(QWidget):
            widget.updateGeometry()
            widget.update()
