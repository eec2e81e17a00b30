"""What the window shows, as frozen data, and the pure functions that change it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Query = tuple[int, int] | str | None
Direction = Literal["to", "by"]
MapScale = Literal["auto", "zero", "range"]
TileScale = Literal["each", "layer", "all"]
Framing = Literal["crop", "squash", "fit"]


@dataclass(frozen=True)
class ViewState:
    """One selection for every panel.

    `query` is a patch (row, column), the name of a prefix token, or None for the readout; it counts while `pinned`,
    otherwise the patch under the pointer is the query. `layer` and `head` count from 0; `head` None is all heads fused.
    """

    query: Query = None
    pinned: bool = False
    layer: int = -1
    head: int | None = None
    fusion: Literal["mean", "max", "min"] = "mean"
    direction: Direction = "to"
    method: str = "attention"
    colormap: str = ""
    opacity: float = 0.85
    style: str = "glow"
    smooth: bool = False
    scale: MapScale = "auto"
    grid: bool = False
    tile_scale: TileScale = "each"


@dataclass(frozen=True)
class Shape:
    """What a trace has to choose from: heads per layer, the patch grid (rows, columns), the prefix tokens."""

    heads: tuple[int, ...]
    grid: tuple[int, int]
    prefix: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hover:
    """What the pointer is on: a patch of the photo, or a tile (layer, head) of the mosaic, or nothing."""

    patch: tuple[int, int] | None = None
    tile: tuple[int, int | None] | None = None


@dataclass(frozen=True)
class Selection:
    """What is asked for right now, with hovering resolved: everything a heatmap depends on."""

    query: Query
    layer: int
    head: int | None
    fusion: str
    direction: Direction
    method: str

    @property
    def options(self) -> dict[str, object]:
        """The options of `vitviz.explain` for this selection's method."""
        if reversible(self.method):
            chosen: dict[str, object] = {"layer": self.layer, "head": self.head, "query": self.query}
            return chosen | {"fusion": self.fusion, "direction": self.direction}
        return {"fusion": self.fusion, "query": self.query, "layer": self.layer}


def fitted(view: ViewState, shape: Shape) -> ViewState:
    """The same view where the new trace has it; the last layer, all heads and the readout where it has not."""
    last = len(shape.heads) - 1
    layer = view.layer if 0 <= view.layer <= last else last
    head = view.head if view.head is not None and view.head < shape.heads[layer] else None
    query = view.query
    if isinstance(query, tuple) and not (query[0] < shape.grid[0] and query[1] < shape.grid[1]):
        query = None
    if isinstance(query, str) and query not in shape.prefix:
        query = None
    return replace(view, layer=layer, head=head, query=query, pinned=view.pinned and query is not None)


def portable(view: ViewState, shape: Shape | None) -> ViewState:
    """The view as it can be taken to another model: the last layer stays the last one, however many there are."""
    last = shape is not None and view.layer == len(shape.heads) - 1
    return replace(view, layer=-1) if last else view


def settled(view: ViewState, shape: Shape, methods: Mapping[str, str | None]) -> ViewState:
    """The view as a new trace can show it; attention where the method does not apply (`methods` gives the reason)."""
    view = fitted(view, shape)
    return view if methods.get(view.method, "unknown") is None else replace(view, method="attention")


def reversible(method: str) -> bool:
    """Whether a method can be read the other way round: rollout follows what tokens attend to, and nothing else."""
    return method == "attention"


def selection(view: ViewState, hover: Hover) -> Selection:
    """What is shown: the pinned query, else the patch under the pointer, else the readout; a hovered tile previews."""
    query = view.query if view.pinned else hover.patch
    layer, head = (view.layer, view.head) if hover.tile is None else hover.tile
    # A head by itself is attention; all heads of a layer are what the method makes of them up to there.
    method = view.method if hover.tile is None or head is None else "attention"
    return Selection(query, layer, head, view.fusion, view.direction, method)


def moved_query(view: ViewState, hover: Hover, shape: Shape, rows: int, columns: int) -> ViewState:
    """The query patch moved by rows and columns and pinned; from nowhere it starts in the middle of the grid."""
    current = selection(view, hover).query
    if not isinstance(current, tuple):
        return replace(view, query=(shape.grid[0] // 2, shape.grid[1] // 2), pinned=True)
    row = min(max(current[0] + rows, 0), shape.grid[0] - 1)
    column = min(max(current[1] + columns, 0), shape.grid[1] - 1)
    return replace(view, query=(row, column), pinned=True)


def moved_layer(view: ViewState, shape: Shape, layers: int) -> ViewState:
    """The neighbouring layer; a head the new layer lacks becomes its last one."""
    layer = min(max(view.layer + layers, 0), len(shape.heads) - 1)
    head = None if view.head is None else min(view.head, shape.heads[layer] - 1)
    return replace(view, layer=layer, head=head)


def moved_head(view: ViewState, shape: Shape, heads: int) -> ViewState:
    """The neighbouring head; one step before head 0 are all heads fused."""
    number = min(max((-1 if view.head is None else view.head) + heads, -1), shape.heads[view.layer] - 1)
    return replace(view, head=None if number < 0 else number, method="attention")
