"""The session owns what is shown: the trace and one frozen view of it. Panels read it and ask it for changes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from vitviz.app.errors import Failure, failure
from vitviz.app.requests import Answer, Progress, Request, heatmap, produce
from vitviz.app.state import Framing, Hover, Selection, Shape, ViewState, fitted, selection
from vitviz.app.worker import Ticket, Worker
from vitviz.images.photo import Photo

if TYPE_CHECKING:
    from vitviz.attention.proof import Check
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap
    from vitviz.models.model import Model

# Quick enough to be computed between two frames; everything else goes through the worker.
_INSTANT = frozenset({"attention"})


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
        self.photo: Photo | None = None
        self.model: Model | None = None
        self.model_source = ""
        self.framing: Framing = "crop"
        self.trace: Trace | None = None
        self.check: Check | None = None
        self.heatmap: Heatmap | None = None
        self.problem = ""  # why there is no heatmap for this selection
        self.busy: Progress | None = None
        self._wanted = Request(None, "", device)
        self._maps: tuple[object, list[NDArray[np.float32]]] | None = None
        self._worker = Worker("trace", self)
        self._explainer = Worker("explain", self)
        self._writer = Worker("write", self)

    # Reading.

    @property
    def selection(self) -> Selection:
        """What is asked for, with hovering resolved."""
        return selection(self.view, self.hover)

    @property
    def shape(self) -> Shape | None:
        """What the trace has to choose from."""
        if self.trace is None:
            return None
        grid = self.trace.patches
        return Shape(
            tuple(layer.heads for layer in self.trace.layers), (grid.rows, grid.cols), self.trace.prefix
        )

    @property
    def stale(self) -> bool:
        """Whether something newer than what is shown is on its way."""
        return self.busy is not None

    def methods(self) -> dict[str, str | None]:
        """Each method, with None if it applies to the trace and else the reason it does not."""
        if self.trace is None:
            return {}
        from vitviz.explain import methods

        return methods(self.trace)

    def head_maps(self) -> list[NDArray[np.float32]]:
        """The mosaic of the current query: per layer float32 (heads, rows, cols); kept until the query changes."""
        if self.trace is None:
            return []
        chosen = self.selection
        key = (id(self.trace), chosen.query, chosen.direction)
        if self._maps is None or self._maps[0] != key:
            from vitviz.explain.attention import head_maps

            self._maps = (key, head_maps(self.trace, chosen.query, chosen.direction))
        return self._maps[1]

    # Asking for photos and models.

    def open(
        self,
        photo: Path | Photo | None = None,
        model: "str | Model | None" = None,
        framing: Framing | None = None,
    ) -> None:
        """Ask for a photo, a model, a framing, or several at once; what is not named stays as last asked for.

        A model is a source for `vitviz.load_model`, or one that is loaded already.
        """
        wanted = self._wanted
        if photo is not None:
            wanted = replace(wanted, photo=photo)
        if framing is not None:
            wanted = replace(wanted, framing=framing)
        if isinstance(model, str):
            at_hand = self.model if self.model is not None and model == self.model_source else None
            wanted = replace(wanted, model=model, loaded=at_hand)
        elif model is not None:
            wanted = replace(wanted, model="", loaded=model)
        elif wanted.model and wanted.model == self.model_source:
            wanted = replace(wanted, loaded=self.model)
        known = self.check if wanted.loaded is not None and wanted.loaded is self.model else None
        self._wanted = wanted = replace(wanted, check=known)

        def work(ticket: Ticket) -> Answer:
            return produce(wanted, ticket)

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
        self._worker.close()
        self._explainer.close()
        self._writer.close()

    def _hear(self, news: Any) -> None:
        if isinstance(news, Progress):
            self._set_busy(news)
        elif isinstance(news, Photo) and self.trace is None:
            # Nothing older is on the stage, so the photo need not wait for the model.
            self._show_photo(news)

    def _take(self, answer: Answer) -> None:
        if answer.model is not None and answer.model is not self.model:
            self.model, self.model_source = answer.model, answer.request.model
            self.check = None
            self.model_changed.emit()
        if answer.check is not None:
            self.check = answer.check
        self.framing = answer.request.framing
        if answer.photo is not None:
            if isinstance(answer.request.photo, Path):
                self.photo_opened.emit(answer.request.photo)
            self.trace, self._maps = answer.trace, None
            self.heatmap, self.problem = None, ""
            self.hover = Hover()
            before = self.view
            shape = self.shape
            if shape is not None:
                self.view = fitted(self.view, shape)
                applies = self.methods()
                if applies.get(self.view.method, "unknown") is not None:
                    self.view = replace(self.view, method="attention")
            self._settle(busy_only=True)
            self._show_photo(answer.photo)
            self.trace_changed.emit()
            self.view_changed.emit(before, self.view)
            self.selection_changed.emit()
            self._explain()
        self._settle()

    def _fail(self, problem: BaseException) -> None:
        self._settle()
        self.failed.emit(failure(problem))

    def _settle(self, busy_only: bool = False) -> None:
        """Nothing is running any more: the next request starts from what is shown."""
        if not busy_only:
            self._wanted = Request(self.photo, self.model_source, self.device, self.framing, self.model)
        self._set_busy(None)

    def _show_photo(self, photo: Photo) -> None:
        if photo is not self.photo:
            self.photo = photo
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
            self.selection_changed.emit()
            self._explain()

    def _explain(self) -> None:
        if self.trace is None:
            self._explained(None)
            return
        trace, chosen = self.trace, self.selection
        if chosen.method in _INSTANT:
            self._explainer.cancel()
            try:
                self._explained(heatmap(trace, chosen.method, chosen.options))
            except Exception as problem:
                self._unexplained(problem)
            return

        def work(_: Ticket) -> "Heatmap":
            return heatmap(trace, chosen.method, chosen.options)

        self._explainer.submit(work, self._explained, self._unexplained)

    def _explained(self, found: "Heatmap | None") -> None:
        self.heatmap, self.problem = found, ""
        self.heatmap_changed.emit()

    def _unexplained(self, problem: BaseException) -> None:
        told = failure(problem)
        self.heatmap, self.problem = None, told.message
        self.heatmap_changed.emit()
        if told.details:
            self.failed.emit(told)

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
