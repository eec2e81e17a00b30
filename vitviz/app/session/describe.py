"""The sentences and numbers of the window, from plain values: pure functions, each number with what it compares to."""

from typing import TYPE_CHECKING

import numpy as np

from vitviz.app.session.view_state import Hover, Query, Selection, patches_in
from vitviz.explain.registry import find

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap
from vitviz.app.ui.number_format import compared, number


def name_of(query: Query) -> str:
    """A query in words."""
    patches = patches_in(query)
    if len(patches) > 1:
        return f"the mean of {len(patches)} patches"
    if patches:
        return f"patch ({patches[0][0]}, {patches[0][1]})"
    return f"{query} token" if query else "the readout"


def query_name(trace: "Trace", query: Query) -> str:
    """A query of a trace in words; a part of the readout with what else the head reads."""
    reading = trace.reading(query)
    return name_of(query) if reading is None else reading.sentence


def cell_of(heat: "Heatmap", trace: "Trace", patch: tuple[int, int]) -> tuple[int, int] | None:
    """The cell of a heatmap, whose grid may be coarser, that holds a patch of the photo's grid."""
    if heat.patches == trace.patches:
        return patch
    return trace.patches.cell_in(heat.patches, *patch)


def place_name(trace: "Trace", heat: "Heatmap", cell: tuple[int, int]) -> str:
    """A cell of a heatmap: a patch, or on a coarser grid a token, which is said with its grid."""
    if heat.patches == trace.patches:
        return name_of(cell)
    return f"token ({cell[0]}, {cell[1]}) of {heat.patches.rows}×{heat.patches.cols}"


def subject(trace: "Trace", heat: "Heatmap", chosen: Selection) -> str:
    """What the map is of: the query, on a coarser grid with the token that holds it; without one the class."""
    target = target_of(heat)
    if target is not None and not find(heat.method).takes("query"):
        return _of_class(trace, target)
    name = query_name(trace, chosen.query)
    patches = patches_in(chosen.query)
    if len(patches) == 1 and heat.patches != trace.patches:
        cell = cell_of(heat, trace, patches[0])
        if cell is not None:
            return f"{name} in {place_name(trace, heat, cell)}"
    return name


def awaited(trace: "Trace", chosen: Selection) -> str:
    """What a map that is still being computed will be of: the query, or the class."""
    if find(chosen.method).takes("query"):
        return query_name(trace, chosen.query)
    return _of_class(trace, int(trace.logits.argmax()) if chosen.target is None else chosen.target)


def _of_class(trace: "Trace", target: int) -> str:
    prefix = "class " if trace.model.outputs == "classes" else ""
    return f"{prefix}{class_of(trace, target)}"


def target_of(heat: "Heatmap") -> int | None:
    """The class that a map explains; None for methods that know no class."""
    target = heat.options.get("target")
    return target if isinstance(target, int) else None


def class_of(trace: "Trace", target: int) -> str:
    """A class with its probability, "bull mastiff, 41.4%", or an output with its value: "output 3, 2.31"."""
    return f"{trace.model.labels[target]}, {trace.model.score_text(float(trace.scores()[target]))}"


def uniform(trace: "Trace", heat: "Heatmap", chosen: Selection) -> float | None:
    """What every token would get if all that the query may see got the same; None where weights are no shares."""
    layer = trace.layers[chosen.layer]
    windows = layer.layout.windows
    if chosen.method == "attention" and not layer.is_distribution:
        return None
    # One patch sees its window; a readout of all patches sees all windows.
    if chosen.method == "attention" and windows is not None and isinstance(chosen.query, tuple):
        return 1.0 / (windows.size[0] * windows.size[1])
    books = heat.total + sum(heat.prefix.values()) + heat.leak
    if chosen.method != "attention" and abs(books - 1) > 0.01:
        return None
    return 1.0 / (heat.values.size + len(heat.prefix))


def weight(trace: "Trace", heat: "Heatmap", chosen: Selection, hover: Hover, pinned: bool) -> str:
    """The status line's number: of the patch under the pointer where that is not the query, else of the strongest patch."""
    patch = hover.patch if pinned or not find(heat.method).takes("query") else None
    cell = None if patch is None else cell_of(heat, trace, patch)
    strongest = _strongest(heat)
    if cell is not None and patch is not None:
        place, name = cell, name_of(patch)
    else:
        place, name = strongest, f"strongest {place_name(trace, heat, strongest)}"
    value, per = float(heat.values[place]), uniform(trace, heat, chosen)
    if per is not None or chosen.method == "attention":
        return f"{name} {compared(value, per)}"
    top = abs(float(heat.values[strongest]))
    if place == strongest or top == 0:
        return f"{name} {number(value)} {heat.unit.split(',')[0]}"
    return f"{name} {number(value)}, {value / top:.0%} of the strongest"


def _strongest(heat: "Heatmap") -> tuple[int, int]:
    """The patch whose value is farthest from zero."""
    sizes = np.abs(heat.values)
    place = int(sizes.argmax())
    if np.isnan(sizes.flat[place]):  # argmax takes what is not a number for the largest
        place = int(np.nanargmax(sizes))
    row, column = divmod(place, sizes.shape[1])
    return row, column


def where(trace: "Trace", chosen: Selection, heat: "Heatmap | None" = None) -> str:
    """Layer and head as the model names them; for other methods which, for which class, and how far through the model."""
    layer = trace.layers[chosen.layer]
    place = f"layer {chosen.layer} ({layer.name})"
    head = f"{chosen.fusion} of {layer.heads} heads" if chosen.head is None else f"head {chosen.head}"
    if chosen.method == "attention":
        return f"{place}, {head}"
    method = find(chosen.method)
    target = None if heat is None or heat.method != chosen.method else target_of(heat)
    said = method.label
    if target is not None:
        said += f" for {class_of(trace, target)}"
    if method.takes("layer"):
        said += f" · {place}" if method.one_layer else f" · up to {place}"
    if method.takes("head") and chosen.head is not None:
        said += f", {head}"
    return said


def run(trace: "Trace") -> list[str]:
    """How the trace was computed: tokens, device, the precision where it is not float32, and how long it took."""
    model = trace.model
    rounded = [] if model.full_name == model.name else [model.precision]
    return [tokens(trace), str(model.device).upper(), *rounded, f"{trace.milliseconds:.0f} ms"]


def tokens(trace: "Trace") -> str:
    """How many tokens there are and what they are."""
    grid = trace.patches
    prefix = trace.prefix
    total = grid.rows * grid.cols + len(prefix)
    parts = [*prefix, f"{grid.rows}×{grid.cols} patches"]
    return (
        f"{total:,} tokens: {' + '.join(parts)}"
        if len(prefix) <= 2
        else (f"{total:,} tokens: {len(prefix)} prefix + {grid.rows}×{grid.cols} patches")
    )
