"""Plates: several small pictures side by side with captions, and windows drawn on a photo. Pillow only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from vitviz.attention.layout import Footprint, Layout
from vitviz.attention.windows import Box
from vitviz.images.framing import Framing
from vitviz.images.photo import Photo
from vitviz.render.colors import (
    DEFAULT_COLORMAP,
    LETTERS,
    REGIONS,
    SIGNED_COLORMAP,
    is_signed,
    lookup_table,
    to_index,
    to_unit,
)
from vitviz.render.lettering import INK, PAPER, QUIET, wrapped, write

NOTHING = (176, 179, 186)
"""The colour of cells that hold nothing: padding, and keys that a query cannot see."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class PlatePicture:
    """A small picture of a plate: rows×cols×3 colours, a caption, and the sign between it and the next ("+", "=")."""

    pixels: Pixels
    caption: str
    joint: str = ""


def colored(values: ArrayLike, low: float, high: float, colormap: str = DEFAULT_COLORMAP) -> Pixels:
    """…×3 colours of values on a scale; on one with two sides zero is grey in the middle. NaN is NOTHING."""
    table = lookup_table(SIGNED_COLORMAP if is_signed(low, high) else colormap)
    array = np.asarray(values, np.float64)
    pixels = table[to_index(to_unit(array, low, high))]
    pixels[np.isnan(array)] = NOTHING
    return pixels


def common(values: ArrayLike) -> float:
    """The mean of values whose range is below half of their least magnitude; 0 for all others. NaN is not counted.

    SwinV2's biases are about 8. A part that is equal for all keys of a row changes no attention, and would hide on a
    scale what does.
    """
    array = np.asarray(values, np.float64)
    low, high = float(np.nanmin(array)), float(np.nanmax(array))
    least = max(low, -high, 0.0)
    return float(np.nanmean(array)) if high - low < least / 2 else 0.0


def tiled(tiles: Pixels, gap: int = 1, ground: tuple[int, int, int] = PAPER) -> Pixels:
    """rows×cols×h×w×3 tiles laid apart by `gap` pixels of `ground`, as one picture."""
    rows, cols, height, width = tiles.shape[:4]
    whole = np.empty((rows, height + gap, cols, width + gap, 3), np.uint8)
    whole[:] = ground
    whole[:, :height, :, :width] = tiles.transpose(0, 2, 1, 3, 4)
    return whole.reshape(rows * (height + gap), cols * (width + gap), 3)[: -gap or None, : -gap or None]


def side_by_side(pictures: Sequence[PlatePicture], side: int = 320) -> Image.Image:
    """The pictures in a row, enlarged by whole factors to about `side` pixels in height, with captions and joints."""
    size, gap = max(12, side // 22), max(12, side // 16)
    images = []
    for picture in pictures:
        step = max(1, side // picture.pixels.shape[0])
        image = Image.fromarray(picture.pixels)
        images.append(
            image.resize((image.width * step, image.height * step), Image.Resampling.NEAREST)
            if picture.pixels.shape[0] <= side
            else image
        )
    height = max(image.height for image in images)
    joints = [2 * gap if picture.joint else gap for picture in pictures]
    width = gap + sum(image.width for image in images) + sum(joints)
    below = round(size * 2) if any(picture.caption for picture in pictures) else gap
    plate = Image.new("RGB", (width, height + gap + below), PAPER)
    draw = ImageDraw.Draw(plate)
    left = gap
    for picture, image, room in zip(pictures, images, joints, strict=True):
        plate.paste(image, (left, gap))
        write(draw, (left + image.width / 2, height + gap + size * 0.4), picture.caption, size, INK, "ma")
        left += image.width
        if picture.joint:
            write(draw, (left + room / 2, gap + image.height / 2), picture.joint, size * 1.6, INK, "mm")
        left += room
    return plate


def enlarged(image: Image.Image, side: int) -> Image.Image:
    """The picture enlarged by a whole factor, with sharp pixels, its longer side as near to `side` pixels as possible."""
    step = max(1, round(side / max(image.size)))
    return image.resize((image.width * step, image.height * step), Image.Resampling.NEAREST)


def in_rows(pictures: Sequence[PlatePicture], columns: int, side: int = 320) -> Image.Image:
    """Rows of `columns` pictures side by side, one row below the other."""
    rows = [
        side_by_side(pictures[first : first + columns], side) for first in range(0, len(pictures), columns)
    ]
    plate = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), PAPER)
    top = 0
    for row in rows:
        plate.paste(row, (0, top))
        top += row.height
    return plate


def beside(images: Sequence[Image.Image]) -> Image.Image:
    """Whole plates side by side."""
    plate = Image.new(
        "RGB", (sum(image.width for image in images), max(image.height for image in images)), PAPER
    )
    left = 0
    for image in images:
        plate.paste(image, (left, 0))
        left += image.width
    return plate


def windows_on_photo(
    photo: Photo, framing: Framing, layout: Layout, window: int | None = None, regions: bool = True
) -> Image.Image:
    """The photo with a layer's windows in their true places, wrapped round where they are shifted.

    `window`: one to stand out, its parts bright in the colours of their regions; the rest is dimmed.
    """
    windows = layout.windows
    assert windows is not None
    picture = Image.fromarray(photo.pixels).convert("RGB")
    thick = max(1, round(min(picture.size) / 300))
    chosen = [] if window is None else windows.parts(window)
    if chosen:
        dim = Image.eval(picture, lambda level: level * 2 // 5)
        for part in chosen:
            box = _corners(layout.polygon(framing, part.box))
            dim.paste(picture.crop(box), box[:2])
        picture = dim
    draw = ImageDraw.Draw(picture)
    for number in range(len(windows.index)):
        for part in windows.parts(number):
            draw.rectangle(_corners(layout.polygon(framing, part.box)), outline=(255, 255, 255), width=thick)
    order = sorted({part.region for part in chosen})
    for part in chosen:
        color = REGIONS[order.index(part.region) % len(REGIONS)] if regions else (255, 255, 255)
        box = _corners(layout.polygon(framing, part.box))
        draw.rectangle(box, outline=color, width=3 * thick)
        if regions and len(order) > 1:
            _letter(draw, box, order.index(part.region), min(picture.size) / 28)
    return picture


def shifted_windows(photo: Photo, framing: Framing, layout: Layout, side: int = 900) -> Image.Image:
    """What a layer's windows cover of the photo after the cyclic shift, padding in NOTHING, regions of a window tinted."""
    windows = layout.windows
    assert windows is not None
    rows, cols = windows.grid
    unit = max(2, side // max(windows.padded))
    corners = _corners(layout.polygon(framing, Box(0, 0, rows, cols)))
    seen = Image.fromarray(photo.pixels).convert("RGB").crop(corners).resize((cols * unit, rows * unit))
    plate = Image.new("RGB", (windows.padded[1] * unit, windows.padded[0] * unit), NOTHING)
    lettered: list[tuple[tuple[int, int, int, int], int]] = []
    before = plate.copy()  # padding that is added first moves along
    before.paste(seen, (0, 0))
    for piece in windows.pieces():
        plate.paste(before.crop(_pixels(piece.source, unit)), _pixels(piece.target, unit)[:2])
    for window in range(len(windows.index)):
        place, order = windows.box(window), sorted(set(windows.regions[window].tolist()))
        for part in windows.parts(window) if len(order) > 1 else ():
            slots = part.slots
            own = Box(
                slots.top + place.top,
                slots.left + place.left,
                slots.bottom + place.top,
                slots.right + place.left,
            )
            box = _pixels(own, unit)
            tint = Image.new("RGB", (box[2] - box[0], box[3] - box[1]), REGIONS[order.index(part.region) % 4])
            plate.paste(Image.blend(plate.crop(box), tint, 0.43), box[:2])
            lettered.append((box, order.index(part.region)))
    draw = ImageDraw.Draw(plate)
    for window in range(len(windows.index)):
        draw.rectangle(_pixels(windows.box(window), unit), outline=(255, 255, 255), width=2)
    for box, number in lettered:
        _letter(draw, box, number, max(11, side / 45))
    return plate


def _letter(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], number: int, size: float) -> None:
    """The letter of a region in the middle of its rectangle, white on black."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = size * 0.65
    draw.rectangle((x - half, y - half, x + half, y + half), fill=(0, 0, 0))
    write(draw, (x, y), LETTERS[number % len(LETTERS)], size, (255, 255, 255), anchor="mm")


def footprint_on_photo(photo: Photo, framing: Framing, steps: Sequence[Footprint]) -> Image.Image:
    """The photo with a token and, nested in it, the tokens of earlier stages that it was merged from."""
    picture = Image.fromarray(photo.pixels).convert("RGB")
    thick = max(1, round(min(picture.size) / 300))
    draw = ImageDraw.Draw(picture)
    for number, step in reversed(list(enumerate(steps))):
        box = step.box
        for row in range(int(box.top), int(box.bottom)):
            for col in range(int(box.left), int(box.right)):
                cell = _corners(step.layout.polygon(framing, Box(row, col, row + 1, col + 1)))
                color = REGIONS[number - 1] if number else (255, 255, 255)
                draw.rectangle(cell, outline=color, width=max(1, 2 * thick >> number))
    return picture


def _pixels(box: Box, unit: int) -> tuple[int, int, int, int]:
    return tuple(round(edge * unit) for edge in (box.left, box.top, box.right, box.bottom))  # type: ignore[return-value]


def _corners(polygon: NDArray[np.float64]) -> tuple[int, int, int, int]:
    (left, top), (right, bottom) = polygon[0], polygon[2]
    return round(float(left)), round(float(top)), round(float(right)), round(float(bottom))


def with_caption(image: Image.Image, title: str, note: str = "") -> Image.Image:
    """The picture with its title and a note below it, for plates whose colours have no scale."""
    size = float(np.clip(image.width / 48, 11, 120))
    gap = round(size * 0.7)
    titles = wrapped(title, size, image.width - 2 * gap)
    notes = wrapped(note, size * 0.85, image.width - 2 * gap)
    line, small = round(size * 1.35), round(size * 1.15)
    height = 2 * gap + line * len(titles) + small * len(notes)
    whole = Image.new("RGB", (image.width, image.height + height), PAPER)
    whole.paste(image, (0, 0))
    draw = ImageDraw.Draw(whole)
    top = image.height + gap
    for words in titles:
        write(draw, (gap, top), words, size, INK)
        top += line
    for words in notes:
        write(draw, (gap, top), words, size * 0.85, QUIET)
        top += small
    return whole
