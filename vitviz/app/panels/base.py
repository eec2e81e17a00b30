"""A panel that follows the session, but only while somebody can see it."""

from PySide6.QtCore import QEvent
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QWidget

from vitviz.app.session.session import Session
from vitviz.app.work.worker import Worker


class Following(QWidget):
    """A panel draws at once while it can be seen, otherwise when it is seen next; what it computes runs in its worker.

    Panels connect what concerns them to `_follow`, show it in `_draw`, and tint in `_dress` what the palette does not reach.
    """

    def __init__(self, session: Session, work: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._worker = Worker(work, self, behind=True)
        self._behind = True

    def end(self) -> None:
        """Stop all work and end the thread."""
        self._worker.close()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Catch up with what changed while nobody looked."""
        super().showEvent(event)
        if self._behind:
            self._catch_up()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint again."""
        if event.type() == QEvent.Type.PaletteChange:
            self._dress()
        super().changeEvent(event)

    def _follow(self) -> None:
        """Something has changed: show it now, or when somebody looks."""
        self._behind = True
        if self.isVisible():
            self._catch_up()

    def _catch_up(self) -> None:
        self._behind = False
        self._draw()

    def _draw(self) -> None:
        """Show what the session asks for now."""

    def _dress(self) -> None:
        """Tint icons and the like after the palette."""
