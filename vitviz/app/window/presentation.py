"""Presentation mode: full screen with large text, in which the photo or one panel is the largest thing on the screen."""

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QObject, QRect, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFontInfo, QGuiApplication
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QDockWidget,
    QMainWindow,
    QTabBar,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from vitviz.app.panels.catalog import Captioned
from vitviz.app.session.facts import Facts
from vitviz.app.stage.stage import Stage
from vitviz.app.ui import theme
from vitviz.app.widgets.base.title_bar import ElidedLabel
from vitviz.app.window.docks import Docks, PanelDock
from vitviz.app.window.status_bar import StatusBar

TYPE = 0.026
"""Height of normal text in heights of the window. Small text is 0.88 of it, which is more than 2 %."""
MAIN = 1.3
"""Further factor for the main numbers."""
_LARGE = 64
"""Share of the window that the photo, or the panel in its place, has beside the rest, in percent."""
_RESTORE_TIME = 1000
"""Milliseconds in which a window has its previous size again after full screen."""


@dataclass(frozen=True)
class _Before:
    """The window before the presentation."""

    state: Qt.WindowState
    hidden: tuple[QWidget, ...]
    """Bars and the like that are hidden during the presentation."""
    shown: tuple[PanelDock, ...]
    front: tuple[PanelDock, ...]
    """The docks that are not behind another tab."""
    floating: dict[PanelDock, QRect]
    """The floating docks and where they were on the screen."""
    sizes: dict[QDockWidget, QSize]


class Presentation(QObject):
    """Enters and leaves presentation mode; leaving restores the window as it was before.

    The photo is the largest thing at first; each panel can take its place (`show_on_stage`). One line names the model, the
    photo, and what is shown: the caption of the photo or panel, which is hidden in its own place meanwhile.
    """

    entered = Signal()  # before anything is hidden
    changed = Signal()  # entered or left, or something else is the largest

    def __init__(self, window: QMainWindow, docks: Docks, stage: Stage, status: StatusBar) -> None:
        super().__init__(window)
        self._window = window
        self._docks = docks
        self._stage = stage
        self._status = status
        self._before: _Before | None = None
        self._large: PanelDock | None = None  # the panel in the photo's place
        # The panel that was moved beside the photo, the area it was in, and a tab beside it.
        self._moved: tuple[PanelDock, Qt.DockWidgetArea, QDockWidget | None] | None = None
        self._scale = 1.0  # the factor of the text size now
        self._icons: dict[QAbstractButton, QSize] = {}  # sizes of the icons before the presentation
        self._said: ElidedLabel | None = None  # the caption that the line repeats
        self._sizes: dict[QDockWidget, QSize] = {}  # of the docked panels before the presentation
        self.caption = ElidedLabel()
        self.caption.setFont(theme.body(strong=True))
        self.line = QWidget()
        """The line of the caption, for the top of the window."""
        column = QVBoxLayout(self.line)
        column.setContentsMargins(12, 8, 12, 4)
        column.addWidget(self.caption)
        self.line.hide()
        self._restoring = QTimer(self, interval=_RESTORE_TIME, singleShot=True)
        self._restoring.timeout.connect(self._end_restoring)

    @property
    def on(self) -> bool:
        """Whether the presentation is shown."""
        return self._before is not None

    @property
    def on_stage(self) -> str:
        """The name of the panel that has the photo's place; empty if the photo is the largest."""
        return "" if self._large is None else self._large.kind.name

    def toggle(self) -> None:
        """Enter or leave the presentation."""
        if self.on:
            self.leave()
        else:
            self.enter()

    def enter(self) -> None:
        """Hide bars, enlarge the text and switch to full screen, with the photo as the largest thing."""
        window = self._window
        self._end_restoring()
        self.entered.emit()
        docked = [dock for dock in self._docks if dock.isVisible() and not dock.isFloating()]
        front = [dock for dock in docked if not dock.visibleRegion().isEmpty()]
        top = self.line.parentWidget()
        assert top is not None
        bars = top.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly)
        self._before = _Before(
            window.windowState(),
            tuple(bar for bar in bars if bar is not self.line and not bar.isHidden()),
            tuple(dock for dock in self._docks if not dock.isHidden()),
            tuple(front),
            {dock: dock.geometry() for dock in self._docks if dock.isFloating()},
            {dock: self._size_with_tabs(dock) for dock in front},
        )
        for widget in self._before.hidden:
            widget.hide()
        self._stage.set_bare(True)
        self._status.set_bare(True)
        window.setWindowState(self._before.state | Qt.WindowState.WindowFullScreen)
        self._fit_type(window.screen().size().height())
        self._arrange()
        window.installEventFilter(self)
        self._stage.canvas.setFocus()

    def leave(self) -> None:
        """Restore the window as it was before the presentation."""
        before = self._before
        if before is None:
            return
        self._large = None  # before its dock is shown where it was
        self._caption_of(None)
        self._before = None
        self._resize_type(1 / self._scale, 1 / MAIN)
        self._scale = 1.0
        self._resize_icons()
        self._icons = {}
        for label in self._window.findChildren(ElidedLabel):
            label.show_whole(False)
        for dock in self._docks:
            self._set_bare(dock, False)
            self._move_back(dock)
            dock.setVisible(dock in before.shown)
            if dock in before.floating:
                self._float_again(dock, before)
        for dock in before.front:
            dock.raise_()
        for widget in before.hidden:
            widget.show()
        self._stage.set_bare(False)
        self._status.set_bare(False)
        self._sizes = before.sizes
        self._window.setWindowState(before.state)
        self._restore_sizes()
        # The window usually gets its previous size later, and then resizes the panels.
        self._restoring.start()
        self.changed.emit()

    def show_on_stage(self, name: str) -> None:
        """Give a panel the photo's place, or with an empty name or that of the panel that has it, the photo again.

        Raises KeyError for a name that is not in `PANELS`.
        """
        dock = self._docks.dock(name) if name else None
        self._large = None if dock is self._large else dock
        self._arrange()
        # The keys of the photo, which is always seen, work for all panels.
        self._window.activateWindow()
        self._stage.canvas.setFocus()

    def step_back(self) -> None:
        """From a panel to the photo, from the photo to the window as it was before."""
        if self._large is None:
            self.leave()
        else:
            self.show_on_stage("")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Fit text and panels to the screen, and after the presentation to each size the window gets on its way back."""
        if event.type() == QEvent.Type.Resize:
            QTimer.singleShot(0, self, self._fit if self.on else self._restore_sizes)
        return False

    # What is seen.

    def _arrange(self) -> None:
        """Show the photo with the panels beside it, or one panel in its place with the photo beside it."""
        before = self._before
        if before is None:
            return
        for dock in self._docks:
            large = dock is self._large
            if dock.isFloating() and not large:
                continue
            if large and dock.isFloating():
                dock.setFloating(False)
            elif not large and dock in before.floating:
                self._set_bare(dock, False)
                self._float_again(dock, before)
                continue
            if not large:
                self._move_back(dock)
            beside = self._large is None and dock in before.shown and not self._is_below(dock)
            self._set_bare(dock, large or beside)
            dock.setVisible(large or beside)
            if large:
                self._move_beside_photo(dock)
            # Beside the photo, controls with large text would leave no room for the picture.
            dock.show_choices(large)
        for dock in (self._large,) if self._large is not None else before.front:
            if not dock.isHidden():
                dock.raise_()
        self._fit()
        self.follow_side()
        self.changed.emit()

    def follow_side(self) -> None:
        """Show what is new in the window as in a presentation, and the caption of the current side.

        To be called once the docks show the panels of the current side.
        """
        if not self.on:
            return
        for label in self._window.findChildren(ElidedLabel):
            label.show_whole(True)
        for button in self._window.findChildren(QAbstractButton):
            self._icons.setdefault(button, button.iconSize())
        self._resize_icons()
        self._caption_again()

    def _set_bare(self, dock: PanelDock, bare: bool) -> None:
        bar = dock.titleBarWidget()
        if bar is not None:
            bar.setVisible(not bare)
        if not bare:
            dock.show_choices(True)

    def _float_again(self, dock: PanelDock, before: _Before) -> None:
        """Float a dock that was docked to have the photo's place."""
        if not dock.isFloating():
            dock.setFloating(True)
            dock.setGeometry(before.floating[dock])

    def _move_beside_photo(self, dock: PanelDock) -> None:
        """Move a dock that is below the photo beside it."""
        if self._is_below(dock):
            tabs = self._window.tabifiedDockWidgets(dock)
            self._moved = dock, self._window.dockWidgetArea(dock), tabs[0] if tabs else None
            self._window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)

    def _move_back(self, dock: PanelDock) -> None:
        """Move a dock back to its area, if it is the one that was moved."""
        if self._moved is None or self._moved[0] is not dock:
            return
        _, area, tab = self._moved
        self._moved = None
        self._window.addDockWidget(area, dock)
        if tab is not None:
            self._window.tabifyDockWidget(tab, dock)

    def _is_below(self, dock: PanelDock) -> bool:
        """Whether a dock takes height from the photo instead of width."""
        area = Qt.DockWidgetArea
        return self._window.dockWidgetArea(dock) in (area.BottomDockWidgetArea, area.TopDockWidgetArea)

    def _fit(self) -> None:
        """Fit text and panels to the size of the window."""
        window = self._window
        if not self.on:
            return
        self._fit_type(window.height())
        share = 100 - _LARGE if self._large is None else _LARGE
        docks = [dock for dock in self._docks if not dock.isHidden() and not dock.isFloating()]
        wide = window.width() * share // 100
        window.resizeDocks(docks, [wide] * len(docks), Qt.Orientation.Horizontal)

    # The caption.

    def _caption_again(self) -> None:
        """Repeat the caption of what is the largest. In a comparison, each photo keeps its own."""
        if not self.on:
            return
        if self._large is None:
            self._caption_of(None if self._stage.comparison is not None else self._stage.current.photo.title)
        else:
            panel = self._large.panel
            self._caption_of(panel.says if isinstance(panel, Captioned) else None)

    def _caption_of(self, said: ElidedLabel | None) -> None:
        if self._said is not None and self._said is not said:
            self._said.text_changed.disconnect(self._say)
            self._said.show()
        if said is not None and self._said is not said:
            said.text_changed.connect(self._say)
            said.hide()
        self._said = said
        self.caption.set_text("")  # gives the lines of the caption before back
        self.line.setVisible(said is not None)
        self._say()

    def _say(self) -> None:
        """Say the model and the photo of what is drawn, and its caption."""
        if self._said is None:
            return
        facts, words = self._facts(), self._said.whole
        names = [] if facts is None else [facts.model, facts.photo]
        title = [] if self._large is None else [self._large.kind.title]
        self.caption.set_text(" · ".join(filter(None, [*names, *title, words])))

    def _facts(self) -> Facts | None:
        """What the largest was computed for; a panel that has nothing to show is beside the photo, whose facts it shares."""
        panel = None if self._large is None else self._large.panel
        facts = panel.shown().facts if isinstance(panel, Captioned) else None
        return facts or self._stage.current.photo.shown().facts

    # Sizes.

    def _size_with_tabs(self, dock: PanelDock) -> QSize:
        """The size of a dock with the tabs above it, as `resizeDocks` counts it."""
        bars = self._window.findChildren(QTabBar, options=Qt.FindChildOption.FindDirectChildrenOnly)
        place = dock.geometry()
        above = [
            bar.height()
            for bar in bars
            if bar.isVisible() and bar.geometry().bottom() + 1 == place.top() and bar.x() == place.x()
        ]
        return dock.size() + QSize(0, sum(above))

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
        self._restoring.stop()
        if not self.on:
            self._window.removeEventFilter(self)

    def _fit_type(self, height: int) -> None:
        """Fit the size of the text to the height of the window; never smaller than usual."""
        usual = QFontInfo(QGuiApplication.font()).pixelSize() / self._scale
        scale = max(1.0, TYPE * height / usual)
        if abs(scale - self._scale) > 0.01:
            self._resize_type(scale / self._scale, MAIN if self._scale == 1.0 else 1.0)
            self._scale = scale
            self._resize_icons()

    def _resize_icons(self) -> None:
        for button, size in self._icons.items():
            if isValid(button):  # a dialog may have been closed meanwhile
                button.setIconSize(size * self._scale)

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
        QTimer.singleShot(0, self, self._resize_boxes)  # when they have the font

    def _resize_boxes(self) -> None:
        """Qt keeps the smallest width of a combo box for another font, but not for another style."""
        for box in self._window.findChildren(QComboBox):
            QApplication.sendEvent(box, QEvent(QEvent.Type.StyleChange))
