"""The shape classes: outlines around the origin, scaled so that the classes cover similar areas."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

CLASSES: tuple[str, ...] = (
    "circle",
    "square",
    "triangle",
    "star",
    "cross",
    "ring",
    "heart",
    "crescent",
)

Outline = NDArray[np.float64]
"""Corners (n, 2) as (x, y), y downwards."""


@cache
def outlines(name: str) -> tuple[Outline, Outline | None]:
    """Return the outline of a class and the outline of its hole, if it has one.

    Scaled so that a compact shape has radius 1 and thin ones reach farther (area to the power 0.3): otherwise the
    area alone would tell a star from a circle.
    """
    outline, hole = _RAW[name]()
    area = abs(_area(outline)) - (abs(_area(hole)) if hole is not None else 0.0)
    scale = (math.pi / area) ** 0.3 * 0.94
    return outline * scale, None if hole is None else hole * scale


@cache
def reach(name: str) -> float:
    """Return the distance of the farthest corner from the centre, for a shape of radius 1."""
    return float(np.hypot(*outlines(name)[0].T).max())


def _area(outline: Outline) -> float:
    x, y = outline.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _polar(angles: Outline, radii: Outline | float = 1.0) -> Outline:
    return np.stack([radii * np.sin(angles), -radii * np.cos(angles)], axis=-1)


def _regular(corners: int) -> Outline:
    return _polar(np.arange(corners) * math.tau / corners)


def _circle() -> tuple[Outline, None]:
    return _regular(72), None


def _square() -> tuple[Outline, None]:
    return _regular(4), None


def _triangle() -> tuple[Outline, None]:
    return _regular(3), None


def _star() -> tuple[Outline, None]:
    return _polar(np.arange(10) * math.tau / 10, np.where(np.arange(10) % 2, 0.45, 1.0)), None


def _cross() -> tuple[Outline, None]:
    a, b = 0.32, 0.95
    corners = [
        (-a, -b),
        (a, -b),
        (a, -a),
        (b, -a),
        (b, a),
        (a, a),
        (a, b),
        (-a, b),
        (-a, a),
        (-b, a),
        (-b, -a),
        (-a, -a),
    ]
    return np.array(corners), None


def _ring() -> tuple[Outline, Outline]:
    return _regular(72), 0.56 * _regular(72)


def _heart() -> tuple[Outline, None]:
    t = np.linspace(0, math.tau, 72, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y - 2.5], axis=-1) / 15, None


def _crescent() -> tuple[Outline, None]:
    # The outer circle has radius 1; the inner one, of radius 0.86 and moved by 0.46, cuts it at the two horns.
    move, inner = 0.46, 0.86
    x = (1 + move**2 - inner**2) / (2 * move)
    outer_angle = math.acos(x)
    inner_angle = math.atan2(math.sqrt(1 - x * x), x - move)
    outer = np.linspace(outer_angle, math.tau - outer_angle, 48)
    cut = np.linspace(math.tau - inner_angle, inner_angle, 40)[1:-1]
    edge = np.concatenate(
        [
            np.stack([np.cos(outer), np.sin(outer)], axis=-1),
            np.stack([move + inner * np.cos(cut), inner * np.sin(cut)], axis=-1),
        ]
    )
    return edge + np.array([0.3, 0.0]), None


_RAW = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
    "heart": _heart,
    "crescent": _crescent,
}
