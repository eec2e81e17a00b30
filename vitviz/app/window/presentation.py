"""Presentation mode: full screen with large text, showing only the photo and the panels without their controls."""

from PySide6.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QDockWidget, QMainWindow, QWidget

from vitviz.app.stage.stage import Stage
from vitviz.app.window.docks import Docks
from vitviz.app.window.status_bar import StatusBar

LARGER = 1.6
"""Factor of the text size: 13 pixels become 21, which can be read from the last row on a screen of 720 lines."""
MAIN = 1.3
"""Further factor for the main numbers."""
_PHOTO = 64
"""Width of the photo in percent of the screen."""
_RESTORE_TIME = 1000
"""Milliseconds in which a window has its previous size again after full screen."""


class Presentation(QObject):
    """Enters and leaves presentation mode; leaving restores the window as it was before."""

    entered = Signal()  # before anything is hidden
    changed = Signal()  # entered or left

    def __init__(self, window: QMainWindow, docks: Docks, stage: Stage, status: StatusBar) -> None:
        super().__init__(window)
        self._window = window
        self._docks = docks
        self._stage = stage
        self._status = status
        self._hidden: list[QWidget] = []
        self._state = Qt.WindowState.WindowNoState
        self._sizes: dict[QDockWidget, QSize] = {}
        self.on = False
        self._restoring = QTimer(self, interval=_RESTORE_TIME, singleShot=True)
        self._restoring.timeout.connect(self._end_restoring)

    def toggle(self) -> None:
        """Enter or leave the presentation."""
        if self.on:
            self.leave()
        else:
            self.enter()

    def enter(self) -> None:
        """Hide bars and controls, enlarge the text and switch to full screen."""
        window = self._window
        self.on, self._state = True, window.windowState()
        self._restoring.stop()
        self.entered.emit()
        docked = [dock for dock in self._docks if dock.isVisible() and not dock.isFloating()]
        self._sizes = {dock: dock.size() for dock in docked}
        hidden: list[QWidget | None] = [
            window.menuWidget(),
            self._status.about,
            self._status.badge,
        ]
        hidden += [dock.titleBarWidget() for dock in self._docks if not dock.isFloating()]
        # The panels' controls: with large text, they and the sentence beside them would be cut off.
        built = [dock.panel for dock in self._docks if dock.built]
        hidden += [choices for panel in built for choices in panel.findChildren(QWidget, "choices")]
        # A projector has little height. A panel at the bottom can be opened again.
        hidden += [dock for dock in self._docks if dock.kind.area == "bottom" and not dock.isFloating()]
        self._hidden = [widget for widget in hidden if widget is not None and not widget.isHidden()]
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
        """Restore the window as it was before the presentation."""
        if not self.on:
            return
        self.on = False
        self._resize_type(1 / LARGER, 1 / MAIN)
        for widget in self._hidden:
            widget.show()
        self._hidden = []
        self._stage.set_bare(False)
        self._window.setWindowState(self._state)
        self._restore_sizes()
        # The window usually gets its previous size later, and then resizes the panels.
        self._window.installEventFilter(self)
        self._restoring.start()
        self.changed.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Restore the panels' sizes at each step in which the window gets its previous size."""
        if event.type() == QEvent.Type.Resize and not self.on:
            QTimer.singleShot(0, self, self._restore_sizes)
        return False

    def _restore_sizes(self) -> None:
        """Give the docked panels the sizes they had before the presentation."""
        # Not with restoreState, which crashes after a dock was dragged over a floating one.
        if self.on:
            return
        docks = [dock for dock in self._sizes if not dock.isHidden() and not dock.isFloating()]
        sizes = [self._sizes[dock] for dock in docks]
        self._window.resizeDocks(docks, [size.width() for size in sizes], Qt.Orientation.Horizontal)
        self._window.resizeDocks(docks, [size.height() for size in sizes], Qt.Orientation.Vertical)

    def _end_restoring(self) -> None:
        self._window.removeEventFilter(self)

    def _resize_type(self, factor: float, main: float) -> None:
        window = self._window
        large = {self._status.weight}
        font = QGuiApplication.font()
        font.setPointSizeF(font.pointSizeF() * factor)
        # Widgets with a font of their own do not follow the application's font.
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
