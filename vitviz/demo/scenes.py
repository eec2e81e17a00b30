"""Draws scenes whose truth is known: the picture, the share of each class, and a mask for each object.

Everything is drawn as a coverage mask four times finer than the picture and averaged down, so edges are smooth and
a small drawing looks like a large one made smaller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from vitviz.demo.description import Description, Ground, Line, Ribbon, Thing, describe
from vitviz.demo.palette import Colour, shade
from vitviz.demo.shapes import CLASSES, outlines

FINER = 4
_RAMP = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
_SHADOW = [round(0.3 * v) for v in range(256)]

Field = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Scene:
    """A drawn scene.

    ``picture`` is uint8 (H, W, 3); ``weights`` float32 (classes,), summing to 1; ``masks`` uint8 (objects, H, W):
    how much of each pixel the object covers that can be seen, 0..255; ``kinds`` the class of each object.
    """

    picture: NDArray[np.uint8]
    weights: NDArray[np.float32]
    masks: NDArray[np.uint8]
    kinds: tuple[str, ...]
    description: Description


def scene(seed: int, side: int = 96, *, things: int | None = None) -> Scene:
    """Draw the square scene of a seed, ``side`` pixels wide, with one or two objects (None: the seed decides)."""
    return draw(describe(seed, things=things), side)


def draw(description: Description, side: int) -> Scene:
    """Draw a description with ``side`` pixels along its shorter side."""
    height, width = (round(side * e) for e in description.extent)
    x, y = _coordinates(height, width, side)
    image = _paint_ground(description.ground, x, y)
    for line in description.lines:
        image.paste(line.colour, mask=_line_mask(line, height, width, side))
    masks: list[Field] = []
    for thing in description.things:
        mask = _thing_mask(thing, height, width, side)
        _cast_shadow(image, mask, side)
        image.paste(_paint_thing(thing, x, y), mask=mask)
        if thing.rim:
            image.paste(shade(thing.colour, 0.6), mask=_rim_mask(thing, height, width, side))
        cover: Field = np.asarray(mask, dtype=np.float32) / np.float32(255)
        masks = [m * (1 - cover) for m in masks] + [cover]
    for ribbon in description.ribbons:
        mask = _ribbon_mask(ribbon, height, width, side)
        _cast_shadow(image, mask, side)
        image.paste(_blend((ribbon.colour, ribbon.second), _along(ribbon.angle, x, y) * 6 % 1), mask=mask)
        cover = np.asarray(mask, dtype=np.float32) / np.float32(255)
        masks = [m * (1 - cover) for m in masks]
    parts = description.weights
    weights = np.array([parts.get(name, 0.0) for name in CLASSES], dtype=np.float32)
    shown = (
        np.round(np.stack(masks) * 255).astype(np.uint8) if masks else np.zeros((0, height, width), np.uint8)
    )
    return Scene(np.array(image), weights, shown, tuple(t.kind for t in description.things), description)


def _coordinates(height: int, width: int, side: int) -> tuple[Field, Field]:
    """Return x (1, W) and y (H, 1) of the pixel centres in units of the shorter side."""
    x = (np.arange(width, dtype=np.float32) + 0.5)[None, :] / side
    y = (np.arange(height, dtype=np.float32) + 0.5)[:, None] / side
    return x, y


def _along(angle: float, x: Field, y: Field) -> Field:
    """Return how far each pixel lies along a direction given in turns."""
    turn = math.tau * angle
    return x * np.float32(math.cos(turn)) + y * np.float32(math.sin(turn))


def _blend(colours: tuple[Colour, Colour], share: Field) -> Image.Image:
    level = Image.fromarray((np.clip(share, 0, 1) * 255).astype(np.uint8))
    first, second = np.array(colours, dtype=np.float32)
    table = first + _RAMP * (second - first)
    level.putpalette(np.round(table).astype(np.uint8).tobytes())
    return level.convert("RGB")


def _wave(phase: Field) -> Field:
    """Return a wave in 0..1 of period 1, steeper than a sine but still smooth."""
    steep: Field = np.tanh(2 * np.sin(phase * np.float32(math.tau))) / np.float32(math.tanh(2))
    return np.float32(0.5) + np.float32(0.5) * steep


def _paint_ground(ground: Ground, x: Field, y: Field) -> Image.Image:
    u, v = _along(ground.angle, x, y), _along(ground.angle + 0.25, x, y)
    p = np.float32(ground.period)
    height, width = y.shape[0], x.shape[1]
    if ground.texture == "gradient":
        low, high = float(u.min()), float(u.max())
        share = (u - low) / (high - low)
    elif ground.texture == "clouds":
        share = _clouds(ground.seed, height, width, 1 / ground.period)
    elif ground.texture == "stripes":
        share = _wave(u / p)
    elif ground.texture == "checks":
        share = 0.5 + (_wave(u / p) - 0.5) * (_wave(v / p) - 0.5) * 2
    elif ground.texture == "dots":
        share = np.clip(
            1.5 * np.cos(u / p * np.float32(math.tau)) * np.cos(v / p * np.float32(math.tau)), 0, 1
        )
    elif ground.texture == "waves":
        share = _wave(u / p + np.float32(0.35) * np.sin(v / p * np.float32(math.pi)))
    else:
        share = np.float32(0.5) * (_wave(u / p) + _wave(v / p))
    return _blend(ground.colours, share)


def _clouds(seed: int, height: int, width: int, cells: float) -> Field:
    """Return smooth noise in 0..1: three grids of random numbers, each twice as fine and half as strong."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width), dtype=np.float32)
    side = min(height, width)
    for octave in range(3):
        n = max(2, round(cells * 2**octave / 2))
        grid = rng.random((1 + round(n * height / side), 1 + round(n * width / side)), dtype=np.float32)
        layer = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(layer) * np.float32(0.5**octave)
    clouds: Field = np.clip((total / 1.75 - 0.5) * 1.6 + 0.5, 0, 1)
    return clouds


def _paint_thing(thing: Thing, x: Field, y: Field) -> Image.Image:
    across, down = x - np.float32(thing.x), y - np.float32(thing.y)
    along = _along(thing.angle + 0.1, across, down) / np.float32(thing.radius)
    share: Field = _wave(along * np.float32(1.3)) if thing.fill == "bands" else along / 2 + np.float32(0.5)
    return _blend((thing.colour, thing.second), share)


def _placed(corners: NDArray[np.float64], thing: Thing, side: int) -> list[tuple[float, float]]:
    turn = math.tau * thing.angle
    c, s = math.cos(turn), math.sin(turn)
    turned = corners @ np.array([[c, s], [-s, c]]) * thing.radius + (thing.x, thing.y)
    # Pillow counts pixel centres as whole numbers.
    return [(px, py) for px, py in (turned * (side * FINER) - 0.5).tolist()]


def _canvas(height: int, width: int) -> Image.Image:
    return Image.new("L", (width * FINER, height * FINER), 0)


def _thing_mask(thing: Thing, height: int, width: int, side: int) -> Image.Image:
    canvas = _canvas(height, width)
    pen = ImageDraw.Draw(canvas)
    outline, hole = outlines(thing.kind)
    pen.polygon(_placed(outline, thing, side), fill=255)
    if hole is not None:
        pen.polygon(_placed(hole, thing, side), fill=0)
    return canvas.reduce(FINER)


def _rim_mask(thing: Thing, height: int, width: int, side: int) -> Image.Image:
    """Return the band just inside the edge, so that a rim does not widen the object beyond its mask."""
    fine = _canvas(height, width)
    pen = ImageDraw.Draw(fine)
    outline, hole = outlines(thing.kind)
    corners = _placed(outline, thing, side)
    pen.polygon(corners, fill=255)
    stroke = max(1, round(0.03 * side * FINER))
    inside = fine.copy()
    ImageDraw.Draw(inside).line([*corners, corners[0], corners[1]], fill=0, width=stroke, joint="curve")
    if hole is not None:
        inner = _placed(hole, thing, side)
        pen.polygon(inner, fill=0)
        rim = ImageDraw.Draw(inside)
        rim.polygon(inner, fill=0)
        rim.line([*inner, inner[0], inner[1]], fill=0, width=stroke, joint="curve")
    edge = np.asarray(fine) & ~np.asarray(inside)
    return Image.fromarray(edge).reduce(FINER)


def _line_mask(line: Line, height: int, width: int, side: int) -> Image.Image:
    points = np.array(line.points)
    ahead = np.gradient(points, axis=0)
    aside = ahead[:, ::-1] * (-1, 1) / np.hypot(*ahead.T)[:, None] * line.width / 2
    edge = np.concatenate([points + aside, (points - aside)[::-1]]) * (side * FINER)
    canvas = _canvas(height, width)
    ImageDraw.Draw(canvas).polygon([(px, py) for px, py in edge.tolist()], fill=255)
    return canvas.reduce(FINER)


def _ribbon_mask(ribbon: Ribbon, height: int, width: int, side: int) -> Image.Image:
    turn = math.tau * ribbon.angle
    across = np.array([math.cos(turn), math.sin(turn)]) * ribbon.width / 2
    along = np.array([-math.sin(turn), math.cos(turn)]) * 4
    centre = np.array([ribbon.x, ribbon.y])
    corners = [
        centre + across + along,
        centre + across - along,
        centre - across - along,
        centre - across + along,
    ]
    canvas = _canvas(height, width)
    ImageDraw.Draw(canvas).polygon([tuple((c * side * FINER).tolist()) for c in corners], fill=255)
    return canvas.reduce(FINER)


def _cast_shadow(image: Image.Image, mask: Image.Image, side: int) -> None:
    """Darken the picture softly below and to the right of what the mask covers."""
    offset = max(1, round(0.014 * side))
    moved = Image.new("L", mask.size, 0)
    moved.paste(mask, (offset, offset))
    soft = moved.filter(ImageFilter.GaussianBlur(0.018 * side)).point(_SHADOW)
    image.paste((10, 10, 25), mask=soft)
