"""What a scene consists of, in units of the picture's shorter side, and how random scenes are generated.

A description has no pixels: the same one drawn at 96 and at 512 pixels is the same scene.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vitviz.demo.palette import Colour, pick_clutter, pick_ground, pick_object, shade
from vitviz.demo.shapes import CLASSES, reach

TRAINING_SEEDS = range(0, 1_000_000_000)
VALIDATION_SEEDS = range(1_000_000_000, 2_000_000_000)
TEST_SEEDS = range(2_000_000_000, 3_000_000_000)
SAMPLE_SEEDS = range(3_000_000_000, 4_000_000_000)
"""The ranges of seeds do not overlap, so that no scene that is measured on was trained on."""

Texture = Literal["gradient", "clouds", "stripes", "checks", "dots", "waves", "weave"]
TEXTURES: tuple[Texture, ...] = ("gradient", "clouds", "stripes", "checks", "dots", "waves", "weave")


@dataclass(frozen=True)
class Ground:
    """The background: a texture between two colours."""

    texture: Texture
    colours: tuple[Colour, Colour]
    angle: float
    period: float
    seed: int


@dataclass(frozen=True)
class Line:
    """A clutter line through the points, open and smooth."""

    points: tuple[tuple[float, float], ...]
    width: float
    colour: Colour


@dataclass(frozen=True)
class Thing:
    """One object: a shape of a class at (x, y) with a radius, turned by an angle in turns."""

    kind: str
    x: float
    y: float
    radius: float
    angle: float
    colour: Colour
    second: Colour
    fill: Literal["gradient", "bands"] = "gradient"
    rim: bool = False


@dataclass(frozen=True)
class Ribbon:
    """A band across the whole picture, in front of everything: it hides what lies behind it."""

    x: float
    y: float
    angle: float
    width: float
    colour: Colour
    second: Colour


@dataclass(frozen=True)
class Description:
    """A scene: extent is (height, width) in units of the shorter side, so at least one of them is 1."""

    extent: tuple[float, float]
    ground: Ground
    lines: tuple[Line, ...]
    things: tuple[Thing, ...]
    ribbons: tuple[Ribbon, ...] = ()

    @property
    def weights(self) -> dict[str, float]:
        """How much of the label each class gets: equal parts for each object, 1 in total."""
        parts: dict[str, float] = {}
        for thing in self.things:
            parts[thing.kind] = parts.get(thing.kind, 0.0) + 1 / len(self.things)
        return parts


def describe(
    seed: int,
    *,
    things: int | None = None,
    kinds: tuple[str, ...] | None = None,
    extent: tuple[float, float] = (1.0, 1.0),
    lines: int | None = None,
    ribbon: bool | None = None,
) -> Description:
    """Generate the description of a seed.

    ``things`` is 1 or 2 (None: one in half of the scenes), ``kinds`` the classes of the objects (None: random; two
    are different but for one pair in ten), ``lines`` the number of clutter lines, ``ribbon`` whether a band hides a
    part of the first object (None: in one scene of ten with a single object).
    """
    rng = np.random.default_rng(seed)
    count = len(kinds) if kinds is not None else things if things is not None else int(rng.integers(1, 3))
    colours = pick_ground(rng)
    ground = Ground(
        TEXTURES[rng.integers(len(TEXTURES))],
        colours,
        angle=float(rng.random()),
        period=float(rng.uniform(0.09, 0.3)),
        seed=int(rng.integers(2**31)),
    )
    names = kinds if kinds is not None else _pick_kinds(rng, count)
    spots = _pick_spots(rng, names, extent)
    objects = tuple(_pick_thing(rng, name, spot) for name, spot in zip(names, spots, strict=True))
    amount = lines if lines is not None else int(rng.choice((0, 1, 2, 3, 4, 6)))
    clutter = tuple(_pick_line(rng, extent) for _ in range(amount))
    hides = ribbon if ribbon is not None else count == 1 and bool(rng.random() < 0.1)
    bands = (_pick_ribbon(rng, objects[0]),) if hides else ()
    return Description(extent, ground, clutter, objects, bands)


def _pick_kinds(rng: np.random.Generator, count: int) -> tuple[str, ...]:
    if count == 2 and rng.random() < 0.1:
        return (CLASSES[rng.integers(len(CLASSES))],) * 2
    return tuple(CLASSES[i] for i in rng.permutation(len(CLASSES))[:count])


def _pick_spots(
    rng: np.random.Generator, names: tuple[str, ...], extent: tuple[float, float]
) -> list[tuple[float, float, float]]:
    """Return (x, y, radius) per object: wholly inside the picture and not touching each other."""
    low, high = (0.2, 0.34) if len(names) == 1 else (0.17, 0.24)
    for _ in range(40):
        spots = []
        for name in names:
            radius = rng.uniform(low, high)
            edge = min(radius * reach(name) * 0.97, 0.47)
            spots.append(
                (
                    float(rng.uniform(edge, extent[1] - edge)),
                    float(rng.uniform(edge, extent[0] - edge)),
                    float(radius),
                )
            )
        if _apart(names, spots):
            return spots
    # No free place was found: along the diagonal there is always one.
    return [(extent[1] * (0.26 + 0.48 * i), extent[0] * (0.26 + 0.48 * i), low) for i in range(len(names))]


def _apart(names: tuple[str, ...], spots: list[tuple[float, float, float]]) -> bool:
    for i, (x, y, r) in enumerate(spots):
        for j in range(i):
            u, v, s = spots[j]
            if math.hypot(x - u, y - v) < 0.92 * (r * reach(names[i]) + s * reach(names[j])):
                return False
    return True


def _pick_thing(rng: np.random.Generator, name: str, spot: tuple[float, float, float]) -> Thing:
    colour = pick_object(rng)
    amount = rng.uniform(0.08, 0.2) * rng.choice((-1, 1))
    return Thing(
        name,
        *spot,
        angle=float(rng.random()),
        colour=colour,
        second=shade(colour, amount),
        fill="bands" if rng.random() < 0.2 else "gradient",
        rim=bool(rng.random() < 0.25),
    )


def _pick_line(rng: np.random.Generator, extent: tuple[float, float]) -> Line:
    turn = math.tau * rng.random()
    x, y = rng.uniform(0.1, extent[1] - 0.1), rng.uniform(0.1, extent[0] - 0.1)
    dx, dy = math.cos(turn), math.sin(turn)
    reach_ = rng.uniform(0.25, 0.9)
    bend = rng.uniform(-0.35, 0.35)
    t = np.linspace(-1, 1, 17)
    aside = bend * (1 - t * t)
    points = np.stack([x + t * reach_ * dx - aside * dy, y + t * reach_ * dy + aside * dx], axis=-1)
    colour = pick_clutter(rng)
    return Line(
        tuple((px, py) for px, py in points.tolist()), width=float(rng.uniform(0.008, 0.026)), colour=colour
    )


def _pick_ribbon(rng: np.random.Generator, thing: Thing) -> Ribbon:
    """A band over one side of the thing: its inner edge passes between the centre and 0.5 radii from it."""
    turn = math.tau * rng.random()
    width = float(rng.uniform(0.22, 0.4))
    away = thing.radius * rng.uniform(0.1, 0.5) + width / 2
    colour = pick_clutter(rng)
    return Ribbon(
        x=float(thing.x + away * math.cos(turn)),
        y=float(thing.y + away * math.sin(turn)),
        angle=turn / math.tau,
        width=width,
        colour=colour,
        second=shade(colour, -0.12),
    )
