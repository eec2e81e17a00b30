"""Place: which patch of the photo each query, key and value of each attention operation came from, read off the model.

While each token attends to itself alone its content meets no other's. So in coded pictures (see `pictures`) a query, key or
value changes exactly where the patch changes that it came from. What is read is compared with the layout that a family
states, or is the layout where no family knows the model.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import log2
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from vitviz.attention.layer import Layer
from vitviz.attention.layout import Layout
from vitviz.attention.self_check.pictures import Bits, Code, code_for

TOLERANCES = {torch.float16: 5e-3, torch.bfloat16: 2e-2}
"""A change counts from this share of the operation's largest activation; float32: 1e-5."""

ROLES = ("query", "key", "value")

NOWHERE, SEVERAL = -1, -2


class Found(NamedTuple):
    """What an operation was given: groups×tokens×bits each: the words of the tokens."""

    query: Bits
    key: Bits
    value: Bits


@dataclass(frozen=True, eq=False)
class Tail:
    """A tensor behind the last operation that has an axis, or two, as long as there are tokens."""

    function: str
    tokens: dict[tuple[int, ...], Bits]
    """Such axes → tokens×bits, their words."""
    places: tuple[Bits, ...]
    """For each axis that features may lie along, places×bits: the words of all other axes' places."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What the coded pictures showed."""

    code: Code
    operations: tuple[Found, ...]
    tails: tuple["Tail | None", ...] = ()
    """What each function behind the last operation gave, in order; None where it did not give tokens."""
    mixed: str = ""
    """Behind the last operation: the function that gave tokens of several patches each, and the first; empty if none did."""

    @cached_property
    def _blocks(self) -> dict[bytes, tuple[int, int]]:
        """Word → (level, block of that level's grid); of equal patterns the finest."""
        found = {b"\0" * self.code.bits: (0, NOWHERE)}
        for level in range(self.code.levels + 1):
            for block, pattern in enumerate(self.code.merged(level)):
                found.setdefault(pattern.tobytes(), (level, block))
        return found

    def block(self, pattern: Bits) -> tuple[int, int]:
        """(level, block): the patch, or merged patches, that a pattern names; NOWHERE for none, SEVERAL for any others."""
        return self._blocks.get(pattern.tobytes(), (0, SEVERAL))

    def name(self, pattern: Bits) -> str:
        """What a pattern says, as a part of a sentence."""
        level, block = self.block(pattern)
        if block == SEVERAL:
            return "several patches at once"
        if block == NOWHERE:
            return "no part of the photo"
        row, col = divmod(block, self.code.size(level)[1])
        return f"patch ({row}, {col})" + (f" of the grid merged {level} times" if level else "")

    def separate(self, patterns: Bits) -> bool:
        """Whether each of …×bits patterns names one patch, one merged block or none."""
        distinct = {pattern.tobytes() for pattern in patterns.reshape(-1, self.code.bits)}
        return distinct <= self._blocks.keys()

    def places(self, patterns: Bits) -> NDArray[np.int64]:
        """…×bits → …×2: level and block of each."""
        flat = [self.block(pattern) for pattern in patterns.reshape(-1, self.code.bits)]
        return np.array(flat, np.int64).reshape(*patterns.shape[:-1], 2)


def levels_of(layouts: Iterable[Layout]) -> int | None:
    """How many times 2×2 patches are merged in these layouts; None where they are not such grids."""
    grids = [layout.patches for layout in layouts]
    finest = grids[0]
    levels = 0
    for grid in grids:
        ratios = [coarse / fine for coarse, fine in zip(grid.cell, finest.cell, strict=True)]
        if grid.origin != finest.origin or ratios[0] != ratios[1] or ratios[0] < 1 or log2(ratios[0]) % 1:
            return None
        level = int(log2(ratios[0]))
        if (grid.rows, grid.cols) != (-(-finest.rows >> level), -(-finest.cols >> level)):
            return None
        levels = max(levels, level)
    return levels


def code_of(layers: tuple[Layer, ...]) -> Code | None:
    """The code that tells the patches of these layers apart; None where their grids are not merged by 2×2."""
    levels = levels_of(layer.layout for layer in layers)
    return None if levels is None else code_for(layers[0].layout.patches, levels)


def level_of(layer: Layer, code: Code) -> int:
    """How often a layer's patches were merged."""
    return int(log2(layer.layout.patches.cell[0] / code.grid.cell[0]))


def expected(layer: Layer, code: Code) -> Found:
    """What the reading of a layer's operation must be if its layout is true."""
    level = level_of(layer, code)
    prefix = np.zeros((len(layer.layout.prefix), code.bits), bool)
    tokens = np.concatenate([prefix, code.merged(level)])
    windows = layer.layout.windows
    keys = tokens[None]
    if windows is not None:
        keys = np.where((windows.index >= 0)[..., None], tokens[windows.index.clip(0)], False)
    queries = keys
    if layer.pooling:
        queries = np.zeros((1, layer.operations[0].shape[2], code.bits), bool)
    elif layer.queries is not None:
        queries = keys[:, list(layer.queries)]
    return Found(queries, keys, keys)


def misplaced(layers: tuple[Layer, ...], reading: Reading) -> tuple[tuple[str, ...], str]:
    """The layers whose layout differs from the reading, and a sentence that names the first layer and its first token."""
    wanted = [(layer, expected(layer, reading.code)) for layer in layers for _ in layer.modules]
    if len(wanted) != len(reading.operations):
        return tuple(layer.name for layer in layers), (
            f"the model attends {len(reading.operations)} times when its tokens are followed, and {len(wanted)} times "
            "otherwise, so vitviz cannot say which patch its tokens are."
        )
    wrong: dict[str, str] = {}
    for number, ((layer, want), found) in enumerate(zip(wanted, reading.operations, strict=True)):
        for role, due, seen in zip(ROLES, want, found, strict=True):
            sentence = "" if layer.name in wrong else _difference(layer, role, due, seen, reading)
            if sentence:
                wrong[layer.name] = sentence + _seen_between(
                    [each for each, _ in wanted], number, seen, reading
                )
    if reading.mixed and not wrong:
        wrong[layers[-1].name] = (
            f"behind {layers[-1].name} its tokens influence each other in a way that vitviz does not record "
            f"(in {reading.mixed}): attention or mixing that is not recorded."
        )
    return tuple(wrong), next(iter(wrong.values()), "")


def overlap(layer: Layer, reading: Reading) -> bool:
    """Whether each patch of the first layer changed with its own cell, and with others beside it."""
    due, seen = expected(layer, reading.code).key, reading.operations[0].key
    return due.shape == seen.shape and bool((seen | ~due).all()) and bool((seen & ~due).any())


def _difference(layer: Layer, role: str, due: Bits, seen: Bits, reading: Reading) -> str:
    if seen.shape != due.shape:
        return (
            f"{layer.name} has {seen.shape[1]} {_plural(role)} in {seen.shape[0]} group(s), not {due.shape[1]} in "
            f"{due.shape[0]}."
        )
    wrong = np.argwhere((seen != due).any(-1))
    if not len(wrong):
        return ""
    if role == "query" and not seen.any():
        return f"{without_queries(layer.name)}."
    group, token = (int(part) for part in wrong[0])
    where = f" of group {group}" if len(due) > 1 else ""
    return (
        f"in {layer.name} {role} {token}{where} comes from {reading.name(seen[group, token])}, where the model's class "
        f"lets one expect {reading.name(due[group, token])}."
    )


def without_queries(where: str) -> str:
    """Why the queries of an operation, as many as its keys, cannot be laid on the photo: none was found in them."""
    return (
        f"in {where} nothing of the photo was found in the queries, while there is one for each key: they are learned, or "
        "its scores are not made by a product of queries and keys that vitviz recognises (@, matmul, bmm, baddbmm, einsum)"
    )


def _seen_between(layers: list[Layer], number: int, seen: Bits, reading: Reading) -> str:
    if number == 0 or not (reading.places(seen)[..., 1] == SEVERAL).any():
        return ""
    return (
        f" Between {layers[number - 1].name} and {layers[number].name} its tokens influence each other in a "
        "way that vitviz does not record."
    )


def _plural(role: str) -> str:
    return "queries" if role == "query" else f"{role}s"
