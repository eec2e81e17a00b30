"""The docks of the panels beside the photo. A panel is built when it is first shown."""

from collections.abc import Callable, Sequence
from functools import partial
from pkgutil import resolve_name
from typing import overload

from PySide6.QtCore import QPoint, QRect, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QColor, QContextMenuEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QApplication,
    QDockWidget,
    QMainWindow,
    QScrollArea,
    QTabBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vitviz.app.panels import catalog
from vitviz.app.panels.catalog import Ending, PanelKind
from vitviz.app.session.session import Session
from vitviz.app.ui import terms, theme
from vitviz.app.widgets.base.title_bar import TitleBar
from vitviz.app.widgets.controls.help_button import HelpButton

_OFFSET = 32
"""Pixels between a panel's docked place and where it begins to float, to the right and down, otherwise to the left or up."""
_LEAST = QSize(240, 72)
"""The smallest size of a panel in the window; what does not fit is scrolled to."""


class _Column(QVBoxLayout):
    """The column in a scroll area of which one panel is shown."""

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """The smallest height of the panel; a scroll area would scroll to its preferred height although it has room."""
        items = (self.itemAt(place) for place in range(self.count()))
        panels = [item.widget() for item in items if item is not None and not item.isEmpty()]
        column = panels[0].layout() if panels and panels[0] is not None else None
        return super().heightForWidth(width) if column is None else column.totalMinimumHeightForWidth(width)


class PanelDock(QDockWidget):
    """A dock whose panel is built when it is first shown, so that the window opens without building closed panels.

    During a comparison it has a panel for each side's session, of which that of the current side is shown.

    A panel that was open at the last exit, and is not one of those shown at a first start, is built after the window's
    first paint, because it may need further imports. A panel is visible (`isVisible`, `showEvent`) only while it can be
    seen, not while it is behind another tab. `photo()` gets the focus if the panel has it when it is hidden.
    """

    menu_asked = Signal(QPoint)  # on the screen

    def __init__(
        self,
        window: QMainWindow,
        kind: PanelKind,
        build: Callable[[Session], QWidget],
        photo: Callable[[], QWidget],
        session: Session,
    ) -> None:
        super().__init__(kind.title, window)
        self.kind = kind
        self._window = window
        self._photo = photo
        self._build = build
        self.setObjectName(kind.name)
        bar = self.bar = TitleBar(self)
        bar.float_button.clicked.connect(self.toggle_floating)
        bar.double_clicked.connect(self.toggle_floating)
        bar.maximize_button.clicked.connect(self.toggle_maximized)
        explained = terms.explained(kind.name)
        self.help = HelpButton(kind.title, explained)
        if explained:
            bar.add_button(self.help)
        self.setTitleBarWidget(bar)
        self.topLevelChanged.connect(self._on_floating_changed)
        self._restored = QRect()  # the geometry before it was maximized; empty if it is not
        self._session = session
        self._panels: dict[Session, QWidget] = {}
        self._seen = False
        self._is_awaited = False  # to get the focus
        self._deferred = not kind.shown  # until the window's first paint
        self._shows_choices = True
        container = QWidget()
        self._column = _Column(container)
        self._column.setContentsMargins(0, 0, 0, 0)
        # Scrolled where there is not enough room, so that no panel makes the window larger than the screen.
        area = QScrollArea()
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidgetResizable(True)
        area.setMinimumSize(_LEAST)
        area.setWidget(container)
        self.setWidget(area)
        self.visibilityChanged.connect(self._show_panel)

    def setVisible(self, visible: bool) -> None:  # noqa: N802
        """Add the dock to the window when it is shown for the first time."""
        if visible and self._window.dockWidgetArea(self) == Qt.DockWidgetArea.NoDockWidgetArea:
            self._add_to_window()
        super().setVisible(visible)

    def _add_to_window(self) -> None:
        """Add the dock to its area, as a tab if another dock is there.

        Not done earlier, because Qt keeps an empty tab bar for hidden docks.
        """
        area = Qt.DockWidgetArea
        side = area.BottomDockWidgetArea if self.kind.area == "bottom" else area.RightDockWidgetArea
        self._window.addDockWidget(side, self)
        for other in self._window.findChildren(PanelDock):
            docked = other.isVisible() and not other.isFloating() and other is not self
            if docked and other.kind.area == self.kind.area:
                self._window.tabifyDockWidget(other, self)
                QTimer.singleShot(0, self, self.raise_)
                return

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802
        """Emit `menu_asked`: by the right button or the menu key, anywhere in the panel."""
        self.menu_asked.emit(event.globalPos())
        event.accept()

    def toggle_floating(self) -> None:
        """Float beside the old place, or dock at it again, with the same neighbours or tab."""
        if self.isFloating():
            self.setFloating(False)
            self.raise_()
            return
        docked = QRect(self.mapToGlobal(QPoint(0, 0)), self.size())
        self.setFloating(True)
        self.setGeometry(offset(self.geometry(), docked, self.screen().availableGeometry()))

    def toggle_maximized(self) -> None:
        """Fill the screen with the floating panel, or restore its size.

        By its geometry: window managers do not maximize a window without their own frame.
        """
        restored, self._restored = self._restored, QRect()
        if self.isFloating() and restored.isNull():
            self._restored = self.geometry()
            self.setGeometry(self.screen().availableGeometry())
        elif self.isFloating():
            self.setGeometry(restored)

    def _on_floating_changed(self, floating: bool) -> None:
        self._restored = QRect()
        self.bar.maximize_button.setVisible(floating)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the frame of a floating panel: its window has no frame of the system, because of its own title bar."""
        super().paintEvent(event)
        if self.isFloating():
            painter = QPainter(self)
            painter.setPen(QColor(theme.colors(self.palette()).muted))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    @property
    def panel(self) -> QWidget:
        """The panel of the current side, which is built by the first access."""
        return self.build()

    def build(self) -> QWidget:
        """Build the panel of the current side if it does not exist yet."""
        session = self._session
        if session not in self._panels:
            panel = self._panels[session] = self._build(session)
            self._column.addWidget(panel)  # first: without a parent it would be a window of its own
            panel.setVisible(self._seen)
            self._apply_choices(panel)
        return self._panels[session]

    @property
    def built(self) -> bool:
        """Whether the panel of the current side exists."""
        return self._session in self._panels

    def follow(self, current: Session, sessions: Sequence[Session]) -> None:
        """Show the panel of the current side; those of sessions that have ended are deleted."""
        if current is not self._session:
            focused = self.window().focusWidget()
            had_focus = focused is not None and self.built and self.panel.isAncestorOf(focused)
            if self.built:
                self.panel.hide()
            self._session = current
            self._show_built(self._seen)
            if had_focus:
                focus_panel(self)
        for session in [session for session in self._panels if session not in sessions]:
            panel = self._panels.pop(session)
            _end_panel(panel)
            self._column.removeWidget(panel)
            panel.deleteLater()

    def _show_panel(self, seen: bool) -> None:
        """Show the panel while the dock can be seen, otherwise hide it, so that it does not follow the pointer.

        Qt reports a dock behind another tab as visible.
        """
        self._seen = seen
        focused = self.window().focusWidget()
        if not seen and focused is not None and self.isAncestorOf(focused):
            # Qt would give it to the next widget, which may be the search field of another panel.
            self._photo().setFocus()
        for bar in self._window.findChildren(QTabBar, options=Qt.FindChildOption.FindDirectChildrenOnly):
            # Small, so that seven names fit side by side. Tabs that do not fit are scrolled to instead of elided.
            bar.setFont(theme.small())
            bar.setElideMode(Qt.TextElideMode.ElideNone)
            bar.setUsesScrollButtons(True)
            bar.setAccessibleName("Panels in this area")
        self._show_built(seen)

    def _show_built(self, seen: bool) -> None:
        if self.built or (seen and not self._deferred):
            self.panel.setVisible(seen)
        if seen and self._is_awaited:
            self.focus_when_seen()

    def show_choices(self, shown: bool) -> None:
        """Show or hide the controls named "choices" of the panels of all sides, also of those that are built later."""
        self._shows_choices = shown
        for panel in self._panels.values():
            self._apply_choices(panel)

    def _apply_choices(self, panel: QWidget) -> None:
        for choices in panel.findChildren(QWidget, "choices"):
            choices.setVisible(self._shows_choices)

    def focus_when_seen(self) -> None:
        """Give the panel the keyboard focus, as soon as its tab is in front."""
        self._is_awaited = not self._seen
        if self._seen:
            self.window().activateWindow()
            focus_panel(self)

    def build_deferred(self) -> None:
        """Build the panel if it can be seen; called after the window's first paint."""
        self._deferred = False
        self._show_panel(self._seen)

    def end(self) -> None:
        """Stop the work of the panels."""
        for panel in self._panels.values():
            _end_panel(panel)


class Docks(Sequence[PanelDock]):
    """The docks of all panels of the window.

    `keys` are the actions whose keys work in a panel's picture; `photo()`, the photo of the current side, gets the focus
    if no panel has it.
    """

    def __init__(
        self, window: QMainWindow, session: Session, keys: list[QAction], photo: Callable[[], QWidget]
    ) -> None:
        self._window = window
        self._photo = photo
        self._docks = [
            PanelDock(window, kind, partial(_build, kind, keys), photo, session) for kind in catalog.PANELS
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

    def follow(self, current: Session, sessions: Sequence[Session]) -> None:
        """Show the panels of the current side; those of sessions that have ended are deleted."""
        for dock in self._docks:
            dock.follow(current, sessions)

    def build_deferred(self) -> None:
        """Build the panels that were open at the last exit; called after the window's first paint."""
        for dock in self._docks:
            dock.build_deferred()

    def end(self) -> None:
        """Stop the work of all panels."""
        for dock in self._docks:
            dock.end()

    def reset_layout(self) -> None:
        """Apply the default layout: heads at the upper right, predictions below, layers at the bottom."""
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
            # A low window needs its height for the photo.
            tall = min(164, max(132, window.height() * 22 // 100))
            window.resizeDocks([first["bottom"]], [tall], Qt.Orientation.Vertical)

    def focused(self) -> PanelDock | None:
        """The dock that has the keyboard focus; None if the photo or nothing has it."""
        at: QWidget | None = QApplication.focusWidget()
        while at is not None and not isinstance(at, PanelDock):
            at = at.parentWidget()
        return at if at in self._docks else None

    def reveal(self, name: str) -> QWidget:
        """Open a panel and raise it. Raises KeyError for a name that is not in `PANELS`."""
        dock = self.dock(name)
        dock.show()
        dock.raise_()
        return dock.panel

    def go_to(self, name: str) -> None:
        """Open a panel and give it the keyboard focus; with an empty name, give it to the photo of the current side."""
        if name:
            self.reveal(name)
            self.dock(name).focus_when_seen()
        else:
            self._focus(None)

    def prepare(self, name: str) -> None:
        """Build a panel without showing it, so that it answers commands."""
        self.dock(name).build()

    def float_focused(self) -> None:
        """Float the panel that has the focus, or dock it again."""
        dock = self.focused()
        if dock is not None:
            dock.toggle_floating()
            dock.window().activateWindow()
            focus_panel(dock)

    def close_focused(self) -> None:
        """Close the panel that has the focus."""
        dock = self.focused()
        if dock is not None:
            dock.close()
            self._photo().setFocus(Qt.FocusReason.ShortcutFocusReason)

    def focus_next(self, steps: int) -> None:
        """Move the keyboard focus by `steps` panels and raise that panel; the photo counts as a panel."""
        stops: list[PanelDock | None] = [None, *(dock for dock in self._docks if not dock.isHidden())]
        here = self.focused()
        # A panel that was just hidden may still have the focus.
        self._focus(stops[((stops.index(here) if here in stops else 0) + steps) % len(stops)])

    def _focus(self, stop: PanelDock | None) -> None:
        """Give the keyboard focus to a panel, which is raised, or with None to the photo."""
        if stop is None:
            self._photo().setFocus(Qt.FocusReason.ShortcutFocusReason)
            self._window.activateWindow()
            return
        stop.raise_()
        if stop.isFloating():
            stop.activateWindow()
        focus_panel(stop)


def offset(floating: QRect, docked: QRect, screen: QRect) -> QRect:
    """The geometry of a panel that begins to float: apart from its docked place, and inside the screen."""
    size = floating.size().boundedTo(screen.size())
    placed = QRect(floating.topLeft(), size)
    if (placed.topLeft() - docked.topLeft()).manhattanLength() < _OFFSET:
        room = screen.right() - placed.right(), screen.bottom() - placed.bottom()
        placed.translate(*(_OFFSET if there >= _OFFSET else -_OFFSET for there in room))
    left = min(max(placed.left(), screen.left()), screen.right() + 1 - size.width())
    top = min(max(placed.top(), screen.top()), screen.bottom() + 1 - size.height())
    return QRect(QPoint(left, top), size)


def _end_panel(panel: QWidget) -> None:
    if isinstance(panel, Ending):
        panel.end()


def _build(kind: PanelKind, keys: list[QAction], session: Session) -> QWidget:
    panel: QWidget = resolve_name(f"vitviz.app.panels.{kind.panel}")(session, keys)
    return panel


def focus_panel(dock: PanelDock) -> None:
    """Give the focus to a panel's picture, otherwise to its first control, otherwise to a button of its title bar."""
    focusable = [
        widget
        for widget in (dock.panel, *dock.panel.findChildren(QWidget), *dock.findChildren(QToolButton))
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isVisibleTo(dock) and widget.isEnabled()
    ]
    pictures = [widget for widget in focusable if widget.actions()]
    for widget in (pictures or focusable)[:1]:
        widget.setFocus(Qt.FocusReason.ShortcutFocusReason)
