"""The patch grid of a model that no family describes: candidates are compared with the tokens of its first operation."""

from itertools import product
from math import log2
from typing import NamedTuple

import numpy as np

from vitviz.attention.recording.operations import Operation
from vitviz.attention.self_check.fields import Fields, first_fields
from vitviz.attention.self_check.pictures import code_for, unchanged
from vitviz.attention.self_check.place import SEVERAL, Reading
from vitviz.attention.self_check.reader import read
from vitviz.errors import RefusedError
from vitviz.images.framing import PatchGrid
from vitviz.models.model import Model

TRIED = 4
"""How many grids of patches are tried against the first operation."""

PADDED, EXTRA = 4.0, 16
"""How many times as many tokens as patches the first operation may have (whole windows), or how many more (prefixes)."""

WHOLE = 0.9
"""A field of this share of the photo counts as the whole."""

SPARE = 1.2
"""Tokens overlap if the areas that they depend on are together so many times the photo."""


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


def read_patches(model: Model, operations: list[Operation], name: str) -> Reading:
    """The reading with the first grid that the first operation's tokens turn out to be."""
    module, size = model.module, model.input_size
    fields = first_fields(module, unchanged(size).to(model.device, model.dtype))
    likely = [
        candidate
        for candidate in _candidates(size, operations[0].shape)
        if all(field.in_one_cell(candidate.grid) for field in fields.tokens)
    ]
    for candidate in likely[:TRIED]:
        first = read(module, code_for(candidate.grid), size, 1, [1] * code_for(candidate.grid).pictures)
        if _fits(first):
            levels = _levels(operations, candidate)
            code, count = code_for(candidate.grid, levels), len(operations)
            return read(module, code, size, count)
    raise RefusedError(f"{name} cannot be shown: {_why_not(operations[0], fields, size)}.")


def _why_not(operation: Operation, fields: Fields, size: tuple[int, int]) -> str:
    """What the first operation's tokens are instead of patches."""
    where, (groups, _, queries, keys) = operation.module or "the model", operation.shape
    if not fields.known:
        return f"no gradient leads from {where} to the photo, so vitviz cannot say which token is which part of it"
    if not fields.tokens:
        return f"nothing of the photo reaches the tokens of {where} that were looked at"
    (height, width), (rows, cols) = fields.widest(), size
    if (
        fields.channels
        and max(field.size[0] * field.size[1] for field in fields.channels) < WHOLE * height * width
    ):
        return f"{where} attends over channels, not over patches: each of its {keys} keys holds something of the whole photo"
    if height * width >= WHOLE * rows * cols:
        return (
            f"each of the {keys} keys of {where} depends on the whole photo (mixed before by convolutions, say, or the keys "
            "of linear attention), so none is one patch"
        )
    if queries > keys:
        return f"{where} attends from {queries} queries over {keys} keys, which are pooled and not the same tokens"
    tokens = groups * keys
    return (
        f"tokens of {where} overlap: it attends over {keys} keys in {groups} group(s), and a token depends on up to "
        f"{height}×{width} pixels of {rows}×{cols} (convolutions, or patches that overlap), so none is one patch"
        if height * width * tokens > SPARE * rows * cols
        else f"{where} attends over {keys} keys in {groups} group(s), which are not one grid of patches: some patches "
        "are missing, occur more than once or differ in size"
    )


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
