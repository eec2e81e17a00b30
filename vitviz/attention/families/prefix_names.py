"""Names of the prefix tokens of a model that no family describes, taken from the parameters they are made of."""

from contextlib import suppress

import torch
from torch import Tensor, nn

from vitviz.attention.recording.operations import four_dimensional
from vitviz.attention.recording.own_parameters import frozen
from vitviz.attention.self_check.silence import Given, Silence

CALLED = (("dist", "distillation"), ("reg", "register"), ("cls", "class"), ("class", "class"))
"""A part of a parameter's own name → what a token made of it is called."""


class _SeenError(Exception):
    """The first operation has been seen: the rest of the pass is not needed."""


def prefix_names(module: nn.Module, inputs: Tensor, tokens: list[int]) -> tuple[str, ...]:
    """Names of `tokens`, indices among the first operation's keys: those of the parameters that they depend on."""
    stand_ins: dict[nn.Parameter, Tensor] = {}
    leaves: list[tuple[str, Tensor]] = []
    for name, parameter in module.named_parameters():
        if (called := _called(name)) and parameter.ndim >= 1 and parameter.is_floating_point():
            stand_ins[parameter] = parameter.detach().requires_grad_()
            leaves.append((called, stand_ins[parameter]))
    found = [
        _made_of(keys, token, leaves) for keys in _first_keys(module, inputs, stand_ins) for token in tokens
    ]
    if len(found) != len(tokens):
        return _numbered([""] * len(tokens))
    return _numbered(["class"] if found == [""] else found)


def _called(name: str) -> str:
    own = name.rpartition(".")[2].lower()
    is_token = "tok" in own or "emb" in own
    return next((called for part, called in CALLED if part in own and is_token), "")


def _first_keys(module: nn.Module, inputs: Tensor, stand_ins: dict[nn.Parameter, Tensor]) -> list[Tensor]:
    """The first operation's keys, groups×heads×tokens×d, with the graph that leads to parameters; none without one."""
    seen: list[Tensor] = []

    def see(given: Given, _shape: tuple[int, ...]) -> Tensor | None:
        seen.append(four_dimensional(given.key))
        raise _SeenError

    with torch.enable_grad(), suppress(_SeenError), Silence(see), frozen(module, stand_ins):
        module(inputs)
    return seen


def _made_of(keys: Tensor, token: int, leaves: list[tuple[str, Tensor]]) -> str:
    """What a token is called after the one parameter that it depends on; empty for none or several."""
    if not keys.requires_grad or not leaves:
        return ""
    wanted = [leaf for _, leaf in leaves]
    key = keys[0, :, token]
    # A random sum: a token that begins as zeros may have a key of zeros, whose square has no gradient.
    weights = torch.randn(key.shape, generator=torch.Generator().manual_seed(22)).to(key)
    gradients = torch.autograd.grad((key * weights).sum(), wanted, retain_graph=True, allow_unused=True)
    names = {
        name
        for (name, _), gradient in zip(leaves, gradients, strict=True)
        if gradient is not None and bool((gradient != 0).any())
    }
    return names.pop() if len(names) == 1 else ""


def _numbered(names: list[str]) -> tuple[str, ...]:
    """Names that stand for several tokens, or for none, with a number."""
    several = {name for name in names if names.count(name) > 1 or not name}
    counted: dict[str, int] = {}
    result = []
    for place, name in enumerate(names):
        counted[name] = counted.get(name, 0) + 1
        number = counted[name] if name else place + 1
        result.append(f"{name or 'prefix'} {number}" if name in several or name == "register" else name)
    return tuple(result)
