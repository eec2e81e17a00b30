"""One side of a matrix on the screen: its first cells are large and always visible, the others zoomed. Pure arithmetic."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

LARGEST = 48.0  # logical pixels of a cell


@dataclass(frozen=True)
class Axis:
    """Where cells 0 … count−1 lie, in logical pixels.

    The first `first` cells are `band` pixels each from `start` on; after `gap` follow the others, `scale` pixels each, of
    which `room` pixels are seen from cell `offset` on (a fraction, counted without the first).
    """

    count: int
    first: int
    start: float
    band: float
    gap: float
    room: float
    scale: float
    offset: float = 0.0

    @property
    def others(self) -> int:
        """How many cells are zoomed."""
        return self.count - self.first

    @property
    def begin(self) -> float:
        """Where the zoomed cells begin."""
        return self.start + self.first * self.band + (self.gap if self.first and self.others else 0.0)

    @property
    def end(self) -> float:
        """Where the last visible cell ends."""
        return self.begin + min(self.room, (self.others - self.offset) * self.scale)

    def span(self, cell: int) -> tuple[float, float] | None:
        """Where the visible part of a cell begins and ends; None where it is not visible."""
        if cell < self.first:
            return self.start + cell * self.band, self.start + (cell + 1) * self.band
        low = self.begin + (cell - self.first - self.offset) * self.scale
        low, high = max(low, self.begin), min(low + self.scale, self.end)
        return (low, high) if high > low else None

    def at(self, place: float) -> int | None:
        """The cell at a place; None in the gap and outside."""
        if self.start <= place < self.start + self.first * self.band:
            return min(int((place - self.start) / self.band), self.first - 1)
        if self.begin <= place < self.end:
            return min(self.first + int(self.offset + (place - self.begin) / self.scale), self.count - 1)
        return None

    def moved(self, offset: float) -> "Axis":
        """Scrolled to another first cell, within the ends."""
        return replace(self, offset=min(max(offset, 0.0), max(0.0, self.others - self.room / self.scale)))

    def zoomed(self, scale: float, place: float) -> "Axis":
        """With cells of another size; the cell at a place stays there."""
        inside = min(max(place, self.begin), self.begin + self.room) - self.begin
        there = self.offset + inside / self.scale
        return replace(self, scale=scale).moved(there - inside / scale)

    def pixels(self, ratio: float) -> tuple[NDArray[np.intp], int]:
        """For each of the screen's pixels from `begin` to `end` the first cell it shows; and the cell after the last.

        Large cells: the one that a pixel's middle lies in. Small ones: those from a pixel's beginning to the next pixel's.
        """
        per = self.scale * ratio  # pixels per cell
        many = max(0, round((self.end - self.begin) * ratio))
        if per >= 1:
            # Computed as in `at`, so that both give the same cell for a middle that lies on an edge.
            places = self.offset + (self.begin + (np.arange(many) + 0.5) / ratio - self.begin) / self.scale
        else:
            places = self.offset + np.arange(many) / per
        cells = np.minimum(places.astype(np.intp), self.others - 1)
        after = int(cells[-1]) + 1 if many else 0
        if per < 1:
            after = max(after, min(self.others, math.ceil(self.offset + many / per - 1e-6)))
        return cells + self.first, self.first + after


def fitted(count: int, first: int, start: float, band: float, gap: float, room: float, scale: float) -> Axis:
    """An axis from its first cell on; `room` is what is left after `start`, the large cells and the gap."""
    large = first * band + (gap if first and count > first else 0.0)
    return Axis(count, first, start, band, gap, max(1.0, room - large), scale)


def shrunk(
    values: NDArray[np.uint8], rows: NDArray[np.intp], cols: NDArray[np.intp], ends: tuple[int, int]
) -> NDArray[np.uint8]:
    """The matrix on the screen's pixels, each the largest of the cells from its own to the next pixel's.

    `rows`, `cols`: the first cell of each pixel; `ends`: the cells after the last.
    """
    if not len(rows) or not len(cols):
        return np.zeros((len(rows), len(cols)), np.uint8)
    part = values[: ends[0], : ends[1]]
    if np.any(np.diff(rows) > 1) or ends[0] > rows[-1] + 1:
        part = np.maximum.reduceat(part[rows[0] :], rows - rows[0], axis=0)
    else:
        part = part[rows]
    if np.any(np.diff(cols) > 1) or ends[1] > cols[-1] + 1:
        return np.maximum.reduceat(part[:, cols[0] :], cols - cols[0], axis=1)
    return part[:, cols]
