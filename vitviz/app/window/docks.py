"""The docks of the panels beside the photo. A panel is built when it is first seen."""

from collections.abc import Callable, Sequence
from functools import partial
from pkgutil import resolve_name
from typing import overload

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QAction, QPixmap
from PySide6.QtWidgets import (
    QApplication,
    QDockWidget,
    QMainWindow,
    QTabBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vitviz.app.panels import catalog
from vitviz.app.panels.catalog import Ending, PanelKind, Pictured
from vitviz.app.session.session import Session
from vitviz.app.ui import theme
from vitviz.app.widgets.base.title_bar import TitleBar


class PanelDock(QDockWidget):
    """A dock whose panel is built when it is first seen, so that the window need not wait for closed ones.

    One that was left open, and is not at a first start, waits for the window's first paint too: it may need more to be
    imported. A panel is visible (`isVisible`, `showEvent`) only while it can be seen, not behind a tab.
    """

    def __init__(self, window: QMainWindow, kind: PanelKind, build: Callable[[], QWidget]) -> None:
        super().__init__(kind.title, window)
        self.kind = kind
        self._window = window
        self._build = build
        self.setObjectName(kind.name)
        self.setTitleBarWidget(TitleBar(self))
        self._panel: QWidget | None = None
        self._seen = False
        self._waits = not kind.shown
        room = QWidget()
        self._room = QVBoxLayout(room)
        self._room.setContentsMargins(0, 0, 0, 0)
        self.setWidget(room)
        self.visibilityChanged.connect(self._show_panel)

    def setVisible(self, visible: bool) -> None:  # noqa: N802
        """Take a place in the window when it comes to be seen for the first time."""
        if visible and self._window.dockWidgetArea(self) == Qt.DockWidgetArea.NoDockWidgetArea:
            self._take_place()
        super().setVisible(visible)

    def _take_place(self) -> None:
        """Beside what lies in its part of the window already, as a tab. Not before: Qt leaves a bar for hidden tabs."""
        area = Qt.DockWidgetArea
        side = area.BottomDockWidgetArea if self.kind.area == "bottom" else area.RightDockWidgetArea
        self._window.addDockWidget(side, self)
        for other in self._window.findChildren(PanelDock):
            docked = other.isVisible() and not other.isFloating() and other is not self
            if docked and other.kind.area == self.kind.area:
                self._window.tabifyDockWidget(other, self)
                QTimer.singleShot(0, self, self.raise_)
                return

    @property
    def panel(self) -> QWidget:
        """The panel, built now if it was not yet."""
        if self._panel is None:
            self._panel = self._build()
            self._panel.setVisible(self._seen)
            self._room.addWidget(self._panel)
        return self._panel

    @property
    def built(self) -> bool:
        """Whether the panel exists."""
        return self._panel is not None

    def _show_panel(self, seen: bool) -> None:
        """To Qt a dock behind a tab is visible; its panel is hidden here, and so need not follow the pointer."""
        self._seen = seen
        for bar in self._window.findChildren(QTabBar, options=Qt.FindChildOption.FindDirectChildrenOnly):
            bar.setFont(
                theme.small()
            )  # Seven names are side by side then; what has no room is scrolled to, not cut.
            bar.setElideMode(Qt.TextElideMode.ElideNone)
            bar.setUsesScrollButtons(True)
            bar.setAccessibleName("Panels in this place")
        if self._panel is not None or (seen and not self._waits):
            self.panel.setVisible(seen)

    def wake(self) -> None:
        """The window has been painted: wait for nothing any more."""
        self._waits = False
        self._show_panel(self._seen)

    def end(self) -> None:
        """End the work of the panel, if it has any."""
        if self.built and isinstance(self.panel, Ending):
            self.panel.end()


class Docks(Sequence[PanelDock]):
    """The docks of all panels in the window.

    `keys` are the actions whose keys work in a panel's picture; `photo` has the focus where no panel has it.
    """

    def __init__(self, window: QMainWindow, session: Session, keys: list[QAction], photo: QWidget) -> None:
        self._window = window
        self._photo = photo
        self._docks = [
            PanelDock(window, kind, partial(_made, kind, session, keys)) for kind in catalog.PANELS
        ]

    def __len__(self) -> int:
        return len(self._docks)

    @overload
    def __getitem__(self, place: int) -> PanelDock: ...

    @overload
    def __getitem__(self, place: slice) -> list[PanelDock]: ...

    def __getitem__(self, place: int | slice) -> PanelDock | list[PanelDock]:
        return self._docks[place]

    def dock(self, name: str) -> PanelDock:
        """The dock of a panel. Raises KeyError for a name that is not in `PANELS`."""
        for dock in self._docks:
            if dock.kind.name == name:
                return dock
        raise KeyError(name)

    def wake(self) -> None:
        """The window has been painted: panels that were left open are built now."""
        for dock in self._docks:
            dock.wake()

    def end(self) -> None:
        """End the work of all panels."""
        for dock in self._docks:
            dock.end()

    def arrange(self) -> None:
        """The layout of a first start: heads at the upper right, predictions below, layers at the bottom."""
        window = self._window
        window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        for dock in self._docks:
            dock.setFloating(False)
            window.removeDockWidget(dock)
        for dock in self._docks:
            dock.setVisible(dock.kind.shown)
        first = {dock.kind.area: dock for dock in reversed(self._docks) if dock.kind.shown}
        right = [first[area] for area in ("right", "below") if area in first]
        width = max(400, window.width() * 36 // 100)
        window.resizeDocks(right, [width] * len(right), Qt.Orientation.Horizontal)
        window.resizeDocks(right, [560, 300][: len(right)], Qt.Orientation.Vertical)
        if "bottom" in first:
            window.resizeDocks([first["bottom"]], [164], Qt.Orientation.Vertical)

    def focused(self) -> PanelDock | None:
        """The panel that has the keyboard's focus; None where that is the photo or none."""
        at: QWidget | None = QApplication.focusWidget()
        while at is not None and not isinstance(at, PanelDock):
            at = at.parentWidget()
        return at if at in self._docks else None

    def reveal(self, name: str) -> QWidget:
        """Open a panel and bring it forward. Raises KeyError for a name that is not in `PANELS`."""
        dock = self.dock(name)
        dock.show()
        dock.raise_()
        return dock.panel

    def float_focused(self) -> None:
        """Make a window of the panel that has the focus, or put it back."""
        dock = self.focused()
        if dock is not None:
            dock.setFloating(not dock.isFloating())
            dock.window().activateWindow()
            _enter(dock)

    def close_focused(self) -> None:
        """Close the panel that has the focus."""
        dock = self.focused()
        if dock is not None:
            dock.close()
            self._photo.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def go(self, steps: int) -> None:
        """Bring the keyboard to the next panel, the photo among them; one that lies behind another comes forward."""
        stops: list[PanelDock | None] = [None, *(dock for dock in self._docks if not dock.isHidden())]
        here = self.focused()
        # A panel that was just hidden may have the focus still.
        stop = stops[((stops.index(here) if here in stops else 0) + steps) % len(stops)]
        if stop is None:
            self._photo.setFocus(Qt.FocusReason.ShortcutFocusReason)
            self._window.activateWindow()
            return
        stop.raise_()
        if stop.isFloating():
            stop.activateWindow()
        _enter(stop)


def _made(kind: PanelKind, session: Session, keys: list[QAction]) -> QWidget:
    made: QWidget = resolve_name(f"vitviz.app.panels.{kind.panel}")(session, keys)
    return made


def _enter(dock: PanelDock) -> None:
    """Give the focus to what is pictured in a panel, else to its first control; an empty one has those of its title."""
    takers = [
        widget
        for widget in (dock.panel, *dock.panel.findChildren(QWidget), *dock.findChildren(QToolButton))
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isVisibleTo(dock) and widget.isEnabled()
    ]
    pictured = [widget for widget in takers if widget.actions()]
    for widget in (pictured or takers)[:1]:
        widget.setFocus(Qt.FocusReason.ShortcutFocusReason)


def picture_of(panel: QWidget) -> QPixmap:
    """A panel as it is drawn."""
    return panel.picture() if isinstance(panel, Pictured) else panel.grab()
