"""timm's Swin, SwinV2 and SwinV2-CR: stages of windows, shifted in every second layer, merged 2×2 between stages."""

from typing import Any

from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.swin_transformer_v2_cr import SwinTransformerV2Cr
from torch import nn

from vitviz.attention.families.base import Anatomy, PositionEmbedding
from vitviz.attention.families.window_stages import merged, windowed
from vitviz.attention.layout import Merge
from vitviz.attention.readout import Readout
from vitviz.attention.recording.operations import Operation
from vitviz.images.framing import PatchGrid
from vitviz.models.model import Model

CLASSES = (SwinTransformer, SwinTransformerV2, SwinTransformerV2Cr)


def matches(module: nn.Module) -> bool:
    """Whether the model is one of timm's Swin classes."""
    return isinstance(module, CLASSES)


def anatomy(model: Model, operations: list[Operation]) -> Anatomy:
    """Each block's own window and shift, as timm has set them for this input, over its stage's grid."""
    module: Any = model.module
    rows, cols = module.patch_embed.grid_size
    height, width = module.patch_embed.patch_size
    patches = PatchGrid(rows, cols, (float(height), float(width)))
    layers = []
    for index, operation in enumerate(operations):
        block = module.get_submodule(operation.module.rpartition(".")[0])
        resolution = tuple(
            block.feat_size if isinstance(module, SwinTransformerV2Cr) else block.input_resolution
        )
        merge = None
        if resolution != (patches.rows, patches.cols):
            merge, patches = Merge(), merged(patches)
        layers.append(
            windowed(
                index, operation, patches, tuple(block.window_size), tuple(block.shift_size), False, merge
            )
        )
    continuous = not isinstance(module, SwinTransformer)
    kind = "continuous relative bias" if continuous else "relative bias"
    pool = getattr(module, "global_pool", None) or getattr(module.head, "global_pool", None)
    pooled = str(getattr(pool, "pool_type", pool))
    return Anatomy(tuple(layers), Readout("mean" if pooled == "avg" else pooled), PositionEmbedding((kind,)))
