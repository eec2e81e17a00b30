"""Swin's windows: which token sits in which slot of which window, after the cyclic shift and the padding."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray


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

    @property
    def padding(self) -> int:
        """How many slots hold no token."""
        return int((self.index < 0).sum())

    def slot(self, token: int) -> tuple[int, int]:
        """The (window, slot) where a token sits."""
        window, slot = np.nonzero(self.index == token)
        return int(window[0]), int(slot[0])


def cut(grid: tuple[int, int], size: tuple[int, int], shift: tuple[int, int], *, pad_first: bool) -> Windows:
    """Cut a rows×cols grid into windows, pushing an index picture through the order of the model's own steps.

    timm rolls the grid and then pads it to whole windows; torchvision and Hugging Face pad first (`pad_first`). Padding
    goes below and to the right. The regions are those of the mask all three build on the padded grid.
    """
    tokens = np.arange(grid[0] * grid[1], dtype=np.int64).reshape(grid)
    padding = [(0, -length % window) for length, window in zip(grid, size, strict=True)]
    back = (-shift[0], -shift[1])
    if pad_first:
        placed = np.roll(np.pad(tokens, padding, constant_values=-1), back, (0, 1))
    else:
        placed = np.pad(np.roll(tokens, back, (0, 1)), padding, constant_values=-1)
    regions = _regions(placed.shape, size, shift) if any(shift) else np.zeros_like(placed)
    return Windows(size, shift, _partition(placed, size), _partition(regions, size))


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
