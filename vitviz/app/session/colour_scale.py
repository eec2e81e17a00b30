"""From a view and a map to how it is drawn: pure, and the same for the window and the saved PNG."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitviz.app.session.view_state import ViewState
from vitviz.render.colors import DECADES, bending, is_signed, value_range

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


def shared_by(maps: Sequence[Floats]) -> Range | None:
    """One scale for the maps of all layers and heads: from 0, or from the least weight below it, to the largest."""
    known = [values[np.isfinite(values)] for values in maps]
    known = [values for values in known if values.size]
    if not known:
        return None
    least, most = min(float(values.min()) for values in known), max(float(values.max()) for values in known)
    return (min(least, 0.0), most) if most > 0 else None


def own_scale(view: ViewState, values: Floats) -> Range:
    """The two ends as the map alone sets them; "auto" is the rule of `render`."""
    low, high = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
    if view.scale == "range" and low < high:
        return low, high
    if view.scale == "zero" and high > 0:
        return min(low, 0.0), high
    return value_range(values)


def scale(view: ViewState, values: Floats, shared: Range | None = None) -> Range:
    """The values that the two ends of the colours stand for; `shared` is `Session.shared_range`."""
    low, high = own_scale(view, values)
    if view.scale == "fixed" and view.fixed[0] < view.fixed[1]:
        low, high = view.fixed
    elif shared is not None and shared[0] < shared[1]:
        low, high = shared
    return value_range((), (low, high), view.log) if low < high else (low, high)


def scale_words(view: ViewState, values: Floats, shared: Range | None = None, sharers: str = "") -> str:
    """What the colours go from and to, in words; `sharers` have the shared scale in common."""
    low, high = scale(view, values, shared)
    if not np.any(values):
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


def style(view: ViewState, values: Floats, shared: Range | None = None) -> dict[str, Any]:
    """The options of `vitviz.render.overlay.heat_rgba` and, with the grid, of `overlay`."""
    low, high = scale(view, values, shared)
    return {
        "colormap": view.colormap,
        "opacity": view.opacity,
        "style": view.style,
        "smooth": view.smooth,
        "scale": (low, high) if low < high else None,
        "log": view.log,
        "temperature": view.temperature,
    }


def picture(view: ViewState, heat: "Heatmap", shared: Range | None = None) -> dict[str, Any]:
    """The options of `Heatmap.overlay` and `Heatmap.save` that make the picture that is in the window."""
    values = painted(view, heat)
    field = {} if values is heat.values else {"field": values, "smooth": False}
    return {**style(view, values, shared), **field, "grid": view.grid}
