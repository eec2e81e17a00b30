"""Gradient methods written out naively: timm's unfused attention, autograd on stored N×N, dense matrices, in float64."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from small_models import small
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vitviz.attention.trace import Trace

Matrix = np.ndarray


def lively(name: str, seed: int = 0, **options: object) -> nn.Module:
    """A small model whose layer scales, post-norms and biases are not the zeros that timm begins with."""
    module = small(name, seed, **options)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 1 and float(parameter.abs().max()) < 1e-3:
                parameter.uniform_(0.2, 0.8)
    return module


class _Unfused(TorchFunctionMode):
    """Keeps each left factor, in its graph, of the first product after a softmax: what weighs the values."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []
        self.expecting = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        assert name != "scaled_dot_product_attention"
        if self.expecting and name in ("matmul", "__matmul__") and args[0].ndim >= 3:
            self.weights.append(args[0])
            self.expecting = False
        result = func(*args, **(kwargs or {}))
        self.expecting = self.expecting or name == "softmax"
        return result


@dataclass
class Reference:
    """What a plain implementation has in its hands: per layer A, ∇A (windows×heads×n×n) and the module's input with its
    gradient; the gradient at the pixels.
    """

    attention: list[Tensor]
    gradients: list[Tensor]
    inputs: list[tuple[Tensor, Tensor]]
    pixels: Matrix

    def contributions(self) -> list[Matrix]:
        return [(g * a).numpy() for g, a in zip(self.gradients, self.attention, strict=True)]


def reference(trace: Trace, target: int) -> Reference:
    """One unfused pass of a float64 copy of the trace's model with the whole graph kept, and autograd for all of it."""
    module = copy.deepcopy(trace.model.module).double()
    for child in module.modules():
        if hasattr(child, "fused_attn"):
            child.fused_attn = False
    inputs: dict[str, Tensor] = {}
    for name in {layer.name for layer in trace.layers}:
        module.get_submodule(name).register_forward_pre_hook(
            lambda _m, args, name=name: inputs.__setitem__(name, args[0])
        )
    pixels = torch.from_numpy(trace.framing.apply(trace.photo)).double()[None].requires_grad_()
    with _Unfused() as seen:
        logits = module(pixels)
    attention, given = seen.weights, [inputs[layer.name] for layer in trace.layers]
    assert len(attention) == len(trace.layers)
    count = len(attention)
    found = torch.autograd.grad(logits[0, target], [*attention, *given, pixels])
    return Reference(
        [weights.detach() for weights in attention],
        list(found[:count]),
        [(z.detach(), gradient) for z, gradient in zip(given, found[count:-1], strict=True)],
        found[-1][0].numpy(),
    )


class _Weights(nn.Module):
    """Stands in for a block's attention: applies given weights to whatever comes."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.weights @ x


def dense(trace: Trace, index: int, weights: Matrix) -> Matrix:
    """N×N over a stage's tokens of windows×n×n, by timm's own roll, pad, partition, reverse and roll back."""
    layer = trace.layers[index]
    if layer.layout.windows is None:
        return weights[0]
    block = trace.model.module.get_submodule(layer.name.rpartition(".")[0])
    rows, cols = layer.layout.patches.rows, layer.layout.patches.cols
    push = getattr(block, "_attn", None) or block._shifted_window_attn
    kept, block.attn = block.attn, _Weights(torch.from_numpy(weights))
    try:
        eye = torch.eye(rows * cols, dtype=torch.float64).view(1, rows, cols, rows * cols)
        return push(eye).view(rows * cols, rows * cols).numpy()
    finally:
        block.attn = kept


def row_sums(trace: Trace, index: int, weights: Matrix) -> Matrix:
    """The sum of each token's row, what falls on padding counted: N."""
    windows = trace.layers[index].layout.windows
    if windows is None:
        return weights[0].sum(1)
    sums = np.zeros(trace.layers[index].layout.tokens)
    for window, slot in np.argwhere(windows.index >= 0):
        sums[windows.index[window, slot]] = weights[window, slot].sum()
    return sums


def merge(trace: Trace, index: int) -> Matrix | None:
    """parents×children before layer `index`, each parent an equal part of each real child; None where nothing is merged."""
    if index == 0 or trace.layers[index].layout.patches == trace.layers[index - 1].layout.patches:
        return None
    above, below = (trace.layers[i].layout.patches for i in (index, index - 1))
    parts = np.zeros((above.rows * above.cols, below.rows * below.cols))
    for row in range(below.rows):
        for col in range(below.cols):
            parts[row // 2 * above.cols + col // 2, row * below.cols + col] = 1
    return parts / parts.sum(1, keepdims=True)


def composed(trace: Trace, step: Callable[[int, Matrix], Matrix]) -> Matrix:
    """R of the last layer's tokens: `step` takes a layer's number and R, merges are M R. The pool's layer is left out."""
    result = np.eye(trace.layers[0].layout.tokens)
    for index, layer in enumerate(trace.layers):
        if layer.pooling:
            continue
        parts = merge(trace, index)
        result = step(index, result if parts is None else parts @ result)
    return result


def readout(trace: Trace, tokens: Matrix) -> Matrix:
    """The mean of the rows of the tokens that the prediction is read from."""
    names = trace.layers[-1].layout.prefix
    rows = [names.index(name) for name in trace.readout.prefix] or range(len(names), len(tokens))
    return tokens[list(rows)].mean(0)


def relative(values: Any, expected: Any) -> float:
    values, expected = np.asarray(values, np.float64), np.asarray(expected, np.float64)
    assert values.shape == expected.shape
    assert np.abs(expected).max() > 0
    return float(np.abs(values - expected).max() / np.abs(expected).max())
