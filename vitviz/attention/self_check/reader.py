"""The passes by which places are read: coded pictures through a module whose recorded attention is silent."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vitviz.attention.recording.operations import four_dimensional
from vitviz.attention.recording.recorder import Cancelled
from vitviz.attention.self_check.pictures import Bits, Code, coded, rearranged, unchanged
from vitviz.attention.self_check.place import Found, Reading, Tail
from vitviz.attention.self_check.silence import Given, Silence
from vitviz.errors import VitvizError

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-5, torch.float16: 5e-3, torch.bfloat16: 2e-2}
"""A change counts from this share of the tensor's largest activation."""

BATCHED = 10.0
"""How many times as large a change must be among several pictures at a time: products of other sizes round otherwise."""

BATCH = 4
"""How many pictures are run at a time where the module allows it; more would take more memory than a trace."""


def read(
    module: nn.Module,
    code: Code,
    size: tuple[int, int],
    count: int,
    ends: Sequence[int] | None = None,
    batch: int = BATCH,
    on_pass: Callable[[], None] = lambda: None,
) -> Reading:
    """Run the coded pictures through the module, `batch` at a time, each token attending to itself alone.

    So no token meets another, and what an operation gives must come back to its own token. Where the module does not take
    several pictures at a time, or has them in another order than the batch first, they are run one by one, and so in half
    precision, where rounding depends on the batch. `count`: of the recorded operations; `size`: of the input in pixels;
    `ends`: after how many operations each picture's pass may end (None: none may); `on_pass` is called before each and may
    raise. Takes `code.pictures` + 1 forward passes without attention, or parts of them, and the memory of one trace.
    """
    weight = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    batch = batch if weight.dtype == torch.float32 else 1
    base = unchanged(size).to(weight.device, weight.dtype)
    other = rearranged(base, code.grid)
    tolerance = TOLERANCES.get(weight.dtype, 1e-5) * (BATCHED if batch > 1 else 1)
    ends = [count + 1] * code.pictures if ends is None else ends
    reader = _Reader(code, count, tolerance)
    reader.run(module, base, [], max(ends))
    if batch > 1:
        try:
            for numbers in _batches(ends, batch):
                on_pass()
                pictures = [coded(code, size, base, other, number) for number in numbers]
                reader.run(module, torch.cat(pictures), numbers, ends[numbers[0]])
            return reader.reading()
        except Exception as error:  # also of a module that takes one picture only, or where memory runs out
            if isinstance(error, VitvizError | Cancelled):
                raise
            reader.forget(tolerance / BATCHED)
    for number in range(code.pictures):
        on_pass()
        reader.run(module, coded(code, size, base, other, number), [number], ends[number])
    return reader.reading()


def _batches(ends: Sequence[int], batch: int) -> list[list[int]]:
    """The pictures in groups of at most `batch` whose passes end together."""
    return [
        group[first : first + batch]
        for end in sorted(set(ends))
        for group in [[number for number, each in enumerate(ends) if each == end]]
        for first in range(0, len(group), batch)
    ]


def ends_of(code: Code, levels: Sequence[int]) -> list[int]:
    """For each picture after how many operations its pass may end, given how often each operation's patches are merged.

    A picture that tells halves of a merged block apart has shown all it can when the first operation has the merged block:
    from then on the tokens only have to stay apart, which the other pictures show.
    """
    first = [
        next((n + 1 for n, level in enumerate(levels) if level > told), len(levels) + 1)
        for told in range(code.levels)
    ]
    return [first[told] if told < code.levels else len(levels) + 1 for told in code.tells]


class _SeenError(Exception):
    """All operations have been seen: the rest of the pass is not needed."""


class _UnbatchedError(Exception):
    """The module does not have several pictures one after the other in its tensors."""


class _Known(NamedTuple):
    """A tensor of the unchanged picture."""

    tensor: Tensor
    largest: float


@dataclass(eq=False)
class _Reader:
    """Compares each operation as it is seen with that of the unchanged picture, and keeps bits only."""

    code: Code
    count: int
    tolerance: float
    base: list[list[_Known]] = field(default_factory=list)
    after: list["_Tail | None"] = field(default_factory=list)
    changed: list[list[dict[int, Bits]]] = field(default_factory=list)
    """Per operation and role the pictures and where they changed it."""
    numbers: Sequence[int] = ()
    end: int = 0
    step: int = 0

    def run(self, module: nn.Module, pictures: Tensor, numbers: Sequence[int], end: int) -> None:
        """Run pictures, the unchanged one if there are no `numbers`, until `end` operations have been seen."""
        self.numbers, self.end, self.step = numbers, end, 0
        with torch.no_grad(), suppress(_SeenError), Silence(self.see, self.count, self.see_after):
            module(pictures)

    def forget(self, tolerance: float) -> None:
        """Begin again with the first coded picture."""
        self.tolerance = tolerance
        self.changed = [[{}, {}, {}] for _ in self.changed]
        for tail in self.after:
            if tail is not None:
                tail.changed = {axes: {} for axes in tail.changed}
                tail.places = {axis: {} for axis in tail.places}

    def see(self, given: Given, shape: tuple[int, ...]) -> Tensor | None:
        parts = [four_dimensional(part.detach()) for part in given[1:]]
        if not self.numbers:
            self.base.append([_known(part) for part in parts])
            self.changed.append([{}, {}, {}])
        elif given.number < len(self.base):
            for role, (part, known) in enumerate(zip(parts, self.base[given.number], strict=True)):
                self.changed[given.number][role].update(self._differs(part, known, (1, 3)))
        if given.number == self.end - 1:
            raise _SeenError
        return by_itself(given, shape)

    def see_after(self, func: Any, result: Tensor) -> Tensor:
        if result.ndim < 3 or not result.is_floating_point():
            return result
        if not self.numbers:
            self.after.append(_tail(func, result, self.base[-1][1].tensor, self.code))
        elif self.step < len(self.after):
            tail = self.after[self.step]
            if tail is not None:
                self._compare(result.detach(), tail)
        self.step += 1
        return result

    def _compare(self, result: Tensor, tail: "_Tail") -> None:
        difference = self._difference(result, tail.known)
        for axes, bits in tail.changed.items():
            over = tuple(axis for axis in range(result.ndim) if axis not in axes)
            bits.update(self._where(difference, tail.known, over))
        for axis, bits in tail.places.items():
            bits.update(self._where(difference, tail.known, (axis,)))

    def _differs(self, part: Tensor, known: _Known, over: tuple[int, ...]) -> dict[int, Bits]:
        """For each picture where its tensor differs along the axes that are not in `over`."""
        if not part.numel():
            shape = [length for axis, length in enumerate(known.tensor.shape) if axis not in over]
            return {number: np.zeros(shape, bool) for number in self.numbers}
        found = self._where(self._difference(part, known), known, over)
        shape = [length for axis, length in enumerate(known.tensor.shape) if axis not in over]
        return {number: bits.reshape(shape) for number, bits in found.items()}

    def _difference(self, part: Tensor, known: _Known) -> Tensor:
        """pictures×…: how far each picture's tensor is from that of the unchanged one."""
        before, count = known.tensor, len(self.numbers)
        if part.shape[1:] != before.shape[1:] or len(part) not in (count * len(before), len(before)):
            raise _UnbatchedError
        several = part.reshape(count, *before.shape) if len(part) != len(before) else part[None]
        return (several - before).abs_().expand(count, *before.shape)

    def _where(self, difference: Tensor, known: _Known, over: tuple[int, ...]) -> dict[int, Bits]:
        """The pictures and where their tensor differs, flat along the axes that are not in `over`."""
        largest = difference.amax([axis + 1 for axis in over])
        differs: Bits = (largest > self.tolerance * known.largest).cpu().numpy()
        return {number: bits.reshape(-1) for number, bits in zip(self.numbers, differs, strict=True)}

    def reading(self) -> Reading:
        """What all pictures have shown."""
        operations = tuple(
            Found(*(_stacked(pictures, self.code) for pictures in roles))
            for roles in self.changed
            if roles[0]
        )
        tails = tuple(tail if tail is None else tail.read(self.code) for tail in self.after)
        reading = Reading(self.code, operations, tails)
        mixed = next(
            (_where(tail, reading) for tail in tails if tail is not None and _mixes(tail, reading)), ""
        )
        return replace(reading, mixed=mixed)


def _stacked(pictures: dict[int, Bits], code: Code) -> Bits:
    """…×pictures. Of what a picture showed at the first operation with a merged block the later ones have the same: it
    changes every token that comes from the photo.
    """
    touched: Bits = np.any(list(pictures.values()), 0)
    whole: dict[int, Bits] = dict.fromkeys(range(code.pictures), touched) | pictures
    return np.stack([whole[number] for number in range(code.pictures)], -1)


def _known(tensor: Tensor) -> _Known:
    return _Known(tensor, float(tensor.abs().max()) if tensor.numel() else 0.0)


@dataclass(eq=False)
class _Tail:
    """A `Tail` as it is read."""

    name: str
    known: _Known
    changed: dict[tuple[int, ...], dict[int, Bits]]
    """Axes of tokens → the pictures and which tokens they changed."""
    places: dict[int, dict[int, Bits]]
    """Axis that features may lie along → the pictures and which places they changed."""

    def read(self, code: Code) -> Tail | None:
        whole = {axes: _stacked(bits, code) for axes, bits in self.changed.items() if bits}
        places = tuple(_stacked(bits, code) for bits in self.places.values() if bits)
        return Tail(self.name, whole, places) if whole else None


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


def _tail(func: Any, result: Tensor, key: Tensor, code: Code) -> _Tail | None:
    groups, _, tokens, _ = key.shape
    shape = tuple(result.shape)
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
    features = {result.ndim - 1, 1, min(2, result.ndim - 1)}
    return _Tail(
        name, _known(result.detach()), {each: {} for each in axes}, {axis: {} for axis in sorted(features)}
    )
