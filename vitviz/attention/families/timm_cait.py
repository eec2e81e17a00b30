"""timm's CaiT: patches attend with talking heads, then a class token joins and alone attends (Touvron et al. 2021)."""

from dataclasses import replace
from typing import Any

from timm.models.cait import Cait
from torch import nn

from vitviz.attention.families.base import Anatomy, own_table
from vitviz.attention.families.plain_grids import joined, patch_grid, plain_layout
from vitviz.attention.readout import Readout
from vitviz.attention.recording.operations import Operation
from vitviz.models.model import Model


def matches(module: nn.Module) -> bool:
    """Whether the model is timm's CaiT."""
    return isinstance(module, Cait)


def anatomy(model: Model, operations: list[Operation]) -> Anatomy:
    """Talking-head layers over the patches, then class-attention layers whose only query is the class token."""
    module: Any = model.module
    patches = patch_grid(module, model.input_size)
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
    return Anatomy(layers, readout, own_table(model, module.pos_embed, grid))
