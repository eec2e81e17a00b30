"""A pool of drawn training scenes on disk, so that drawing does not hold up training."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitviz.demo.description import TRAINING_SEEDS, VALIDATION_SEEDS
from vitviz.demo.scenes import scene
from vitviz.demo.shapes import CLASSES

SIDE = 96
CELLS = 24
"""Masks are kept as coverage of CELLS × CELLS cells: fine enough for grids of 8, 12 and 24 patches."""

CHUNK = 2000
VALIDATION = 600


@dataclass(frozen=True, eq=False)
class Pool:
    """Scenes drawn beforehand.

    ``pictures`` uint8 (n, 96, 96, 3); ``kinds`` int64 (n, 2), class of each object, -1 for none; ``cover`` uint8
    (n, 2, 24, 24), how much of each cell the object covers that can be seen, 0..255.
    """

    pictures: NDArray[np.uint8]
    kinds: NDArray[np.int64]
    cover: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pictures)


def training_pool(folder: Path, scenes: int, processes: int) -> Pool:
    """Return a pool of at least ``scenes`` training scenes; what is missing in the folder is drawn, in chunks of 2000."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"scenes-{n:03d}.npz" for n in range(-(-scenes // CHUNK))]
    missing = [n for n, path in enumerate(paths) if not path.exists()]
    if missing:
        print(f"drawing {len(missing) * CHUNK} scenes into {folder}", flush=True)
        with ProcessPoolExecutor(processes) as pool:
            jobs = [pool.submit(_draw_chunk, TRAINING_SEEDS[n * CHUNK], CHUNK, paths[n]) for n in missing]
            for done, job in enumerate(as_completed(jobs), 1):
                job.result()
                print(f"  {done * CHUNK} drawn", flush=True)
    return _join([_read(path) for path in paths])


def validation_pool(folder: Path) -> Pool:
    """Return the validation pool: 600 scenes of the validation range."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "validation.npz"
    if not path.exists():
        _draw_chunk(VALIDATION_SEEDS[0], VALIDATION, path)
    return _read(path)


def _draw_chunk(first: int, count: int, path: Path) -> None:
    pictures = np.zeros((count, SIDE, SIDE, 3), np.uint8)
    kinds = np.full((count, 2), -1, np.int64)
    cover = np.zeros((count, 2, CELLS, CELLS), np.uint8)
    size = SIDE // CELLS
    for i in range(count):
        drawn = scene(first + i, SIDE)
        pictures[i] = drawn.picture
        for j, (kind, mask) in enumerate(zip(drawn.kinds, drawn.masks, strict=True)):
            kinds[i, j] = CLASSES.index(kind)
            cover[i, j] = mask.reshape(CELLS, size, CELLS, size).mean(axis=(1, 3)).round()
    part = path.with_name(f"{path.stem}.{os.getpid()}.part.npz")
    np.savez(part, pictures=pictures, kinds=kinds, cover=cover)
    part.replace(path)


def _read(path: Path) -> Pool:
    with np.load(path) as file:
        return Pool(file["pictures"], file["kinds"], file["cover"])


def _join(pools: list[Pool]) -> Pool:
    return Pool(
        np.concatenate([p.pictures for p in pools]),
        np.concatenate([p.kinds for p in pools]),
        np.concatenate([p.cover for p in pools]),
    )
