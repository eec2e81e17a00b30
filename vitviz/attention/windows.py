"""Swin's windows: which token is in which slot of which window, after the cyclic shift and the padding."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

MASKED = -100.0
"""What Swin adds to the logit of a masked pair (Liu et al. 2021, section 3.2; the same in all implementations)."""


@dataclass(frozen=True)
class Box:
    """A rectangle in cells of a grid: rows top … bottom, columns left … right, ends not included."""

    top: float
    left: float
    bottom: float
    right: float

    @property
    def area(self) -> float:
        """How many cells it covers."""
        return (self.bottom - self.top) * (self.right - self.left)


@dataclass(frozen=True)
class Piece:
    """A rectangle of the grid during the cyclic shift: where it comes from and where it is now."""

    source: Box
    target: Box
    wrapped: tuple[bool, bool]
    """Whether it re-enters at the opposite edge, vertically and horizontally; (False, False) only moved up and left."""


@dataclass(frozen=True)
class Part:
    """Tokens of one window that lie side by side on the stage's grid and may all attend to each other."""

    box: Box
    """Their rectangle on the stage's grid, before any shift."""
    slots: Box
    """The same tokens in the window, rows and columns of its slots."""
    region: int
    """Parts of one window with different regions are masked from each other."""


@dataclass(frozen=True, eq=False)
class Windows:
    """How one layer cuts its stage's grid into windows (Liu et al. 2021, section 3.2)."""

    size: tuple[int, int]
    """Rows and columns of a window."""
    shift: tuple[int, int]
    """Rows and columns by which the grid is rolled up and left before it is cut; (0, 0) is a regular window."""
    index: NDArray[np.int64]
    """windows×slots: the token in each slot, or −1 for padding."""
    regions: NDArray[np.int64]
    """windows×slots: slots of one window with different numbers may not see each other (the mask of −100)."""
    grid: tuple[int, int]
    """Rows and columns of the stage's tokens."""
    pad_first: bool = False
    """Whether the grid is padded before it is rolled (torchvision, Hugging Face) or after (timm)."""

    @property
    def padding(self) -> int:
        """How many slots hold no token."""
        return int((self.index < 0).sum())

    @property
    def padded(self) -> tuple[int, int]:
        """Rows and columns of the grid with its padding: whole windows."""
        rows, cols = (length + -length % size for length, size in zip(self.grid, self.size, strict=True))
        return rows, cols

    @property
    def across(self) -> tuple[int, int]:
        """Windows downwards and across; they are numbered row by row."""
        return self.padded[0] // self.size[0], self.padded[1] // self.size[1]

    def slot(self, token: int) -> tuple[int, int]:
        """The (window, slot) of a token."""
        place = int(self._slots[token])
        size = self.size[0] * self.size[1]
        return place // size, place % size

    @cached_property
    def _slots(self) -> NDArray[np.int64]:
        """For each token where in `index`, read row by row, it stands; used in every layer while the pointer moves."""
        slots = np.empty(self.grid[0] * self.grid[1], np.int64)
        places = np.nonzero(self.index.reshape(-1) >= 0)[0]
        slots[self.index.reshape(-1)[places]] = places
        return slots

    def tokens(self, window: int) -> NDArray[np.int64]:
        """The tokens of a window in the order of its slots, padding left out."""
        index: NDArray[np.int64] = self.index[window]
        return np.extract(index >= 0, index)

    def masked(self, window: int) -> NDArray[np.bool_]:
        """slots×slots: True where the mask stops two slots from attending to each other. Swin does not mask padding."""
        regions = self.regions[window]
        mask: NDArray[np.bool_] = regions[:, None] != regions[None, :]
        return mask

    def picture(self, shifted: bool = True) -> NDArray[np.int64]:
        """The token in each cell, −1 for padding, before the shift or as the windows cut it.

        Before the shift: rows×cols of the grid, padded already where the model pads first. Shifted: rows×cols of `padded`.
        """
        if shifted:
            (down, across), (height, width) = self.across, self.size
            cells = self.index.reshape(down, across, height, width).transpose(0, 2, 1, 3)
            picture: NDArray[np.int64] = cells.reshape(down * height, across * width)
            return picture
        tokens = np.arange(self.grid[0] * self.grid[1], dtype=np.int64).reshape(self.grid)
        return _pad(tokens, self.size) if self.pad_first else tokens

    def box(self, window: int) -> Box:
        """Where a window lies on the shifted grid."""
        row, col = divmod(window, self.across[1])
        (height, width) = self.size
        return Box(row * height, col * width, (row + 1) * height, (col + 1) * width)

    def parts(self, window: int) -> list[Part]:
        """The parts of a window that are contiguous on the photo: one part where nothing wraps round or is masked.

        Parts cover each of the window's tokens once; padding is in none.
        """
        (height, width), cols = self.size, self.grid[1]
        tokens = self.index[window].reshape(height, width)
        regions = self.regions[window].reshape(height, width)
        # Rolling, padding and regions all act on rows and columns separately, so one row and one column are enough.
        downs, rights = tokens.max(1), tokens.max(0)
        row_runs = _runs(np.where(downs < 0, -1, downs // cols), regions[:, 0])
        col_runs = _runs(np.where(rights < 0, -1, rights % cols), regions[0])
        found = []
        for (top, bottom), (left, right) in product(row_runs, col_runs):
            row, col = divmod(int(tokens[top, left]), cols)
            found.append(
                Part(
                    Box(row, col, row + bottom - top, col + right - left),
                    Box(top, left, bottom, right),
                    int(regions[top, left]),
                )
            )
        return found

    def pieces(self, progress: float = 1.0) -> list[Piece]:
        """The cyclic shift in progress, from 0 (as in the photo) to 1 (shifted): the grid in up to four pieces.

        What leaves at the top and left re-enters at the bottom and right. Sources and targets each cover the whole grid
        once, in cells, in fractions of cells in between. Padding that the model adds first moves with the rest.
        """
        rows, cols = self.padded if self.pad_first else self.grid
        bands = []
        for length, shift in zip((rows, cols), self.shift, strict=True):
            moved = shift * min(max(progress, 0.0), 1.0)
            stay, leave = (moved, float(length), -moved, False), (0.0, moved, length - moved, True)
            bands.append([band for band in (stay, leave) if band[1] > band[0]])
        return [
            Piece(Box(y0, x0, y1, x1), Box(y0 + dy, x0 + dx, y1 + dy, x1 + dx), (over, aside))
            for (y0, y1, dy, over), (x0, x1, dx, aside) in product(*bands)
        ]


def cut(grid: tuple[int, int], size: tuple[int, int], shift: tuple[int, int], *, pad_first: bool) -> Windows:
    """Cut a rows×cols grid into windows by applying the model's own steps, in their order, to a grid of token indices.

    timm rolls the grid and then pads it to whole windows; torchvision and Hugging Face pad first (`pad_first`). Padding
    goes below and to the right. The regions are those of the mask all three build on the padded grid.
    """
    tokens = np.arange(grid[0] * grid[1], dtype=np.int64).reshape(grid)
    back = (-shift[0], -shift[1])
    placed = (
        np.roll(_pad(tokens, size), back, (0, 1)) if pad_first else _pad(np.roll(tokens, back, (0, 1)), size)
    )
    regions = _regions(placed.shape, size, shift) if any(shift) else np.zeros_like(placed)
    return Windows(size, shift, _partition(placed, size), _partition(regions, size), grid, pad_first)


def _pad(tokens: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.int64]:
    padding = [(0, -length % window) for length, window in zip(tokens.shape, size, strict=True)]
    return np.pad(tokens, padding, constant_values=-1)


def _runs(places: NDArray[np.int64], regions: NDArray[np.int64]) -> list[tuple[int, int]]:
    """First and end of each run of consecutive places in one region; −1, padding, is in none."""
    breaks = np.nonzero((np.diff(places) != 1) | (np.diff(regions) != 0) | (places[:-1] < 0))[0] + 1
    edges = [0, *breaks.tolist(), len(places)]
    return [(first, end) for first, end in pairwise(edges) if places[first] >= 0]


def _regions(shape: tuple[int, ...], size: tuple[int, int], shift: tuple[int, int]) -> NDArray[np.int64]:
    regions = np.zeros(shape, dtype=np.int64)
    bands = [
        (slice(0, -window), slice(-window, -moved), slice(-moved, None))
        for window, moved in zip(size, shift, strict=True)
    ]
    for number, (rows, cols) in enumerate(product(*bands)):
        regions[rows, cols] = number
    return regions


def _partition(picture: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.int64]:
    rows, cols = picture.shape[0] // size[0], picture.shape[1] // size[1]
    cells = picture.reshape(rows, size[0], cols, size[1]).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(cells.reshape(rows * cols, size[0] * size[1]))
