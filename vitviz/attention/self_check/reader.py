"""The passes by which places are read: coded pictures through a module whose recorded attention is silent."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitviz.attention.self_check.digests import Digest, by_tokens, digest, sums_over
from vitviz.attention.self_check.pictures import Bits, Code, coded, rearranged, unchanged
from vitviz.attention.self_check.place import Found, Reading, Tail
from vitviz.attention.self_check.silence import Given, Silence


def read(
    module: nn.Module,
    code: Code,
    size: tuple[int, int],
    count: int,
    ends: Sequence[int] | None = None,
    on_pass: Callable[[], None] = lambda: None,
    every: bool = False,
) -> Reading:
    """Run the coded pictures through the module one by one, each token attending to itself alone.

    So no token meets another, and what an operation gives must come back to its own token. One by one, as several at a time
    would take more memory than a trace, round otherwise, and are not what every module takes. `count`: of the recorded
    operations; `size`: of the input in pixels; `ends`: after how many operations each picture's pass may end (None: none
    may); `on_pass` is called before each and may raise. Takes `code.pictures` + 2 forward passes without attention, or parts
    of them, and less memory than a trace.
    """
    weight = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    base = unchanged(size).to(weight.device, weight.dtype)
    other = rearranged(base, code.grid)
    ends = [count + 1] * code.pictures if ends is None else ends
    reader = _Reader(code, count, every)
    for cells in (np.zeros, np.ones):  # the two references
        on_pass()
        reader.run(module, coded(cells(code.words.shape[1:], bool), code, size, base, other), None, max(ends))
    for number in range(code.pictures):
        on_pass()
        reader.run(module, coded(code.words[2 * number], code, size, base, other), number, ends[number])
    found = reader.reading()
    if found.mixed and not every:  # perhaps features lie along an axis as long as there are tokens
        return read(module, code, size, count, ends, on_pass, every=True)
    return found


def ends_of(code: Code, levels: Sequence[int]) -> list[int]:
    """For each picture after how many operations its pass may end, given how often each operation's patches are merged.

    A picture that tells halves of a merged block apart has shown all it can when the first operation has the merged block:
    from then on the tokens only have to stay apart, which the other pictures show. Not so where an odd edge makes blocks of
    one half: that picture goes on changing all other blocks and not those.
    """
    never = len(levels) + 1
    first = [
        never
        if any(length % 2 for length in code.size(told))
        else next((n + 1 for n, level in enumerate(levels) if level > told), never)
        for told in range(code.levels)
    ]
    return [first[told] if told < code.levels else never for told in code.tells]


class _SeenError(Exception):
    """All operations have been seen: the rest of the pass is not needed."""


@dataclass(eq=False)
class _Watched:
    """A tensor of the pass, summed over its features."""

    references: list[Digest] = field(default_factory=list)
    """Of the unchanged picture, and of the one that is changed everywhere."""
    words: dict[int, Bits] = field(default_factory=dict)
    """Bit of the code → where it is set."""

    def see(self, tensor: Tensor, axis: int, number: int | None) -> None:
        """Keep a reference, or compare picture `number` with both; features lie along `axis`."""
        if number is None:
            self.references.append(digest(tensor, axis))
            return
        sums = sums_over(tensor, axis)
        for which, reference in enumerate(self.references):
            self.words[2 * number + which] = reference.differs(sums).cpu().numpy()

    def read(self, code: Code) -> Bits:
        """…×bits. At operations that a picture's pass did not reach, each token holds cells that it changes and others that
        it does not: both bits are set in every token that comes from the photo.
        """
        touched: Bits = np.any(list(self.words.values()), 0)
        whole: dict[int, Bits] = dict.fromkeys(range(code.bits), touched) | self.words
        return np.stack([whole[bit] for bit in range(code.bits)], -1)


@dataclass(eq=False)
class _Tail:
    """A `Tail` as it is read."""

    name: str
    axes: list[tuple[int, ...]]
    """The axes, or pairs of them, that tokens may lie along."""
    features: list[int]
    """The axes that features may lie along."""
    watched: dict[int, _Watched]
    """Axis that is summed over → the rest."""

    def see(self, result: Tensor, number: int | None) -> None:
        """Keep a reference, or compare picture `number` with both."""
        for axis, watched in self.watched.items():
            watched.see(result, axis, number)

    def read(self, code: Code) -> Tail | None:
        if not any(watched.words for watched in self.watched.values()):
            return None
        words = {axis: watched.read(code) for axis, watched in self.watched.items()}
        tokens = {axes: _along(axes, words) for axes in self.axes}
        return Tail(self.name, tokens, tuple(words[axis] for axis in self.features))


def _along(axes: tuple[int, ...], words: dict[int, Bits]) -> Bits:
    """tokens×bits: the words along some axes, of whatever the other axes hold."""
    summed = next(axis for axis in words if axis not in axes)
    found = words[summed]
    left = [axis for axis in range(found.ndim) if axis != summed]
    over = tuple(place for place, axis in enumerate(left) if axis not in axes)
    return found.any(over).reshape(-1, found.shape[-1])


@dataclass(eq=False)
class _Reader:
    """Compares each operation as it is seen with those of the two references, and keeps bits only."""

    code: Code
    count: int
    every: bool
    """Whether features may lie along axes that are as long as there are tokens."""
    given: list[list[_Watched]] = field(default_factory=list)
    """Per operation its query, key and value."""
    after: list[_Tail | None] = field(default_factory=list)
    """Per function behind the last operation; None where it gives no tokens."""
    number: int | None = None
    end: int = 0
    step: int = 0
    first: bool = True
    """Whether this is the first pass, which tells what there is to compare."""

    def run(self, module: nn.Module, picture: Tensor, number: int | None, end: int) -> None:
        """Run a picture, a reference if it has no `number`, until `end` operations have been seen."""
        self.number, self.end, self.step, self.first = number, end, 0, not self.given
        with torch.no_grad(), suppress(_SeenError), Silence(self.see, self.count, self.see_after):
            module(picture)

    def see(self, given: Given, shape: tuple[int, ...]) -> Tensor | None:
        if self.first:
            self.given.append([_Watched(), _Watched(), _Watched()])
        if given.number < len(self.given):
            for part, watched in zip(given[1:], self.given[given.number], strict=True):
                watched.see(by_tokens(part), 2, self.number)
        if given.number == self.end - 1:
            raise _SeenError
        return by_itself(given, shape)

    def see_after(self, func: Any, result: Tensor) -> Tensor:
        if result.ndim < 3 or not result.is_floating_point():
            return result
        if self.first:
            _, groups, tokens = self.given[-1][1].references[0].sums.shape
            self.after.append(_tail(func, result, groups, tokens, self))
        if self.step < len(self.after):
            tail = self.after[self.step]
            if tail is not None:
                tail.see(result, self.number)
        self.step += 1
        return result

    def reading(self) -> Reading:
        """What all pictures have shown."""
        seen = [roles for roles in self.given if roles[0].words]
        operations = tuple(Found(*(watched.read(self.code) for watched in roles)) for roles in seen)
        tails = tuple(tail if tail is None else tail.read(self.code) for tail in self.after)
        reading = Reading(self.code, operations, tails)
        mixed = next(
            (_where(tail, reading) for tail in tails if tail is not None and _mixes(tail, reading)), ""
        )
        return replace(reading, mixed=mixed)


def _mixes(tail: Tail, reading: Reading) -> bool:
    """Whether, whatever axis its features lie along, some place in it came from several patches."""
    return not any(reading.separate(places) for places in tail.places)


def _where(tail: Tail, reading: Reading) -> str:
    """The function that mixed tokens, and the first token that came from several patches if one did."""
    for patterns in tail.tokens.values():
        for token, pattern in enumerate(patterns):
            if not reading.separate(pattern):
                return f"{tail.function}, token {token} comes from {reading.name(pattern)}"
    return tail.function


def by_itself(given: Given, shape: tuple[int, ...]) -> Tensor | None:
    """What an operation gives if each token attends to itself alone; None where its queries are not its keys' tokens."""
    value = given.value
    if value.ndim != len(shape) or value.shape[-2:] != shape[-2:] or given.query.shape[-2] != value.shape[-2]:
        return None
    if (
        value.ndim > 2 and value.shape[-3] and shape[-3] % value.shape[-3] == 0
    ):  # a key's head may serve several queries'
        value = value.repeat_interleave(shape[-3] // value.shape[-3], -3)
    return value.expand(shape).clone() if value.shape == shape or 1 in value.shape[:-2] else None


def _tail(func: Any, result: Tensor, groups: int, tokens: int, reader: _Reader) -> _Tail | None:
    shape, code = tuple(result.shape), reader.code
    if groups * tokens == 1:
        return None
    grids = [code.size(level) for level in range(code.levels + 1)] + [(groups, tokens)]
    lengths = {groups * tokens, tokens, *(rows * cols for rows, cols in grids)}
    single = [(axis,) for axis, length in enumerate(shape) if length in lengths]
    pairs = [(axis, axis + 1) for axis in range(len(shape) - 1) if shape[axis : axis + 2] in grids]
    axes = [each for each in (*single, *pairs) if result.numel() > groups * tokens]
    if not axes:
        return None
    name = getattr(func, "__name__", str(func))
    tokens_only = set[int]() if reader.every else set(axes[0]).intersection(*axes)
    last = result.ndim - 1
    features = sorted(({last, 1, min(2, last)} - tokens_only) or {0}, reverse=True)
    summed = [*features, *(axis for axis in range(result.ndim) if axis not in features)]
    needed = {next(axis for axis in summed if axis not in each) for each in axes}
    watched = {axis: _Watched() for axis in summed if axis in features or axis in needed}
    return _Tail(name, axes, features, watched)
