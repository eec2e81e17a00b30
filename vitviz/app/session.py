"""The session owns what is shown: the trace and one frozen view of it. Panels read it and ask it for changes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from vitviz.app import requests
from vitviz.app.errors import Failure, failure
from vitviz.app.maps import Maps
from vitviz.app.requests import Answer, Loaded, Picture, Progress, Request
from vitviz.app.state import Framing, Hover, Selection, Shape, ViewState, portable, selection, settled
from vitviz.app.worker import Ticket, Worker
from vitviz.images.photo import Photo

if TYPE_CHECKING:
    from vitviz.attention.proof import Check
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap
    from vitviz.models.catalog import Entry
    from vitviz.models.model import Model


class Session(QObject):
    """State of one window. All signals are emitted in the GUI thread, after the state has changed."""

    photo_changed = Signal()  # the photo on the stage, with or without a trace
    model_changed = Signal()
    trace_changed = Signal()
    view_changed = Signal(object, object)  # ViewState before, ViewState now
    hover_changed = Signal()
    selection_changed = Signal()  # what is asked for, by view or by hover
    heatmap_changed = Signal()
    busy_changed = Signal()
    failed = Signal(object)  # Failure
    photo_opened = Signal(object)  # Path

    def __init__(
        self, device: str = "auto", view: ViewState | None = None, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.device = device
        self.view = view or ViewState()
        self.hover = Hover()
        self.picture: Picture | None = None
        self.loaded: Loaded | None = None
        self.framing: Framing = "crop"
        self.trace: Trace | None = None
        self.busy: Progress | None = None
        self.maps = Maps(self)
        self.maps.heat_changed.connect(self.heatmap_changed)
        self.maps.failed.connect(self.failed)
        self._wanted = Request(None, "", device)
        self._worker = Worker("trace", self)
        self._lister = Worker("catalog", self)
        self._writer = Worker("write", self)

    # Reading.

    @property
    def photo(self) -> Photo | None:
        """The photo on the stage."""
        return None if self.picture is None else self.picture.photo

    @property
    def model(self) -> "Model | None":
        """The model at hand."""
        return None if self.loaded is None else self.loaded.model

    @property
    def model_source(self) -> str:
        """The name or file the model was loaded from; empty for one that was given."""
        return "" if self.loaded is None else self.loaded.source

    @property
    def check(self) -> "Check | None":
        """The self-check of the model at the size it was run at."""
        return None if self.trace is None else self.trace.check

    @property
    def heatmap(self) -> "Heatmap | None":
        """The heatmap that is shown, which may be older than the selection."""
        return None if self.maps.shown is None else self.maps.shown.heatmap

    @property
    def selection(self) -> Selection:
        """What is asked for, with hovering resolved."""
        return selection(self.view, self.hover)

    @property
    def shape(self) -> Shape | None:
        """What the trace has to choose from."""
        return None if self.trace is None else requests.shape_of(self.trace)

    def methods(self) -> dict[str, str | None]:
        """Each method, with None if it applies to the trace and else the reason it does not."""
        return {} if self.trace is None else requests.methods(self.trace)

    # Asking for photos and models.

    def open(
        self,
        photo: Path | Photo | QImage | None = None,
        model: "str | Model | None" = None,
        framing: Framing | None = None,
    ) -> None:
        """Ask for a photo, a model, a framing, or several at once; what is not named stays as last asked for.

        A model is a source for `vitviz.load_model`, or one that is loaded already. A file is loaded again if it has
        changed.
        """
        wanted = replace(
            self._wanted, view=portable(self.view, self.shape), shown=self.picture, held=self.loaded
        )
        if photo is not None:
            wanted = replace(wanted, photo=photo)
        if framing is not None:
            wanted = replace(wanted, framing=framing)
        if isinstance(model, str):
            at_hand = self.loaded
            same = at_hand is not None and (at_hand.source, at_hand.stamp) == (model, requests.stamp(model))
            wanted = replace(wanted, model=at_hand if at_hand is not None and same else model)
        elif model is not None:
            wanted = replace(wanted, model=Loaded(model, ""))
        self._wanted = wanted

        def work(ticket: Ticket) -> Answer:
            return requests.produce(wanted, ticket)

        self._set_busy(Progress("Starting"))
        self._worker.submit(work, self._take, self._fail, self._hear)

    def cancel(self) -> None:
        """Stop what is running; what is shown stays."""
        if self.busy is None:
            return
        self._worker.cancel()
        self._settle()

    def close(self) -> None:
        """Stop all work and end the threads."""
        self.maps.close()
        for worker in (self._worker, self._lister, self._writer):
            worker.close()

    def list_models(
        self, done: "Callable[[list[Entry]], None]", failed: Callable[[BaseException], None]
    ) -> Callable[[], None]:
        """Ask for the list of models; returns what says that nobody waits for it any more."""
        self._lister.submit(requests.catalog, done, failed)
        return self._lister.cancel

    def _hear(self, news: Any) -> None:
        if isinstance(news, Progress):
            self._set_busy(news)
        elif isinstance(news, Picture) and self.trace is None:
            # Nothing older is on the stage, so the photo need not wait for the model.
            self._show_picture(news)

    def _take(self, answer: Answer) -> None:
        if answer.loaded is not None and answer.loaded is not self.loaded:
            self.loaded = answer.loaded
            self.model_changed.emit()
        self.framing = answer.request.framing
        if answer.picture is not None:
            if isinstance(answer.request.photo, Path) and answer.picture is not answer.request.shown:
                self.photo_opened.emit(answer.request.photo)
            self._take_trace(answer, answer.picture)
        self._settle()
        if answer.problem is not None:
            self.failed.emit(failure(answer.problem))

    def _take_trace(self, answer: Answer, picture: Picture) -> None:
        view = portable(self.view, self.shape)
        self.trace = answer.trace
        self.maps.start(answer.trace, answer.drawn)
        self.hover = Hover()
        before, shape = self.view, self.shape
        if shape is not None:
            self.view = settled(view, shape, self.methods())
        self._set_busy(None)
        self._show_picture(picture)
        self.maps.ask(self.selection)
        self.trace_changed.emit()
        self.view_changed.emit(before, self.view)
        self.selection_changed.emit()
        if self.maps.shown is None:
            self.heatmap_changed.emit()

    def _fail(self, problem: BaseException) -> None:
        self._settle()
        self.failed.emit(failure(problem))

    def _settle(self) -> None:
        """Nothing is running any more: the next request starts from what is shown."""
        self._wanted = Request(self.picture, self.loaded or "", self.device, self.framing)
        self._set_busy(None)

    def _show_picture(self, picture: Picture) -> None:
        self.picture = picture
        self.photo_changed.emit()

    def _set_busy(self, busy: Progress | None) -> None:
        if busy != self.busy:
            self.busy = busy
            self.busy_changed.emit()

    # Asking for another view.

    def change(self, **changes: Any) -> None:
        """Change fields of the view; panels are told what it was and what it is."""
        self.show_view(replace(self.view, **changes))

    def show_view(self, view: ViewState) -> None:
        """Replace the view."""
        before, asked_before = self.view, self.selection
        if view == before:
            return
        self.view = view
        self.view_changed.emit(before, view)
        self._follow(asked_before)

    def point(self, hover: Hover) -> None:
        """The pointer is on something else now."""
        if hover == self.hover:
            return
        asked_before = self.selection
        self.hover = hover
        self.hover_changed.emit()
        self._follow(asked_before)

    def pin(self, query: tuple[int, int] | str) -> None:
        """Make a patch or prefix token the query until it is freed."""
        self.change(query=query, pinned=True)

    def free(self) -> None:
        """Let the query follow the pointer again."""
        self.change(query=None, pinned=False)

    def _follow(self, asked_before: Selection) -> None:
        if self.selection != asked_before:
            self.maps.ask(self.selection)
            self.selection_changed.emit()

    def save(self, write: Callable[[], object], told: Callable[[], None]) -> None:
        """Write something to disk off the GUI thread, then call `told`; one at a time, and never dropped."""
        if self._writer.busy:
            self.failed.emit(Failure("The last picture is still being saved; try again in a moment."))
            return

        def work(_: Ticket) -> object:
            return write()

        def failed(problem: BaseException) -> None:
            self.failed.emit(failure(problem))

        self._writer.submit(work, lambda _: told(), failed)
