"""Coded pictures: each patch is changed in its own set of pictures, so that what changes in a model names the patch.

The coarsest grid's cells have words of constant weight: no word is the union of others, so that a token which depends on
several cells is never taken for one cell. Each finer grid adds four pictures: lower row, upper row, right and left column of
a 2×2 block. A token that was merged from a block changes in all four.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb

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
    """pictures×rows×cols: True where the picture changes the cell; four for each level at the end, finest first."""

    @property
    def pictures(self) -> int:
        """How many pictures there are beside the unchanged one."""
        return len(self.words)

    @property
    def tells(self) -> tuple[int, ...]:
        """Per picture the coarsest grid whose cells it tells apart by more than their being touched."""
        fine = [level for level in range(self.levels) for _ in range(4)]
        return (*[self.levels] * (self.pictures - len(fine)), *fine)

    def size(self, level: int) -> tuple[int, int]:
        """Rows and columns of the grid after `level` merges; an odd edge makes a block of its own."""
        rows, cols = self.grid.rows, self.grid.cols
        return -(-rows >> level), -(-cols >> level)

    def merged(self, level: int) -> Bits:
        """(rows·cols)×pictures: where a token changes that depends on all cells of its 2^level × 2^level block."""
        rows, cols = self.size(level)
        side = 1 << level
        padding = ((0, 0), (0, rows * side - self.grid.rows), (0, cols * side - self.grid.cols))
        blocks = np.pad(self.words, padding).reshape(len(self.words), rows, side, cols, side).any((2, 4))
        return np.ascontiguousarray(blocks.reshape(len(self.words), rows * cols).T)


def code_for(grid: PatchGrid, levels: int = 0) -> Code:
    """The code of a grid whose cells are merged `levels` times."""
    rows, cols = (-(-length >> levels) for length in (grid.rows, grid.cols))
    row, col = np.indices((grid.rows, grid.cols))
    coarse = constant_weight(rows * cols)[(row >> levels) * cols + (col >> levels)].transpose(2, 0, 1)
    fine = [
        bit == ((places >> level) & 1) for level in range(levels) for places in (row, col) for bit in (1, 0)
    ]
    return Code(grid, levels, np.concatenate([coarse, np.array(fine, bool).reshape(-1, *row.shape)]))


def constant_weight(count: int) -> Bits:
    """count×m words of which each has the same number of ones, m as small as can be (Sperner 1928)."""
    length = next(m for m in range(2, 64) if comb(m, m // 2) >= count)
    words = np.zeros((count, length), bool)
    for word, chosen in zip(words, combinations(range(length), length // 2), strict=False):
        word[list(chosen)] = True
    return words


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


def coded(code: Code, size: tuple[int, int], base: Tensor, other: Tensor, number: int) -> Tensor:
    """Picture `number` of a code: `other` in the cells that it changes, `base` elsewhere."""
    patch = torch.from_numpy(code.grid.of_pixels(size))
    word = torch.from_numpy(
        np.append(code.words[number].reshape(-1), False)
    )  # the last for pixels in no cell
    return torch.where(word[patch].to(base.device), other, base)
