"""The base of all panels: they follow the session while they can be seen, and compute in a thread of their own."""

from PySide6.QtCore import QEvent
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QWidget

from vitviz.app.session.facts import Shown
from vitviz.app.session.session import Session
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.work.worker import Worker


class Panel(QWidget):
    """Draws at once while it can be seen, otherwise when it is seen next.

    A panel connects the signals that concern it to `follow`, draws in `draw`, dims in `dim`, stops in `rest` what is not
    needed while it is hidden, and sets in `tint` the colours that the palette does not reach. What the user chooses in it
    (a mode, a quantity) is part of the session's view: a frozen dataclass of the panel's own, read by
    `view_state.panel_view` and changed by `Session.change_panel`, never kept in a widget.
    """

    name = ""
    """The panel's name in `catalog.PANELS`, and in the view's `panels`."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.worker = Worker(self.name, self, background=True)
        self._behind = True
        session.busy_changed.connect(self._follow_opening)

    @property
    def busy(self) -> bool:
        """Whether something is being computed for this panel."""
        return self.worker.busy

    def shown(self) -> Shown:
        """What is drawn now."""
        return Shown("", False)

    def end(self) -> None:
        """Stop all work and end the thread."""
        self.worker.close()

    def follow(self) -> None:
        """Something has changed: draw it now, or when the panel is seen next."""
        self._behind = True
        if self.isVisible():
            self._catch_up()

    def draw(self) -> None:
        """Draw what the session asks for now."""

    def dim(self) -> None:
        """Dim what is drawn while something newer is awaited, and only then.

        Called after each drawing and when the session begins or ends to open something. A panel calls it itself when its
        own work has ended without a drawing, or has taken long.
        """

    def rest(self) -> None:
        """The panel is hidden: stop what only it waits for."""

    def tint(self) -> None:
        """Take colours for icons and the like from the palette."""

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Draw what changed while the panel was hidden."""
        super().showEvent(event)
        if self._behind:
            self._catch_up()
        self._show_opening()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Stop what only this panel waits for."""
        super().hideEvent(event)
        self.rest()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Take the colours of another palette."""
        if event.type() == QEvent.Type.PaletteChange:
            self.tint()
        super().changeEvent(event)

    def _catch_up(self) -> None:
        self._behind = False
        self.draw()
        self.dim()

    def _follow_opening(self) -> None:
        self.dim()
        self._show_opening()

    def _show_opening(self) -> None:
        """Until there is a trace, show what is being opened in place of the invitation to open something."""
        busy = self.session.busy
        text = "" if busy is None or self.session.trace is not None else busy.text
        for empty in self.findChildren(EmptyState):
            empty.show_progress(text)
