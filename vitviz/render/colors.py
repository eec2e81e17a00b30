"""Values to colours: the unit interval of a stated scale, and the colour maps that are offered."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitviz.errors import MethodError

DEFAULT_COLORMAP = "viridis"
COLORMAPS: tuple[str, ...] = ("viridis", "inferno", "magma", "cividis", "batlow", "mako", "gray")
STYLES: tuple[str, ...] = ("glow", "tint", "contour", "dim")
DECADES = 4
"""How far below its top a logarithmic scale reaches when its low end is not positive."""
_GLOW = 0.7  # a little less than in proportion, so that half the maximum is still seen on a bright photo


@lru_cache(maxsize=32)
def lookup_table(name: str) -> NDArray[np.uint8]:
    """The 256 RGB colours (256, 3) of a colour map, read-only; MethodError for a name cmap does not know."""
    # Imported here because the names alone, which the command line's help shows, should cost nothing.
    from cmap import Colormap

    try:
        colors = Colormap(name).lut(256)
    except ValueError as error:
        offered = ", ".join(COLORMAPS)
        raise MethodError(f"There is no colour map “{name}”; choose one of {offered}.") from error
    table = np.round(np.asarray(colors)[:, :3] * 255).astype(np.uint8)
    table.flags.writeable = False
    return table


def value_range(
    values: ArrayLike, scale: tuple[float, float] | None = None, log: bool = False
) -> tuple[float, float]:
    """The (low, high) that a map is shown on: `scale`, or up to the maximum from 0, or from the minimum.

    From the minimum where it is negative, or above a tenth of the maximum: in a rollout, say, every patch has a
    good part of the largest share, and from 0 all would look hot. A map that varies by less than a twentieth is
    shown from 0 all the same, so that evenness looks even. A logarithmic scale needs a positive
    low end: one that is not positive becomes high / 10**DECADES. MethodError for a scale that does not rise.
    """
    if scale is None:
        finite = np.asarray(values, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        least, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        low = least if least < 0 or 0.1 * high < least < 0.95 * high else 0.0
    else:
        low, high = float(scale[0]), float(scale[1])
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise MethodError(f"A scale goes from a lower to a higher number; {low:g} to {high:g} does not.")
    if log and low <= 0 < high:
        low = high / 10**DECADES
    return low, high


def to_unit(values: ArrayLike, low: float, high: float, log: bool = False) -> NDArray[np.float32]:
    """Values on the scale low … high as float32 in [0, 1], clipped; the same shape.

    A scale of no width puts the values above it at 1 and the others at 0. What is not a number is 0.
    `log` counts ratios instead of differences and needs 0 < low, else the scale is linear.
    """
    array = np.asarray(values, dtype=np.float64)
    if not low < high:
        unit = (array > low).astype(np.float64)
    elif log and low > 0:
        unit = np.log(np.maximum(array, low) / low) / math.log(high / low)
    else:
        unit = (array - low) / (high - low)
    return np.clip(np.nan_to_num(unit, nan=0.0), 0.0, 1.0).astype(np.float32)


def to_index(unit: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The place of unit values in a table of 256 colours."""
    return (unit * np.float32(255) + np.float32(0.5)).astype(np.uint8)


@lru_cache(maxsize=64)
def heat_table(
    colormap: str = DEFAULT_COLORMAP, opacity: float = 0.85, style: str = "glow"
) -> NDArray[np.uint8]:
    """The 256 RGBA colours (256, 4) of a style, read-only: what each value is painted with over the photo.

    "glow": alpha rises with the value, from 0 to `opacity`. "tint" and the lines of "contour": alpha is
    `opacity` throughout. "dim": black, the less attended the more opaque.
    """
    if style not in STYLES:
        raise MethodError(f"There is no style “{style}”; choose one of {', '.join(STYLES)}.")
    if not 0 <= opacity <= 1:
        raise MethodError(f"Opacity lies between 0 and 1; {opacity:g} does not.")
    table = np.zeros((256, 4), dtype=np.uint8)
    unit = np.arange(256) / 255
    if style != "dim":
        table[:, :3] = lookup_table(colormap)
    alpha = {"glow": opacity * unit**_GLOW, "dim": opacity * (1 - unit)}.get(style, np.full(256, opacity))
    table[:, 3] = np.round(alpha * 255)
    table.flags.writeable = False
    return table
