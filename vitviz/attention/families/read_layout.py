"""Layouts from what was read of one operation: one grid with prefix tokens, or windows; heads folded into the batch."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitviz.attention.layout import Layout, Merge
from vitviz.attention.self_check.place import NOWHERE, Reading
from vitviz.attention.windows import cut
from vitviz.errors import RefusedError
from vitviz.images.framing import PatchGrid

Indices = NDArray[np.int64]


def folded(patterns: NDArray[np.bool_], shape: tuple[int, int, int, int]) -> Indices:
    """windows×heads: the groups that hold the same tokens are heads that were folded into the batch."""
    alike: dict[bytes, list[int]] = defaultdict(list)
    for group, pattern in enumerate(patterns):
        alike[pattern.tobytes()].append(group)
    sizes = {len(each) for each in alike.values()}
    if shape[1] == 1 and len(sizes) == 1:
        return np.array(list(alike.values()), np.int64)
    return np.arange(len(patterns), dtype=np.int64)[:, None]


def level_of(places: Indices, where: str, name: str) -> int:
    """How often the patches of all groups were merged. Raises RefusedError for patches of several sizes."""
    levels = np.unique(places[..., 0][places[..., 1] >= 0])
    if len(levels) != 1:
        raise RefusedError(f"{name} cannot be shown: tokens of {where} are patches of different sizes.")
    return int(levels[0])


def grid_at(reading: Reading, level: int) -> PatchGrid:
    """The grid of patches that were merged so often."""
    grid, (rows, cols) = reading.code.grid, reading.code.size(max(level, 0))
    side = 2.0**level
    return PatchGrid(rows, cols, (grid.cell[0] * side, grid.cell[1] * side), grid.origin)


def laid(
    blocks: Indices, patches: PatchGrid, merge: Merge | None, where: str, name: str
) -> tuple[Layout, Any]:
    """The layout of keys whose patches are `blocks` (groups×keys), and where it has each of its tokens.

    For one group: 1×keys; for windows a pair, the order of the windows and windows×slots.
    """
    count = patches.rows * patches.cols
    real = blocks[blocks >= 0]
    if len(real) != count or len(np.unique(real)) != count:
        raise RefusedError(
            f"{name} cannot be shown: {where} attends over {len(np.unique(real))} of the {count} patches, or over some of "
            f"them more than once ({_odd(real, patches)}), so vitviz cannot lay it on the photo."
        )
    if len(blocks) == 1:
        prefix = np.nonzero(blocks[0] == NOWHERE)[0]
        names = ("class",) if len(prefix) == 1 else tuple(f"prefix {i + 1}" for i in range(len(prefix)))
        place = np.empty(count, np.int64)
        place[real] = np.nonzero(blocks[0] >= 0)[0]
        return Layout(patches, names, merge=merge), np.concatenate([prefix, place])[None]
    for size, shift, pad_first in _cuts(blocks.shape, patches):
        windows = cut((patches.rows, patches.cols), size, shift, pad_first=pad_first)
        order = _match(windows.index, blocks)
        if order is not None:
            return Layout(patches, windows=windows, merge=merge), order
    raise RefusedError(
        f"{name} cannot be shown: the {len(blocks)} groups of {blocks.shape[1]} tokens in {where} are not windows of "
        f"{patches.rows}×{patches.cols} patches."
    )


def _odd(blocks: Indices, patches: PatchGrid) -> str:
    """The first patch that is not there once."""
    times = np.bincount(blocks, minlength=patches.rows * patches.cols)
    first = int(np.argmax(times != 1))
    row, col = divmod(first, patches.cols)
    return f"patch ({row}, {col}) {'is not among them' if not times[first] else f'is there {times[first]} times'}"


def _cuts(
    shape: tuple[int, ...], patches: PatchGrid
) -> Iterator[tuple[tuple[int, int], tuple[int, int], bool]]:
    groups, slots = shape
    for height in range(1, slots + 1):
        width, odd = divmod(slots, height)
        down, across = -(-patches.rows // height), -(-patches.cols // max(width, 1))
        if odd or down * across != groups:
            continue
        shifts = sorted(
            product(range(height), range(width)),
            key=lambda shift: (shift != (height // 2, width // 2), sum(shift)),
        )
        padded = patches.rows % height or patches.cols % width
        for shift, pad_first in product([(0, 0), *shifts], (False, True) if padded else (False,)):
            yield (height, width), shift, pad_first


def _match(index: Indices, blocks: Indices) -> tuple[Indices, Indices] | None:
    """Which group is each window, and where in it each slot's token is; None where the windows hold other tokens."""
    if index.shape != blocks.shape:
        return None
    known = {np.sort(group).tobytes(): number for number, group in enumerate(blocks)}
    groups = [known.get(np.sort(window).tobytes(), -1) for window in index]
    if -1 in groups or len(set(groups)) != len(groups):
        return None
    # A stable sort, so that padding keeps its order.
    slots = np.empty_like(index)
    for window, group in enumerate(groups):
        slots[window, np.argsort(index[window], kind="stable")] = np.argsort(blocks[group], kind="stable")
    return np.array(groups, np.int64), slots
