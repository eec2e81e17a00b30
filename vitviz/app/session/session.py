"""The session owns what is shown: the trace and one frozen view of it. Panels read it and ask it for changes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from vitviz.app.session import colour_scale, compute
from vitviz.app.session.heatmaps import Maps
from vitviz.app.session.history import History, Step
from vitviz.app.session.load import Answer, Loaded, Picture
from vitviz.app.session.model_list import ModelList
from vitviz.app.session.opening import AtHand, Opening
from vitviz.app.session.view_state import (
    Framing,
    Hover,
    Query,
    Selection,
    Shape,
    ViewState,
    as_asked,
    portable,
    selection,
    settled,
    with_option,
    with_panel,
)
from vitviz.app.sources.folder import FolderEnd, Walk
from vitviz.app.work.failure import failure
from vitviz.app.work.jobs import JobQueue
from vitviz.app.work.progress import Progress
from vitviz.app.work.thread_budget import cores
from vitviz.explain.registry import find
from vitviz.images.photo import Photo

if TYPE_CHECKING:
    from vitviz.attention.self_check.outputs import Check
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap
    from vitviz.models.model import Model


class Session(QObject):
    """State of one window. All signals are emitted in the GUI thread, after the state has changed."""

    photo_changed = Signal()  # the photo on the stage, with or without a trace
    model_changed = Signal()
    trace_changed = Signal()
    view_changed = Signal(object, object)  # ViewState before, ViewState now
    hover_changed = Signal()  # after what it changes of the selection
    selection_changed = Signal()  # what is asked for, by view or by hover
    heatmap_changed = Signal()
    busy_changed = Signal()
    failed = Signal(object)  # Failure
    photo_opened = Signal(object)  # Path
    scale_changed = Signal()  # what several maps have as their one colour scale
    noted = Signal(str)  # something worth a sentence that is no problem
    play_asked = Signal()  # play or stop the strip of layers

    def __init__(
        self, device: str = "auto", view: ViewState | None = None, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.device = device
        self.view = view or ViewState()
        self.hover = Hover()
        self._selected = self.view, self.hover, selection(self.view, self.hover)
        self.picture: Picture | None = None
        self.loaded: Loaded | None = None
        self.framing: Framing = "crop"
        self.trace: Trace | None = None
        self.still: Heatmap | None = None
        self._given_range: colour_scale.Range | None = None
        self._methods: tuple[Trace, dict[str, str | None]] | None = None
        self._shape: tuple[Trace, Shape] | None = None
        self.history = History()
        self.maps = Maps(self)
        self.maps.heat_changed.connect(self.heatmap_changed)
        self.maps.failed.connect(self.failed)
        self.opening = Opening(device, self)
        self.opening.busy_changed.connect(self.busy_changed)
        self.opening.pictured.connect(self._show_early)
        self.opening.answered.connect(self._take)
        self.opening.failed.connect(self._fail)
        self.model_list = ModelList(self)
        self.jobs = JobQueue("jobs", self)
        self._writing = JobQueue("write", self, behind=False)
        for queue in (self.jobs, self._writing):
            queue.failed.connect(self.failed)

    # Reading.

    @property
    def busy(self) -> Progress | None:
        """How far the photo or the model that was asked for is; None where nothing is being opened."""
        return self.opening.busy

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
        return self.still if self.maps.shown is None else self.maps.shown.heatmap

    @property
    def selection(self) -> Selection:
        """What is asked for, with hovering resolved."""
        view, hover, chosen = self._selected
        if view is not self.view or hover is not self.hover:
            chosen = selection(self.view, self.hover)
            self._selected = self.view, self.hover, chosen
        return chosen

    @property
    def shape(self) -> Shape | None:
        """What the trace has to choose from."""
        if self.trace is None:
            return None
        if self._shape is None or self._shape[0] is not self.trace:
            self._shape = self.trace, compute.shape_of(self.trace)
        return self._shape[1]

    def methods(self) -> dict[str, str | None]:
        """Each method, with None if it applies to the trace and else the reason it does not."""
        if self.trace is None:
            return {}
        if self._methods is None or self._methods[0] is not self.trace:
            self._methods = self.trace, compute.methods(self.trace)
        return self._methods[1]

    @property
    def shared_range(self) -> "colour_scale.Range | None":
        """The colour scale that the map has in common with others: what `share_range` gave, or all layers and heads."""
        shown = self.maps.shown
        if self._given_range is not None:
            return self._given_range
        if self.view.scale != "shared" or shown is None or shown.selection.method != "attention":
            return None
        tiles = self.maps.tiles()
        return None if tiles is None else colour_scale.shared_by(tiles.stacks)

    @property
    def sharers(self) -> str:
        """Which maps have the shared colour scale in common."""
        return "all layers and heads" if self._given_range is None else "both sides"

    def share_range(self, ends: "colour_scale.Range | None") -> None:
        """Give the map the colour scale of two that lie side by side; None gives it its own again."""
        if ends != self._given_range:
            self._given_range = ends
            self.scale_changed.emit()

    # Asking for photos and models.

    def open(
        self,
        photo: Path | Walk | Photo | QImage | None = None,
        model: "str | Model | None" = None,
        framing: Framing | None = None,
    ) -> None:
        """Ask for a photo, a model, a framing, or several at once; what is not named stays as last asked for.

        A model is a source for `vitviz.load_model`, or one that is loaded already. A file is loaded again if it has
        changed.
        """
        at_hand = AtHand(self.picture, self.loaded, portable(self.view, self.shape))
        self.opening.ask(at_hand, photo, model, framing)

    def walk(self, steps: int) -> None:
        """Ask for the next (1) or previous (-1) photo of the folder of the one that is shown; quick presses add up."""
        photo, steps = self.photo, self.opening.steps(steps)
        if photo is None or photo.path is None:
            self.noted.emit("Open a photo or a folder first; then its neighbours are one key away.")
        elif steps:
            self.open(photo=Walk(photo.path.parent, photo.path.name, steps))
        else:
            self.cancel()

    def close_photo(self) -> None:
        """Put the photo away; the model stays at hand."""
        self.cancel()
        self.opening.cancel()
        self.maps.start(None, None)
        self.trace = self.picture = self.still = self._methods = self._shape = None
        self.hover = Hover()
        self._settle()
        self.photo_changed.emit()
        self.trace_changed.emit()
        self.selection_changed.emit()
        self.heatmap_changed.emit()

    @property
    def working(self) -> Progress | None:
        """What the user waits for: a photo, a model, or a map that takes its time."""
        if self.busy is None and self.maps.heat_late:
            return Progress(f"Computing {find(self.view.method).label.lower()}")
        return self.busy

    def cancel(self) -> None:
        """Stop what is running; what is shown stays."""
        if self.busy is not None:
            self.opening.cancel()
            self._settle()
        elif self.maps.heat_late:
            self.maps.stop()
            if self.maps.shown is not None:
                self._put_view(as_asked(self.view, self.maps.shown.selection), self.selection)

    def close(self) -> None:
        """Stop all work and end the threads."""
        for part in (self.maps, self.opening, self.model_list, self.jobs):
            part.close()
        self._writing.close(finish=True)

    def _show_early(self, picture: Picture) -> None:
        """Nothing older is on the stage, so the photo need not wait for the model."""
        if self.trace is None and not self._is_still(picture):
            self._forget_still()
            self._show_picture(picture)

    def _is_still(self, picture: Picture) -> bool:
        return self.still is not None and self.still.photo.path == picture.photo.path

    def _take(self, answer: Answer) -> None:
        if answer.loaded is not None and answer.loaded is not self.loaded:
            before, self.loaded = self.model, answer.loaded
            if before is None or before.labels != answer.loaded.model.labels:
                # Another model numbers its classes otherwise.
                self.view = replace(self.view, target=None)
                self.history.forget_classes()
            self.model_changed.emit()
        self.framing = answer.request.framing
        if answer.picture is not None:
            path = answer.picture.photo.path
            if path is not None and answer.picture is not answer.request.shown:
                self.photo_opened.emit(path)
            self._take_trace(answer, answer.picture)
        self._settle()
        if answer.problem is not None:
            self._tell(answer.problem)
        elif (
            answer.picture is not None
            and answer.picture.skipped
            and answer.picture is not answer.request.shown
        ):
            self.noted.emit(f"Passed over what cannot be read: {', '.join(answer.picture.skipped)}")

    def _take_trace(self, answer: Answer, picture: Picture) -> None:
        view = portable(self.view, self.shape)
        self.trace, self.still = answer.trace, None
        self.maps.start(answer.trace, answer.drawn)
        self.hover = Hover()
        before, shape = self.view, self.shape
        if shape is not None:
            self.view = settled(view, shape, self.methods())
        self.opening.finish()
        self._show_picture(picture)
        self.maps.ask(self.selection)
        self.trace_changed.emit()
        self.view_changed.emit(before, self.view)
        self.selection_changed.emit()
        if self.maps.shown is None:
            self.heatmap_changed.emit()

    def _fail(self, problem: BaseException) -> None:
        self._forget_still()
        self._settle()
        self._tell(problem)

    def _tell(self, problem: BaseException) -> None:
        if isinstance(problem, FolderEnd):
            self.noted.emit(problem.message)
        else:
            self.failed.emit(failure(problem))

    def _settle(self) -> None:
        self.opening.settle(self.picture, self.loaded, self.framing)

    def show_still(self, picture: Picture, heat: "Heatmap") -> None:
        """Show a stored heatmap of a photo while the model that answers is on its way."""
        self.still = heat
        self._show_picture(picture)
        self.heatmap_changed.emit()

    def _forget_still(self) -> None:
        if self.still is not None:
            self.still = None
            self.heatmap_changed.emit()

    def _show_picture(self, picture: Picture) -> None:
        self.picture = picture
        self.photo_changed.emit()

    # Asking for another view.

    def change(self, **changes: Any) -> None:
        """Change fields of the view; panels are told what it was and what it is."""
        self.show_view(replace(self.view, **changes))

    def change_panel(self, panel: str, **changes: object) -> None:
        """Change what a panel shows: choices by their names, as in its own view (see `view_state.panel_view`)."""
        self.show_view(with_panel(self.view, panel, **changes))

    def show_view(self, view: ViewState, remembered: bool = True) -> None:
        """Replace the view; where the selection before need not be `remembered`, undoing goes past it."""
        before, asked_before = self.view, self.selection
        if view == before:
            return
        if remembered:
            self.history.remember(before, view)
        self._put_view(view, asked_before)

    def undo(self) -> None:
        """Go back to the selection before; how things are drawn stays."""
        self._go(self.history.back)

    def redo(self) -> None:
        """Go forward again."""
        self._go(self.history.forward)

    def _go(self, step: Step) -> None:
        view = None if self.shape is None else step(self.view, self.shape, self.methods())
        if view is not None:
            self._put_view(view, self.selection)

    def _put_view(self, view: ViewState, asked_before: Selection) -> None:
        before, self.view = self.view, view
        self.view_changed.emit(before, view)
        self._follow(asked_before)

    def set_option(self, option: str, value: object) -> None:
        """Set an option of the current method; None is its default again."""
        self.show_view(with_option(self.view, self.view.method, option, value))

    def point(self, hover: Hover) -> None:
        """The pointer is on something else now."""
        if hover == self.hover:
            return
        cores.pointer_moved()
        asked_before = self.selection
        self.hover = hover
        # First what is asked for: who follows the map and the pointer then knows that the second changes nothing more.
        self._follow(asked_before)
        self.hover_changed.emit()

    def pin(self, query: Query) -> None:
        """Make a patch, several or a prefix token the query until it is freed."""
        self.change(query=query, pinned=True)

    def free(self) -> None:
        """Let the query follow the pointer again."""
        self.change(query=None, pinned=False)

    def _follow(self, asked_before: Selection) -> None:
        if self.selection != asked_before:
            self.maps.ask(self.selection)
            self.selection_changed.emit()

    def save(self, write: Callable[[], object], told: Callable[[], None]) -> None:
        """Write something to disk off the GUI thread, then call `told`; one after the other, and none is dropped."""
        self._writing.start("Saving", lambda _: write(), lambda _: told())
