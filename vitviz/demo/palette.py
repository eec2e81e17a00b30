"""Colours that look well together: picked in OKLCH, where equal steps look equal, and given as sRGB."""

from __future__ import annotations

import math

import numpy as np

Colour = tuple[int, int, int]
"""sRGB, 0..255 each."""

Oklab = tuple[float, float, float]


def oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """Return the sRGB colour of an OKLCH triple (lightness 0..1, chroma 0..0.3, hue in turns), clipped to the gamut.

    Source: Björn Ottosson, "A perceptual color space for image processing", 2020.
    """
    a, b = chroma * math.cos(math.tau * hue), chroma * math.sin(math.tau * hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        _encode(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
        _encode(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
        _encode(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short),
    )


def oklab(colour: Colour) -> Oklab:
    """Return the OKLab coordinates of an sRGB colour: Euclidean distances there are differences as seen."""
    r, g, b = (_decode(c) for c in colour)
    long = math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b)
    medium = math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b)
    short = math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def difference(first: Colour, second: Colour) -> float:
    """Return the distance of two colours in OKLab; black to white is 1."""
    return math.dist(oklab(first), oklab(second))


def pick_ground(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Return two calm, dark, neighbouring colours for a background."""
    light = rng.uniform(0.2, 0.42)
    hue = rng.random()
    step = rng.uniform(0.05, 0.11) * rng.choice((-1, 1))
    first = oklch(light, rng.uniform(0.02, 0.08), hue)
    second = oklch(
        min(max(light + step, 0.16), 0.46), rng.uniform(0.02, 0.09), hue + rng.uniform(-0.12, 0.12)
    )
    return first, second


def pick_object(rng: np.random.Generator) -> Colour:
    """Return a light or vivid colour, lighter than any background."""
    return oklch(rng.uniform(0.7, 0.92), rng.uniform(0.07, 0.19), rng.random())


def pick_clutter(rng: np.random.Generator) -> Colour:
    """Return a colour between those of backgrounds and of objects."""
    return oklch(rng.uniform(0.42, 0.58), rng.uniform(0.03, 0.13), rng.random())


def shade(colour: Colour, amount: float) -> Colour:
    """Return the colour mixed with white (``amount`` > 0) or with black (< 0)."""
    goal = 255 if amount > 0 else 0
    r, g, b = (round(c + (goal - c) * abs(amount)) for c in colour)
    return r, g, b


def _encode(linear: float) -> int:
    linear = min(max(linear, 0.0), 1.0)
    value = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return round(255 * value)


def _decode(channel: int) -> float:
    value = channel / 255
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
