"""timm's Swin, SwinV2 and SwinV2-CR: stages of windows, shifted in every second layer, merged 2×2 between stages."""

from typing import Any

from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.swin_transformer_v2_cr import SwinTransformerV2Cr
from torch import nn

from vitviz.attention.anatomy import Anatomy, PositionEmbedding, Readout
from vitviz.attention.layer import Layer
from vitviz.attention.layout import Layout, Merge
from vitviz.attention.operations import Operation
from vitviz.attention.windows import cut
from vitviz.errors import RefusedError
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


def merged(patches: PatchGrid) -> PatchGrid:
    """The next stage's grid: 2×2 cells become one; an odd edge is padded."""
    return PatchGrid(
        (patches.rows + 1) // 2,
        (patches.cols + 1) // 2,
        (patches.cell[0] * 2, patches.cell[1] * 2),
        patches.origin,
    )


def windowed(
    index: int,
    operation: Operation,
    patches: PatchGrid,
    size: tuple[int, int],
    shift: tuple[int, int],
    pad_first: bool,
    merge: Merge | None,
) -> Layer:
    """A layer of windows; refused if the windows are not those that the operation saw."""
    windows = cut((patches.rows, patches.cols), size, shift, pad_first=pad_first)
    if windows.index.shape != (operation.shape[0], operation.shape[3]):
        raise RefusedError(
            f"{operation.module} attended in {operation.shape[0]} windows of {operation.shape[3]} tokens, "
            f"but its grid of {patches.rows}×{patches.cols} gives {windows.index.shape[0]} of {windows.index.shape[1]}."
        )
    return Layer(operation.module, Layout(patches, windows=windows, merge=merge), (operation,), step=index)
