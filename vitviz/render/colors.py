"""Values to colours: the unit interval of a stated scale, and the colour maps that are offered."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitviz.errors import MethodError

REGIONS = ((0, 114, 178), (0, 158, 115), (204, 121, 167), (240, 228, 66))
"""Four colours for the regions of a window (Okabe & Ito 2008). Over a photo they need letters beside them."""
LETTERS = "ABCD"
"""The letters of the regions."""
DEFAULT_COLORMAP = "viridis"
COLORMAPS: tuple[str, ...] = ("viridis", "inferno", "magma", "cividis", "batlow", "mako", "gray")
"""Colour maps for values from low to high; the default and cividis are safe for colour-blind people."""
SIGNED_COLORMAP = "matplotlib:coolwarm"
"""What scales on both sides of zero are drawn in, blue below and red above (Moreland 2009, safe for colour-blind people)."""
STYLES: tuple[str, ...] = ("glow", "tint", "contour", "dim")
DECADES = 4
"""How far below its top a logarithmic scale reaches when its low end is not positive."""
_GLOW = 0.7  # slightly less than proportional, so that half the maximum is still seen on a bright photo


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

    From the minimum where it is negative, or above a tenth of the maximum: in a rollout, for example, every patch has a
    large part of the maximum, and from 0 all would look hot. A map that varies by less than a twentieth is shown from 0
    nevertheless, so that a uniform map looks uniform. A logarithmic scale needs a positive low end: one that is not
    positive becomes high / 10**DECADES. MethodError for a scale that does not rise.
    """
    if scale is None:
        finite = np.asarray(values)
        least, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        if not (math.isfinite(least) and math.isfinite(high)):
            finite = finite[np.isfinite(finite)]
            least, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        low, high = natural_range(least, high)
    else:
        low, high = float(scale[0]), float(scale[1])
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise MethodError(f"A scale goes from a lower to a higher number; {low:g} to {high:g} does not.")
    return logarithmic(low, high) if log else (low, high)


def natural_range(least: float, most: float) -> tuple[float, float]:
    """The (low, high) of `value_range` for values that go from `least` to `most`."""
    return (least if least < 0 or 0.1 * most < least < 0.95 * most else 0.0), most


def logarithmic(low: float, high: float) -> tuple[float, float]:
    """The ends of a logarithmic scale: a low end that is not positive becomes high / 10**DECADES."""
    return (high / 10**DECADES if low <= 0 < high else low), high


def is_signed(low: float, high: float) -> bool:
    """Whether a scale has two sides: zero is then the middle of the colours, equal distances from it are equally strong.

    Values below zero by less than a hundredth of the top count as rounding.
    """
    return low < 0 < high and -low > high / 100


def to_unit(
    values: ArrayLike, low: float, high: float, log: bool = False, temperature: float = 1.0
) -> NDArray[np.float32]:
    """Values on the scale low … high as float32 in [0, 1], clipped; the same shape.

    A scale of no width puts the values above it at 1 and the others at 0. NaN is at 0. Where `is_signed`, 0 and NaN are
    at 0.5, and the greater of −low and high is at an end. `temperature` T: colours follow value^(1/T) (with its sign),
    as if the softmax's temperature had been T times as high. `log` counts ratios instead of differences and needs 0 <
    low, else the scale is linear; a temperature would change nothing on it. MethodError for a temperature that is not
    above 0.
    """
    if not temperature > 0:
        raise MethodError(f"A temperature is a number above 0; {temperature:g} is not.")
    array = np.asarray(values, dtype=np.float64)
    if not low < high:
        unit = (array > low).astype(np.float64)
    elif log and low > 0:
        # Differences of logarithms, because a quotient of the ends can overflow.
        first, last = math.log(low), math.log(high)
        unit = (np.log(np.maximum(array, low)) - first) / (last - first or 1.0)
    elif is_signed(low, high):
        array = np.nan_to_num(np.clip(array, low, high), nan=0.0)
        unit = 0.5 + 0.5 * _root(array / max(-low, high), temperature)
    elif temperature == 1:
        unit = (array - low) / (high - low)
    else:
        first, last = _root_ends(low, high, temperature)
        unit = (_root(array, temperature) - first) / (last - first)
    # fmax and fmin ignore NaN, and are faster than replacing it: this runs on every move of the pointer.
    return np.fmin(np.fmax(unit, 0.0), 1.0).astype(np.float32)


def to_units(
    maps: NDArray[np.float32],
    ends: Sequence[tuple[float, float]],
    log: bool = False,
    temperature: float = 1.0,
) -> NDArray[np.float32]:
    """`to_unit` for several maps (maps, rows, cols), each with its own (low, high)."""
    if not log and temperature == 1 and not [low for low, high in ends if not low < high or low < 0]:
        # All at once, because this follows the pointer.
        lows, highs = np.array(ends, np.float64).T[..., None, None]
        unit = (maps.astype(np.float64) - lows) / (highs - lows)
        clipped: NDArray[np.float32] = np.fmin(np.fmax(unit, 0.0), 1.0).astype(np.float32)
        return clipped
    each = [to_unit(one, *pair, log, temperature) for one, pair in zip(maps, ends, strict=True)]
    return np.array(each, np.float32).reshape(maps.shape)


def from_unit(unit: float, low: float, high: float, log: bool = False, temperature: float = 1.0) -> float:
    """The value at a place of the scale: the inverse of `to_unit`."""
    if log and low > 0:
        first, last = math.log(low), math.log(high)
        return math.exp(first + unit * (last - first))
    if is_signed(low, high):
        return float(max(-low, high) * _root(np.array(2 * unit - 1), 1 / temperature))
    first, last = _root_ends(low, high, temperature)
    return float(_root(np.array(first + unit * (last - first)), 1 / temperature))


def _root(values: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """value^(1/temperature), with its sign."""
    if temperature == 1:
        return values
    return np.copysign(np.abs(values) ** (1 / temperature), values)


def _root_ends(low: float, high: float, temperature: float) -> tuple[float, float]:
    # Slightly negative values are rounding errors, which a root would enlarge.
    lowest = max(low, 0.0) if temperature != 1 and high > 0 else low
    first, last = _root(np.array([lowest, high]), temperature)
    return float(first), float(last)


@dataclass(frozen=True)
class Bar:
    """What a bar beside a map shows: the part of the colours that its scale uses, and one number between the ends.

    `first` and `last` are places in the table of colours (0 to 1). `middle` lies at the share `place` of the bar: the value
    half-way along, or zero where the scale has two sides.
    """

    low: float
    high: float
    first: float
    last: float
    middle: float
    place: float


def bar(low: float, high: float, log: bool = False, temperature: float = 1.0) -> Bar:
    """The bar of a scale."""
    if not is_signed(low, high) or (log and low > 0):
        return Bar(low, high, 0.0, 1.0, from_unit(0.5, low, high, log, temperature), 0.5)
    first, last = (float(place) for place in to_unit([low, high], low, high, log, temperature))
    return Bar(low, high, first, last, 0.0, (0.5 - first) / (last - first))


def bending(low: float, log: bool = False, temperature: float = 1.0) -> str:
    """How colours follow values, in words; empty if proportionally."""
    if log and low > 0:
        return "logarithmic"
    return "" if temperature == 1 else f"temperature {temperature:g}"


def to_index(unit: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The place of unit values in a table of 256 colours."""
    return (unit * np.float32(255) + np.float32(0.5)).astype(np.uint8)


@lru_cache(maxsize=64)
def heat_table(
    colormap: str = DEFAULT_COLORMAP, opacity: float = 0.85, style: str = "glow", signed: bool = False
) -> NDArray[np.uint8]:
    """The 256 RGBA colours (256, 4) of a style, read-only: what each value is painted with over the photo.

    "glow": alpha rises with the value, from 0 to `opacity`. "tint" and the lines of "contour": alpha is
    `opacity` throughout. "dim": black, the less attended the more opaque. `signed`: the middle is zero, the
    colours are those of SIGNED_COLORMAP, and what counts is the distance from zero.
    """
    if style not in STYLES:
        raise MethodError(f"There is no style “{style}”; choose one of {', '.join(STYLES)}.")
    if not 0 <= opacity <= 1:
        raise MethodError(f"Opacity lies between 0 and 1; {opacity:g} does not.")
    table = np.zeros((256, 4), dtype=np.uint8)
    unit = np.arange(256) / 255
    if style != "dim":
        table[:, :3] = lookup_table(SIGNED_COLORMAP if signed else colormap)
    if signed:
        unit = np.abs(2 * unit - 1)
    alpha = {"glow": opacity * unit**_GLOW, "dim": opacity * (1 - unit)}.get(style, np.full(256, opacity))
    table[:, 3] = np.round(alpha * 255)
    table.flags.writeable = False
    return table
