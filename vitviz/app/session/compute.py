"""What runs in threads: from what the user asked for to a trace and its first maps. torch is first imported here."""

from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitviz.app.session.view_state import (
    Direction,
    Hover,
    Query,
    Selection,
    Shape,
    ViewState,
    patches_in,
    selection,
    settled,
)
from vitviz.app.work.worker import Stopped, Ticket
from vitviz.errors import VitvizError
from vitviz.explain import registry

if TYPE_CHECKING:
    from vitviz.attention.layer import Layer
    from vitviz.attention.self_check.outputs import Check
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap

HeadMaps = list[NDArray[np.float32]]
"""The maps of all heads of a query: per layer (heads, rows, cols)."""

Stacks = tuple[NDArray[np.float32], ...]
"""The same in few arrays: (layers, heads, rows, cols) for consecutive layers that are alike."""

# Weights that are computed between two frames: a few hundredths of a second on one core.
INSTANT = 1 << 21
_AXES = ("query", "layer", "head", "fusion", "direction", "target")
_FEW = 8  # queries of up to so many tokens are computed row by row


@dataclass(frozen=True, eq=False)
class Drawn:
    """What was drawn of a trace before it was handed over; None where the selection has none, as without a readout."""

    selection: Selection
    maps: HeadMaps | None
    heatmap: "Heatmap | None"


def draw(trace: "Trace", view: ViewState, ticket: Ticket) -> Drawn:
    """The maps that a view shows first, so that the window need not wait for them."""
    chosen = selection(settled(view, shape_of(trace), methods(trace)), Hover())
    heat = maps = None  # The window asks again, and tells why there is none.
    with suppress(VitvizError):
        heat = computed(trace, chosen, ticket)
    with suppress(VitvizError):
        maps = head_maps(trace, chosen.query, chosen.direction)
    return Drawn(chosen, maps, heat)


def shape_of(trace: "Trace") -> Shape:
    """What the trace has to choose from."""
    grid = trace.patches
    heads = tuple(layer.heads for layer in trace.layers)
    idle = frozenset(registry.idle_options(trace))
    return Shape(heads, (grid.rows, grid.cols), trace.prefix, len(trace.logits), idle, trace.parts)


def methods(trace: "Trace") -> dict[str, str | None]:
    """Each method, with None if it applies to the trace and else the reason it does not."""
    return registry.methods(trace)


def heatmap(trace: "Trace", chosen: Selection) -> "Heatmap":
    """The heatmap of a selection; what `vitviz.explain` gives."""
    taken = registry.find(chosen.method).options
    asked = {name: getattr(chosen, name) for name in _AXES if name in taken}
    return registry.heatmap(trace, chosen.method, {**asked, **dict(chosen.choices)})


def computed(trace: "Trace", chosen: Selection, ticket: Ticket) -> "Heatmap":
    """`heatmap` in a thread: the passes that a class needs stop at the next block once the request is cancelled."""
    from vitviz.attention.recording.recorder import Cancelled
    from vitviz.explain.methods.class_gradients import gradients

    method = registry.find(chosen.method)
    if method.gradient and method.refusal(trace) is None:
        try:
            gradients(trace, chosen.target, ticket.stopped)
        except Cancelled as cancelled:
            raise Stopped from cancelled
    if ticket.stopped():
        raise Stopped
    return heatmap(trace, chosen)


def prove(trace: "Trace", ticket: Ticket) -> "Check":
    """The self-check of a trace with all claims proved. Raises RefusedError where maps must not be drawn."""
    from vitviz.attention.trace import Cancelled, prove_claims

    try:
        return prove_claims(trace, ticket.stopped)
    except Cancelled as cancelled:
        raise Stopped from cancelled


def head_maps(trace: "Trace", query: Query, direction: Direction) -> HeadMaps:
    """The mosaic of a query: per layer float32 (heads, rows, cols)."""
    from vitviz.explain.query import head_maps
    from vitviz.models.devices import memory_guard

    with memory_guard(trace.model.name, trace.model.device):
        return head_maps(trace, query, direction)


def stacked(maps: HeadMaps) -> Stacks:
    """HeadMaps per layer, consecutive layers of one shape as one array."""
    return tuple(np.array(list(alike)) for _, alike in groupby(maps, lambda layer: layer.shape))


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
    return sum(_cost(trace, layer, query, direction, warm) for layer in layers) <= INSTANT


def _cost(trace: "Trace", layer: "Layer", query: Query, direction: Direction, warm: bool) -> int:
    """How many weights of a layer have to be computed; few enough to neglect are none."""
    if query is None and trace.readout_problem is not None:
        return 0  # there is nothing to compute
    tokens = 1
    if not layer.pooling and (not isinstance(query, tuple) or len(patches_in(query)) > _FEW):
        weights = trace.query_weights(layer, query)
        tokens = 0 if weights is None else int(np.count_nonzero(weights))
    many = tokens > _FEW
    if many or (direction == "by" and not warm and _needs_warmth(layer)):
        windows, heads, queries, keys = layer.operations[0].shape
        return windows * heads * queries * keys
    return 0


def _needs_warmth(layer: "Layer") -> bool:
    return not layer.pooling and layer.layout.windows is None
