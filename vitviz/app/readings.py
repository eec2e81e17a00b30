"""The sentences and numbers of the window, from plain values: pure functions, each number with what it compares to."""

from typing import TYPE_CHECKING

import numpy as np

from vitviz.app.state import Hover, Query, Selection

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap


def number(value: float) -> str:
    """A weight with as many digits as it deserves."""
    if value == 0:
        return "0"
    if abs(value) >= 0.001:
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.3g}"
    return f"{value:.1e}"


def ends(low: float, high: float) -> tuple[str, str]:
    """The two ends of a scale, with as many digits as it takes to tell them apart."""
    for digits in (2, 3, 4, 5):
        first, last = ("0" if value == 0 else f"{value:.{digits}g}" for value in (low, high))
        if first != last and abs(float(last) - float(first)) >= (high - low) / 1.5:
            break
    return first, last


def compared(value: float, uniform: float | None) -> str:
    """A weight beside what it would be if all tokens got the same; alone where that means nothing."""
    if uniform is None:
        return number(value)
    ratio = value / uniform if uniform > 0 else 0.0
    times = f"{ratio:.1f}" if ratio < 99.5 else f"{ratio:.0f}"
    return f"{number(value)}, {times}× uniform"


def name_of(query: Query, readout: str = "the readout") -> str:
    """A query in words."""
    if isinstance(query, tuple):
        return f"patch ({query[0]}, {query[1]})"
    return f"{query} token" if query else readout


def cell_of(heat: "Heatmap", trace: "Trace", patch: tuple[int, int]) -> tuple[int, int] | None:
    """The cell of a heatmap, whose grid may be coarser, that holds a patch of the photo's grid."""
    left, top, right, bottom = trace.patches.box(*patch)
    return heat.patches.at((left + right) / 2, (top + bottom) / 2)


def place_name(trace: "Trace", heat: "Heatmap", cell: tuple[int, int]) -> str:
    """A cell of a heatmap: a patch, or on a coarser grid a token, which is said with its grid."""
    if heat.patches == trace.patches:
        return name_of(cell)
    return f"token ({cell[0]}, {cell[1]}) of {heat.patches.rows}×{heat.patches.cols}"


def subject(trace: "Trace", heat: "Heatmap", chosen: Selection) -> str:
    """The query, and where the layer's grid is coarser the token that holds it."""
    name = name_of(chosen.query, trace.readout.sentence)
    if isinstance(chosen.query, tuple) and heat.patches != trace.patches:
        cell = cell_of(heat, trace, chosen.query)
        if cell is not None:
            return f"{name} in {place_name(trace, heat, cell)}"
    return name


def uniform(trace: "Trace", heat: "Heatmap", chosen: Selection) -> float | None:
    """What every token would get if all that the query may see got the same; None where weights are no shares."""
    layer = trace.layers[chosen.layer]
    windows = layer.layout.windows
    if chosen.method == "attention" and not layer.is_distribution:
        return None
    # One patch sees its window; a readout of all patches sees all windows.
    if chosen.method == "attention" and windows is not None and chosen.query is not None:
        return 1.0 / (windows.size[0] * windows.size[1])
    return 1.0 / (heat.values.size + len(heat.prefix))


def weight(trace: "Trace", heat: "Heatmap", chosen: Selection, hover: Hover, pinned: bool) -> str:
    """The status line's number: of the patch under the pointer where a query is pinned, else of the strongest patch."""
    patch = hover.patch if pinned else None
    cell = None if patch is None else cell_of(heat, trace, patch)
    per = uniform(trace, heat, chosen)
    if cell is not None and patch is not None:
        return f"{name_of(patch)} {compared(float(heat.values[cell]), per)}"
    row, column = (int(place) for place in np.unravel_index(int(np.argmax(heat.values)), heat.values.shape))
    name = place_name(trace, heat, (row, column))
    return f"strongest {name} {compared(float(heat.values[row, column]), per)}"


def where(trace: "Trace", chosen: Selection) -> str:
    """Layer and head as the model names them."""
    layer = trace.layers[chosen.layer]
    head = f"{chosen.fusion} of {layer.heads} heads" if chosen.head is None else f"head {chosen.head}"
    if chosen.method != "attention":
        return f"{chosen.method} up to layer {chosen.layer} ({layer.name})"
    return f"layer {chosen.layer} ({layer.name}), {head}"


def tokens(trace: "Trace") -> str:
    """How many tokens there are and what they are."""
    grid = trace.patches
    prefix = trace.prefix
    total = grid.rows * grid.cols + len(prefix)
    parts = [*prefix, f"{grid.rows}×{grid.cols} patches"]
    return (
        f"{total} tokens: {' + '.join(parts)}"
        if len(prefix) <= 2
        else (f"{total} tokens: {len(prefix)} prefix + {grid.rows}×{grid.cols} patches")
    )
