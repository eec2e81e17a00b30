"""Checks a Swin's layout: the tokens that each window projects to q, k, v are those of the layout."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vitviz.attention.layer import Layer

BEFORE = ("norm1", "layernorm_before")
"""The names of the norm before attention in blocks; blocks that normalise afterwards cut their own input."""


def misplaced(module: nn.Module, inputs: Tensor, layers: tuple[Layer, ...]) -> list[str]:
    """The names of windowed layers whose windows did not hold the layout's tokens, in one more forward pass.

    A layer's grid before it is cut, gathered by `Windows.index` with zeros for padding, must equal, bit for bit, what its
    attention projects first.
    """
    windowed = [layer for layer in layers if layer.layout.windows is not None]
    if not windowed:
        return []
    with torch.no_grad(), _seeing(module, windowed) as seen:
        module(inputs)
    return [layer.name for layer in windowed if not _holds(layer, *seen[layer.name])]


def _holds(layer: Layer, grids: list[Tensor], projected: Tensor | None) -> bool:
    assert layer.layout.windows is not None
    if projected is None:
        return False
    index = torch.from_numpy(layer.layout.windows.index).to(projected.device)
    for grid in grids:
        tokens = grid.reshape(-1, grid.shape[-1])
        if len(tokens) != layer.layout.tokens or tokens.shape[-1] != projected.shape[-1]:
            continue
        placed = torch.where((index >= 0)[..., None], tokens[index.clamp_min(0)], tokens.new_zeros(()))
        if torch.equal(placed, projected.reshape(placed.shape)):
            return True
    return False


class _FirstProjection(TorchFunctionMode):
    """Keeps the first tensor that a linear map is applied to."""

    def __init__(self) -> None:
        super().__init__()
        self.projected: Tensor | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.linear and self.projected is None and args[0].ndim == 3:
            self.projected = args[0].detach().clone()
        return func(*args, **(kwargs or {}))


@contextmanager
def _seeing(
    module: nn.Module, layers: list[Layer]
) -> Iterator[dict[str, tuple[list[Tensor], Tensor | None]]]:
    """Per layer the tensors that may be its grid (block input, norm output, attention input) and what was projected."""
    seen: dict[str, tuple[list[Tensor], Tensor | None]] = {}
    handles = []
    for layer in layers:
        attention = module.get_submodule(layer.name)
        block = module.get_submodule(layer.name.rpartition(".")[0])
        grids: list[Tensor] = []
        watch = _FirstProjection()

        def keep(_m: nn.Module, args: tuple[Any, ...], grids: list[Tensor] = grids) -> None:
            grids.extend(x.detach().clone() for x in args[:1] if isinstance(x, Tensor))

        def keep_output(_m: nn.Module, _args: Any, output: Tensor, grids: list[Tensor] = grids) -> None:
            grids.append(output.detach().clone())

        def enter(_m: nn.Module, args: tuple[Any, ...], watch: _FirstProjection = watch) -> None:
            watch.__enter__()  # type: ignore[no-untyped-call]

        def leave(
            _m: nn.Module,
            _args: Any,
            _output: Any,
            name: str = layer.name,
            grids: list[Tensor] = grids,
            watch: _FirstProjection = watch,
        ) -> None:
            watch.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            seen[name] = (grids, watch.projected)

        norms = [child for name, child in block.named_children() if name in BEFORE]
        handles += [block.register_forward_pre_hook(keep), attention.register_forward_pre_hook(keep)]
        handles += [norm.register_forward_hook(keep_output) for norm in norms]
        handles += [attention.register_forward_pre_hook(enter)]
        handles += [attention.register_forward_hook(leave, always_call=True)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
