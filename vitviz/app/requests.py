"""What runs in threads: from what the user asked for to a trace and its first maps. torch is first imported here."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage

from vitviz.app.sources.folder import Walk, walk
from vitviz.app.sources.samples import models
from vitviz.app.state import (
    Direction,
    Framing,
    Hover,
    Query,
    Selection,
    Shape,
    ViewState,
    patches_in,
    selection,
    settled,
)
from vitviz.app.ui.pixels import levels, photo_of
from vitviz.app.work.worker import Stopped, Ticket
from vitviz.errors import DeviceMemoryError, ModelError, PhotoError, VitvizError
from vitviz.explain.registry import find, idle_options
from vitviz.images.photo import Photo, open_image

if TYPE_CHECKING:
    from vitviz.attention.layer import Layer
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap
    from vitviz.models.catalog import Entry
    from vitviz.models.model import Model
from vitviz.app.work.progress import Progress, progress_of

Maps = list[NDArray[np.float32]]

# Weights that are computed between two frames: a few hundredths of a second on one core.
_INSTANT = 1 << 21
_AXES = ("query", "layer", "head", "fusion", "direction", "target")
_FEW = 8  # queries of up to so many tokens are computed row by row


@dataclass(frozen=True, eq=False)
class Picture:
    """A photo, the images of it that the stage draws, and files that could not be read on the way to it."""

    photo: Photo
    levels: list[QImage]
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model, where it was loaded from, and the state that file was in."""

    model: "Model"
    source: str
    stamp: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Request:
    """All that a piece of work needs, so that it shares nothing with the window.

    `photo` and `model` are what is wanted: something to be opened, or what is at hand already. `shown` and `held` are
    what to go on with where one of two new things cannot be opened. `view` is what is to be drawn first.
    """

    photo: Path | Walk | Photo | QImage | Picture | None
    model: "str | Loaded"
    device: str
    framing: Framing = "crop"
    view: ViewState = field(default_factory=ViewState)
    shown: Picture | None = None
    held: Loaded | None = None


@dataclass(frozen=True, eq=False)
class Drawn:
    """What was drawn of a trace before it was handed over; no heatmap where the selection has none."""

    selection: Selection
    maps: Maps
    heatmap: "Heatmap | None"


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of a request; parts that were not asked for are None. `problem` is what could not be opened."""

    request: Request
    picture: Picture | None
    loaded: Loaded | None = None
    trace: "Trace | None" = None
    drawn: Drawn | None = None
    problem: VitvizError | None = None


def stamp(source: str) -> tuple[int, int] | None:
    """When a weights file was written and how large it is; None for what is no file."""
    path = Path(source).expanduser()
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def produce(request: Request, ticket: Ticket) -> Answer:
    """Open the photo, load the model, run it once and draw the first maps; tells progress and the photo at once.

    Where a photo and a model are new and only one of them can be opened, the answer has that one, and the problem.
    """
    problem: VitvizError | None = None
    picture = loaded = None
    new_model = bool(request.model) and request.model is not request.held
    try:
        picture = _picture(request, ticket)
    except PhotoError as error:
        if not new_model:
            raise
        problem, picture = error, request.shown
    try:
        loaded = _model(request, ticket)
    except ModelError as error:
        if problem is not None:
            raise VitvizError(f"{problem.message} {error.message}", error.details) from error
        if picture is None or picture is request.shown:
            raise
        problem, loaded = error, request.held
    if picture is None or loaded is None:
        return Answer(request, picture, loaded, problem=problem)
    traced = _run(loaded.model, picture.photo, request, ticket)
    ticket.tell(Progress(f"Drawing what {loaded.model.name} attends to"))
    view = request.view
    if request.held is not None and request.held.model.labels != loaded.model.labels:
        view = replace(view, target=None)  # the other model numbers its classes otherwise
    return Answer(request, picture, loaded, traced, draw(traced, view, ticket), problem)


def _picture(request: Request, ticket: Ticket) -> Picture | None:
    photo = request.photo
    skipped: tuple[str, ...] = ()
    if isinstance(photo, Walk):
        ticket.tell(Progress(f"Opening a photo of {photo.folder.name}"))
        found = walk(photo)
        photo, skipped = found.photo, found.skipped
    elif isinstance(photo, Path):
        ticket.tell(Progress(f"Opening {photo.name}"))
        photo = open_image(photo)
    elif isinstance(photo, QImage):
        photo = photo_of(photo)
    if isinstance(photo, Photo):
        photo = Picture(photo, levels(photo.pixels), skipped)
    if photo is not None:
        ticket.tell(photo)
    return photo


def _model(request: Request, ticket: Ticket) -> Loaded | None:
    if not isinstance(request.model, str):
        return request.model
    if not request.model:
        return None
    ticket.tell(Progress(f"Loading {Path(request.model).name}"))
    from vitviz.models.loading import load_model

    # Before loading: a file that is written meanwhile is then read again next time.
    state = stamp(request.model)
    model = load_model(request.model, device=request.device, progress=progress_of(ticket))
    return Loaded(model, request.model, state)


def _run(model: "Model", photo: Photo, request: Request, ticket: Ticket) -> "Trace":
    ticket.tell(Progress(f"Running {model.name} on {photo.name}"))
    from vitviz.attention.trace import Cancelled, trace

    asked = partial(
        trace, model, photo, framing=request.framing, cancel=ticket.stopped, progress=progress_of(ticket)
    )
    try:
        if find(request.view.method).gradient:
            with suppress(DeviceMemoryError):  # the photo at least, then
                return asked(gradients=True)
        return asked()
    except Cancelled as cancelled:
        raise Stopped from cancelled


def draw(trace: "Trace", view: ViewState, ticket: Ticket) -> Drawn:
    """The maps that a view shows first, so that the window need not wait for them."""
    chosen = selection(settled(view, shape_of(trace), methods(trace)), Hover())
    try:
        heat = computed(trace, chosen, ticket)
    except VitvizError:
        heat = None  # The window asks again, and tells why there is none.
    return Drawn(chosen, head_maps(trace, chosen.query, chosen.direction), heat)


def shape_of(trace: "Trace") -> Shape:
    """What the trace has to choose from."""
    grid = trace.patches
    heads = tuple(layer.heads for layer in trace.layers)
    idle = frozenset(idle_options(trace))
    return Shape(heads, (grid.rows, grid.cols), trace.prefix, len(trace.logits), idle)


def methods(trace: "Trace") -> dict[str, str | None]:
    """Each method, with None if it applies to the trace and else the reason it does not."""
    from vitviz.explain.registry import methods

    return methods(trace)


def heatmap(trace: "Trace", chosen: Selection) -> "Heatmap":
    """The heatmap of a selection; what `vitviz.explain` gives."""
    from vitviz.explain import explain

    taken = find(chosen.method).options
    asked = {name: getattr(chosen, name) for name in _AXES if name in taken}
    return explain(trace, chosen.method, **asked, **dict(chosen.choices))


def computed(trace: "Trace", chosen: Selection, ticket: Ticket) -> "Heatmap":
    """`heatmap` in a thread: the passes that a class needs stop at the next block once nobody waits for them."""
    from vitviz.attention.recording.recorder import Cancelled
    from vitviz.explain.methods.class_gradients import gradients

    method = find(chosen.method)
    if method.gradient and method.refusal(trace) is None:
        try:
            gradients(trace, chosen.target, ticket.stopped)
        except Cancelled as cancelled:
            raise Stopped from cancelled
    if ticket.stopped():
        raise Stopped
    return heatmap(trace, chosen)


def head_maps(trace: "Trace", query: Query, direction: Direction) -> Maps:
    """The mosaic of a query: per layer float32 (heads, rows, cols)."""
    from vitviz.explain.query import head_maps
    from vitviz.models.devices import memory_guard

    with memory_guard(trace.model.name, trace.model.device):
        return head_maps(trace, query, direction)


def warm(trace: "Trace", ticket: Ticket) -> None:
    """Compute what columns of any token need and layers keep, so that "attended by" follows the pointer."""
    from vitviz.models.devices import memory_guard

    with memory_guard(trace.model.name, trace.model.device):
        for layer in trace.layers:
            if ticket.stopped():
                raise Stopped
            if _needs_warmth(layer):
                layer.column(0)


def quick(
    trace: "Trace", layers: "tuple[Layer, ...]", query: Query, direction: Direction, warm: bool
) -> bool:
    """Whether a query's weights in these layers are computed between two frames."""
    return sum(_cost(trace, layer, query, direction, warm) for layer in layers) <= _INSTANT


def _cost(trace: "Trace", layer: "Layer", query: Query, direction: Direction, warm: bool) -> int:
    """How many weights of a layer have to be computed; few enough to neglect are none."""
    tokens = 1
    if not layer.pooling and (query is None or len(patches_in(query)) > _FEW):
        weights = trace.query_weights(layer, query)
        tokens = 0 if weights is None else int(np.count_nonzero(weights))
    many = tokens > _FEW
    if many or (direction == "by" and not warm and _needs_warmth(layer)):
        windows, heads, queries, keys = layer.operations[0].shape
        return windows * heads * queries * keys
    return 0


def _needs_warmth(layer: "Layer") -> bool:
    return not layer.pooling and layer.layout.windows is None


def catalog(ticket: Ticket) -> "list[Entry]":
    """Everything that can be loaded by name, what is bundled first; the first call imports timm."""
    ticket.tell(Progress("Reading the list of models"))
    from vitviz.models.catalog import entries

    return [_bundled(name) for name in models()] + entries()


def _bundled(name: str) -> "Entry":
    from vitviz.models.catalog import Entry
    from vitviz.models.loading import load_model

    model = load_model(name, device="cpu")
    module: Any = model.module
    tokens = module.patch_embed.num_patches + getattr(module, "num_prefix_tokens", 0)
    return Entry(name, model.parameters, model.input_size, int(tokens), True)
