"""One silenced pass with its graph: each operation's output is a leaf of zeros, so that direct dependence can be asked for.

Operation m depends directly on operation l if the gradient of m's query, key or value with respect to l's output is not zero
while all operations between them are silent. A branch that a model multiplies by zero shows no dependence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitviz.attention.recording.own_parameters import frozen
from vitviz.attention.self_check.silence import Given, Silence


@dataclass(eq=False)
class Followed:
    """What a pass gave, with its graph."""

    given: list[Given] = field(default_factory=list)
    leaves: list[Tensor] = field(default_factory=list)
    """The output of each operation, zeros."""
    tail: list[Tensor] = field(default_factory=list)
    """What functions gave behind the last operation, in order."""
    answer: Tensor | None = None
    """What the model predicts, or embeds; None for a model that gives tokens only."""

    def depends(self, operation: int, on: Sequence[int]) -> NDArray[np.bool_]:
        """For each of the operations `on`, which come before, whether `operation` depends directly on its output."""
        parts = [part for part in self.given[operation][1:] if part.requires_grad]
        return np.array(
            [_nonzero(gradient) for gradient in self.gradients(parts, [self.leaves[i] for i in on])], bool
        )

    def reaches_answer(self) -> NDArray[np.bool_]:
        """For each operation whether the answer depends directly on its output."""
        answers = [] if self.answer is None or not self.answer.requires_grad else [self.answer]
        return np.array([_nonzero(gradient) for gradient in self.gradients(answers, self.leaves)], bool)

    def query_tokens(self, operation: int) -> list[tuple[int, ...]]:
        """For each query of an operation the tokens of earlier outputs that it depends on; none if it is learned."""
        queries = self.given[operation].query
        return [
            self._tokens_of(queries[..., number : number + 1, :], operation)
            for number in range(queries.shape[-2])
        ]

    def _tokens_of(self, query: Tensor, operation: int) -> tuple[int, ...]:
        found: set[int] = set()
        for gradient in self.gradients([query], self.leaves[:operation]):
            if gradient is not None:
                over = tuple(axis for axis in range(gradient.ndim) if axis != gradient.ndim - 2)
                found |= set(gradient.abs().amax(over).nonzero().flatten().tolist())
        return tuple(sorted(found))

    def gradients(self, of: Sequence[Tensor], to: Sequence[Tensor]) -> list[Tensor | None]:
        """Gradients of random sums of some tensors; None where nothing leads there."""
        of = [part for part in of if part.requires_grad]
        if not of or not to:
            return [None] * len(to)
        found: tuple[Tensor | None, ...] = torch.autograd.grad(
            list(of), list(to), [_random(part) for part in of], retain_graph=True, allow_unused=True
        )
        return list(found)


def follow(
    module: nn.Module,
    inputs: Tensor,
    count: int,
    answer_of: Callable[[Any], Tensor | None],
    tail_from: int | None = None,
) -> Followed:
    """One forward pass with gradients; the module is left as it was.

    `tail_from`: keep as the tail what comes behind so many operations and before the next, instead of behind all `count`.
    """
    followed = Followed()

    def answer(given: Given, shape: tuple[int, ...]) -> Tensor:
        leaf = torch.zeros(shape, dtype=given.value.dtype, device=given.value.device, requires_grad=True)
        followed.given.append(given)
        followed.leaves.append(leaf)
        # The model may write into what it is given, which no leaf allows.
        return leaf * 1

    def after(_func: Any, result: Tensor) -> Tensor:
        if result.is_floating_point() and result.ndim >= 3:
            followed.tail.append(result)
        return result

    with torch.enable_grad():
        with Silence(answer, count if tail_from is None else tail_from, after), frozen(module):
            output = module(inputs)
        followed.answer = answer_of(output)
    return followed


def _nonzero(gradient: Tensor | None) -> bool:
    return gradient is not None and bool((gradient != 0).any())


def _random(part: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(part.numel())
    return torch.randn(part.shape, generator=generator).to(part.device, part.dtype)
