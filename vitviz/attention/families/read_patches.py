"""The patch grid of a model that no family describes: candidates are compared with the tokens of its first operation."""

from itertools import product
from math import log2
from typing import NamedTuple

import numpy as np
from torch import nn

from vitviz.attention.recording.operations import Operation
from vitviz.attention.self_check.pictures import code_for
from vitviz.attention.self_check.place import SEVERAL, Reading
from vitviz.attention.self_check.reader import read
from vitviz.errors import RefusedError
from vitviz.images.framing import PatchGrid
from vitviz.models.model import Model

TRIED = 4
"""How many grids of patches are tried against the first operation."""

PADDED, EXTRA = 1.6, 16
"""How many times as many tokens as patches the first operation may have (whole windows), or how many more (prefixes)."""


class _Candidate(NamedTuple):
    """A grid of patches that an operation's tokens may be, those that are most likely first when sorted."""

    rank: int
    """0 for square cells that divide the input, 1 for square cells, 2 for other cells that divide it."""
    left: int
    """How many tokens are no patch."""
    heads: int
    """How many heads are folded into the groups."""
    rows: int
    cols: int
    cell: tuple[int, int]

    @property
    def grid(self) -> PatchGrid:
        return PatchGrid(self.rows, self.cols, (float(self.cell[0]), float(self.cell[1])))


def _candidates(size: tuple[int, int], shape: tuple[int, int, int, int]) -> list[_Candidate]:
    height, width = size
    groups, _, queries, keys = shape
    found = []
    for down, across in product(range(1, height + 1), range(1, width + 1)):
        rows, cols = height // down, width // across
        exact = height % down == 0 and width % across == 0
        if not exact and down != across:
            continue
        for heads in (number for number in range(1, groups + 1) if groups % number == 0):
            tokens = groups // heads * max(queries, keys)
            if rows * cols <= tokens <= max(PADDED * rows * cols, rows * cols + EXTRA):
                rank = 2 if down != across else 0 if exact else 1
                found.append(_Candidate(rank, tokens - rows * cols, heads, rows, cols, (down, across)))
    return sorted(found)


def read_patches(model: Model, operations: list[Operation], name: str, batch: int) -> Reading:
    """The reading with the first grid that the first operation's tokens turn out to be."""
    module, size = model.module, model.input_size
    tried: list[Reading] = []
    for candidate in _candidates(size, operations[0].shape)[:TRIED]:
        first = read(
            module, code_for(candidate.grid), size, 1, [1] * code_for(candidate.grid).pictures, batch=1
        )
        if not _fits(first):
            tried.append(first)
            continue
        levels = _levels(operations, candidate)
        code, count = code_for(candidate.grid, levels), len(operations)
        return read(module, code, size, count, batch=batch)
    groups, _, _, keys = operations[0].shape
    raise RefusedError(
        f"{name} cannot be shown: {operations[0].module} attends over {keys} keys in {groups} group(s), and its tokens are "
        f"not one grid of separate patches: {_why_not(module, tried)}. So vitviz cannot say which token is which part of "
        "the photo."
    )


def _why_not(module: nn.Module, tried: list[Reading]) -> str:
    """What the first operation's tokens are instead of patches."""
    if not tried:
        return "no grid of patches has about so many"
    code = tried[0].code
    size = tuple(int(length * cell) for length, cell in zip(code.size(0), code.grid.cell, strict=True))
    again = read(module, code, (size[0], size[1]), 1, [1] * code.pictures, batch=1)
    key = tried[0].operations[0].key
    if again.operations[0].key.shape != key.shape or (again.operations[0].key != key).any():
        return "they are others each time the module is run"
    touched = key.any(-1)
    if not touched.any():
        return "nothing of the photo reaches them"
    if key[touched].all(-1).mean() > 0.5:
        return (
            "taken over all heads each holds something of the whole photo, as where attention runs over channels, or where "
            "heads and windows lie in an unusual order"
        )
    if tried[0].places(key)[..., 1].min() == SEVERAL:
        return "each holds several patches, as where patches overlap"
    return "they are some of the patches only, or some patches more than once"


def _levels(operations: list[Operation], candidate: _Candidate) -> int:
    """How many times patches may be merged 2×2 up to the operation with the fewest tokens."""
    patches = candidate.rows * candidate.cols
    least = patches
    for operation in operations:
        groups, _, queries, keys = operation.shape
        # How many heads are folded into later groups is not known: a group alone has the fewest tokens that there may be.
        tokens = max(queries, keys) * (groups if candidate.heads == 1 else 1)
        least = min(least, tokens) if tokens > 1 else least
    return min(round(log2(patches / least) / 2), int(log2(max(candidate.rows, candidate.cols))))


def _fits(first: Reading) -> bool:
    """Whether the keys of the first operation are every patch of the grid and tokens without a place."""
    blocks = first.places(first.operations[0].key)[..., 1]
    real = [group[group >= 0] for group in blocks]
    once = all(len(np.unique(group)) == len(group) for group in real)
    return (
        once
        and not (blocks == SEVERAL).any()
        and len(np.unique(np.concatenate(real))) == first.code.words[0].size
    )
