"""Models nobody described: a hand-written ViT or Swin, say. Where its tokens lie is read off the model.

Coded pictures (see `self_check.place`) name the patch of each query and key of each operation, in windows and merged stages
too. Tokens, windows and heads that lie in another order are brought into the order of layouts. What cannot be read so is
refused with the reason.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import log2
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from vitviz.attention.answers import answer_of
from vitviz.attention.arrangement import Arrangement, arranged
from vitviz.attention.families.base import Anatomy, PositionEmbedding, Readout, table
from vitviz.attention.families.prefix_names import prefix_names
from vitviz.attention.layer import Layer
from vitviz.attention.layout import Layout, Merge
from vitviz.attention.recording.operations import Operation
from vitviz.attention.self_check.follow import Followed, follow
from vitviz.attention.self_check.order import check_order, dependence, in_steps, is_chain, streams
from vitviz.attention.self_check.outputs import mask_agrees
from vitviz.attention.self_check.pictures import code_for, unchanged
from vitviz.attention.self_check.place import NOWHERE, SEVERAL, Reading
from vitviz.attention.self_check.reader import BATCH, read
from vitviz.attention.self_check.silence import TROUBLE
from vitviz.attention.windows import Windows, cut
from vitviz.errors import RefusedError
from vitviz.images.framing import PatchGrid
from vitviz.models.model import Model

TRIED = 4
"""How many grids of patches are tried against the first operation."""

PADDED, EXTRA = 1.6, 16
"""How many times as many tokens as patches the first operation may have (whole windows), or how many more (prefixes)."""

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Probed:
    """What was read of one operation."""

    name: str
    shape: tuple[int, int, int, int]
    layout: Layout
    arrangement: Arrangement
    queries: tuple[int, ...] | None
    pooling: bool
    step: int

    def layer(self, operation: Operation) -> Layer:
        """The layer of an operation of the same name and shape."""
        return Layer(
            operation.module,
            self.layout,
            (arranged(operation, self.arrangement),),
            queries=self.queries,
            pooling=self.pooling,
            step=self.step,
            arrangement=None if self.arrangement.is_plain else self.arrangement,
        )


def matches(module: Any) -> bool:
    """Whether to try: any module, as the last resort."""
    return True


def anatomy(model: Model, operations: list[Operation]) -> Anatomy:
    """Read the layouts off the model, once; what the head reads is found with the proof."""
    known: tuple[Probed, ...] = model.kept.get("probed", ())
    if [(each.name, each.shape) for each in known] != [(each.module, each.shape) for each in operations]:
        try:
            try:
                known = model.kept["probed"] = _probed(model, operations, BATCH)
            except RefusedError:  # a module may have several pictures in an order of its own
                known = model.kept["probed"] = _probed(model, operations, 1)
        except TROUBLE as error:
            raise RefusedError(
                f"{type(model.module).__name__} cannot be shown: it could not be run with its attention silenced, by which "
                "vitviz finds where its tokens lie.",
                f"{type(error).__name__}: {error}",
            ) from error
    layers = tuple(each.layer(operation) for each, operation in zip(known, operations, strict=True))
    prefix = layers[-1].layout.prefix
    readout = Readout("class", prefix[:1]) if prefix else Readout("mean")
    return Anatomy(layers, readout, _position(model.module, known[0]), reading=model.kept["reading"])


def _probed(model: Model, operations: list[Operation], batch: int) -> tuple[Probed, ...]:
    name = type(model.module).__name__
    _require_tokens(name, operations)
    reading = model.kept["reading"] = _read(model, operations, name, batch)
    inputs = unchanged(model.input_size).to(model.device, model.dtype)
    followed = follow(model.module, inputs, len(operations), answer_of)
    steps = _steps(followed, operations)
    found: list[Probed] = []
    for number, operation in enumerate(operations):
        found.append(_one(number, operation, reading, followed, found, steps[number], name))
    if reading.mixed:
        raise RefusedError(
            f"{name} cannot be shown: behind {operations[-1].module} its tokens exchange something that vitviz does not "
            f"see (in {reading.mixed}): attention or mixing that is not recorded."
        )
    return _named(model.module, inputs, found)


def _named(module: nn.Module, inputs: Tensor, found: list[Probed]) -> tuple[Probed, ...]:
    """The same with prefix tokens called after what they are made of, where all layers have as many."""
    count = len(found[0].layout.prefix)
    if any(len(each.layout.prefix) != count for each in found):
        return tuple(found)
    names = prefix_names(module, inputs, found[0].arrangement.keys[0, :count].tolist())
    return tuple(replace(each, layout=replace(each.layout, prefix=names)) for each in found)


def _position(module: nn.Module, first: Probed) -> PositionEmbedding:
    """The one parameter or buffer that is called a position and has a row for each token."""
    grid = (first.layout.patches.rows, first.layout.patches.cols)
    tables = [
        tensor
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
        if "pos" in name.rpartition(".")[2].lower() + name.rpartition(".")[0].rpartition(".")[2].lower()
        and tensor.is_floating_point()
        and tensor.shape[:-1].numel() in (first.layout.tokens, grid[0] * grid[1])
        and tensor.shape[-2:-1].numel() == tensor.shape[:-1].numel()
    ]
    if len(tables) != 1 or not first.arrangement.is_plain or first.layout.windows is not None:
        return PositionEmbedding(())
    return table(None, tables[0], grid, grid)


def _require_tokens(name: str, operations: list[Operation]) -> None:
    for operation in operations:
        groups, _, queries, keys = operation.shape
        if queries == keys == 1 and groups > 1:
            raise RefusedError(
                f"{name} cannot be shown: {operation.module} attends over the batch, not over the tokens of a photo "
                "(nn.TransformerEncoder without batch_first=True?). Set batch_first=True, or put tokens first and the batch "
                "second."
            )


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


def _read(model: Model, operations: list[Operation], name: str, batch: int) -> Reading:
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


def _one(
    number: int,
    operation: Operation,
    reading: Reading,
    followed: Followed,
    before: list[Probed],
    step: int,
    name: str,
) -> Probed:
    """Layout and arrangement of one operation."""
    found = reading.operations[number]
    keys, values = reading.places(found.key), reading.places(found.value)
    where = operation.module
    if (keys[..., 1] == NOWHERE).all():
        raise RefusedError(
            f"{name} cannot be shown: nothing of the photo reaches {where} but through attention."
        )
    if (keys[..., 1] == SEVERAL).any():
        if before and followed.depends(number, range(number)).any():
            why = f"between {before[-1].name} and {where} its tokens exchange something that vitviz does not see"
            if found.key.all(-1).mean() > 0.5:
                why += f", or {where} attends over channels"
        else:
            down, across = reading.code.size(0)
            why = (
                f"tokens of {where} hold parts of several of the {down}×{across} patches, so vitviz cannot say which key is "
                "which patch"
            )
        raise RefusedError(f"{name} cannot be shown: {why}.")
    if keys.shape != values.shape or (keys != values).any():
        raise RefusedError(f"{name} cannot be shown: keys and values of {where} come from different patches.")
    groups = _folded(found.key, operation.shape)
    first = groups[:, 0]
    level, blocks = _level(keys[first], where, name), keys[first][..., 1]
    patches = _grid(reading, level)
    merge = None
    if before and before[-1].layout.patches != patches:
        if before[-1].layout.patches != _grid(reading, level - 1):
            raise RefusedError(
                f"{name} cannot be shown: {where} does not attend on the grid that follows the one before."
            )
        merge = Merge()
    layout, order = _laid(blocks, patches, merge, where, name)
    if layout.windows is not None:  # windows may come in any order
        groups, order = groups[order[0]], order[1]
        first = groups[:, 0]
    queries, pooling, rows = _queries(number, reading, followed, layout, first, order, before, name, where)
    arrangement = Arrangement(groups, rows, order)
    probed = Probed(where, operation.shape, layout, arrangement, queries, pooling, step)
    if layout.windows is not None and not mask_agrees(probed.layer(operation)):
        # Windows that are shifted and not masked: all their tokens see each other.
        windows = layout.windows
        open_ = Windows(
            windows.size,
            windows.shift,
            windows.index,
            np.zeros_like(windows.regions),
            windows.grid,
            windows.pad_first,
        )
        layout = Layout(layout.patches, layout.prefix, open_, layout.merge)
        probed = Probed(where, operation.shape, layout, arrangement, queries, pooling, step)
    return probed


def _folded(patterns: NDArray[np.bool_], shape: tuple[int, int, int, int]) -> Indices:
    """windows×heads: the groups that hold the same tokens are heads that were folded into the batch."""
    alike: dict[bytes, list[int]] = defaultdict(list)
    for group, pattern in enumerate(patterns):
        alike[pattern.tobytes()].append(group)
    sizes = {len(each) for each in alike.values()}
    if shape[1] == 1 and len(sizes) == 1:
        return np.array(list(alike.values()), np.int64)
    return np.arange(len(patterns), dtype=np.int64)[:, None]


def _level(places: Indices, where: str, name: str) -> int:
    levels = np.unique(places[..., 0][places[..., 1] >= 0])
    if len(levels) != 1:
        raise RefusedError(f"{name} cannot be shown: tokens of {where} are patches of different sizes.")
    return int(levels[0])


def _grid(reading: Reading, level: int) -> PatchGrid:
    grid, (rows, cols) = reading.code.grid, reading.code.size(max(level, 0))
    side = 2.0**level
    return PatchGrid(rows, cols, (grid.cell[0] * side, grid.cell[1] * side), grid.origin)


def _laid(
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
            "them more than once, so vitviz cannot lay it on the photo."
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


def _queries(
    number: int,
    reading: Reading,
    followed: Followed,
    layout: Layout,
    first: Indices,
    order: Indices,
    before: list[Probed],
    name: str,
    where: str,
) -> tuple[tuple[int, ...] | None, bool, Indices]:
    """The tokens that attend (None: all), whether a learned query attends instead, and the order of the queries."""
    found = reading.operations[number]
    if found.query.shape == found.key.shape:
        places = reading.places(found.query)
        if (places == reading.places(found.key)).all():
            return None, False, order
        raise RefusedError(
            f"{name} cannot be shown: queries and keys of {where} come from different patches."
        )
    count = found.query.shape[1]
    own = np.arange(count)[None]
    if layout.windows is not None or reading.places(found.query)[..., 1].max() != NOWHERE:
        raise RefusedError(
            f"{name} cannot be shown: {where} has {count} queries for {found.key.shape[1]} keys, which are neither the "
            "tokens nor the queries of a pool."
        )
    tokens = followed.query_tokens(number)
    if not tokens:
        return None, True, own
    if len(tokens) == 1 == count and before:
        inverse = before[-1].arrangement.queries[0]
        return (int(np.nonzero(inverse == tokens[0])[0][0]),), False, own
    raise RefusedError(f"{name} cannot be shown: {where} has queries made of {len(tokens)} tokens.")


def _steps(followed: Followed, operations: list[Operation]) -> list[int]:
    """The step of each operation: one after the other, or side by side where they do not read each other."""
    names = [operation.module for operation in operations]
    alone = list(range(len(operations)))
    if not check_order(followed, in_steps(alone), names).fails:
        return alone
    found = streams(dependence(followed))
    steps = list(found.steps)
    together = in_steps(steps)
    if len(set(found.streams)) > 1 or not is_chain(together) or check_order(followed, together, names).fails:
        return alone
    return steps
