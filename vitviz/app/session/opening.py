"""Opening photos and models: the last request, its progress and its result."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from vitviz.app.session import load
from vitviz.app.session.load import Loaded, OpenedPhoto, OpenResult, Request
from vitviz.app.session.model_memory import ModelMemory
from vitviz.app.session.view_state import Framing, ViewState
from vitviz.app.sources.folder import Walk
from vitviz.app.work.progress import Progress
from vitviz.app.work.worker import Ticket, Worker
from vitviz.images.photo import Photo
from vitviz.models.settings import ModelSettings

if TYPE_CHECKING:
    from vitviz.models.model import Model


@dataclass(frozen=True, eq=False)
class Current:
    """What is shown when a request is made. It is used in place of a photo or model that cannot be opened."""

    picture: OpenedPhoto | None
    loaded: Loaded | None
    view: ViewState
    """The view to draw first, in a form that another model can show (see `view_state.portable`)."""


class Opening(QObject):
    """Runs requests for a photo, a model and a framing, one at a time; a new request replaces the running one.

    A new request includes what the replaced one asked for: a model chosen while a photo is opening is loaded for that photo.
    """

    busy_changed = Signal()
    photo_ready = Signal(object)  # OpenedPhoto, before the model has run
    opened = Signal(object)  # OpenResult
    failed = Signal(object)  # BaseException

    def __init__(self, device: str, memory: ModelMemory, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.device = device
        self.memory = memory
        self.busy: Progress | None = None
        self.wanted = Request(None, "", device)
        """The last request; if none is running, a request for what is shown."""
        self._worker = Worker("trace", self)

    def ask(
        self,
        current: Current,
        photo: Path | Walk | Photo | QImage | None = None,
        model: "str | Model | None" = None,
        framing: Framing | None = None,
        settings: ModelSettings | None = None,
    ) -> None:
        """Request what is given; None keeps the last request. A weights file that has changed is loaded again.

        Without `settings`, a model is loaded with those that it was loaded with last.
        """
        wanted = replace(self.wanted, view=current.view, shown=current.picture, held=current.loaded)
        if photo is not None:
            wanted = replace(wanted, photo=photo)
        if framing is not None:
            wanted = replace(wanted, framing=framing)
        if isinstance(model, str):
            loaded, chosen = current.loaded, settings or self.memory.of(model)
            same = loaded is not None and (loaded.source, loaded.stamp) == (model, load.stamp(model))
            same = same and loaded is not None and _alike(loaded.settings, chosen)
            wanted = replace(wanted, model=loaded if loaded is not None and same else model, settings=chosen)
            if framing is None and chosen.framing in get_args(Framing):
                wanted = replace(wanted, framing=cast(Framing, chosen.framing))
        elif model is not None:
            wanted = replace(wanted, model=Loaded(model, ""))
        self.wanted = wanted

        def work(ticket: Ticket) -> OpenResult:
            return load.produce(wanted, ticket)

        self._set_busy(Progress("Starting"))
        self._worker.submit(work, self.opened.emit, self.failed.emit, self._on_update)

    def steps(self, steps: int) -> int:
        """`steps` plus the steps of a walk through the folder that is still running."""
        running = self.wanted.photo
        if isinstance(running, Walk) and self.busy is not None and running.current is not None:
            steps += running.steps
        return steps

    def finish(self) -> None:
        """The request has finished."""
        self._set_busy(None)

    def reset(self, picture: OpenedPhoto | None, loaded: Loaded | None, framing: Framing) -> None:
        """No request is running: the next one starts from what is shown."""
        self.wanted = Request(picture, loaded or "", self.device, framing)
        self._set_busy(None)

    def cancel(self) -> None:
        """Stop the running request."""
        self._worker.cancel()

    def close(self) -> None:
        """Stop the running request and end the thread."""
        self._worker.close()

    def _on_update(self, update: Any) -> None:
        if isinstance(update, Progress):
            self._set_busy(update)
        elif isinstance(update, OpenedPhoto):
            self.photo_ready.emit(update)

    def _set_busy(self, busy: Progress | None) -> None:
        if busy != self.busy:
            self.busy = busy
            self.busy_changed.emit()


def _alike(before: ModelSettings, now: ModelSettings) -> bool:
    """Whether a model need not be loaded again: only the framing may differ."""
    return replace(before, framing="") == replace(now, framing="")
