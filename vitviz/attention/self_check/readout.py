"""Readout: which tokens behind the last attention the answer depends on, and how.

The gradient tells which tokens matter. Whether a set of them is read as its mean is tried: all its tokens are replaced by
their mean, and an answer that stays is a function of that mean alone. Tokens exchanged among each other tell a pool that is
none of means (a maximum, say) from one that treats each place differently.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitviz.attention.self_check.follow import Followed, follow
from vitviz.attention.self_check.silence import Silence
from vitviz.models.pass_hooks import PassHooks

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
    queries: tuple[int, ...] = ()
    """The learned queries of an attention pool that the answer is read from; none without a pool."""
    pool_size: int = 0
    """The number of learned queries of that pool."""
    constant: bool = False
    """Whether the answer depends on nothing: its head's weights are zero."""
    unread_pool: bool = False
    """Whether the last operation is an attention pool that the answer does not depend on."""
    beside_pool: bool = False
    """Whether something is read past the pool; see `read_beside`."""


def read_out(
    module: nn.Module,
    inputs: Tensor,
    followed: Followed,
    tokens: int,
    prefix: int,
    answer_of: Callable[[Any], Tensor | None],
    order: Order | None = None,
    attending: tuple[int, ...] | None = None,
) -> Read:
    """Find the parts. `followed`: a pass of `inputs`, released here; of the last layer's `tokens` the first `prefix` have no
    place.

    `order` tells which of the layer's tokens those behind it are; without it they are taken as they come. `attending`: the
    tokens of the last layer's queries, where not all tokens attend.
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
            queries=_queries_read(followed),
            pool_size=last.query.shape[-2],
            unread_pool=not reached[-1],
            beside_pool=bool(reached[-1] and reached[:-1].any()),
        )
    place, axes, gradient = _last_tokens(followed, tokens)
    if gradient is None:
        return _from_queries(followed, attending)
    own = tuple(range(tokens)) if order is None else order(place, axes)
    if own is None:
        return Read()
    matters = tuple(sorted(own[token] for token in _along(gradient, axes)))
    if not len(matters):
        return Read(constant=True)
    where, count = np.argsort(own), len(followed.given)
    followed.release()
    tail = _TailTrial(module, inputs, count, place, axes, where, answer_of)
    return Read(_parts(matters, prefix, tokens, tail))


def read_beside(
    module: nn.Module,
    inputs: Tensor,
    followed: Followed,
    tokens: int,
    prefix: int,
    answer_of: Callable[[Any], Tensor | None],
) -> tuple[Part, ...]:
    """The tokens that the answer is read from past an attention pool, which is the last operation; none if not found.

    One more silenced pass keeps what lies before the pool. Its tokens must lie in the order of the layout.
    """
    count = len(followed.given) - 1
    before = follow(module, inputs, len(followed.given), answer_of, tail_from=count)
    place, axes, gradient = _last_tokens(before, tokens)
    if gradient is None:
        return ()
    tail = _TailTrial(module, inputs, count, place, axes, np.arange(tokens), answer_of)
    return _parts(_along(gradient, axes), prefix, tokens, tail)


def two_heads(
    module: nn.Module, inputs: Tensor, count: int, tokens: int, answer_of: Callable[[Any], Tensor | None]
) -> tuple[str, str] | None:
    """The names of the two linear maps whose mean is the answer, each of one token, in the order of their tokens.

    `count`: the number of operations; the last layer has `tokens` tokens. One silenced pass.
    """
    given: dict[str, Tensor] = {}
    with PassHooks() as hooks:
        for name, part in module.named_modules():
            if isinstance(part, nn.Linear):
                hooks.after(part, partial(_keep, given, name))
        followed = follow(module, inputs, count, answer_of)
    place, axes, gradient = _last_tokens(followed, tokens)
    answer = followed.answer
    if answer is None or gradient is None:
        return None
    heads = {name: output for name, output in given.items() if output.shape == answer.shape}
    read: dict[str, tuple[int, ...]] = {}
    for name, output in heads.items():
        (one,) = followed.gradients([output], [followed.tail[place]])
        read[name] = () if one is None else _along(one, axes)
    names = sorted((name for name in heads if len(read[name]) == 1), key=read.__getitem__)
    if len(names) != 2 or read[names[0]] == read[names[1]]:
        return None
    mean = (heads[names[0]] + heads[names[1]]) / 2
    tolerance = TOLERANCES.get(answer.dtype, 1e-4)
    same = bool((mean - answer).abs().max() <= tolerance * answer.abs().max())
    return (names[0], names[1]) if same else None


def _keep(
    given: dict[str, Tensor], name: str, _args: tuple[Any, ...], _kwargs: dict[str, Any], output: Any
) -> None:
    if (
        isinstance(output, Tensor) and output.ndim <= 2
    ):  # an answer's shape: those of tokens would take too much memory
        given[name] = output


def _queries_read(followed: Followed) -> tuple[int, ...]:
    """The queries of the last operation that the answer depends on."""
    assert followed.answer is not None
    (gradient,) = followed.gradients([followed.answer], followed.leaves[-1:])
    return () if gradient is None else _along(gradient, (gradient.ndim - 2,))


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


def _from_queries(followed: Followed, attending: tuple[int, ...] | None) -> Read:
    """The last operation computes only some tokens' queries: those are what is read, and nothing else may be."""
    assert followed.answer is not None
    if attending is None or len(followed.leaves) < 2:
        return Read()
    read = sorted(attending[number] for number in _queries_read(followed))
    (past,) = followed.gradients([followed.answer], followed.leaves[-2:-1])
    if past is not None and len(_along(past, (past.ndim - 2,))) > len(read):
        return Read()
    return Read(tuple(Part("token", (token,)) for token in read))


@dataclass(eq=False)
class _TailTrial:
    """Runs the silenced module once more with the last tokens changed.

    Noise is added to them first: tokens that happen to be equal, as those of a new model may be, could be exchanged for one
    another whatever the head does.
    """

    module: nn.Module
    inputs: Tensor
    count: int
    place: int
    axes: tuple[int, ...]
    where: NDArray[np.int64]
    """Where each of the layer's tokens lies along these axes."""
    answer_of: Callable[[Any], Tensor | None]

    def same(self, tokens: tuple[int, ...], how: Literal["mean", "exchanged"]) -> bool:
        """Whether the answer stays when these tokens are replaced by their mean, or exchanged among each other."""
        known, answer = self._unchanged, self._run(lambda result: self._changed(result, tokens, how))
        if known is None or answer is None or answer.shape != known.shape:
            return False
        tolerance = TOLERANCES.get(known.dtype, 1e-4)
        return bool((answer - known).abs().max() <= tolerance * known.abs().max())

    @cached_property
    def _unchanged(self) -> Tensor | None:
        return self._run(lambda result: result)

    def _run(self, change: Callable[[Tensor], Tensor]) -> Tensor | None:
        """The answer with the last tokens, noise added, changed."""
        step = 0

        def after(_func: Any, result: Tensor) -> Tensor:
            nonlocal step
            if result.is_floating_point() and result.ndim >= 3:
                if step == self.place:
                    result = change(_noisy(result))
                step += 1
            return result

        with torch.no_grad(), Silence(lambda _given, _shape: None, self.count, after):
            return self.answer_of(self.module(self.inputs))

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


def _noisy(tensor: Tensor) -> Tensor:
    noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(7)).to(tensor.device)
    scale = tensor.float().std().clamp_min(1e-3)
    return tensor + (noise * scale).to(tensor.dtype)
