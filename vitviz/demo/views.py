"""From drawn scenes to training batches: turned, mirrored, recoloured, and cut to a window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vitviz.demo.architectures import MEAN, STD
from vitviz.demo.pool import CELLS, SIDE, Pool
from vitviz.demo.shapes import CLASSES

PATCH = 8
_PER_PATCH = PATCH * CELLS // SIDE
_ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]


@dataclass(frozen=True, eq=False)
class Batch:
    """``pictures`` float32 (B, 3, h, w); ``corner`` int64 (B, 2), the window's first patch; ``weights`` float32
    (B, classes), summing to 1; ``dense`` float32 (B, rows, cols, classes + 1), summing to 1."""

    pictures: torch.Tensor
    corner: torch.Tensor
    weights: torch.Tensor
    dense: torch.Tensor


def normalised(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """Return float32 (B, 3, H, W), as the models take them, from uint8 (B, H, W, 3)."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float().contiguous().div_(255)
    return x.sub_(torch.tensor(MEAN)[:, None, None]).div_(torch.tensor(STD)[:, None, None])


def whole(pool: Pool, rows: NDArray[np.int64], grid: int) -> Batch:
    """Return scenes as they are, with a dense target of ``grid`` × ``grid``."""
    kinds, cover = pool.kinds[rows], pool.cover[rows]
    corner = np.zeros((len(rows), 2), np.int64)
    return _batch(
        pool.pictures[rows], corner, _weights(kinds, np.ones(kinds.shape, np.float32)), kinds, cover, grid
    )


def varied(pool: Pool, size: int, rng: np.random.Generator, patches: int | None, grid: int) -> Batch:
    """Return ``size`` random scenes, each turned, mirrored and with its colour channels swapped at random.

    ``patches``: the side, in patches, of a window cut around one of the objects; None for the whole picture.
    ``grid``: the side of the dense target where the picture is whole; a window's has one cell per patch.
    """
    rows = rng.integers(len(pool), size=size)
    kinds, pictures, cover = pool.kinds[rows], pool.pictures[rows], pool.cover[rows]
    shares = np.ones(kinds.shape)
    corner = np.zeros((size, 2), np.int64)
    if patches is not None:
        grid, side, cells = patches, patches * PATCH, patches * _PER_PATCH
        corner = np.stack([_corner(kinds[i], cover[i], patches, rng) for i in range(size)])
        total = cover.sum(axis=(2, 3), dtype=np.int64)
        pictures = np.stack(
            [p[y : y + side, x : x + side] for p, (y, x) in zip(pictures, corner * PATCH, strict=True)]
        )
        starts = corner * _PER_PATCH
        cover = np.stack(
            [c[:, y : y + cells, x : x + cells] for c, (y, x) in zip(cover, starts, strict=True)]
        )
        seen = cover.sum(axis=(2, 3), dtype=np.int64) / np.maximum(total, 1)
        # An object of which the window shows less than a quarter is no target; from three quarters it counts in full.
        shares = np.clip((seen - 0.25) * 2, 0.001, 1)
    pictures, cover = _turn(pictures, cover, rng)
    batch = _batch(pictures, corner, _weights(kinds, shares), kinds, cover, grid)
    orders = rng.integers(6, size=size)
    for n in range(1, 6):
        chosen = torch.from_numpy(orders == n)
        batch.pictures[chosen] = batch.pictures[chosen][:, _ORDERS[n]]
    return batch


def _turn(
    pictures: NDArray[np.uint8], cover: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Turn and mirror each picture at random, in place; a window stays where it is, as scenes have no preferred way up."""
    ways = rng.integers(8, size=len(pictures))
    for way in range(1, 8):
        chosen = ways == way
        turned, moved = np.rot90(pictures[chosen], way % 4, (1, 2)), np.rot90(cover[chosen], way % 4, (2, 3))
        pictures[chosen], cover[chosen] = (
            (turned[:, ::-1], moved[:, :, ::-1]) if way >= 4 else (turned, moved)
        )
    return pictures, cover


def _corner(
    kinds: NDArray[np.int64], cover: NDArray[np.uint8], patches: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the first patch (row, column) of a window that holds one of the objects, as far as it fits."""
    thing = int(rng.integers(1 + (kinds[1] >= 0)))
    last = SIDE // PATCH - patches
    corner = []
    for axis in (1, 0):
        (filled,) = np.nonzero(cover[thing].any(axis=axis))
        first, end = filled[0] // _PER_PATCH, filled[-1] // _PER_PATCH + 1
        low, high = sorted((int(np.clip(end - patches, 0, last)), int(np.clip(first, 0, last))))
        corner.append(rng.integers(low, high + 1))
    return np.array(corner)


def _weights(kinds: NDArray[np.int64], shares: NDArray[np.floating]) -> NDArray[np.float32]:
    weights = np.zeros((len(kinds), len(CLASSES) + 1), np.float32)
    for j in range(kinds.shape[1]):
        # Class -1 (no object) lands in the last column, which is dropped.
        weights[np.arange(len(kinds)), kinds[:, j]] += shares[:, j]
    shared: NDArray[np.float32] = weights[:, :-1] / weights[:, :-1].sum(axis=1, keepdims=True)
    return shared


def _batch(
    pictures: NDArray[np.uint8],
    corner: NDArray[np.int64],
    weights: NDArray[np.float32],
    kinds: NDArray[np.int64],
    cover: NDArray[np.uint8],
    grid: int,
) -> Batch:
    size, things, cells, _ = cover.shape
    blocks = cover.reshape(size, things, grid, cells // grid, grid, cells // grid).mean(axis=(3, 5)) / 255
    dense = np.zeros((size, grid, grid, len(CLASSES) + 1), np.float32)
    for j in range(things):
        dense[np.arange(size), :, :, kinds[:, j]] += blocks[:, j]
    dense[..., -1] = np.clip(1 - dense[..., :-1].sum(axis=-1), 0, 1)
    return Batch(
        normalised(pictures), torch.from_numpy(corner), torch.from_numpy(weights), torch.from_numpy(dense)
    )
