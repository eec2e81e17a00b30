"""The session owns the trace and one frozen `ViewState`. Panels read both and request changes."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from vitviz.app.commands import key_of
from vitviz.app.session import colour_scale, compute
from vitviz.app.session.heatmaps import Maps
from vitviz.app.session.history import History, Step
from vitviz.app.session.load import Loaded, OpenedPhoto, OpenResult
from vitviz.app.session.model_list import ModelList
from vitviz.app.session.model_memory import ModelMemory
from vitviz.app.session.opening import Current, Opening
from vitviz.app.session.proving import Proving
from vitviz.app.session.view_state import (
    Direction,
    Framing,
    Hover,
    Query,
    Selection,
    Shape,
    ViewState,
    as_asked,
    fitted,
    portable,
    selection,
    settled,
    with_method,
    with_option,
    with_panel,
)
from vitviz.app.sources.folder import FolderEnd, Walk
from vitviz.app.work.failure import About, Failure, failure
from vitviz.app.work.jobs import JobQueue
from vitviz.app.work.progress import Progress
from vitviz.app.work.thread_budget import budget
from vitviz.explain.registry import find
from vitviz.images.photo import Photo
from vitviz.models.settings import ModelSettings

if TYPE_CHECKING:
    from vitviz.attention.readout import Readout
    from vitviz.attention.self_check.outputs import Check
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap
    from vitviz.models.model import Model


class Session(QObject):
    """The state of one window. All signals are emitted in the GUI thread, after the state has changed."""

    photo_changed = Signal()  # the photo on the stage, with or without a trace
    model_changed = Signal()
    trace_changed = Signal()
    check_changed = Signal()  # more claims of the trace that is shown are proved
    view_changed = Signal(object, object)  # ViewState before, ViewState now
    hover_changed = Signal()  # after `selection_changed`, if the hovered item changes the selection
    selection_changed = Signal()  # `selection`, by the view or the hovered item
    heatmap_changed = Signal()
    busy_changed = Signal()
    failed = Signal(object)  # Failure
    photo_opened = Signal(object)  # Path
    scale_changed = Signal()  # the colour scale that several maps share
    saved = Signal()  # a file was written
    message = Signal(str)  # a sentence for the user that is not an error
    head_refused = Signal(int, int)  # the layer and head that were chosen, of which the method has no map
    play_asked = Signal()  # start or stop playing through the layers
    models_asked = Signal(str)  # open the model browser at this section, or "file" for a weights file

    def __init__(
        self,
        device: str = "auto",
        view: ViewState | None = None,
        parent: QObject | None = None,
        memory: ModelMemory | None = None,
    ) -> None:
        super().__init__(parent)
        self.device = device
        self.memory = memory or ModelMemory()
        self.view = view or ViewState()
        self.hover = Hover()
        self._selected = self.view, self.hover, selection(self.view, self.hover)
        self.picture: OpenedPhoto | None = None
        self.loaded: Loaded | None = None
        self.framing: Framing = "crop"
        self.trace: Trace | None = None
        self.stored: Heatmap | None = None
        """The heatmap stored with the program, which is shown until the model has run."""
        self._given_range: colour_scale.Range | None = None
        self._shared: tuple[tuple[Query, Direction], colour_scale.Range | None] | None = None
        self._methods: tuple[Trace, dict[str, str | None]] | None = None
        self._shape: tuple[Trace, Shape] | None = None
        self._readout: Readout | None = None  # of the trace, as it was known when maps were last drawn
        self.history = History()
        self.maps = Maps(self)
        self.maps.heat_changed.connect(self.heatmap_changed)
        self.maps.failed.connect(partial(self._fail, "map"))
        self.proving = Proving(self)
        self.proving.changed.connect(self._on_proved)
        self.proving.refused.connect(self._withdraw)
        self.maps.heat_changed.connect(self.proving.resume)
        self.opening = Opening(device, self.memory, self)
        self.opening.busy_changed.connect(self.busy_changed)
        self.opening.photo_ready.connect(self._show_first_photo)
        self.opening.opened.connect(self._on_opened)
        self.opening.failed.connect(self._on_failed)
        self.model_list = ModelList(self.memory, self)
        self.jobs = JobQueue("jobs", self)
        self._writing = JobQueue("write", self, background=False)
        self.jobs.failed.connect(partial(self._fail, ""))
        self._writing.failed.connect(partial(self._fail, "saving"))

    # Reading.

    @property
    def busy(self) -> Progress | None:
        """The progress of the photo or model that is being opened; None if there is none."""
        return self.opening.busy

    @property
    def photo(self) -> Photo | None:
        """The photo on the stage."""
        return None if self.picture is None else self.picture.photo

    @property
    def model(self) -> "Model | None":
        """The loaded model."""
        return None if self.loaded is None else self.loaded.model

    @property
    def model_source(self) -> str:
        """The name or file the model was loaded from; empty for a model that was passed in."""
        return "" if self.loaded is None else self.loaded.source

    @property
    def check(self) -> "Check | None":
        """The self-check of the model at the input size of the trace."""
        return None if self.trace is None else self.proving.check

    @property
    def heatmap(self) -> "Heatmap | None":
        """The shown heatmap, which may be older than the selection."""
        return self.stored if self.maps.shown is None else self.maps.shown.heatmap

    @property
    def selection(self) -> Selection:
        """What is selected: the view, with the hovered item applied."""
        view, hover, chosen = self._selected
        if view is not self.view or hover is not self.hover:
            chosen = selection(self.view, self.hover)
            self._selected = self.view, self.hover, chosen
        return chosen

    @property
    def shape(self) -> Shape | None:
        """The layers, heads, patches, tokens and classes of the trace; None without a trace."""
        if self.trace is None:
            return None
        if self._shape is None or self._shape[0] is not self.trace:
            self._shape = self.trace, compute.shape_of(self.trace)
        return self._shape[1]

    def methods(self) -> dict[str, str | None]:
        """The methods by name: None if a method applies to the trace, otherwise why not. Empty without a trace."""
        if self.trace is None:
            return {}
        if self._methods is None or self._methods[0] is not self.trace:
            self._methods = self.trace, compute.methods(self.trace)
        return self._methods[1]

    @property
    def shared_range(self) -> "colour_scale.Range | None":
        """The colour scale that the map shares with others: that of `share_range`, or that of all layers and heads."""
        shown = self.maps.shown
        if self._given_range is not None:
            return self._given_range
        if self.view.scale != "shared" or shown is None or shown.selection.method != "attention":
            return None
        tiles, key = self.maps.tiles(), (shown.selection.query, shown.selection.direction)
        if tiles is not None and (tiles.query, tiles.direction) == key:
            self._shared = key, colour_scale.shared_by(tiles.stacks)
        # While a map is shown that is older than the selection, its own scale stays.
        return None if self._shared is None or self._shared[0] != key else self._shared[1]

    @property
    def sharers(self) -> str:
        """Which maps share the colour scale, in words."""
        return "all layers and heads" if self._given_range is None else "both sides"

    def share_range(self, ends: "colour_scale.Range | None") -> None:
        """Set the colour scale that both sides of a comparison share; None restores the map's own scale."""
        if ends != self._given_range:
            self._given_range = ends
            self.scale_changed.emit()

    # Opening photos and models.

    def open(
        self,
        photo: Path | Walk | Photo | QImage | None = None,
        model: "str | Model | None" = None,
        framing: Framing | None = None,
        settings: ModelSettings | None = None,
    ) -> None:
        """Request a photo, a model, a framing, or several of them; None keeps the last request.

        `model` is a source for `vitviz.load_model` or a loaded model. A weights file is loaded again if it has changed.
        `settings` are how the model is loaded; None are those it was loaded with last.
        """
        self.proving.pause()
        current = Current(self.picture, self.loaded, portable(self.view, self.shape))
        self.opening.ask(current, photo, model, framing, settings)

    def walk(self, steps: int) -> None:
        """Request the next (1) or previous (-1) photo of the same folder; steps of a running request are added."""
        photo, steps = self.photo, self.opening.steps(steps)
        if photo is None or photo.path is None:
            self.message.emit("Open a photo or a folder first.")
        elif steps:
            self.open(photo=Walk(photo.path.parent, photo.path.name, steps))
        else:
            self.cancel()

    def close_photo(self) -> None:
        """Remove the photo; the model stays loaded."""
        self.cancel()
        self.opening.cancel()
        self.maps.start(None, None)
        self.proving.start(None)
        self.trace = self.picture = self.stored = self._methods = self._shape = self._shared = None
        self.hover = Hover()
        self._reset_request()
        self.photo_changed.emit()
        self.trace_changed.emit()
        self.selection_changed.emit()
        self.heatmap_changed.emit()

    @property
    def working(self) -> Progress | None:
        """The progress of what the user waits for: a photo, a model, or a map that takes long; None if nothing."""
        if self.busy is None and self.maps.heat_late:
            return Progress(f"Computing {find(self.view.method).label.lower()}")
        return self.busy

    def cancel(self) -> None:
        """Stop the running request or map; what is shown stays."""
        if self.busy is not None:
            if self.busy.text.startswith("Downloading"):
                self.message.emit("Cancelled. What is downloaded is kept: load the model again to continue.")
            self.opening.cancel()
            self._reset_request()
        elif self.maps.heat_late:
            self.maps.stop()
            if self.maps.shown is not None:
                self._put_view(as_asked(self.view, self.maps.shown.selection), self.selection)

    def close(self) -> None:
        """Stop all work and end the threads."""
        for part in (self.proving, self.maps, self.opening, self.model_list, self.jobs):
            part.close()
        self._writing.close(finish=True)

    def _show_first_photo(self, picture: OpenedPhoto) -> None:
        """Show the photo before the model has run, unless an older trace is still shown."""
        if self.trace is None and not self._is_stored(picture):
            self._clear_stored()
            self._show_picture(picture)

    def _is_stored(self, picture: OpenedPhoto) -> bool:
        return self.stored is not None and self.stored.photo.path == picture.photo.path

    def _on_opened(self, result: OpenResult) -> None:
        if result.loaded is not None and result.loaded is not self.loaded:
            before, self.loaded = self.model, result.loaded
            if result.loaded.source:
                self.memory.remember(result.loaded.source, result.loaded.settings)
            if before is None or before.labels != result.loaded.model.labels:
                # Another model numbers its classes differently.
                self.view = replace(self.view, target=None)
                self.history.forget_classes()
            self.model_changed.emit()
        self.framing = result.request.framing
        if result.picture is not None:
            path = result.picture.photo.path
            if path is not None and result.picture is not result.request.shown:
                self.photo_opened.emit(path)
            self._show_trace(result, result.picture)
        self._reset_request()
        if result.problem is not None:
            self._report(result.problem)
        elif (
            result.picture is not None
            and result.picture.skipped
            and result.picture is not result.request.shown
        ):
            self.message.emit(f"Skipped files that cannot be read: {', '.join(result.picture.skipped)}")

    def _show_trace(self, result: OpenResult, picture: OpenedPhoto) -> None:
        view = portable(self.view, self.shape)
        self.trace, self.stored, self._shared = result.trace, None, None
        self._readout = None if self.trace is None else self.trace.readout
        self.maps.start(result.trace, result.drawn)
        self.hover = Hover()
        before, shape = self.view, self.shape
        if shape is not None:
            self.view = settled(view, shape, self.methods())
        self.opening.finish()
        self._show_picture(picture)
        self.maps.ask(self.selection)
        self.proving.start(result.trace)
        self.trace_changed.emit()
        self.view_changed.emit(before, self.view)
        self.selection_changed.emit()
        if self.maps.shown is None:
            self.heatmap_changed.emit()

    def _on_failed(self, problem: BaseException) -> None:
        self._clear_stored()
        self._reset_request()
        self._report(problem)

    def _report(self, problem: BaseException) -> None:
        if isinstance(problem, FolderEnd):
            self.message.emit(problem.message)
        else:
            self._fail("opening", failure(problem))

    def _fail(self, about: About, told: Failure) -> None:
        self.failed.emit(replace(told, about=about))

    def _on_proved(self) -> None:
        """More claims are proved. Where one fails, the methods that need it do not apply any more.

        What is read may be found to be more, or something else, than the model's family states.
        """
        check = self.proving.check
        other_readout = self.trace is not None and self.trace.readout != self._readout
        if check is not None and (other_readout or any(claim.fails for claim in check.claims)):
            self._methods = self._shape = None
            self._readout = None if self.trace is None else self.trace.readout
            self.maps.forget()
            if self.shape is not None:
                self.show_view(settled(self.view, self.shape, self.methods()), remembered=False)
            self.maps.ask(self.selection)
            self.trace_changed.emit()
        self.check_changed.emit()

    def _withdraw(self, problem: BaseException) -> None:
        """A claim fails without which no map may be drawn: take the maps away; the photo and the model stay."""
        self.maps.start(None, None)
        self.trace = self._methods = self._shape = self._shared = None
        self.hover = Hover()
        self.trace_changed.emit()
        self.selection_changed.emit()
        self.heatmap_changed.emit()
        self._report(problem)

    def _reset_request(self) -> None:
        self.opening.reset(self.picture, self.loaded, self.framing)
        self.proving.resume()

    def show_stored(self, picture: OpenedPhoto, heat: "Heatmap") -> None:
        """Show a stored heatmap of a photo until the model has run."""
        self.stored = heat
        self._show_picture(picture)
        self.heatmap_changed.emit()

    def _clear_stored(self) -> None:
        if self.stored is not None:
            self.stored = None
            self.heatmap_changed.emit()

    def _show_picture(self, picture: OpenedPhoto) -> None:
        self.picture = picture
        self.photo_changed.emit()

    # Changing the view.

    def change(self, **changes: Any) -> None:
        """Change fields of the view; `view_changed` is emitted with the old and the new view.

        Another method is shown in its own layer, unless a layer is given too.
        """
        view, shape = self.view, self.shape
        if changes.get("method", view.method) != view.method:
            view = with_method(view, changes["method"], -1 if shape is None else len(shape.heads) - 1)
            view = view if shape is None else fitted(view, shape)
        self.show_view(replace(view, **changes))

    def choose_head(self, layer: int, head: int | None) -> None:
        """Select a layer and one of its heads, or all heads.

        Where the method has no map of a single head the selection stays, and a message and `head_refused` say why.
        """
        if head is None or find(self.view.method).takes("head"):
            self.change(layer=layer, head=head)
            return
        label, key = find(self.view.method).label, key_of("attention")
        self.message.emit(f"{label} has no map of a single head. Press {key} for attention.")
        self.head_refused.emit(layer, head)

    def step(self, moved: Callable[[ViewState, Shape, int], ViewState], by: int) -> None:
        """Select another layer or head by `moved_layer` or `moved_head`."""
        if self.shape is None:
            return
        view = moved(self.view, self.shape, by)
        if view.head != self.view.head and view.layer == self.view.layer:
            self.choose_head(view.layer, view.head)
        else:
            self.show_view(view)

    def change_panel(self, panel: str, **changes: object) -> None:
        """Change fields of a panel's own view by name (see `view_state.panel_view`)."""
        self.show_view(with_panel(self.view, panel, **changes))

    def show_view(self, view: ViewState, remembered: bool = True) -> None:
        """Replace the view. If not `remembered`, the change is not a step of its own in the undo history."""
        before, selection_before = self.view, self.selection
        if view == before:
            return
        if remembered:
            self.history.remember(before, view)
        self._put_view(view, selection_before)

    def undo(self) -> None:
        """Return to the previous selection; the display settings stay."""
        self._apply_step(self.history.back)

    def redo(self) -> None:
        """Return to the selection that was undone last; the display settings stay."""
        self._apply_step(self.history.forward)

    def _apply_step(self, step: Step) -> None:
        view = None if self.shape is None else step(self.view, self.shape, self.methods())
        if view is not None:
            self._put_view(view, self.selection)

    def _put_view(self, view: ViewState, selection_before: Selection) -> None:
        before, self.view = self.view, view
        self.view_changed.emit(before, view)
        self._update_selection(selection_before)

    def set_option(self, option: str, value: object) -> None:
        """Set an option of the current method; None restores its default."""
        self.show_view(with_option(self.view, self.view.method, option, value))

    def point(self, hover: Hover) -> None:
        """Set the item under the pointer."""
        if hover == self.hover:
            return
        budget.pointer_moved()
        selection_before = self.selection
        self.hover = hover
        # The selection first: a slot that has handled its change need not handle the change of the hovered item.
        self._update_selection(selection_before)
        self.hover_changed.emit()

    def pin(self, query: Query) -> None:
        """Make a patch, several patches or a prefix token the query until `unpin` is called."""
        self.change(query=query, pinned=True)

    def unpin(self) -> None:
        """Let the query follow the pointer again."""
        self.change(query=None, pinned=False)

    def _update_selection(self, before: Selection) -> None:
        if self.selection != before:
            if self.proving.busy and find(self.selection.method).gradient:
                self.proving.pause()  # the map needs the model
            self.maps.ask(self.selection)
            self.selection_changed.emit()

    def save(self, write: Callable[[], object], done: Callable[[], None]) -> None:
        """Call `write` in a thread, then `done` in the GUI thread. Files are written in order; none is dropped."""

        def finished(_: object) -> None:
            self.saved.emit()
            done()

        self._writing.start("Saving", lambda _: write(), finished)
