"""torchvision's `vit_*`, `swin_*` and `swin_v2_*`."""

from typing import Any

from torch import nn
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from vitviz.attention.families.base import Anatomy, PositionEmbedding, table
from vitviz.attention.families.plain_grids import joined, plain_layout
from vitviz.attention.families.window_stages import merged, windowed
from vitviz.attention.layout import Merge
from vitviz.attention.readout import Readout
from vitviz.attention.recording.operations import Operation
from vitviz.images.framing import PatchGrid
from vitviz.models.model import Model


def matches(module: nn.Module) -> bool:
    """Whether the model is torchvision's ViT or Swin."""
    return isinstance(module, VisionTransformer | SwinTransformer)


def anatomy(model: Model, operations: list[Operation]) -> Anatomy:
    """A ViT's class token and grid; a Swin's stages, whose grids are padded before they are shifted."""
    module: Any = model.module
    return (
        _vit(module, operations, model.input_size)
        if isinstance(module, VisionTransformer)
        else _swin(module, operations, model.input_size)
    )


def _vit(module: Any, operations: list[Operation], input_size: tuple[int, int]) -> Anatomy:
    size = module.patch_size
    patches = PatchGrid(input_size[0] // size, input_size[1] // size, (float(size), float(size)))
    layers = joined(
        module,
        operations,
        lambda operation: plain_layout(operation, patches, ("class",)),
        lambda _name, index: index,
    )
    grid = (patches.rows, patches.cols)
    return Anatomy(
        layers, Readout("class", ("class",)), table(None, module.encoder.pos_embedding, grid, grid)
    )


def _swin(module: Any, operations: list[Operation], input_size: tuple[int, int]) -> Anatomy:
    height, width = module.features[0][0].kernel_size
    patches = PatchGrid(input_size[0] // height, input_size[1] // width, (float(height), float(width)))
    layers = []
    stage = operations[0].module.split(".")[1]
    for index, operation in enumerate(operations):
        attention = module.get_submodule(operation.module)
        merge = None
        if operation.module.split(".")[1] != stage:
            stage = operation.module.split(".")[1]
            merge, patches = Merge(), merged(patches)
        size = tuple(attention.window_size)
        shift = (
            _shift(attention.shift_size[0], size[0], patches.rows),
            _shift(attention.shift_size[1], size[1], patches.cols),
        )
        layers.append(windowed(index, operation, patches, size, shift, True, merge))
    v2 = any("cpb_mlp" in name for name, _ in module.named_modules())
    kind = "continuous relative bias" if v2 else "relative bias"
    return Anatomy(tuple(layers), Readout("mean"), PositionEmbedding((kind,)))


def _shift(wanted: int, window: int, length: int) -> int:
    """torchvision does not shift along an axis that one window covers, padding included."""
    return 0 if window >= length + -length % window else wanted
