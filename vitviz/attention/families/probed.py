"""Models that no family describes, such as a hand-written ViT or Swin. The layout of the tokens is read off the model.

Coded pictures (see `self_check.place`) name the patch of each query and key of each operation, in windows and merged stages
too. Tokens, windows and heads that lie in another order are brought into the order of layouts. What cannot be read so is
refused with the reason.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from vitviz.attention.answers import answer_of
from vitviz.attention.arrangement import Arrangement, arranged
from vitviz.attention.families.base import Anatomy, PositionEmbedding, table
from vitviz.attention.families.branches import joined_branches
from vitviz.attention.families.prefix_names import prefix_names
from vitviz.attention.families.read_layout import folded, grid_at, laid, level_of
from vitviz.attention.families.read_patches import read_patches
from vitviz.attention.layer import Layer
from vitviz.attention.layout import Layout, Merge
from vitviz.attention.readout import Readout
from vitviz.attention.recording.operations import Operation
from vitviz.attention.recording.recorder import said_by_module
from vitviz.attention.self_check.follow import Followed, follow
from vitviz.attention.self_check.order import check_order, dependence, in_steps, is_chain, streams
from vitviz.attention.self_check.outputs import mask_agrees
from vitviz.attention.self_check.pictures import Bits, unchanged
from vitviz.attention.self_check.place import NOWHERE, SEVERAL, Reading, without_queries
from vitviz.attention.self_check.repeat import differing
from vitviz.attention.windows import Windows
from vitviz.errors import RefusedError
from vitviz.models.model import Model

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
                known = model.kept["probed"] = _probed(model, operations)
            except RefusedError:
                random = differing(model.module, model.input_size, [each.module for each in operations])
                if random:
                    raise RefusedError(f"{type(model.module).__name__} cannot be shown: {random}") from None
                raise
        except Exception as error:
            said = said_by_module(error)
            raise RefusedError(
                f"{type(model.module).__name__} cannot be shown: it could not be run with its attention silenced, by which "
                f"vitviz finds where its tokens lie: {said}",
                f"{type(error).__name__}: {error}",
            ) from error
    layers = joined_branches(
        model.module,
        tuple(each.layer(operation) for each, operation in zip(known, operations, strict=True)),
    )
    prefix = layers[-1].layout.prefix
    readout = Readout("class", prefix[:1]) if prefix else Readout("mean")
    return Anatomy(layers, readout, _position(model.module, known[0]), reading=model.kept["reading"])


def _probed(model: Model, operations: list[Operation]) -> tuple[Probed, ...]:
    name = type(model.module).__name__
    _require_tokens(name, operations)
    reading = model.kept["reading"] = read_patches(model, operations, name)
    inputs = unchanged(model.input_size).to(model.device, model.dtype)
    followed = follow(model.module, inputs, len(operations), answer_of)
    steps = _steps(followed, operations)
    found: list[Probed] = []
    for number, operation in enumerate(operations):
        found.append(_one(number, operation, reading, followed, found, steps[number], name))
    if reading.mixed:
        raise RefusedError(
            f"{name} cannot be shown: behind {operations[-1].module} its tokens influence each other in a "
            f"way that vitviz does not record (in {reading.mixed}): attention or mixing that is not recorded."
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
    several = keys[..., 1] == SEVERAL
    if several.any():
        first_key = f"; {_first(several, keys.shape, 'key')} comes from several patches at once"
        if before and followed.depends(number, range(number)).any():
            why = (
                f"between {before[-1].name} and {where} its tokens influence each other in a way that vitviz does not "
                "record"
            )
            if found.key.all(-1).mean() > 0.5:
                why += f", or {where} attends over channels"
        else:
            down, across = reading.code.size(0)
            why = (
                f"tokens of {where} hold parts of several of the {down}×{across} patches, so vitviz cannot say which key is "
                "which patch"
            )
        raise RefusedError(f"{name} cannot be shown: {why}{first_key}.")
    if keys.shape != values.shape or (keys != values).any():
        raise RefusedError(
            f"{name} cannot be shown: keys and values of {where} come from different patches"
            f"{_unlike(reading, found.key, found.value, 'value')}."
        )
    groups = folded(found.key, operation.shape)
    first = groups[:, 0]
    level, blocks = level_of(keys[first], where, name), keys[first][..., 1]
    patches = grid_at(reading, level)
    merge = None
    if before and before[-1].layout.patches != patches:
        if before[-1].layout.patches != grid_at(reading, level - 1):
            raise RefusedError(
                f"{name} cannot be shown: {where} does not attend on the grid that follows the one before."
            )
        merge = Merge()
    layout, order = laid(blocks, patches, merge, where, name)
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


def _first(wrong: NDArray[np.bool_], shape: tuple[int, ...], role: str) -> str:
    """The first of groups×tokens that is wrong, in words."""
    group, token = (int(part) for part in np.argwhere(wrong)[0])
    return f"{role} {token}" + (f" of group {group}" if shape[0] > 1 else "")


def _unlike(reading: Reading, key: Bits, other: Bits, role: str) -> str:
    """The first token whose key and whose query or value name different patches, as the end of a sentence."""
    if key.shape != other.shape:
        return ""
    wrong = (reading.places(key) != reading.places(other)).any(-1)
    group, token = (int(part) for part in np.argwhere(wrong)[0])
    return (
        f"; {_first(wrong, key.shape, role)} comes from {reading.name(other[group, token])}, its key from "
        f"{reading.name(key[group, token])}"
    )


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
        if not found.query.any():
            raise RefusedError(f"{name} cannot be shown: {without_queries(where)}.")
        raise RefusedError(
            f"{name} cannot be shown: queries and keys of {where} come from different patches"
            f"{_unlike(reading, found.key, found.query, 'query')}."
        )
    count = found.query.shape[1]
    own = np.arange(count)[None]
    if layout.windows is not None or reading.places(found.query)[..., 1].max() != NOWHERE:
        raise RefusedError(
            f"{name} cannot be shown: {where} has {count} queries for {found.key.shape[1]} keys, which are neither the "
            "tokens nor the queries of a pool."
        )
    tokens = followed.query_tokens(number)
    if not any(tokens):
        return None, True, own
    if all(len(each) == 1 for each in tokens) and len(set(tokens)) == count and before:
        inverse = before[-1].arrangement.queries[0]
        return tuple(int(np.nonzero(inverse == token)[0][0]) for (token,) in tokens), False, own
    mixed = len(set().union(*tokens))
    raise RefusedError(f"{name} cannot be shown: {where} has {count} queries made of {mixed} tokens.")


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
