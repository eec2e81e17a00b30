"""What the strip of layers shows: a method after each layer, from head maps that are there or computed in a thread."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF

from vitviz.app.panels.layers.view import LayersView
from vitviz.app.session import colour_scale, compute, describe
from vitviz.app.session.colour_scale import Range
from vitviz.app.session.facts import Facts
from vitviz.app.session.view_state import Selection, ViewState
from vitviz.app.ui import number_format
from vitviz.app.ui.pixels import rgba_image
from vitviz.app.widgets.pictures.filmstrip import WHOLE, Frame
from vitviz.app.work.progress import Progress
from vitviz.app.work.worker import Stopped, Ticket
from vitviz.errors import VitvizError
from vitviz.explain.registry import find
from vitviz.images.framing import PatchGrid
from vitviz.render.colors import bending, heat_table, is_signed, to_index, to_units

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
class Block:
    """The maps of layers of one grid, float32 (layers, rows, cols), with the range of each and which layers they are of."""

    layers: tuple[int, ...]
    maps: NDArray[np.float32]
    ranges: list[Range]


@dataclass(frozen=True, eq=False)
class Strip:
    """A method's map after each layer; for a layer without a map the reason why it has none."""

    layers: int
    blocks: tuple[Block, ...]
    problems: Mapping[int, str]

    @cached_property
    def maps(self) -> tuple[NDArray[np.float32] | None, ...]:
        """Each layer's map (rows, cols)."""
        found = {
            layer: one for block in self.blocks for layer, one in zip(block.layers, block.maps, strict=True)
        }
        return tuple(found.get(layer) for layer in range(self.layers))

    @cached_property
    def range(self) -> Range:
        """The least and the greatest value of all."""
        return colour_scale.united(one for block in self.blocks for one in block.ranges) or (0.0, 0.0)


NOTHING = Strip(0, (), {})


@lru_cache(maxsize=64)
def in_strip(chosen: Selection) -> Selection:
    """What a strip depends on: attention where the method has no map per layer, and only options that the method takes."""
    if not find(chosen.method).takes("layer"):
        chosen = replace(chosen, method="attention", choices=())
    method = find(chosen.method)
    idle = {name: value for name, value in _NEUTRAL.items() if not method.takes(name)}
    return replace(chosen, layer=0, **idle)  # type: ignore[arg-type]


def from_tiles(stacks: compute.Stacks, chosen: Selection) -> Strip:
    """The strip of attention, from the head maps of its query."""
    blocks, problems, first = [], {}, 0
    for stack in stacks:
        layers = tuple(range(first, first + len(stack)))
        first += len(stack)
        heads = stack.shape[1]
        if chosen.head is not None and chosen.head >= heads:
            problem = f"this layer has {heads} heads, so there is no head {chosen.head}"
            problems.update(dict.fromkeys(layers, problem))
            continue
        if chosen.head is not None:
            maps = stack[:, chosen.head]
        elif chosen.fusion == "mean":
            maps = stack.mean(1)
        else:
            maps = stack.max(1) if chosen.fusion == "max" else stack.min(1)
        silent = np.isnan(np.fmax.reduce(maps, axis=(1, 2)))
        if silent.any():
            problems.update(
                (layer, "the query does not attend in this layer")
                for layer, without in zip(layers, silent, strict=True)
                if without
            )
            layers = tuple(layer for layer, without in zip(layers, silent, strict=True) if not without)
            maps = maps[~silent]
        if layers:
            blocks.append(Block(layers, maps, colour_scale.extents(maps)))
    return Strip(first, tuple(blocks), problems)


def walk(trace: "Trace", chosen: Selection, ticket: Ticket) -> Strip:
    """The strip of a method that has to be computed layer by layer; tells how far it is."""
    blocks, problems = [], {}
    for layer in range(len(trace.layers)):
        if ticket.stopped():
            raise Stopped
        ticket.report(Progress("", layer / len(trace.layers)))
        try:
            maps = compute.computed(trace, replace(chosen, layer=layer), ticket).values[None]
            blocks.append(Block((layer,), maps, colour_scale.extents(maps)))
        except VitvizError as problem:
            problems[layer] = problem.message
    return Strip(len(trace.layers), tuple(blocks), problems)


def facts_of(trace: "Trace", asked: Selection) -> Facts:
    """What the strip of a selection is computed for."""
    chosen = in_strip(asked)
    return Facts(trace, chosen, asked="" if asked.method == chosen.method else asked.method)


def sentence(facts: Facts) -> str:
    """What the strip shows, in words; where the method has no map per layer, what is shown instead."""
    chosen = facts.selection
    method = find(chosen.method)
    name = describe.query_name(facts.trace, chosen.query)
    if chosen.method == "attention":
        heads = f"{chosen.fusion} of heads" if chosen.head is None else f"head {chosen.head}"
        verb = "attends to" if chosen.direction == "to" else "is attended by"
        said = f"What {name} {verb} in each layer, {heads}"
    elif not method.takes("query"):
        said = f"{method.label} on the input of each layer"
    else:
        where = "in each layer" if method.takes("head") else "up to each layer"
        said = f"{method.label} of {name} {where}"
    if not facts.asked:
        return said
    return f"{find(facts.asked).label} has no map per layer; instead: {said[0].lower()}{said[1:]}"


def frames(trace: "Trace", strip: Strip, view: ViewState, choices: LayersView) -> list[Frame]:
    """The strip in the colours of the view, each layer's map as it lies on the finest grid."""
    common = colour_scale.scale(view, strip.range) if choices.scale == "common" and strip.blocks else None
    finest = trace.patches
    names = [f"layer {number}, {layer.name}" for number, layer in enumerate(trace.layers)]
    made = {
        number: Frame(str(number), tip=f"{names[number]}: {problem}")
        for number, problem in strip.problems.items()
    }
    for block in strip.blocks:
        _, rows, cols = block.maps.shape
        ends = [common or colour_scale.scale(view, one) for one in block.ranges]
        picture = rgba_image(_colored(view, choices.photo, block.maps, ends).reshape(-1, cols, 4))
        for place, (number, pair) in enumerate(zip(block.layers, ends, strict=True)):
            first, last = number_format.ends(*pair)
            grid = trace.layers[number].layout.patches
            # Maps that are composed down to the first layer lie on the finest grid.
            whole = grid is finest or (rows, cols) != (grid.rows, grid.cols)
            made[number] = Frame(
                str(number),
                picture,
                "" if common else last,
                f"{names[number]}: colours from {first} to {last}",
                WHOLE if whole else _within(grid, finest),
                QRectF(0, place * rows, cols, rows),
            )
    return [made[number] for number in range(strip.layers)]


def scale_words(view: ViewState, choices: LayersView, strip: Strip) -> str:
    """What the colours of the frames go from and to."""
    if choices.scale == "common" or view.scale == "fixed":
        first, last = (
            number_format.ends(*colour_scale.scale(view, strip.range)) if strip.blocks else ("0", "0")
        )
        words = f"all frames from {first} to {last}"
    else:
        words = "each to its own maximum"
    return ", ".join(filter(None, (words, bending(float(view.log), view.log, view.temperature))))


def _colored(view: ViewState, photo: bool, maps: NDArray[np.float32], ends: list[Range]) -> NDArray[np.uint8]:
    """The colours (layers, rows, cols, 4) of maps (layers, rows, cols), each on its own scale."""
    # Contours run between patches, of which these are too small.
    style = "tint" if not photo else "glow" if view.style == "contour" else view.style
    opacity = view.opacity if photo else 1.0
    index = to_index(to_units(maps, ends, view.log, view.temperature))
    colors: NDArray[np.uint8] = heat_table(view.colormap, opacity, style)[index]
    signed = [low < 0 and is_signed(low, high) for low, high in ends]
    if any(signed):
        colors[signed] = heat_table(view.colormap, opacity, style, signed=True)[index[signed]]
    return colors


def box(grid: PatchGrid) -> tuple[float, float, float, float]:
    """Left, top, width, height of a grid in pixels of the model's input."""
    return grid.origin[1], grid.origin[0], grid.cols * grid.cell[1], grid.rows * grid.cell[0]


def _within(grid: PatchGrid, finest: PatchGrid) -> tuple[float, float, float, float]:
    """Where a grid lies on the finest one, in units of that."""
    left, top, width, height = box(grid)
    x, y, whole, tall = box(finest)
    return (left - x) / whole, (top - y) / tall, width / whole, height / tall
