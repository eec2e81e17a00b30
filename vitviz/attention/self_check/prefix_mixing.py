"""Whether tokens without a place, such as the class token, meet others outside attention.

Coded pictures cannot show it: nothing of the photo is in these tokens while each token attends to itself alone. So noise
is added to what attention gives to some of them: from then on these tokens may change, and no others.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from math import comb

import numpy as np
import torch
from torch import Tensor, nn

from vitviz.attention.layer import Layer
from vitviz.attention.self_check.digests import Digest, by_tokens, digest, sums_over
from vitviz.attention.self_check.pictures import Bits, unchanged
from vitviz.attention.self_check.reader import by_itself
from vitviz.attention.self_check.silence import Given, Silence


def prefix_mixing(
    module: nn.Module,
    layers: tuple[Layer, ...],
    size: tuple[int, int],
    on_pass: Callable[[], None] = lambda: None,
) -> str:
    """A sentence that names the first layer whose tokens changed with another; empty if there is none.

    Takes two passes without attention for one such token, and up to five for six; `on_pass` as in `reader.read`.
    """
    names = max((layer.layout.prefix for layer in layers), key=len)
    if not names:
        return ""
    weight = next(module.parameters())
    inputs = unchanged(size).to(weight.device, weight.dtype)
    operations = [layer for layer in layers for _ in layer.modules]
    words = _constant_weight(len(names))
    reader = _Reader(operations, names)
    for noisy in [np.zeros(len(names), bool), *(word for word in words.T if word.any())]:
        on_pass()
        reader.noisy = noisy
        with torch.no_grad(), Silence(reader.see):
            module(inputs)
    return reader.sentence


def _constant_weight(count: int) -> Bits:
    """count×m words of which each has the same number of ones, m as small as can be (Sperner 1928)."""
    length = next(m for m in range(2, 64) if comb(m, m // 2) >= count)
    words = np.zeros((count, length), bool)
    for word, chosen in zip(words, combinations(range(length), length // 2), strict=False):
        word[list(chosen)] = True
    return words


@dataclass(eq=False)
class _Reader:
    """Compares what operations are given with the first pass, in which no noise is added."""

    operations: list[Layer]
    names: tuple[str, ...]
    base: list[list[Digest]] = field(default_factory=list)
    noisy: Bits = field(default_factory=lambda: np.zeros(0, bool))
    """Which of the tokens get noise in this pass."""
    sentence: str = ""

    def see(self, given: Given, shape: tuple[int, ...]) -> Tensor | None:
        answer = by_itself(given, shape)
        if given.number >= len(self.operations):
            return answer
        layer = self.operations[given.number]
        parts = [by_tokens(part) for part in given[2:]]  # queries are tokens' as the keys are
        chosen = self._chosen(layer)
        if not self.noisy.any():
            self.base.append([digest(part, 2) for part in parts])
        elif not self.sentence and given.number < len(self.base):
            self._compare(given.number, parts, chosen)
        if answer is None or not len(chosen) or answer.shape[-2] != given.key.shape[-2]:
            return answer
        generator = torch.Generator().manual_seed(24)
        noise = torch.randn(answer[..., chosen, :].shape, generator=generator).to(answer)
        answer[..., chosen, :] += noise * answer.std()
        return answer

    def _chosen(self, layer: Layer) -> list[int]:
        """Where the tokens that get noise are among the keys of an operation."""
        prefix = layer.layout.prefix
        tokens = [
            prefix.index(name)
            for name, is_noisy in zip(self.names, self.noisy, strict=True)
            if is_noisy and name in prefix
        ]
        return tokens if layer.arrangement is None else layer.arrangement.keys[0, tokens].tolist()

    def _compare(self, number: int, parts: list[Tensor], chosen: list[int]) -> None:
        for part, before in zip(parts, self.base[number], strict=True):
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
            f"{token} ({name}) gets something of another ({whose}). Maps of single layers are right; layers cannot be "
            "composed."
        )
