"""Readout: which tokens behind the last attention the answer depends on, and how.

The gradient tells which tokens matter. Whether a set of them is read as its mean is tried: all its tokens are replaced by
their mean, and an answer that stays is a function of that mean alone. Tokens exchanged among each other tell a pool that is
none of means (a maximum, say) from one that treats each place differently.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitviz.attention.self_check.follow import Followed
from vitviz.attention.self_check.silence import Silence

Order = Callable[[int, tuple[int, ...]], tuple[int, ...] | None]
"""(number of a tensor behind the last operation, its axes of tokens) → which of the layer's tokens they are; or None."""
Kind = Literal["token", "mean", "pool", "each"]
HOW = "by the gradient of the answer behind the last attention, and by exchanging and averaging its tokens"
TOLERANCES = {torch.float16: 2e-2, torch.bfloat16: 5e-2}
"""By how much of its largest number an answer may change and still count as the same; float32: 1e-4."""


@dataclass(frozen=True)
class Part:
    """One part of what is read: a token by itself, or a set of tokens that are pooled."""

    kind: Kind
    """ "token"; the "mean" of the tokens; "pool": another function of the set (a maximum); "each": each in its own way."""
    tokens: tuple[int, ...]
    """In the order of the last operation's keys."""


@dataclass(frozen=True)
class Read:
    """What the answer is read from."""

    parts: tuple[Part, ...] = ()
    pool: int = 0
    """The number of learned queries of an attention pool that gives the answer; 0 if there is none."""
    constant: bool = False
    """Whether the answer depends on nothing: its head's weights are zero."""
    unread_pool: bool = False
    """Whether the last operation is an attention pool that the answer does not depend on."""
    beside_pool: bool = False
    """Whether something is read past the pool."""


def read_out(
    module: nn.Module,
    inputs: Tensor,
    followed: Followed,
    tokens: int,
    prefix: int,
    answer_of: Callable[[Any], Tensor | None],
    order: Order | None = None,
) -> Read:
    """Find the parts. `followed`: a pass of `inputs`, released here; of the last layer's `tokens` the first `prefix` have no
    place.

    `order` tells which of the layer's tokens those behind it are; without it they are taken as they come.
    """
    answer = followed.answer
    if answer is None or not answer.requires_grad or not followed.given:
        return Read(constant=answer is not None)
    last = followed.given[-1]
    if last.query.shape[-2] != last.key.shape[-2] and _learned(followed):
        reached = followed.reaches_answer()
        if not reached.any():
            return Read(constant=True)
        return Read(
            pool=last.query.shape[-2],
            unread_pool=not reached[-1],
            beside_pool=bool(reached[-1] and reached[:-1].any()),
        )
    place, axes, gradient = _last_tokens(followed, tokens)
    if gradient is None:
        return _from_queries(followed)
    own = tuple(range(tokens)) if order is None else order(place, axes)
    if own is None:
        return Read()
    matters = tuple(sorted(own[token] for token in _along(gradient, axes)))
    if not len(matters):
        return Read(constant=True)
    where, count, known = np.argsort(own), len(followed.given), answer.detach()
    followed.release()
    tail = _TailTrial(module, inputs, count, place, axes, where, answer_of, known)
    return Read(_parts(matters, prefix, tokens, tail))


def _along(gradient: Tensor, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The tokens, along these axes, at which a gradient is not zero."""
    over = tuple(axis for axis in range(gradient.ndim) if axis not in axes)
    return tuple(int(token) for token in gradient.abs().amax(over).reshape(-1).nonzero().flatten())


def _parts(matters: tuple[int, ...], prefix: int, count: int, tail: "_TailTrial") -> tuple[Part, ...]:
    patches = tuple(token for token in matters if token >= prefix)
    singles = tuple(Part("token", (token,)) for token in matters if token < prefix)
    if len(patches) <= 1:
        if len(matters) > 1 and tail.same(matters, "mean"):
            return (Part("mean", matters),)
        return (*singles, *(Part("token", (token,)) for token in patches))
    if singles and tail.same(matters, "mean"):
        return (Part("mean", matters),)
    if tail.same(patches, "mean"):
        return (*singles, Part("mean", patches))
    everything = tuple(range(prefix, count))  # a maximum may be taken from a few of them only
    if tail.same(everything, "exchanged"):
        return (*singles, Part("pool", everything))
    return (*singles, Part("each", patches))


def _learned(followed: Followed) -> bool:
    """Whether the last operation's queries depend on no earlier operation: they are the pool's own."""
    last, earlier = followed.given[-1], followed.leaves[:-1]
    if not last.query.requires_grad or not earlier:
        return True
    return not any(
        gradient is not None and bool((gradient != 0).any())
        for gradient in followed.gradients([last.query], earlier)
    )


def _last_tokens(followed: Followed, tokens: int) -> tuple[int, tuple[int, ...], Tensor | None]:
    """The last tensor in which tokens lie side by side and from which the answer comes: its place, the axes they lie along,
    and the gradient there; None for the gradient where there is no such tensor.
    """
    assert followed.answer is not None
    for place in range(len(followed.tail) - 1, -1, -1):
        axes = _axes(followed.tail[place].shape, tokens)
        if axes is not None and followed.tail[place].requires_grad:
            (gradient,) = followed.gradients([followed.answer], [followed.tail[place]])
            if gradient is not None:
                return place, axes, gradient
    return -1, (), None


def _axes(shape: tuple[int, ...], tokens: int) -> tuple[int, ...] | None:
    if prod(shape) <= tokens:
        return None
    for axis, length in enumerate(shape):
        if length == tokens:
            return (axis,)
    for axis in range(1, len(shape) - 1):
        if shape[axis] * shape[axis + 1] == tokens and min(shape[axis : axis + 2]) > 1:
            return axis, axis + 1
    return None


def _from_queries(followed: Followed) -> Read:
    """The last operation computes only some tokens' queries: those are what is read."""
    last = followed.leaves[-1]
    before = followed.leaves[-2] if len(followed.leaves) > 1 else None
    if not last.requires_grad or before is None:
        return Read()
    (gradient,) = followed.gradients([followed.given[-1].query], [before])
    if gradient is None or gradient.ndim < 3:
        return Read()
    return Read(tuple(Part("token", (token,)) for token in _along(gradient, (gradient.ndim - 2,))))


@dataclass(eq=False)
class _TailTrial:
    """Runs the silenced module once more with the last tokens changed."""

    module: nn.Module
    inputs: Tensor
    count: int
    place: int
    axes: tuple[int, ...]
    where: NDArray[np.int64]
    """Where each of the layer's tokens lies along these axes."""
    answer_of: Callable[[Any], Tensor | None]
    known: Tensor

    def same(self, tokens: tuple[int, ...], how: Literal["mean", "exchanged"]) -> bool:
        """Whether the answer stays when these tokens are replaced by their mean, or exchanged among each other."""
        step = 0

        def after(_func: Any, result: Tensor) -> Tensor:
            nonlocal step
            if result.is_floating_point() and result.ndim >= 3:
                if step == self.place:
                    result = self._changed(result, tokens, how)
                step += 1
            return result

        with torch.no_grad(), Silence(lambda _given, _shape: None, self.count, after):
            answer = self.answer_of(self.module(self.inputs))
        if answer is None or answer.shape != self.known.shape:
            return False
        tolerance = TOLERANCES.get(self.known.dtype, 1e-4)
        return bool((answer - self.known).abs().max() <= tolerance * self.known.abs().max())

    def _changed(self, tensor: Tensor, tokens: tuple[int, ...], how: str) -> Tensor:
        first, last = self.axes[0], self.axes[-1]
        flat = tensor.flatten(first, last) if first != last else tensor
        moved = flat.movedim(first, 0).clone()
        chosen = [int(self.where[token]) for token in tokens]
        if how == "mean":
            moved[chosen] = moved[chosen].mean(0, keepdim=True)
        else:
            order = np.random.default_rng(0).permutation(len(chosen))
            moved[chosen] = moved[[chosen[place] for place in order]]
        return moved.movedim(0, first).reshape(tensor.shape)
