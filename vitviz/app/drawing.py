"""From a view and a map to how it is drawn: pure, and the same for the window and the saved PNG."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitviz.app.state import ViewState
from vitviz.render.colors import value_range


def scale(view: ViewState, values: NDArray[np.float32]) -> tuple[float, float]:
    """The values that the two ends of the colour map stand for; "auto" is the rule of `render`."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if view.scale == "range" and low < high:
        return low, high
    if view.scale == "zero" and high > 0:
        return min(low, 0.0), high
    return value_range(values)


def scale_words(view: ViewState, values: NDArray[np.float32]) -> str:
    """What the colours go from and to, in words."""
    low = scale(view, values)[0]
    return f"colours from {'0' if low == 0 else 'the minimum'} to the maximum of this map"


def style(view: ViewState, values: NDArray[np.float32]) -> dict[str, Any]:
    """The options of `vitviz.render.overlay.heat_rgba` and, with the grid, of `overlay`."""
    low, high = scale(view, values)
    return {
        "colormap": view.colormap,
        "opacity": view.opacity,
        "style": view.style,
        "smooth": view.smooth,
        "scale": (low, high) if low < high else None,
    }
