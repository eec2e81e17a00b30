"""A map laid over its photo, pixel for pixel over the region that the model saw."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from vitviz.images.framing import Framing, PatchGrid
from vitviz.images.photo import Photo
from vitviz.render.colors import DEFAULT_COLORMAP, heat_table, is_signed, to_index, to_unit, value_range

LEVELS = 5
"""Contours lie at 1/5, 2/5, 3/5 and 4/5 of the scale."""
_STRIP = 64


def overlay(
    photo: Photo,
    values: ArrayLike,
    framing: Framing,
    patches: PatchGrid,
    *,
    colormap: str = DEFAULT_COLORMAP,
    opacity: float = 0.85,
    style: str = "glow",
    smooth: bool = False,
    scale: tuple[float, float] | None = None,
    log: bool = False,
    temperature: float = 1.0,
    grid: bool = False,
    dim_unseen: bool = True,
    mark: tuple[int, int] | Collection[tuple[int, int]] | None = None,
    field: ArrayLike | None = None,
) -> Image.Image:
    """The photo with a map of (patches.rows, patches.cols) values over it, RGB of the photo's own size.

    style: "glow", "tint", "dim" (see `colors.heat_table`) or "contour" (lines at fifths of the scale, always
    of the smooth map). scale: the (low, high) values at the colour map's ends, by default those of
    `colors.value_range`; a scale with two sides is drawn in `colors.SIGNED_COLORMAP`. log: a logarithmic scale;
    temperature T: colours follow value^(1/T). grid draws the patch borders, dim_unseen darkens what the model did not
    see, mark outlines a patch (row, col) or several together. field: values of the input's pixels, painted in place of
    those of the patches.
    MethodError for a style, opacity, colour map or scale that does
    not exist; ValueError for a map of another shape.
    """
    heat = np.asarray(values)
    if heat.shape != (patches.rows, patches.cols):
        raise ValueError(f"a map of {heat.shape} does not fit {patches.rows} × {patches.cols} patches")
    cells = photo_axes(photo, framing, patches)
    down, across = cells
    if field is not None:
        heat = np.asarray(field)
        down, across = photo_axes(photo, framing, pixel_grid(heat))
    low, high = value_range(heat, scale, log)
    table = heat_table(colormap, opacity, style, is_signed(low, high))
    unit = to_unit(heat, low, high, log, temperature)
    picture = Image.fromarray(photo.pixels)
    if dim_unseen:
        # In style "dim" what the model did not see is darker than what it does not attend to.
        _darken_outside(picture, down, across, min(0.35, 0.6 * (1 - opacity)) if style == "dim" else 0.35)
    if down.size and across.size:
        corner = (across.start, down.start)
        if style == "contour":
            for colors, mask in _contours(unit, down, across, table, _line_width(photo.size)):
                picture.paste(colors, corner, mask)
        else:
            index = Image.fromarray(_indices(unit, down, across, smooth))
            alpha = index.point(table[:, 3].tolist())
            index.putpalette(table[:, :3].tobytes())
            picture.paste(index.convert("RGB"), corner, alpha)
    if grid:
        _draw_grid(picture, *cells)
    if mark:
        _draw_mark(picture, *cells, mark)
    return picture


def pixel_grid(field: NDArray[Any]) -> PatchGrid:
    """The input's pixels (height, width) as patches of one pixel."""
    return PatchGrid(field.shape[0], field.shape[1], (1.0, 1.0))


def heat_rgba(
    values: ArrayLike,
    *,
    colormap: str = DEFAULT_COLORMAP,
    opacity: float = 0.85,
    style: str = "glow",
    scale: tuple[float, float] | None = None,
    log: bool = False,
    temperature: float = 1.0,
    smooth: bool = False,
    size: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """The heat alone as RGBA (rows, cols, 4), or (height, width, 4) over the whole grid if a size is given.

    The colours are those of `overlay` with the same options. Without a size there is one colour per patch:
    smooth has no effect, and contours, which run between patches, are all transparent.
    """
    heat = np.asarray(values)
    low, high = value_range(heat, scale, log)
    table = heat_table(colormap, opacity, style, is_signed(low, high))
    unit = to_unit(heat, low, high, log, temperature)
    if size is None and style != "contour":
        return table[to_index(unit)]
    rows, cols = size or heat.shape
    down, across = _whole_axis(heat.shape[0], rows), _whole_axis(heat.shape[1], cols)
    if style != "contour":
        return table[_indices(unit, down, across, smooth)]
    picture = Image.new("RGBA", (cols, rows))
    if size is not None:
        for colors, mask in _contours(unit, down, across, table, _line_width(size)):
            colors.putalpha(mask)
            picture.alpha_composite(colors)
    return np.array(picture)


@dataclass(frozen=True, eq=False)
class Axis:
    """One direction of a picture: which of its pixels the map covers, and the patch each of them lies in.

    Pixels start … stop-1 of `length` are covered. index: (size,) the patch that holds the pixel's centre.
    position: (size,) the centre in units of patches (1.5 is the middle of patch 1). edges: (patches + 1,) the
    patch borders in pixels, which may lie outside the picture.
    """

    start: int
    stop: int
    length: int
    index: NDArray[np.intp]
    position: NDArray[np.float64]
    edges: NDArray[np.floating[Any]]

    @property
    def size(self) -> int:
        """How many pixels the map covers."""
        return self.stop - self.start

    @property
    def step(self) -> float:
        """Patches per pixel."""
        return (len(self.edges) - 1) / float(self.edges[-1] - self.edges[0])


def photo_axes(photo: Photo, framing: Framing, patches: PatchGrid) -> tuple[Axis, Axis]:
    """How the patches lie on the photo, downwards and across (framings neither turn nor shear)."""
    top, left = patches.origin
    down_edges = top + patches.cell[0] * np.arange(patches.rows + 1)
    across_edges = left + patches.cell[1] * np.arange(patches.cols + 1)
    ys = framing.to_photo(np.stack([np.zeros_like(down_edges), down_edges], axis=-1))[:, 1]
    xs = framing.to_photo(np.stack([across_edges, np.zeros_like(across_edges)], axis=-1))[:, 0]
    seen_left, seen_top, seen_right, seen_bottom = framing.seen()
    return (
        _axis(ys, photo.height, (seen_top, seen_bottom)),
        _axis(xs, photo.width, (seen_left, seen_right)),
    )


def _axis(edges: NDArray[np.floating[Any]], length: int, seen: tuple[float, float]) -> Axis:
    centres = np.arange(length) + 0.5
    low, high = max(seen[0], float(edges[0])), min(seen[1], float(edges[-1]))
    start, stop = (int(place) for place in np.searchsorted(centres, (low, high), side="left"))
    centres = centres[start : max(start, stop)]
    index = np.searchsorted(edges, centres, side="right") - 1
    position = np.interp(centres, edges, np.arange(len(edges)))
    return Axis(start, max(start, stop), length, index, position, edges)


def _whole_axis(patches: int, length: int) -> Axis:
    return _axis(np.arange(patches + 1) * (length / patches), length, (0.0, float(length)))


def _indices(unit: NDArray[np.float32], down: Axis, across: Axis, smooth: bool) -> NDArray[np.uint8]:
    """Colour indices (down.size, across.size) of the pixels that the map covers."""
    if not smooth:
        return np.take(np.take(to_index(unit), across.index, axis=1), down.index, axis=0)
    rows, _ = _weights(down, unit.shape[0])
    cols, _ = _weights(across, unit.shape[1])
    columns = unit @ cols.T
    index = np.empty((down.size, across.size), dtype=np.uint8)
    for top in range(0, down.size, _STRIP):
        strip = rows[top : top + _STRIP] @ columns
        index[top : top + _STRIP] = to_index(np.clip(strip, 0, 1, out=strip))
    return index


def _weights(axis: Axis, patches: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Catmull-Rom weights (size, patches) of each patch at each pixel, and their slope per pixel.

    The outermost patches continue beyond their centres; a patch's own centre has weight 1 on that patch alone.
    """
    place = axis.position - 0.5
    base = np.floor(place).astype(np.intp)
    t = place - base
    taps = (
        ((-t + 2 * t**2 - t**3) / 2, (-1 + 4 * t - 3 * t**2) / 2),
        ((2 - 5 * t**2 + 3 * t**3) / 2, (-10 * t + 9 * t**2) / 2),
        ((t + 4 * t**2 - 3 * t**3) / 2, (1 + 8 * t - 9 * t**2) / 2),
        ((t**3 - t**2) / 2, (3 * t**2 - 2 * t) / 2),
    )
    weights = np.zeros((axis.size, patches), dtype=np.float32)
    slopes = np.zeros((axis.size, patches), dtype=np.float32)
    pixels = np.arange(axis.size)
    for offset, (weight, slope) in enumerate(taps, start=-1):
        patch = np.clip(base + offset, 0, patches - 1)
        weights[pixels, patch] += weight
        slopes[pixels, patch] += slope * axis.step
    return weights, slopes


def _contours(
    unit: NDArray[np.float32], down: Axis, across: Axis, table: NDArray[np.uint8], width: float
) -> list[tuple[Image.Image, Image.Image]]:
    """The rims and then the lines, each as (colours, mask) to paste, of down.size × across.size pixels."""
    rows, row_slopes = _weights(down, unit.shape[0])
    cols, col_slopes = _weights(across, unit.shape[1])
    columns, column_slopes = unit @ cols.T, unit @ col_slopes.T
    line, rim, index = (np.empty((down.size, across.size), dtype=np.uint8) for _ in range(3))

    def draw(top: int) -> None:
        part = slice(top, top + _STRIP)
        height = rows[part] @ columns
        slope = np.hypot(row_slopes[part] @ columns, rows[part] @ column_slopes)
        level = np.clip(np.rint(height * np.float32(LEVELS)), 1, LEVELS - 1)
        # Distance to the line in pixels, to first order; a flat region has no line.
        distance = np.abs(height - level / np.float32(LEVELS))
        distance /= np.maximum(slope, np.float32(1e-9))
        distance[slope <= 1e-6] = np.inf
        line[part] = 255 * np.clip(np.float32(width / 2 + 0.5) - distance, 0, 1)
        rim[part] = 160 * np.clip(np.float32(width + 0.5) - distance, 0, 1)
        index[part] = level * (255 // LEVELS)

    # NumPy releases Python's lock, so strips run in parallel.
    with ThreadPoolExecutor() as pool:
        list(pool.map(draw, range(0, down.size, _STRIP)))
    opacity = [round(alpha * int(table[0, 3]) / 255) for alpha in range(256)]
    bright = table[:, :3] @ np.array([0.299, 0.587, 0.114]) > 110
    rims = np.where(bright, 0, 255).astype(np.uint8).repeat(3)
    layers = []
    for palette, mask in ((rims, rim), (table[:, :3], line)):
        colors = Image.fromarray(index)
        colors.putpalette(palette.tobytes())
        layers.append((colors.convert("RGB"), Image.fromarray(mask).point(opacity)))
    return layers


def _line_width(size: tuple[int, int]) -> float:
    return max(1.5, min(size) / 300)


def _darken_outside(picture: Image.Image, down: Axis, across: Axis, light: float) -> None:
    darker = [round(light * level) for level in range(256)] * 3
    boxes = (
        (0, 0, across.length, down.start),
        (0, down.stop, across.length, down.length),
        (0, down.start, across.start, down.stop),
        (across.stop, down.start, across.length, down.stop),
    )
    for box in boxes:
        if box[0] < box[2] and box[1] < box[3]:
            picture.paste(picture.crop(box).point(darker), box)


def _draw_grid(picture: Image.Image, down: Axis, across: Axis) -> None:
    """Patch borders: faint white lines, a pixel wide per 1000 pixels of the photo."""
    width, shade = max(1, round(min(picture.size) / 1000)), 80
    mask = Image.new("L", (across.size, down.size))
    draw = ImageDraw.Draw(mask)
    for x in across.edges - across.start:
        left = round(float(x) - width / 2)
        draw.rectangle((left, 0, left + width - 1, down.size), fill=shade)
    for y in down.edges - down.start:
        top = round(float(y) - width / 2)
        draw.rectangle((0, top, across.size, top + width - 1), fill=shade)
    picture.paste((255, 255, 255), (across.start, down.start), mask)


def _draw_mark(
    picture: Image.Image, down: Axis, across: Axis, mark: tuple[int, int] | Collection[tuple[int, int]]
) -> None:
    """Patches outlined together in white and then black, outside their own pixels so that their heat stays visible."""
    boxes = []
    for row, col in marked_patches(mark):
        left, right = (round(float(edge)) for edge in across.edges[col : col + 2])
        top, bottom = (round(float(edge)) for edge in down.edges[row : row + 2])
        boxes.append((left, top, right, bottom))
    heat = [picture.crop(box) for box in boxes]
    thick = max(2, round(min(picture.size) / 250))
    draw = ImageDraw.Draw(picture)
    for out, color in ((2 * thick, (0, 0, 0)), (thick, (255, 255, 255))):
        for left, top, right, bottom in boxes:
            draw.rectangle((left - out, top - out, right + out - 1, bottom + out - 1), fill=color)
    for box, inside in zip(boxes, heat, strict=True):
        picture.paste(inside, box[:2])


def marked_patches(mark: tuple[int, int] | Collection[tuple[int, int]]) -> list[tuple[int, int]]:
    """The patches of `mark`: one (row, col), or several."""
    several = [patch for patch in mark if isinstance(patch, tuple)]
    return several or [cast(tuple[int, int], mark)]
