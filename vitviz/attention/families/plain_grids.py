"""Shared by several families: models with prefix tokens followed by one grid of patches."""

import math
from typing import Any

from timm.models.naflexvit import NaFlexVit
from torch import nn

from vitviz.attention.families.branches import joined_branches
from vitviz.attention.layer import Layer
from vitviz.attention.layout import Layout
from vitviz.attention.recording.operations import Operation
from vitviz.errors import RefusedError
from vitviz.images.framing import PatchGrid


def patch_grid(module: Any, input_size: tuple[int, int]) -> PatchGrid:
    """Where the patches of the input lie, in input pixels."""
    if isinstance(module, NaFlexVit):
        size = module.embeds.patch_size
        rows, cols = (math.ceil(length / patch) for length, patch in zip(input_size, size, strict=True))
        return PatchGrid(rows, cols, (float(size[0]), float(size[1])))
    embed = module.patch_embed
    rows, cols = (
        embed.dynamic_feat_size(input_size) if hasattr(embed, "dynamic_feat_size") else embed.grid_size
    )
    if hasattr(embed, "backbone"):  # a hybrid's cell is what its convolutions' stride covers
        return PatchGrid(rows, cols, (input_size[0] / rows, input_size[1] / cols))
    height, width = embed.patch_size
    return PatchGrid(rows, cols, (float(height), float(width)))


def prefix_names(module: Any) -> tuple[str, ...]:
    """The names of the tokens before the patches, in their order."""
    home = module.embeds if isinstance(module, NaFlexVit) else module
    names: list[str] = []
    for attribute, name in (
        ("cls_token", "class"),
        ("dist_token", "distillation"),
        ("reg_token", "register"),
    ):
        token = getattr(home, attribute, None)
        count = 0 if token is None else token.shape[1]
        names += [name] if count == 1 and name != "register" else [f"{name} {i + 1}" for i in range(count)]
    return tuple(names)


def plain_layout(operation: Operation, patches: PatchGrid, names: tuple[str, ...]) -> Layout:
    """The layout of an operation over all tokens, or over the patches alone."""
    batch, _, _, keys = operation.shape
    count = patches.rows * patches.cols
    if batch == 1 and keys == count + len(names):
        return Layout(patches, names)
    if batch == 1 and keys == count:
        return Layout(patches)
    raise RefusedError(
        f"{operation.module} attends over {keys} keys, but the input has {patches.rows}×{patches.cols} patches "
        f"and {len(names)} prefix tokens: vitviz cannot say which key is which patch."
    )


def joined(module: nn.Module, operations: list[Operation], layout: Any, step: Any) -> tuple[Layer, ...]:
    """Layers of plain operations; the two of a differential attention become one layer, A₁ − λA₂ (Ye et al. 2024)."""
    layers: list[Layer] = []
    waiting = list(operations)
    while waiting:
        first, *waiting = waiting
        parts: tuple[Operation, ...] = (first,)
        signs: tuple[float, ...] = (1.0,)
        if waiting and waiting[0].module == first.module:
            attending: Any = module.get_submodule(first.module)
            if hasattr(attending, "_compute_lambda"):
                second, *waiting = waiting
                parts, signs = (first, second), (1.0, -float(attending._compute_lambda().detach()))
        where = layout(first)
        _, _, queries, keys = first.shape
        pooling = queries != keys
        layers.append(
            Layer(first.module, where, parts, signs, pooling=pooling, step=step(first.module, len(layers)))
        )
    return joined_branches(module, tuple(layers))


def parallel_step(name: str, index: int) -> int:
    """Attention modules side by side in one block ("blocks.3.attns.1.attn") share a step."""
    parts = name.split(".attns.")
    return index - int(parts[1].split(".")[0]) if len(parts) == 2 else index
