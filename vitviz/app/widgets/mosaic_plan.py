"""How tiles of layers × heads fill a panel: turned or in bands, whichever makes the tiles largest. Pure arithmetic."""

import math
from dataclasses import dataclass
from typing import Literal

LABEL_ACROSS = 24  # room for numbers at the left of rows
LABEL_DOWN = 20  # room for numbers above columns


@dataclass(frozen=True)
class Target:
    """What a point of the mosaic is: a tile, or with `head` None a layer's header."""

    layer: int
    head: int | None


@dataclass(frozen=True)
class Band:
    """Consecutive layers laid side by side (or, turned, below one another); positions in pixels."""

    first: int
    layers: int
    left: int
    top: int
    most: int  # heads of the layer with the most


@dataclass(frozen=True)
class Plan:
    """Where every tile lies. `tile` is (height, width), `gap` lies between tiles, all in the same pixels as the room."""

    heads: tuple[int, ...]
    turned: bool
    tile: tuple[int, int]
    gap: int
    bands: tuple[Band, ...]
    size: tuple[int, int]  # height, width of everything

    def band(self, layer: int) -> Band:
        """The band a layer is in."""
        return next(band for band in self.bands if band.first <= layer < band.first + band.layers)

    def box(self, layer: int, head: int) -> tuple[int, int, int, int]:
        """A tile's left, top, width, height."""
        band = self.band(layer)
        along, across = layer - band.first, head
        down, right = (along, across) if self.turned else (across, along)
        height, width = self.tile
        return band.left + right * (width + self.gap), band.top + down * (height + self.gap), width, height

    def header(self, layer: int) -> tuple[int, int, int, int]:
        """Left, top, width, height of a layer's number."""
        left, top, width, height = self.box(layer, 0)
        if self.turned:
            return left - LABEL_ACROSS, top, LABEL_ACROSS - 4, height
        return left, top - LABEL_DOWN, width, LABEL_DOWN

    def at(self, x: float, y: float) -> Target | None:
        """What lies at a point; None between tiles."""
        for band in self.bands:
            for layer in range(band.first, band.first + band.layers):
                left, top, width, height = self.header(layer)
                if left <= x < left + width and top <= y < top + height:
                    return Target(layer, None)
            height, width = self.tile
            right, inner_x = divmod(x - band.left, width + self.gap)
            down, inner_y = divmod(y - band.top, height + self.gap)
            along, head = (int(down), int(right)) if self.turned else (int(right), int(down))
            if inner_x >= width or inner_y >= height or not 0 <= along < band.layers:
                continue
            if 0 <= head < self.heads[band.first + along]:
                return Target(band.first + along, head)
        return None


def plan(heads: tuple[int, ...], aspect: float, width: int, height: int, pixel: float = 1.0) -> Plan:
    """The layout with the largest tiles for a room of width × height pixels; `aspect` is a tile's width over its height.

    `pixel` is the number of room pixels per logical pixel (labels and gaps are measured in logical ones).
    """
    best: Plan | None = None
    layers = len(heads)
    for turned in (False, True):
        for count in range(1, layers + 1):
            if count > 1 and math.ceil(layers / math.ceil(layers / count)) != count:
                continue
            made = _arranged(heads, aspect, width, height, pixel, turned, count)
            if best is None or made.tile[0] > best.tile[0]:
                best = made
    assert best is not None, "a trace has at least one layer"
    return best


Side = Literal[0, 1]


def _arranged(
    heads: tuple[int, ...], aspect: float, width: int, height: int, pixel: float, turned: bool, count: int
) -> Plan:
    per = math.ceil(len(heads) / count)
    groups = [heads[first : first + per] for first in range(0, len(heads), per)]
    mosts = [max(group) for group in groups]
    across, down = round(LABEL_ACROSS * pixel), round(LABEL_DOWN * pixel)
    between = round(8 * pixel)
    if turned:
        columns, rows = sum(mosts), per
        free_x, free_y = width - count * across - (count - 1) * between, height - down
    else:
        columns, rows = per, sum(mosts)
        free_x, free_y = width - across, height - count * down - (count - 1) * between
    rough = min(free_x / columns / aspect, free_y / rows)
    gap = max(1, round(pixel * (1 if rough < 24 * pixel else 2)))
    tall = min((free_y - rows * gap) / rows, (free_x - columns * gap) / columns / aspect)
    tile = (max(3, int(tall)), max(3, int(tall * aspect)))
    bands = []
    left, top = across, down
    for number, most in enumerate(mosts):
        bands.append(Band(number * per, len(groups[number]), left, top, most))
        if turned:
            left += most * (tile[1] + gap) + between + across
        else:
            top += most * (tile[0] + gap) + between + down
    last = bands[-1]
    if turned:
        size = (down + per * (tile[0] + gap), last.left + last.most * (tile[1] + gap))
    else:
        size = (last.top + last.most * (tile[0] + gap), across + per * (tile[1] + gap))
    return Plan(heads, turned, tile, gap, tuple(bands), size)
