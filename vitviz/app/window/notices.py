"""Errors in the window's notice, each removed once what it speaks of is replaced."""

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QObject

from vitviz.app.session.session import Session
from vitviz.app.widgets.messages.notice import Notice
from vitviz.app.work.failure import About, Failure


class Notices(QObject):
    """Shows the failures of the sides' sessions in one notice.

    A failure is removed when its session shows another photo, model or trace, or ends; that of a map also by the next map,
    and that of saving by the next file. One that is of no session, such as an empty clipboard, is removed when either side
    shows something else.
    """

    def __init__(self, notice: Notice, session: Session) -> None:
        super().__init__(notice)
        self._notice = notice
        self._sessions: list[Session] = []
        self._about: tuple[Session | None, About] = None, ""
        self.watch([session])

    def show_failure(self, failure: Failure, session: Session | None = None) -> None:
        """Show a failure, which is of a session or of none."""
        self._about = session, failure.about
        self._notice.show_message(failure.message, failure.details, failure.report)

    def show_sentence(self, sentence: str) -> None:
        """Show why something cannot be opened."""
        self.show_failure(Failure(sentence))

    def watch(self, sessions: Sequence[Session]) -> None:
        """Show the failures of these sessions, and remove that of a session that has ended."""
        for session in sessions:
            if session not in self._sessions:
                self._connect(session)
        self._sessions = list(sessions)
        of = self._about[0]
        if of is not None and of not in sessions:
            self._notice.clear_replaced()
            self._about = None, ""

    def _connect(self, session: Session) -> None:
        session.failed.connect(partial(self._on_failed, session))
        for signal in (session.photo_changed, session.model_changed, session.trace_changed):
            signal.connect(partial(self._clear, session))
        session.heatmap_changed.connect(partial(self._on_heatmap_changed, session))
        session.saved.connect(partial(self._clear, session, "saving"))

    def _on_failed(self, session: Session, failure: Failure) -> None:
        self.show_failure(failure, session)

    def _on_heatmap_changed(self, session: Session) -> None:
        if self._about[1] == "map" and session.maps.shown is not None:
            self._clear(session, "map")

    def _clear(self, session: Session, about: About | None = None) -> None:
        of, shown = self._about
        if of in (session, None) and about in (shown, None):
            self._notice.clear_replaced()
