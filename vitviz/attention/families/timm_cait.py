"""timm's CaiT: patches attend with talking heads, then a class token joins and alone attends (Touvron et al. 2021)."""

from dataclasses import replace
from typing import Any

from timm.models.cait import Cait
from torch import Tensor, nn

from vitviz.attention.anatomy import Anatomy, Readout, table
from vitviz.attention.families.timm_vit import joined, patch_grid, plain_layout
from vitviz.attention.recorder import Operation


def matches(module: nn.Module) -> bool:
    """Whether the model is timm's CaiT."""
    return isinstance(module, Cait)


def anatomy(
    module: Any, operations: list[Operation], input_size: tuple[int, int], stored: Tensor | None
) -> Anatomy:
    """Talking-head layers over the patches, then class-attention layers whose only query is the class token."""
    patches = patch_grid(module, input_size)
    layers = joined(
        module,
        operations,
        lambda operation: plain_layout(operation, patches, ("class",)),
        lambda _name, index: index,
    )
    layers = tuple(
        replace(layer, pooling=False, queries=(0,)) if layer.pooling else layer for layer in layers
    )
    grid = (patches.rows, patches.cols)
    readout = Readout("class", ("class",)) if module.global_pool == "token" else Readout("mean")
    return Anatomy(layers, readout, table(stored, module.pos_embed, grid, grid))
