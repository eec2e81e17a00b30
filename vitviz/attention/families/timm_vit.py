"""timm's plain vision transformers: ViT, DeiT, hybrids, relpos, BEiT, EVA and NaFlex. One grid, prefix tokens first."""

from dataclasses import replace
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed
from timm.models.beit import Beit
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
from timm.models.naflexvit import NaFlexVit
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_relpos import VisionTransformerRelPos
from torch import nn

from vitviz.attention.families.base import Anatomy, PositionEmbedding, table
from vitviz.attention.families.plain_grids import (
    joined,
    parallel_step,
    patch_grid,
    plain_layout,
    prefix_names,
)
from vitviz.attention.readout import Readout, of_tokens
from vitviz.attention.recording.operations import Operation
from vitviz.errors import RefusedError
from vitviz.images.framing import PatchGrid
from vitviz.models.model import Model

CLASSES = (VisionTransformer, VisionTransformerRelPos, Beit, Eva, NaFlexVit)
POOLS = {"token": "class", "avg": "mean", "avgmax": "mean and max", "max": "max", "map": "attention pool"}


def matches(module: nn.Module) -> bool:
    """Whether the model is of one of timm's plain vision transformer classes."""
    return isinstance(module, CLASSES)


def anatomy(model: Model, operations: list[Operation]) -> Anatomy:
    """One layer per attention operation, differential attention's two maps joined; all on the patch embedding's grid."""
    module: Any = model.module
    patches = patch_grid(module, model.input_size)
    names = prefix_names(module)
    layers = joined(
        module, operations, lambda operation: plain_layout(operation, patches, names), parallel_step
    )
    return Anatomy(
        layers, _readout(module, names, operations), _position(model, patches), _classifiers(module)
    )


def _readout(module: Any, names: tuple[str, ...], operations: list[Operation]) -> Readout:
    if isinstance(module, VisionTransformerDistilled):
        return of_tokens("class", "distillation")
    last = operations[-1].shape
    pool = "map" if last[2] != last[3] else getattr(module, "global_pool", "token")
    kind = POOLS.get(pool)
    if kind is None:
        raise RefusedError(f"The model pools its tokens by {pool!r}, which vitviz does not know.")
    if kind == "class" and not names:
        kind = "mean"
    if kind == "attention pool":
        return Readout(kind, queries=(0,), pool_size=last[2])
    return Readout(
        kind, (names[0],) if kind == "class" else (), bool(getattr(module, "pool_include_prefix", False))
    )


def _classifiers(module: Any) -> dict[str, str]:
    if isinstance(module, VisionTransformerDistilled) and module.num_classes > 0:
        return {"class": "head", "distillation": "head_dist"}
    return {}


def _position(model: Model, patches: PatchGrid) -> PositionEmbedding:
    module: Any = model.module
    grid = (patches.rows, patches.cols)
    more = []
    if getattr(module, "rope", None) is not None:
        more.append("rotary")
    if isinstance(module, VisionTransformerRelPos) or (isinstance(module, Beit) and _has_bias_table(module)):
        more.append("relative bias")
    if isinstance(module, NaFlexVit):
        return _naflex_position(module, grid, more)
    used = getattr(module, "pos_embed", None)
    if used is None:
        return table(None, None, grid, grid, *more)
    used_grid = tuple(module.patch_embed.grid_size)
    original, stored_grid = used, used_grid
    if model.stored_position is not None and model.stored_grid is not None:
        original, stored_grid = model.stored_position, model.stored_grid
    with torch.no_grad():
        if used_grid != grid:  # interpolated on the fly, as the model's own forward does
            prefix = used.shape[1] - used_grid[0] * used_grid[1]
            used = resample_abs_pos_embed(used, list(grid), list(used_grid), num_prefix_tokens=prefix)
    return table(original, used, stored_grid, grid, *more)


def _has_bias_table(module: nn.Module) -> bool:
    return any(getattr(child, "relative_position_bias_table", None) is not None for child in module.modules())


def _naflex_position(module: NaFlexVit, grid: tuple[int, int], more: list[str]) -> PositionEmbedding:
    embeds: Any = module.embeds
    learned, factorised = embeds.pos_embed is not None, getattr(embeds, "pos_embed_y", None) is not None
    if not learned and not factorised:
        return PositionEmbedding(tuple(more))
    with torch.no_grad():
        if learned:
            stored = embeds.pos_embed
            apply = embeds._apply_learned_pos_embed
        else:  # a row's vector plus a column's
            stored = embeds.pos_embed_y[:, :, None] + embeds.pos_embed_x[:, None]
            apply = embeds._apply_factorized_pos_embed
        # The model's own interpolation, which may preserve the aspect ratio, added to zeros.
        used = torch.zeros(1, grid[0] * grid[1], stored.shape[-1], device=stored.device)
        apply(used, grid_size=list(grid))
    found = table(stored.flatten(1, 2), used, tuple(stored.shape[1:3]), grid)
    return replace(found, kinds=("table" if learned else "factorised table", *more))
