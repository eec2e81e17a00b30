"""Coded pictures: each patch is changed in its own set of pictures, so that what changes in a model names the patch.

A picture asks one bit of each cell's number: the cells whose bit is 1 have other content. What differs from the unchanged
picture tells where the bit is 1; what differs from the picture that is changed everywhere tells where it is 0. A token of
several cells differs from both in some bit, so it is never taken for one cell. The coarsest grid's cells are numbered; each
finer grid adds the row and the column in a 2×2 block. A token that was merged from a block differs from both in these.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitviz.images.framing import PatchGrid

Bits = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Code:
    """Which pictures change which cell."""

    grid: PatchGrid
    """The finest grid."""
    levels: int
    """How many times 2×2 cells are merged."""
    words: Bits
    """bits×rows×cols, two for each picture: where it changes the cell, and where it does not. The last two pictures for each
    level, finest first, tell the quarters of a merged block.
    """

    @property
    def bits(self) -> int:
        """How many bits a word has."""
        return len(self.words)

    @property
    def pictures(self) -> int:
        """How many pictures there are beside the unchanged one and the one that is changed everywhere."""
        return len(self.words) // 2

    @property
    def tells(self) -> tuple[int, ...]:
        """Per picture the coarsest grid whose cells it tells apart by more than their being touched."""
        fine = [level for level in range(self.levels) for _ in range(2)]
        return (*[self.levels] * (self.pictures - len(fine)), *fine)

    def size(self, level: int) -> tuple[int, int]:
        """Rows and columns of the grid after `level` merges; an odd edge makes a block of its own."""
        rows, cols = self.grid.rows, self.grid.cols
        return -(-rows >> level), -(-cols >> level)

    def merged(self, level: int) -> Bits:
        """(rows·cols)×bits: the word of a token that depends on all cells of its 2^level × 2^level block."""
        rows, cols = self.size(level)
        side = 1 << level
        padding = ((0, 0), (0, rows * side - self.grid.rows), (0, cols * side - self.grid.cols))
        blocks = np.pad(self.words, padding).reshape(len(self.words), rows, side, cols, side).any((2, 4))
        return np.ascontiguousarray(blocks.reshape(len(self.words), rows * cols).T)


def code_for(grid: PatchGrid, levels: int = 0) -> Code:
    """The code of a grid whose cells are merged `levels` times."""
    rows, cols = (-(-length >> levels) for length in (grid.rows, grid.cols))
    row, col = np.indices((grid.rows, grid.cols))
    number = (row >> levels) * cols + (col >> levels)
    asked = [number >> place for place in range(max(1, (rows * cols - 1).bit_length()))]
    asked += [places >> level for level in range(levels) for places in (row, col)]
    return Code(grid, levels, np.array([each & 1 == bit for each in asked for bit in (1, 0)], bool))


def unchanged(size: tuple[int, int], channels: int = 3) -> Tensor:
    """The picture that the others are compared with, 1×channels×height×width: noise, always the same."""
    generator = torch.Generator().manual_seed(20)
    return torch.randn(1, channels, *size, generator=generator)


def rearranged(picture: Tensor, grid: PatchGrid) -> Tensor:
    """The picture with the pixels of each cell in another order.

    So the whole picture's mean and variance stay as they are: a model that standardises the picture sees no other change.
    """
    generator = np.random.default_rng(20)
    rows, cols = (_within_cells(grid, axis, picture.shape[2 + axis], generator) for axis in (0, 1))
    return picture[:, :, rows][:, :, :, cols]


def _within_cells(grid: PatchGrid, axis: int, length: int, generator: np.random.Generator) -> Tensor:
    """For each row (axis 0) or column of pixels the one whose content it gets, in the same cell."""
    cells = grid.indices(axis, np.arange(length) + 0.5)
    order = np.arange(length)
    for cell in np.unique(cells[cells >= 0]):
        own = np.nonzero(cells == cell)[0]
        order[own] = np.roll(generator.permutation(own), 1) if len(own) > 2 else own[::-1]
    return torch.from_numpy(order)


def coded(cells: Bits, code: Code, size: tuple[int, int], base: Tensor, other: Tensor) -> Tensor:
    """`other` in the rows×cols cells that are True, `base` elsewhere."""
    patch = torch.from_numpy(code.grid.of_pixels(size))
    changes = torch.from_numpy(np.append(cells.reshape(-1), False))  # the last for pixels in no cell
    return torch.where(changes[patch].to(base.device), other, base)
