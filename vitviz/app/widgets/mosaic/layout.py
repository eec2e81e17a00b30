"""How tiles of layers × heads fill a panel: turned, in bands or folded, whichever makes the tiles largest.

Pure arithmetic. A *line* holds the heads of one layer, `fold` of them at most; a layer with more has several lines.
Lines are columns, or turned, rows. A *band* holds the lines of consecutive layers; bands lie below one another, or
turned, beside one another.
"""

import math
from dataclasses import dataclass

_AXIS = 16  # room for the name of an axis, or for what a stage's grid is
_LABEL_ACROSS = 28  # room for numbers at the left of rows, such as h12
_LABEL_DOWN = 18  # room for numbers above columns
_BETWEEN = 8
_BROAD = 24  # tiles of this size have a broader gap
_SMALLEST = 3


@dataclass(frozen=True)
class Room:
    """The room for words beside the tiles, in logical pixels."""

    axis: int = _AXIS
    across: int = _LABEL_ACROSS
    """Of the numbers at the left of rows."""
    down: int = _LABEL_DOWN
    """Of the numbers above columns."""


def room_of(scale: float) -> Room:
    """The room for text of `scale` times the usual size."""
    return Room(round(_AXIS * scale), round(_LABEL_ACROSS * scale), round(_LABEL_DOWN * scale))


@dataclass(frozen=True)
class Target:
    """What a point of the mosaic is: a tile, or with `head` None a layer's header."""

    layer: int
    head: int | None


@dataclass(frozen=True)
class Band:
    """Consecutive layers; `left`, `top` is the corner of its tiles, `lines` how many it has, `most` tiles in one."""

    first: int
    layers: int
    left: int
    top: int
    lines: int
    most: int


@dataclass(frozen=True)
class Plan:
    """Where every tile lies, in logical pixels. `tile` is (height, width), `gap` lies between tiles."""

    heads: tuple[int, ...]
    turned: bool
    fold: int
    tile: tuple[int, int]
    gap: int
    bands: tuple[Band, ...]
    starts: tuple[int, ...]  # the first line of each layer, in its band
    size: tuple[int, int]  # height, width of everything
    room: Room = Room()

    def band(self, layer: int) -> Band:
        """The band a layer is in."""
        return self.bands[layer // self.bands[0].layers]

    def box(self, layer: int, head: int) -> tuple[int, int, int, int]:
        """A tile's left, top, width, height."""
        band = self.band(layer)
        line, place = self.starts[layer] + head // self.fold, head % self.fold
        down, right = (line, place) if self.turned else (place, line)
        height, width = self.tile
        return band.left + right * (width + self.gap), band.top + down * (height + self.gap), width, height

    def header(self, layer: int) -> tuple[int, int, int, int]:
        """Left, top, width, height of a layer's number."""
        left, top, width, height = self.box(layer, 0)
        if self.turned:
            return left - self.room.across, top, self.room.across - 4, height
        return left, top - self.room.down, width, self.room.down

    def number(self, band: Band, place: int) -> tuple[int, int, int, int]:
        """Left, top, width, height of the number of a band's heads."""
        height, width = self.tile
        if self.turned:
            return band.left + place * (width + self.gap), band.top - self.room.down, width, self.room.down
        return (
            band.left - self.room.across,
            band.top + place * (height + self.gap),
            self.room.across - 4,
            height,
        )

    def place_at(self, x: float, y: float) -> int | None:
        """The place of the head whose number lies at a point."""
        for band in self.bands:
            for place in range(band.most):
                left, top, width, height = self.number(band, place)
                if left <= x < left + width and top <= y < top + height:
                    return place
        return None

    def extent(self, first: int, last: int) -> tuple[int, int]:
        """Where the lines of some layers of one band begin and end: across, or turned, down."""
        side = 1 if self.turned else 0
        lines = self.starts[last] + math.ceil(self.heads[last] / self.fold) - self.starts[first]
        length = self.tile[1 - side] + self.gap
        return self.box(first, 0)[side], self.box(first, 0)[side] + lines * length - self.gap

    def continued(self, layer: int) -> list[tuple[int, tuple[int, int, int, int]]]:
        """For each further line of a folded layer its first head and where to write its number."""
        found = []
        for head in range(self.fold, self.heads[layer], self.fold):
            left, top, width, height = self.box(layer, head)
            place = (left - self.room.across, top, self.room.across - 4, height)
            found.append(
                (head, place if self.turned else (left, top - self.room.down, width, self.room.down))
            )
        return found

    def at(self, x: float, y: float) -> Target | None:
        """What lies at a point; None between tiles."""
        for layer, count in enumerate(self.heads):
            left, top, width, height = self.header(layer)
            if left <= x < left + width and top <= y < top + height:
                return Target(layer, None)
            for first in range(0, count, self.fold):
                last = min(first + self.fold, count) - 1
                left, top, width, height = self.box(layer, first)
                right, bottom = (
                    start + side for start, side in zip(*_split(self.box(layer, last)), strict=True)
                )
                if not (left <= x < right and top <= y < bottom):
                    continue
                along, side = (x - left, width) if self.turned else (y - top, height)
                place, inner = divmod(along, side + self.gap)
                return Target(layer, first + int(place)) if inner < side else None
        return None


def plan(heads: tuple[int, ...], aspect: float, width: int, height: int, room: Room = Room()) -> Plan:
    """The layout with the largest tiles for a room of width × height; `aspect` is a tile's width over its height."""
    best: Plan | None = None
    layers, most = len(heads), max(heads)
    # Folding is for layers of different numbers of heads; it would only tear apart those that are alike.
    folds = sorted({most, *heads}) if len(set(heads)) > 1 else [most]
    for fold in reversed(folds):
        for turned in (False, True):
            for count in range(1, layers + 1):
                if count > 1 and math.ceil(layers / math.ceil(layers / count)) != count:
                    continue
                made = _arranged(heads, aspect, width, height, turned, count, fold, room)
                # A simpler layout wins over one whose tiles are hardly larger.
                if best is None or made.tile[0] > best.tile[0] * 1.05:
                    best = made
    assert best is not None, "a trace has at least one layer"
    return best


def _split(box: tuple[int, int, int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    return (box[0], box[1]), (box[2], box[3])


def _arranged(
    heads: tuple[int, ...],
    aspect: float,
    width: int,
    height: int,
    turned: bool,
    count: int,
    fold: int,
    room: Room,
) -> Plan:
    per = math.ceil(len(heads) / count)
    groups = [heads[first : first + per] for first in range(0, len(heads), per)]
    lines = [sum(math.ceil(number / fold) for number in group) for group in groups]
    mosts = [min(fold, max(group)) for group in groups]
    if turned:
        columns, rows = sum(mosts), max(lines)
        free_x = width - count * (room.axis + room.across) - (count - 1) * _BETWEEN
        free_y = height - room.axis - room.down
    else:
        columns, rows = max(lines), sum(mosts)
        free_x = width - room.axis - room.across
        free_y = height - count * (room.axis + room.down) - (count - 1) * _BETWEEN
    gap = 1 if min(free_x / columns / aspect, free_y / rows) < _BROAD else 2
    tall = min((free_y - rows * gap) / rows, (free_x - columns * gap) / columns / aspect)
    tile = (max(_SMALLEST, int(tall)), max(_SMALLEST, int(tall * aspect)))
    bands = []
    left, top = room.axis + room.across, room.axis + room.down
    for number, most in enumerate(mosts):
        bands.append(Band(number * per, len(groups[number]), left, top, lines[number], most))
        if turned:
            left += most * (tile[1] + gap) + _BETWEEN + room.axis + room.across
        else:
            top += most * (tile[0] + gap) + _BETWEEN + room.axis + room.down
    last = bands[-1]
    if turned:
        size = (room.axis + room.down + rows * (tile[0] + gap), last.left + last.most * (tile[1] + gap))
    else:
        size = (last.top + last.most * (tile[0] + gap), room.axis + room.across + columns * (tile[1] + gap))
    starts = [
        sum(math.ceil(number / fold) for number in group[:place])
        for group in groups
        for place in range(len(group))
    ]
    return Plan(heads, turned, fold, tile, gap, tuple(bands), tuple(starts), size, room)
