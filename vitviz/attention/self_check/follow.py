"""One silenced pass with its graph: each operation's output is a leaf of zeros, so that direct dependence can be asked for.

Operation m depends directly on operation l if the gradient of m's query, key or value with respect to l's output is not zero
while all operations between them are silent. A branch that a model multiplies by zero shows no dependence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge, saved_tensors_hooks

from vitviz.attention.recording.own_parameters import frozen
from vitviz.attention.self_check.silence import Given, Silence


@dataclass(frozen=True, eq=False)
class Part:
    """A tensor of the pass of which only its place in the graph is kept."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    edge: GradientEdge | None
    """None where no gradient is asked for."""

    @property
    def requires_grad(self) -> bool:
        """Whether it has a gradient."""
        return self.edge is not None


class Parts(NamedTuple):
    """What an operation was given."""

    query: Part
    key: Part
    value: Part


@dataclass(eq=False)
class Followed:
    """What a pass gave, with its graph."""

    given: list[Parts] = field(default_factory=list)
    leaves: list[Tensor] = field(default_factory=list)
    """The output of each operation, zeros."""
    tail: list[Part] = field(default_factory=list)
    """What functions gave behind the last operation, in order."""
    answer: Tensor | None = None
    """What the model predicts, or embeds; None for a model that gives tokens only."""

    def release(self) -> None:
        """Free the graph: nothing can be asked after this."""
        self.given, self.leaves, self.tail, self.answer = [], [], [], None

    def depends(self, operation: int, on: Sequence[int]) -> NDArray[np.bool_]:
        """For each of the operations `on`, which come before, whether `operation` depends directly on its output."""
        parts = [part for part in self.given[operation] if part.requires_grad]
        return np.array(
            [_nonzero(gradient) for gradient in self.gradients(parts, [self.leaves[i] for i in on])], bool
        )

    def reaches_answer(self) -> NDArray[np.bool_]:
        """For each operation whether the answer depends directly on its output."""
        answers = [] if self.answer is None or not self.answer.requires_grad else [self.answer]
        return np.array([_nonzero(gradient) for gradient in self.gradients(answers, self.leaves)], bool)

    def query_tokens(self, operation: int) -> list[tuple[int, ...]]:
        """For each query of an operation the tokens of earlier outputs that it depends on; none if it is learned."""
        return [self._tokens_of(operation, number) for number in range(self.given[operation].query.shape[-2])]

    def _tokens_of(self, operation: int, number: int) -> tuple[int, ...]:
        query, found = self.given[operation].query, set[int]()
        only = torch.zeros(query.shape, dtype=query.dtype, device=query.device)
        only[..., number, :] = _random(query)[..., number, :]
        for gradient in self._gradients([query], [only], self.leaves[:operation]):
            if gradient is not None:
                over = tuple(axis for axis in range(gradient.ndim) if axis != gradient.ndim - 2)
                found |= set(gradient.abs().amax(over).nonzero().flatten().tolist())
        return tuple(sorted(found))

    def gradients(self, of: Sequence[Tensor | Part], to: Sequence[Tensor | Part]) -> list[Tensor | None]:
        """Gradients of random sums of some tensors; None where nothing leads there."""
        of = [part for part in of if part.requires_grad]
        return self._gradients(of, [_random(part) for part in of], to)

    def _gradients(
        self, of: Sequence[Tensor | Part], weights: list[Tensor], to: Sequence[Tensor | Part]
    ) -> list[Tensor | None]:
        if not to or not any(part.requires_grad for part in of):
            return [None] * len(to)
        ends, starts = (_ends(parts) for parts in (of, to))
        found: tuple[Tensor | None, ...] = torch.autograd.grad(
            ends, starts, weights, retain_graph=True, allow_unused=True
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

    Only whether gradients are zero is asked, so what the graph holds of the pass is rounded to half the memory.
    `tail_from`: keep as the tail what comes behind so many operations and before the next, instead of behind all `count`.
    """
    followed = Followed()

    def answer(given: Given, shape: tuple[int, ...]) -> Tensor:
        zero = torch.zeros((), dtype=given.value.dtype, device=given.value.device)
        leaf = zero.expand(shape).requires_grad_()
        followed.given.append(Parts(*(_part(part) for part in given[1:])))
        followed.leaves.append(leaf)
        # The model may write into what it is given, which no leaf allows.
        return leaf * 1

    def after(_func: Any, result: Tensor) -> Tensor:
        if result.is_floating_point() and result.ndim >= 3:
            followed.tail.append(_part(result))
        return result

    with torch.enable_grad():
        with (
            Silence(answer, count if tail_from is None else tail_from, after),
            frozen(module),
            _rounded(module),
        ):
            output = module(inputs)
        followed.answer = answer_of(output)
    return followed


def _part(tensor: Tensor) -> Part:
    edge = get_gradient_edge(tensor) if tensor.requires_grad else None
    return Part(tuple(tensor.shape), tensor.dtype, tensor.device, edge)


def _ends(parts: Sequence[Tensor | Part]) -> list[Any]:
    return [part.edge if isinstance(part, Part) else part for part in parts]


def _rounded(module: nn.Module) -> saved_tensors_hooks:
    """What is kept for gradients, except the module's own tensors, is kept in bfloat16: zeros and signs stay as they are."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}

    def pack(tensor: Tensor) -> tuple[Tensor, torch.dtype]:
        wide = tensor.dtype in (torch.float32, torch.float64)
        if wide and tensor.untyped_storage().data_ptr() not in own:
            return tensor.to(torch.bfloat16), tensor.dtype
        return tensor.detach(), tensor.dtype

    return saved_tensors_hooks(pack, lambda packed: packed[0].to(packed[1]))


def _nonzero(gradient: Tensor | None) -> bool:
    return gradient is not None and bool((gradient != 0).any())


def _random(part: Tensor | Part) -> Tensor:
    generator = torch.Generator().manual_seed(prod(part.shape))
    return torch.randn(part.shape, generator=generator).to(part.device, part.dtype)
