"""Opening photos and models: what was asked for last, how far it is, and what came of it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from vitviz.app.session import load
from vitviz.app.session.load import Answer, Loaded, Picture, Request
from vitviz.app.session.view_state import Framing, ViewState
from vitviz.app.sources.folder import Walk
from vitviz.app.work.progress import Progress
from vitviz.app.work.worker import Ticket, Worker
from vitviz.images.photo import Photo

if TYPE_CHECKING:
    from vitviz.models.model import Model


@dataclass(frozen=True, eq=False)
class AtHand:
    """What is shown when something is asked for; a request falls back on it where one of two new things cannot be opened."""

    picture: Picture | None
    loaded: Loaded | None
    view: ViewState
    """The view to draw first, as it can be taken to another model."""


class Opening(QObject):
    """Requests for a photo, a model and a framing, one at a time; the newest wins.

    A request keeps what earlier ones asked for until one is answered: a model chosen while a photo is opening goes with it.
    """

    busy_changed = Signal()
    pictured = Signal(object)  # Picture: the photo, while the model is on its way
    answered = Signal(object)  # Answer
    failed = Signal(object)  # BaseException

    def __init__(self, device: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.device = device
        self.busy: Progress | None = None
        self.wanted = Request(None, "", device)
        """What was asked for last; what is shown, once nothing runs."""
        self._worker = Worker("trace", self)

    def ask(
        self,
        at_hand: AtHand,
        photo: Path | Walk | Photo | QImage | None = None,
        model: "str | Model | None" = None,
        framing: Framing | None = None,
    ) -> None:
        """Ask for what is named; what is not named stays as last asked for. A changed weight file is loaded again."""
        wanted = replace(self.wanted, view=at_hand.view, shown=at_hand.picture, held=at_hand.loaded)
        if photo is not None:
            wanted = replace(wanted, photo=photo)
        if framing is not None:
            wanted = replace(wanted, framing=framing)
        if isinstance(model, str):
            loaded = at_hand.loaded
            same = loaded is not None and (loaded.source, loaded.stamp) == (model, load.stamp(model))
            wanted = replace(wanted, model=loaded if loaded is not None and same else model)
        elif model is not None:
            wanted = replace(wanted, model=Loaded(model, ""))
        self.wanted = wanted

        def work(ticket: Ticket) -> Answer:
            return load.produce(wanted, ticket)

        self._set_busy(Progress("Starting"))
        self._worker.submit(work, self.answered.emit, self.failed.emit, self._hear)

    def steps(self, steps: int) -> int:
        """How many photos further a folder's walk goes: steps that are still under way are added."""
        asked = self.wanted.photo
        if isinstance(asked, Walk) and self.busy is not None and asked.current is not None:
            steps += asked.steps
        return steps

    def finish(self) -> None:
        """The request that ran is answered."""
        self._set_busy(None)

    def settle(self, picture: Picture | None, loaded: Loaded | None, framing: Framing) -> None:
        """Nothing runs any more: the next request starts from what is shown."""
        self.wanted = Request(picture, loaded or "", self.device, framing)
        self._set_busy(None)

    def cancel(self) -> None:
        """Stop the request that runs."""
        self._worker.cancel()

    def close(self) -> None:
        """Stop all work and end the thread."""
        self._worker.close()

    def _hear(self, news: Any) -> None:
        if isinstance(news, Progress):
            self._set_busy(news)
        elif isinstance(news, Picture):
            self.pictured.emit(news)

    def _set_busy(self, busy: Progress | None) -> None:
        if busy != self.busy:
            self.busy = busy
            self.busy_changed.emit()
