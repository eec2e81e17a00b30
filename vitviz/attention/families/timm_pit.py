"""timm's PiT: three stages of plain attention, between them a strided convolution pools the grid (Heo et al. 2021)."""

import re
from typing import Any

from timm.models.pit import PoolingVisionTransformer
from torch import Tensor, nn

from vitviz.attention.families.base import Anatomy, table
from vitviz.attention.layer import Layer
from vitviz.attention.layout import Layout, Merge
from vitviz.attention.readout import of_tokens
from vitviz.attention.recording.operations import Operation
from vitviz.errors import RefusedError
from vitviz.images.framing import PatchGrid
from vitviz.models.model import Model


def matches(module: nn.Module) -> bool:
    """Whether the model is timm's PiT."""
    return isinstance(module, PoolingVisionTransformer)


def anatomy(model: Model, operations: list[Operation]) -> Anatomy:
    """Patches overlap: a cell is as large as the stride and centred on its patch. A pooled token covers several."""
    module: Any = model.module
    prefix = ("class", "distillation")[: module.num_tokens]
    patches = _first_grid(module, model.input_size)
    first = patches
    layers: list[Layer] = []
    stage = 0
    for index, operation in enumerate(operations):
        found = re.match(r"transformers\.(\d+)\.", operation.module)
        if found is None:
            raise RefusedError(f"{operation.module} is not in a stage of PiT.")
        merge = None
        if int(found[1]) != stage:
            stage = int(found[1])
            convolution = module.transformers[stage].pool.conv
            merge = Merge(convolution.kernel_size[0], convolution.stride[0], convolution.padding[0])
            patches = _pooled(patches, merge)
        if operation.shape[3] != patches.rows * patches.cols + len(prefix):
            raise RefusedError(
                f"{operation.module} attends over {operation.shape[3]} keys, not over its stage's grid."
            )
        layers.append(Layer(operation.module, Layout(patches, prefix, merge=merge), (operation,), step=index))
    readout = of_tokens(*prefix)
    grid = (first.rows, first.cols)
    classifiers = (
        {"class": "head", "distillation": "head_dist"} if len(prefix) == 2 and module.num_classes else {}
    )
    if model.stored_grid is not None and model.stored_position is not None:
        position = table(_rows(model.stored_position), _rows(module.pos_embed), model.stored_grid, grid)
    else:
        position = table(None, _rows(module.pos_embed), grid, grid)
    return Anatomy(tuple(layers), readout, position, classifiers)


def _rows(picture: Tensor) -> Tensor:
    """PiT keeps its table as 1×dim×rows×columns; here it is 1×tokens×dim."""
    return picture.flatten(2).transpose(1, 2)


def _first_grid(module: Any, input_size: tuple[int, int]) -> PatchGrid:
    convolution = module.patch_embed.conv
    size, stride, padding = convolution.kernel_size[0], convolution.stride[0], convolution.padding[0]
    rows, cols = ((length + 2 * padding - size) // stride + 1 for length in input_size)
    margin = (size - stride) / 2 - padding
    return PatchGrid(rows, cols, (float(stride), float(stride)), (margin, margin))


def _pooled(patches: PatchGrid, merge: Merge) -> PatchGrid:
    rows, cols = (
        (length + 2 * merge.padding - merge.kernel) // merge.stride + 1
        for length in (patches.rows, patches.cols)
    )
    # the kernel's centre is `kernel // 2 − padding` cells into the grid; the pooled cell is centred there
    centre = merge.kernel / 2 - merge.padding
    height, width = (length * merge.stride for length in patches.cell)
    top = patches.origin[0] + (centre - merge.stride / 2) * patches.cell[0]
    left = patches.origin[1] + (centre - merge.stride / 2) * patches.cell[1]
    return PatchGrid(rows, cols, (height, width), (top, left))
