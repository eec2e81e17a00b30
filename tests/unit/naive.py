"""Every method's parts written out naively: timm's unfused attention, autograd on stored N×N, dense matrices, in float64.

Of a trace only its model, its framed photo and the names of its layers are taken: grids, prefix tokens, windows, merges
and readouts are taken from timm.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from small_models import VIT, small
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import vitviz
from vitviz.attention.trace import Trace
from vitviz.images.photo import photo_from_array

Matrix = np.ndarray

SWIN = {"embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4), "num_classes": 5}
STAGES = SWIN | {"depths": (2, 2, 2), "num_heads": (2, 4, 4), "window_size": 4}
KINDS = {
    "ViT": ("vit_tiny_patch16_224", VIT),
    "non-square": ("vit_tiny_patch16_224", VIT | {"img_size": (48, 80)}),
    "distilled DeiT": ("deit_tiny_distilled_patch16_224", VIT),
    "distilled DeiT, non-square": ("deit_tiny_distilled_patch16_224", VIT | {"img_size": (48, 80)}),
    "registers": ("vit_small_patch14_reg4_dinov2", VIT),
    "registers, mean pool": ("vit_medium_patch16_reg4_gap_256", VIT),
    "SigLIP": ("vit_base_patch16_siglip_224", VIT),
    "SigLIP, non-square": ("vit_base_patch16_siglip_224", VIT | {"img_size": (48, 80)}),
    "differential": ("vit_dlittle_patch16_reg1_gap_256", VIT),
    "Swin": ("swin_tiny_patch4_window7_224", SWIN | {"img_size": 56}),
    "Swin, padded and non-square": ("swin_tiny_patch4_window7_224", SWIN | {"img_size": (64, 52)}),
    "Swin, padded, three stages": ("swin_tiny_patch4_window7_224", STAGES | {"img_size": (72, 52)}),
    "SwinV2": ("swinv2_tiny_window8_256", SWIN | {"img_size": 64, "window_size": 8}),
    "SwinV2, padded": ("swinv2_tiny_window8_256", SWIN | {"img_size": (80, 48), "window_size": 8}),
    "SwinV2, padded, three stages": ("swinv2_tiny_window8_256", STAGES | {"img_size": (72, 52)}),
}
"""Of each family one model; those in three stages shift, pad and merge with odd edges."""
TARGET = 3


@cache
def known(kind: str) -> "tuple[Trace, Reference]":
    """A trace, and what a plain implementation computes of its model; made once for all tests."""
    pixels = np.random.default_rng(7).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    name, options = KINDS[kind]
    trace = vitviz.trace(
        vitviz.load_model(lively(name, **options), device="cpu"), photo_from_array(pixels, "noise")
    )
    return trace, reference(trace, TARGET)


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
    """What a plain implementation computes: per layer A, ∇A (windows×heads×n×n) and the module's input with its
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
    """Replaces a block's attention: applies given weights to its input."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.weights @ x


class _Given(nn.Module):
    """Replaces a block's attention: returns given values of each slot, whatever the input."""

    def __init__(self, slots: Tensor) -> None:
        super().__init__()
        self.slots = slots

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.slots


def _block(trace: Trace, index: int) -> Any:
    return trace.model.module.get_submodule(trace.layers[index].name.rpartition(".")[0])


def windowed(trace: Trace, index: int) -> bool:
    """Whether timm cuts this layer's grid into windows."""
    return hasattr(_block(trace, index), "input_resolution")


def grid(trace: Trace, index: int) -> tuple[int, int]:
    """Rows and columns of a layer's patches, as timm has them."""
    module: Any = trace.model.module
    rows, cols = (
        _block(trace, index).input_resolution if windowed(trace, index) else module.patch_embed.grid_size
    )
    return rows, cols


def prefixes(trace: Trace) -> int:
    """How many tokens timm puts before the patches."""
    return int(getattr(trace.model.module, "num_prefix_tokens", 0))


def token_of(trace: Trace, index: int, row: int, col: int) -> int:
    """The token of a layer that a patch of the photo is, or was merged into: two rows and columns into one at each merge."""
    wide, merges = grid(trace, index)[1], sum(merge(trace, at) is not None for at in range(index + 1))
    return prefixes(trace) + (row // 2**merges) * wide + col // 2**merges


def patches(trace: Trace, tokens: Matrix, index: int = 0) -> Matrix:
    """…×tokens → …×rows×cols of a layer's grid."""
    return tokens[..., prefixes(trace) :].reshape(*tokens.shape[:-1], *grid(trace, index))


def _pushed(trace: Trace, index: int, stand_in: nn.Module, tokens: Tensor) -> Matrix:
    """tokens×d through timm's own roll, pad, partition, reverse and roll back, with a replacement for the attention."""
    block = _block(trace, index)
    push = getattr(block, "_attn", None) or block._shifted_window_attn
    kept, block.attn = block.attn, stand_in
    try:
        with torch.no_grad():
            return push(tokens.view(1, *grid(trace, index), -1)).flatten(0, 2).numpy()
    finally:
        block.attn = kept


def dense(trace: Trace, index: int, weights: Matrix) -> Matrix:
    """N×N over a stage's tokens of windows×n×n."""
    if not windowed(trace, index):
        return weights[0]
    rows, cols = grid(trace, index)
    eye = torch.eye(rows * cols, dtype=torch.float64)
    return _pushed(trace, index, _Weights(torch.from_numpy(weights)), eye)


def laid(trace: Trace, index: int, slots: Matrix) -> Matrix:
    """tokens×d of what is known of each slot, windows×n×d: padding is left out."""
    if not windowed(trace, index):
        return slots[0]
    rows, cols = grid(trace, index)
    nothing = torch.zeros(rows * cols, slots.shape[-1], dtype=torch.float64)
    return _pushed(trace, index, _Given(torch.from_numpy(slots)), nothing)


def row_sums(trace: Trace, index: int, weights: Matrix) -> Matrix:
    """The sum of each token's row, what falls on padding counted: N."""
    return laid(trace, index, weights.sum(-1, keepdims=True))[:, 0]


def merge(trace: Trace, index: int) -> Matrix | None:
    """parents×children before layer `index`, each parent an equal part of each real child; None where nothing is merged."""
    if index == 0 or not windowed(trace, index) or grid(trace, index) == grid(trace, index - 1):
        return None
    above, below = grid(trace, index), grid(trace, index - 1)
    parts = np.zeros((above[0] * above[1], below[0] * below[1]))
    for row in range(below[0]):
        for col in range(below[1]):
            parts[row // 2 * above[1] + col // 2, row * below[1] + col] = 1
    return parts / parts.sum(1, keepdims=True)


def composed(trace: Trace, step: Callable[[int, Matrix], Matrix], first: int = 0) -> Matrix:
    """R of the last layer's tokens over those of the first: `step` takes a layer's number and R, merges are M R. The pool's
    layer is left out.
    """
    rows, cols = grid(trace, first)
    result = np.eye(prefixes(trace) + rows * cols)
    for index in range(first, len(trace.layers)):
        if trace.layers[index].name == "attn_pool":
            continue
        parts = merge(trace, index) if index > first else None
        result = step(index, result if parts is None else parts @ result)
    return result


def pooled(trace: Trace) -> bool:
    """Whether the prediction is read by an attention pool."""
    return getattr(trace.model.module, "global_pool", "") == "map"


def readout(trace: Trace, tokens: Matrix) -> Matrix:
    """The mean of the rows of the tokens that timm's own head reads: class, class and distillation, or all patches."""
    module: Any = trace.model.module
    if hasattr(module, "head_dist"):
        return tokens[:2].mean(0)
    return tokens[0] if module.global_pool == "token" else tokens[prefixes(trace) :].mean(0)


def relative(values: Any, expected: Any) -> float:
    values, expected = np.asarray(values, np.float64), np.asarray(expected, np.float64)
    assert values.shape == expected.shape
    assert np.abs(expected).max() > 0
    return float(np.abs(values - expected).max() / np.abs(expected).max())
