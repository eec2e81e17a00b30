"""Whether tokens without a place, such as the class token, meet others outside attention.

Coded pictures cannot show it: nothing of the photo is in these tokens while each token attends to itself alone. So noise
is added to what attention gives to some of them: from then on these tokens may change, and no others.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vitviz.attention.layer import Layer
from vitviz.attention.self_check.digests import TOLERANCES, Digest, by_tokens, digest, sums_over
from vitviz.attention.self_check.pictures import Bits, unchanged
from vitviz.attention.self_check.reader import by_itself
from vitviz.attention.self_check.silence import Given, Silence


class Mixing(NamedTuple):
    """What was found."""

    sentence: str = ""
    """Names the first layer whose tokens changed with another; empty if there is none."""
    behind: bool = False
    """Whether that is behind the last layer, so that what is read there is not what the layers gave."""


def prefix_mixing(
    module: nn.Module,
    layers: tuple[Layer, ...],
    size: tuple[int, int],
    on_pass: Callable[[], None] = lambda: None,
) -> Mixing:
    """Find the first place, from the first layer to the prediction, where such a token meets another.

    Takes two passes without attention for one such token, and up to five for six; `on_pass` as in `reader.read`.
    """
    names = max((layer.layout.prefix for layer in layers), key=len)
    if not names:
        return Mixing()
    weight = next(module.parameters())
    inputs = unchanged(size).to(weight.device, weight.dtype)
    operations = [layer for layer in layers for _ in layer.modules]
    words = _constant_weight(len(names))
    reader = _Reader(operations, names)
    for noisy in [np.zeros(len(names), bool), *(word for word in words.T if word.any())]:
        on_pass()
        reader.noisy, reader.step = noisy, 0
        with torch.no_grad(), Silence(reader.see, len(operations), reader.see_after):
            module(inputs)
    return Mixing(reader.sentence) if reader.sentence else Mixing(reader.behind(), True)


def _constant_weight(count: int) -> Bits:
    """count×m words of which each has the same number of ones, m as small as can be (Sperner 1928)."""
    length = next(m for m in range(2, 64) if comb(m, m // 2) >= count)
    words = np.zeros((count, length), bool)
    for word, chosen in zip(words, combinations(range(length), length // 2), strict=False):
        word[list(chosen)] = True
    return words


@dataclass(eq=False)
class _Reader:
    """Compares what operations are given, and what is behind the last, with the first pass, in which no noise is added."""

    operations: list[Layer]
    names: tuple[str, ...]
    base: list[list[Digest]] = field(default_factory=list)
    after: list["_Tail | None"] = field(default_factory=list)
    noisy: Bits = field(default_factory=lambda: np.zeros(0, bool))
    """Which of the tokens get noise in this pass."""
    step: int = 0
    sentence: str = ""

    def see(self, given: Given, shape: tuple[int, ...]) -> Tensor | None:
        answer = by_itself(given, shape)
        if given.number >= len(self.operations):
            return answer
        layer = self.operations[given.number]
        parts = [by_tokens(part) for part in given[1:]]
        if not self.noisy.any():
            self.base.append([digest(part, 2) for part in parts])
        elif not self.sentence and given.number < len(self.base):
            self._compare(given.number, parts)
        rows = self._rows(layer)
        if answer is None and layer.queries is not None:
            answer = given.value.new_zeros(shape)
        if answer is None or not rows or answer.shape[-2] <= max(rows):
            return answer
        generator = torch.Generator().manual_seed(24)
        noise = torch.randn(answer[..., rows, :].shape, generator=generator).to(answer)
        answer[..., rows, :] += noise * given.value.std()
        return answer

    def see_after(self, func: Any, result: Tensor) -> Tensor:
        if result.ndim < 3 or not result.is_floating_point():
            return result
        if not self.noisy.any():
            self.after.append(_tail(func, result.detach(), self.operations[-1].layout.tokens))
        elif self.step < len(self.after):
            tail = self.after[self.step]
            if tail is not None and tail.base.shape == result.shape:
                tail.compare(result.detach(), self._noisy_in(self.operations[-1]))
        self.step += 1
        return result

    def behind(self) -> str:
        """The sentence about the first tensor behind the last operation in which other tokens changed."""
        last, count = self.operations[-1], len(self.operations[-1].layout.prefix)
        for tail in self.after:
            token = None if tail is None else tail.mixed(count)
            if tail is not None and token is not None:
                return (
                    f"Behind {last.name}, the last attention, tokens influence each other in a way that vitviz does not "
                    f"record (in {tail.function}): token {token} gets something of a token without a place "
                    f"({', '.join(last.layout.prefix)})."
                )
        return ""

    def _noisy_in(self, layer: Layer) -> list[int]:
        """Which of a layer's tokens get noise, if it has them."""
        prefix = layer.layout.prefix
        return [
            prefix.index(name)
            for name, is_noisy in zip(self.names, self.noisy, strict=True)
            if is_noisy and name in prefix
        ]

    def _keys(self, layer: Layer) -> list[int]:
        """Where the tokens that get noise are among the keys of an operation."""
        tokens = self._noisy_in(layer)
        return tokens if layer.arrangement is None else layer.arrangement.keys[0, tokens].tolist()

    def _rows(self, layer: Layer) -> list[int]:
        """Where they are among its queries."""
        if layer.queries is None:
            return self._keys(layer)
        return [layer.queries.index(token) for token in self._noisy_in(layer) if token in layer.queries]

    def _compare(self, number: int, parts: list[Tensor]) -> None:
        chosen = self._keys(self.operations[number])
        for part, before in zip(parts, self.base[number], strict=True):
            # Fewer queries than keys are a pool's own, or those of some tokens.
            if part.shape[1] != parts[1].shape[1]:
                continue
            found = before.differs(sums_over(part, 2)).any(0)
            found[chosen] = False
            if bool(found.any()):
                token = int(found.nonzero()[0])
                self.sentence = self._said(number, token)
                return

    def _said(self, number: int, token: int) -> str:
        layer = self.operations[number]
        whose = " and ".join(name for name, is_noisy in zip(self.names, self.noisy, strict=True) if is_noisy)
        order = None if layer.arrangement is None else layer.arrangement.keys[0].tolist()
        name = layer.layout.name(token if order is None else order.index(token))
        before = self.operations[number - 1].name
        return (
            f"Between {before} and {layer.name} tokens influence each other in a way that vitviz does not record: token "
            f"{token} ({name}) gets something of another ({whose})."
        )


@dataclass(eq=False)
class _Tail:
    """A tensor behind the last operation, and where it changed with which tokens."""

    function: str
    base: Tensor
    axes: tuple[int, ...]
    """As long as there are tokens."""
    changed: list[tuple[list[int], list[set[int]]]] = field(default_factory=list)
    """For each pass the tokens with noise, and along each axis where the tensor changed."""

    def compare(self, tensor: Tensor, tokens: list[int]) -> None:
        tolerance = TOLERANCES.get(tensor.dtype, 1e-5)
        differs = (tensor - self.base).abs() > tolerance * self.base.abs().max()
        places = [
            set(differs.movedim(axis, 0).flatten(1).any(1).nonzero().flatten().tolist()) for axis in self.axes
        ]
        self.changed.append((tokens, places))

    def mixed(self, count: int) -> int | None:
        """The first place that changed with the noise of another token, whatever axis tokens lie along; None for none.

        The `count` tokens without a place keep their order among each other, wherever they lie.
        """
        found = [self._mixed(number, count) for number in range(len(self.axes))]
        return None if any(token is None for token in found) else found[0]

    def _mixed(self, number: int, count: int) -> int | None:
        # More places change with several tokens than with one where one token's noise reaches another.
        own = sorted(set().union(*(places[number] for _, places in self.changed)))
        for tokens, places in self.changed:
            if len(own) == count:
                wrong = places[number] - {own[token] for token in tokens}
            else:
                wrong = places[number] if len(places[number]) > len(tokens) else set()
            if wrong:
                return max(wrong)
        return None


def _tail(func: Any, tensor: Tensor, tokens: int) -> _Tail | None:
    axes = tuple(axis for axis, length in enumerate(tensor.shape) if length == tokens)
    if not axes or tensor.numel() <= tokens:
        return None
    return _Tail(getattr(func, "__name__", str(func)), tensor, axes)
