"""What the user chose in one panel, as the panel's own frozen dataclass."""

from typing import Generic, TypeVar

from vitviz.app.session.session import Session
from vitviz.app.session.view_state import ViewState, panel_view

V = TypeVar("V")


class Choices(Generic[V]):
    """Reads a panel's choices from the session's view and changes them there; nothing is kept but the last reading."""

    def __init__(self, session: Session, panel: str, kind: type[V]) -> None:
        self._session = session
        self._panel = panel
        self._kind = kind
        self._source: object = None
        self._read = kind()

    @property
    def now(self) -> V:
        """The choices of the view that is shown; read anew only where they have changed."""
        source = self._session.view.panels.get(self._panel)
        if source is not self._source:
            self._source, self._read = source, panel_view(self._session.view, self._panel, self._kind)
        return self._read

    def change(self, **changes: object) -> None:
        """Change some of the choices, by their names."""
        self._session.change_panel(self._panel, **changes)

    def differ(self, before: ViewState, now: ViewState) -> bool:
        """Whether two views have different choices for this panel."""
        return before.panels.get(self._panel) != now.panels.get(self._panel)
