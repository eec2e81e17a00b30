"""Hugging Face's ViT, DeiT and Swin image classifiers, recognised without importing transformers."""

from typing import Any

from torch import nn

from vitviz.attention.families.base import Anatomy, PositionEmbedding, table
from vitviz.attention.families.plain_grids import joined, plain_layout
from vitviz.attention.families.window_stages import merged, windowed
from vitviz.attention.layout import Merge
from vitviz.attention.readout import Readout, of_tokens
from vitviz.attention.recording.operations import Operation
from vitviz.images.framing import PatchGrid
from vitviz.models.model import Model

HOMES = tuple(f"transformers.models.{name}.modeling_{name}" for name in ("vit", "deit", "swin"))


def matches(module: nn.Module) -> bool:
    """Whether the model's class comes from Hugging Face's ViT, DeiT or Swin."""
    return type(module).__module__ in HOMES


def anatomy(model: Model, operations: list[Operation]) -> Anatomy:
    """Layouts from the model's config; a Swin's grids are padded before they are shifted."""
    module: Any = model.module
    size = module.config.patch_size
    if type(module).__module__ == HOMES[2]:
        patches = PatchGrid(
            -(-model.input_size[0] // size), -(-model.input_size[1] // size), (float(size), float(size))
        )
        return _swin(module, operations, patches)
    patches = PatchGrid(model.input_size[0] // size, model.input_size[1] // size, (float(size), float(size)))
    return _vit(module, operations, patches)


def _vit(module: Any, operations: list[Operation], patches: PatchGrid) -> Anatomy:
    parameters = dict(module.named_parameters())
    names = ("class", "distillation") if _ending(parameters, "distillation_token") is not None else ("class",)
    layers = joined(
        module,
        operations,
        lambda operation: plain_layout(operation, patches, names),
        lambda _name, index: index,
    )
    grid = (patches.rows, patches.cols)
    position = table(None, _ending(parameters, "position_embeddings"), grid, grid)
    if hasattr(module, "distillation_classifier"):
        heads = {"class": "cls_classifier", "distillation": "distillation_classifier"}
        return Anatomy(layers, of_tokens(*names), position, heads)
    return Anatomy(layers, Readout("class", ("class",)), position)


def _swin(module: Any, operations: list[Operation], patches: PatchGrid) -> Anatomy:
    layers = []
    stage = None
    for index, operation in enumerate(operations):
        block_name = operation.module
        while not hasattr(module.get_submodule(block_name), "shift_size"):
            block_name = block_name.rpartition(".")[0]
        block = module.get_submodule(block_name)
        merge = None
        here = block_name.rsplit(".", 2)[0]
        if stage is not None and here != stage:
            merge, patches = Merge(), merged(patches)
        stage = here
        size, shift = int(block.window_size), int(block.shift_size)
        layers.append(windowed(index, operation, patches, (size, size), (shift, shift), True, merge))
    return Anatomy(tuple(layers), Readout("mean"), PositionEmbedding(("relative bias",)))


def _ending(parameters: dict[str, nn.Parameter], name: str) -> nn.Parameter | None:
    return next((value for key, value in parameters.items() if key.endswith(name)), None)
