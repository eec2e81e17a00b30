"""From a view and a map to how it is drawn: pure, and the same for the window and the saved PNG."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitviz.app.session.view_state import ViewState
from vitviz.render.colors import DECADES, bending, is_signed, logarithmic, natural_range

if TYPE_CHECKING:
    from vitviz.explain.heatmap import Heatmap

Floats = NDArray[np.float32]
Range = tuple[float, float]


def painted(view: ViewState, heat: "Heatmap") -> Floats:
    """The values that are painted: those of the pixels where a map has them and the view wants them, else the patches'.

    Contours are always those of the patches: lines round single pixels would be noise.
    """
    fine = view.pixels and view.style != "contour" and heat.pixels is not None
    return heat.pixels if fine and heat.pixels is not None else heat.values


def extent(values: Floats) -> Range:
    """The least and the greatest finite value; (0, 0) where there is none."""
    least, most = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
    if math.isfinite(least) and math.isfinite(most):
        return least, most
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def extents(maps: Floats) -> list[Range]:
    """The same for each of several maps (maps, rows, cols)."""
    least, most = np.fmin.reduce(maps, axis=(1, 2)), np.fmax.reduce(maps, axis=(1, 2))
    if np.isfinite(least + most).all():
        return list(zip(least.tolist(), most.tolist(), strict=True))
    return [extent(one) for one in maps]


def united(ranges: Iterable[Range]) -> Range | None:
    """From the least to the greatest of several; None of none."""
    known = list(ranges)
    return (min([low for low, _ in known]), max([high for _, high in known])) if known else None


def shared_by(stacks: Iterable[Floats]) -> Range | None:
    """One scale for the maps of all layers and heads: from 0, or from the least weight below it, to the largest."""
    found = united([extent(stack) for stack in stacks])
    return None if found is None or found[1] <= 0 else (min(found[0], 0.0), found[1])


def own_scale(view: ViewState, values: Range) -> Range:
    """The two ends as a map alone sets them, by the `extent` of its values; "auto" is the rule of `render`."""
    low, high = values
    if view.scale == "range" and low < high:
        return values
    if view.scale == "zero" and high > 0:
        return min(low, 0.0), high
    return natural_range(low, high)


def scale(view: ViewState, values: Range, shared: Range | None = None) -> Range:
    """What the ends of the colours stand for, by the `extent` of the map's values; `shared` is `Session.shared_range`."""
    low, high = own_scale(view, values)
    if view.scale == "fixed" and view.fixed[0] < view.fixed[1]:
        low, high = view.fixed
    elif shared is not None and shared[0] < shared[1]:
        low, high = shared
    return logarithmic(low, high) if view.log and low < high else (low, high)


def scale_words(view: ViewState, values: Range, shared: Range | None = None, sharers: str = "") -> str:
    """What the colours go from and to, in words; `sharers` have the shared scale in common."""
    low, high = scale(view, values, shared)
    if values == (0.0, 0.0):
        return "0 on every patch, so nothing is coloured"
    if view.scale == "fixed":
        words = "fixed colour scale"
    elif shared is not None:
        words = f"one colour scale for {sharers}"
    elif is_signed(low, high):
        words = "blue below 0, red above, pale at 0"
    elif view.log and own_scale(view, values)[0] <= 0:
        words = f"colours over {DECADES} decades up to the maximum"
    else:
        words = f"colours from {'0' if low == 0 else 'minimum'} to maximum"
    return ", ".join(filter(None, (words, bending(low, view.log, view.temperature))))


def style(view: ViewState, ends: Range) -> dict[str, Any]:
    """The options of `vitviz.render.overlay.heat_rgba` and, with the grid, of `overlay`; `ends` are those of `scale`."""
    low, high = ends
    return {
        "colormap": view.colormap,
        "opacity": view.opacity,
        "style": view.style,
        "smooth": view.smooth,
        "scale": ends if low < high else None,
        "log": view.log,
        "temperature": view.temperature,
    }


def picture(view: ViewState, heat: "Heatmap", shared: Range | None = None) -> dict[str, Any]:
    """The options of `Heatmap.overlay` and `Heatmap.save` that make the picture that is in the window."""
    values = painted(view, heat)
    field = {} if values is heat.values else {"field": values, "smooth": False}
    ends = scale(view, extent(values), shared)
    return {**style(view, ends), **field, "grid": view.grid}
