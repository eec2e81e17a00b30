"""What the strip of layers shows: a method after each layer, from head maps that are there or computed in a thread."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitviz.app.session import colour_scale, compute, describe
from vitviz.app.session.view_state import Selection, ViewState
from vitviz.app.ui import number_format
from vitviz.app.ui.pixels import rgba_image
from vitviz.app.widgets.pictures.filmstrip import Frame
from vitviz.app.work.progress import Progress
from vitviz.app.work.worker import Stopped, Ticket
from vitviz.errors import VitvizError
from vitviz.explain.registry import find
from vitviz.images.framing import PatchGrid
from vitviz.render.colors import bending, heat_table, is_signed, to_index, to_unit

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace

_NEUTRAL: dict[str, object] = {
    "query": None,
    "head": None,
    "fusion": "mean",
    "direction": "to",
    "target": None,
}


@dataclass(frozen=True, eq=False)
class Still:
    """A method's map after one layer: rows×cols of that layer's values, or the reason why there is none."""

    values: NDArray[np.float32] | None
    problem: str = ""


def in_strip(chosen: Selection) -> Selection:
    """What a strip depends on: attention where the method knows no layers, nothing that the method does not take."""
    if not find(chosen.method).takes("layer"):
        chosen = replace(chosen, method="attention", choices=())
    method = find(chosen.method)
    idle = {name: value for name, value in _NEUTRAL.items() if not method.takes(name)}
    return replace(chosen, layer=0, **idle)  # type: ignore[arg-type]


def from_tiles(maps: compute.Maps, chosen: Selection) -> list[Still]:
    """The strip of attention, from the head maps of its query (per layer heads×rows×cols)."""
    stills = []
    for values in maps:
        if chosen.head is not None and chosen.head >= len(values):
            stills.append(
                Still(None, f"this layer has {len(values)} heads, so there is no head {chosen.head}")
            )
            continue
        if chosen.head is not None:
            one = values[chosen.head]
        elif chosen.fusion == "mean":
            one = values.mean(0)
        else:
            one = values.max(0) if chosen.fusion == "max" else values.min(0)
        stills.append(
            Still(None, "the query does not attend in this layer") if np.isnan(one).all() else Still(one)
        )
    return stills


def walk(trace: "Trace", chosen: Selection, ticket: Ticket) -> list[Still]:
    """The strip of a method that has to be computed layer by layer; tells how far it is."""
    stills = []
    for layer in range(len(trace.layers)):
        if ticket.stopped():
            raise Stopped
        ticket.report(Progress("", layer / len(trace.layers)))
        try:
            stills.append(Still(compute.heatmap(trace, replace(chosen, layer=layer)).values))
        except VitvizError as problem:
            stills.append(Still(None, problem.message))
    return stills


def sentence(trace: "Trace", asked: Selection) -> str:
    """What the strip shows of what; and what it shows instead where the method has no layers."""
    chosen = in_strip(asked)
    method = find(chosen.method)
    name = describe.name_of(chosen.query, trace.readout.sentence)
    if chosen.method == "attention":
        heads = f"{chosen.fusion} of heads" if chosen.head is None else f"head {chosen.head}"
        verb = "attends to" if chosen.direction == "to" else "is attended by"
        said = f"What {name} {verb} in each layer, {heads}"
    elif not method.takes("query"):
        said = f"{method.label} on the input of each layer"
    else:
        where = "in each layer" if method.takes("head") else "up to each layer"
        said = f"{method.label} of {name} {where}"
    if asked.method == chosen.method:
        return said
    return f"{find(asked.method).label} knows no layers; instead: {said[0].lower()}{said[1:]}"


def frames(trace: "Trace", stills: list[Still], view: ViewState) -> list[Frame]:
    """The strip in the colours of the view, each layer's map as it lies on the finest grid."""
    common = None
    there = [still.values.ravel() for still in stills if still.values is not None]
    if view.strip_scale == "common" and there:
        common = colour_scale.scale(view, np.concatenate(there))
    finest = trace.patches
    made = []
    for number, (layer, still) in enumerate(zip(trace.layers, stills, strict=True)):
        where = f"layer {number}, {layer.name}"
        if still.values is None:
            made.append(Frame(str(number), tip=f"{where}: {still.problem}"))
            continue
        low, high = common or colour_scale.scale(view, still.values)
        first, last = number_format.ends(low, high)
        grid = layer.layout.patches
        made.append(
            Frame(
                str(number),
                rgba_image(_colored(view, still.values, low, high)),
                "" if common else last,
                f"{where}: colours from {first} to {last}",
                # What is composed down to the first layer lies on the finest grid.
                _within(grid if still.values.shape == (grid.rows, grid.cols) else finest, finest),
            )
        )
    return made


def scale_words(view: ViewState, stills: list[Still]) -> str:
    """What the colours of the frames go from and to."""
    if view.strip_scale == "common" or view.scale == "fixed":
        there = [still.values.ravel() for still in stills if still.values is not None]
        first, last = (
            number_format.ends(*colour_scale.scale(view, np.concatenate(there))) if there else ("0", "0")
        )
        words = f"all frames from {first} to {last}"
    else:
        words = "each to its own maximum"
    return ", ".join(filter(None, (words, bending(float(view.log), view.log, view.temperature))))


def _colored(view: ViewState, values: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    # Contours run between patches, of which these are too small.
    style = "tint" if not view.strip_photo else "glow" if view.style == "contour" else view.style
    table = heat_table(view.colormap, view.opacity if view.strip_photo else 1.0, style, is_signed(low, high))
    colors: NDArray[np.uint8] = table[to_index(to_unit(values, low, high, view.log, view.temperature))]
    return colors


def box(grid: PatchGrid) -> tuple[float, float, float, float]:
    """Left, top, width, height of a grid in pixels of the model's input."""
    return grid.origin[1], grid.origin[0], grid.cols * grid.cell[1], grid.rows * grid.cell[0]


def _within(grid: PatchGrid, finest: PatchGrid) -> tuple[float, float, float, float]:
    """Where a grid lies on the finest one, in units of that."""
    left, top, width, height = box(grid)
    x, y, whole, tall = box(finest)
    return (left - x) / whole, (top - y) / tall, width / whole, height / tall
