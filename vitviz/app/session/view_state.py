"""What the window shows, as frozen data, and the pure functions that change it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vitviz.explain.registry import find

Patch = tuple[int, int]
Query = Patch | tuple[Patch, ...] | str | None
Direction = Literal["to", "by"]
MapScale = Literal["auto", "zero", "range", "fixed", "shared"]
Framing = Literal["crop", "squash", "fit"]
ClassHead = Literal["both", "class", "distillation"]


Choice = tuple[str, str, object]
"""(method, option, value): an option of a method that is not at its default."""

PanelChoices = Mapping[str, object]
"""Fields of a panel's own view by name: text, numbers, booleans, None, or tuples of these (JSON types)."""

V = TypeVar("V")


@dataclass(frozen=True)
class ViewState:
    """One selection for all panels, and the display settings.

    `query` is a patch (row, column), several patches, the name of a prefix token, or None for the readout. It is used while
    `pinned` is true; otherwise see `follows_pointer`. `layer` and `head` count from 0; `layer` is that of `method`, and each
    method has its own; `head` None means all heads fused. `target` is the class that class-specific methods explain; None
    means the top prediction.
    """

    query: Query = None
    pinned: bool = False
    layer: int = -1
    head: int | None = None
    fusion: Literal["mean", "max", "min"] = "mean"
    direction: Direction = "to"
    method: str = "attention"
    layers: tuple[tuple[str, int], ...] = ()
    """The layers of other methods that are not the last one, by method; see `with_method`."""
    target: int | None = None
    readout: str = ""
    """The part of the readout that is shown where there is no query, by name; empty for the default."""
    choices: tuple[Choice, ...] = ()
    colormap: str = ""
    opacity: float = 0.85
    style: str = "glow"
    smooth: bool = False
    pixels: bool = True
    """Whether a map that has a value for each pixel is shown per pixel instead of per patch."""
    scale: MapScale = "auto"
    fixed: tuple[float, float] = (0.0, 1.0)
    """The lowest and highest value of the colour scale if `scale` is "fixed"."""
    log: bool = False
    temperature: float = 1.0
    """Colours show weight^(1/temperature), so values above 1 make weak weights more visible. Numbers are not changed."""
    grid: bool = False
    class_head: ClassHead = "both"
    """Which head of a distilled model the predictions and the logit lens read; other models have one head only."""
    panels: Mapping[str, PanelChoices] = field(default_factory=dict)
    """The own view of each panel, by the panel's name; never changed in place. See `panel_view` and `with_panel`."""


SELECTED = (
    "query",
    "pinned",
    "layer",
    "head",
    "fusion",
    "direction",
    "method",
    "layers",
    "target",
    "readout",
    "choices",
    "class_head",
    "panels",
)
"""The fields of the selection, which undo and redo restore; the other fields are display settings."""


def same_selection(one: ViewState, other: ViewState) -> bool:
    """Whether two views have the same selection; display settings may differ."""
    return all(getattr(one, name) == getattr(other, name) for name in SELECTED)


def with_selection(view: ViewState, past: ViewState) -> ViewState:
    """The view with the selection of `past`."""
    return replace(view, **{name: getattr(past, name) for name in SELECTED})


def options_of(view: ViewState, method: str) -> dict[str, object]:
    """The options of a method that are not at their defaults."""
    return {option: value for name, option, value in view.choices if name == method}


def with_option(view: ViewState, method: str, option: str, value: object) -> ViewState:
    """The view with an option of a method set; None restores the default."""
    others = tuple(choice for choice in view.choices if choice[:2] != (method, option))
    return replace(view, choices=others if value is None else (*others, (method, option, value)))


def panel_view(view: ViewState, panel: str, kind: type[V]) -> V:
    """A panel's own view as its frozen dataclass `kind`; stored values of unknown name or wrong type are ignored."""
    return checked(kind, view.panels.get(panel, {}))


def checked(kind: type[V], stored: Mapping[str, object]) -> V:
    """A frozen dataclass of stored values by name; values of unknown name or wrong type are ignored."""
    known = _types_of(kind)  # type: ignore[arg-type]
    return kind(
        **{name: value for name, value in stored.items() if name in known and _fits(value, known[name])}
    )


def with_panel(view: ViewState, panel: str, **changes: object) -> ViewState:
    """The view with fields of a panel's own view changed."""
    return replace(view, panels={**view.panels, panel: {**view.panels.get(panel, {}), **changes}})


@lru_cache
def _types_of(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields by name; cached, because they are needed at each move of the pointer."""
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind)}


def _fits(value: object, hint: Any) -> bool:
    """Whether a value is of type `hint`: Literal, str, int, float, bool, None, or a union or tuple of these."""
    origin = get_origin(hint)
    if origin is Literal:
        return value in get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if origin is tuple:
        inside = get_args(hint)
        if not isinstance(value, tuple):
            return False
        if inside[-1] is Ellipsis:
            return all(_fits(one, inside[0]) for one in value)
        return len(value) == len(inside) and all(map(_fits, value, inside))
    if hint is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return value is None if hint is type(None) else isinstance(value, hint)


def with_method(view: ViewState, method: str, last: int) -> ViewState:
    """The view with another method, in the layer that was chosen for it, by default the last one (number `last`)."""
    others = {name: layer for name, layer in view.layers if name != view.method}
    if view.layer not in (-1, last):
        others[view.method] = view.layer
    layer = others.pop(method, -1)
    return replace(view, method=method, layer=layer, layers=tuple(sorted(others.items())))


def follows_pointer(view: ViewState) -> bool:
    """Whether the patch under the pointer is the query.

    It is not for class-specific methods, which explain the prediction until a patch is pinned.
    """
    return not view.pinned and not find(view.method).gradient


def patches_in(query: Query) -> tuple[Patch, ...]:
    """The patches of a query: one, several, or none for a prefix token and the readout."""
    if not isinstance(query, tuple):
        return ()
    return query if isinstance(query[0], tuple) else (query,)


def rectangle(corner: Patch, other: Patch) -> set[Patch]:
    """All patches of the rectangle with these two opposite corners."""
    (top, bottom), (left, right) = (sorted(pair) for pair in zip(corner, other, strict=True))
    return {(row, column) for row in range(top, bottom + 1) for column in range(left, right + 1)}


def query_of(patches: Iterable[Patch]) -> Query:
    """The query of these patches: one patch, several in reading order, or None for no patch."""
    found = tuple(sorted(set(patches)))
    return None if not found else found[0] if len(found) == 1 else found


@dataclass(frozen=True)
class Shape:
    """What can be selected in a trace: heads per layer, patch grid (rows, columns), prefix tokens, number of classes.

    `idle` are the options that have no effect on it, as (method, option).
    """

    heads: tuple[int, ...]
    grid: tuple[int, int]
    prefix: tuple[str, ...] = ()
    classes: int = 0
    idle: frozenset[tuple[str, str]] = frozenset()
    readouts: tuple[str, ...] = ()
    """The parts of the readout, where there are several."""


@dataclass(frozen=True)
class Hover:
    """The item under the pointer: a patch of the photo, a tile (layer, head) of the mosaic, or nothing.

    For a row of the token matrix, `query` is the token of the row and `patch` the key of the column.
    """

    query: Query = None
    patch: tuple[int, int] | None = None
    tile: tuple[int, int | None] | None = None


@dataclass(frozen=True)
class Selection:
    """Everything a heatmap depends on: the selection of the view, with the hovered item applied."""

    query: Query
    layer: int
    head: int | None
    fusion: str
    direction: Direction
    method: str
    target: int | None = None
    choices: tuple[tuple[str, object], ...] = ()
    """The method's own options that are not at their defaults."""


def as_asked(view: ViewState, shown: Selection) -> ViewState:
    """The view with the selection `shown`; its query stays pinned if it was."""
    others = tuple(choice for choice in view.choices if choice[0] != shown.method)
    again = tuple((shown.method, name, value) for name, value in shown.choices)
    query = view.query if shown.query == (view.readout or None) else shown.query
    return replace(
        view,
        query=query,
        pinned=view.pinned and query is not None,
        layer=shown.layer,
        head=shown.head,
        fusion=shown.fusion,  # type: ignore[arg-type]
        direction=shown.direction,
        method=shown.method,
        target=shown.target,
        choices=(*others, *again),
    )


def fitted(view: ViewState, shape: Shape) -> ViewState:
    """The view with everything that the new trace lacks replaced: by the last layer, all heads or the readout."""
    last = len(shape.heads) - 1
    layer = view.layer if 0 <= view.layer <= last else last
    head = view.head if view.head is not None and view.head < shape.heads[layer] else None
    query = view.query
    if any(row >= shape.grid[0] or column >= shape.grid[1] for row, column in patches_in(query)):
        query = None
    if isinstance(query, str) and query not in shape.prefix:
        query = None
    target = view.target if view.target is not None and view.target < shape.classes else None
    choices = tuple(choice for choice in view.choices if _has(shape, choice))
    return replace(
        view,
        layer=layer,
        head=head,
        query=query,
        pinned=view.pinned and query is not None,
        target=target,
        readout=view.readout if view.readout in shape.readouts else "",
        choices=choices,
    )


def _has(shape: Shape, choice: Choice) -> bool:
    """Whether the trace supports the value of an option: not every model has that layer, or padding."""
    method, name, value = choice
    if (method, name) in shape.idle:
        return False
    of_layers = any(option.name == name and option.kind == "layer" for option in find(method).parameters)
    return not of_layers or not isinstance(value, int) or value < len(shape.heads)


def portable(view: ViewState, shape: Shape | None) -> ViewState:
    """The view in a form for another model: the last layer is stored as -1, so that it stays the last one.

    The target class is kept; the session removes it if the labels of the models differ.
    """
    last = shape is not None and view.layer == len(shape.heads) - 1
    return replace(view, layer=-1) if last else view


def settled(view: ViewState, shape: Shape, methods: Mapping[str, str | None]) -> ViewState:
    """The view that a new trace can show; the method is attention if the selected one does not apply (see `methods`)."""
    view = fitted(view, shape)
    return view if methods.get(view.method, "unknown") is None else replace(view, method="attention")


def of_one_head(method: str) -> str:
    """The method to show for a single head: `method` if it has a map for each head, otherwise attention."""
    return method if find(method).takes("head") else "attention"


def selection(view: ViewState, hover: Hover) -> Selection:
    """The selection of a view: the pinned query, or the patch under the pointer (see `follows_pointer`), or the readout,
    or the part of it that is chosen.

    A hovered row of the token matrix or tile of the mosaic overrides the query, or the layer and head.
    """
    query = view.query if view.pinned else hover.patch if follows_pointer(view) else None
    query = query if hover.query is None else hover.query
    query = view.readout or None if query is None else query
    layer, head = (view.layer, view.head) if hover.tile is None else hover.tile
    # Rollout, for example, has no map of a single head; for all heads of a layer its map up to that layer is shown.
    method = view.method if hover.tile is None or head is None else of_one_head(view.method)
    choices = tuple(sorted(options_of(view, method).items()))
    return Selection(query, layer, head, view.fusion, view.direction, method, view.target, choices)


def moved_query(view: ViewState, hover: Hover, shape: Shape, rows: int, columns: int) -> ViewState:
    """The query's patches moved by rows and columns, and pinned; without a query patch, the middle of the grid."""
    current = selection(view, hover).query
    if not isinstance(current, tuple):
        return replace(view, query=(shape.grid[0] // 2, shape.grid[1] // 2), pinned=True)
    moved = [
        (min(max(row + rows, 0), shape.grid[0] - 1), min(max(column + columns, 0), shape.grid[1] - 1))
        for row, column in patches_in(current)
    ]
    return replace(view, query=query_of(moved), pinned=True)


def moved_layer(view: ViewState, shape: Shape, layers: int) -> ViewState:
    """The view with the layer moved by `layers`; a head that the new layer lacks is replaced by its last head."""
    layer = min(max(view.layer + layers, 0), len(shape.heads) - 1)
    head = None if view.head is None else min(view.head, shape.heads[layer] - 1)
    return replace(view, layer=layer, head=head)


def moved_head(view: ViewState, shape: Shape, heads: int) -> ViewState:
    """The view with the head moved by `heads`; the step before head 0 selects all heads fused."""
    number = min(max((-1 if view.head is None else view.head) + heads, -1), shape.heads[view.layer] - 1)
    return replace(view, head=None if number < 0 else number)
