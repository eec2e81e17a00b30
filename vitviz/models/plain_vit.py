"""Vision transformers of a depth, width or MLP that no named architecture has, built from what their tensors say.

The number of heads is in no tensor of a ViT, unless its queries are normalised per head. It is taken from the file's own
settings, or is the one that the published ViTs of this width have (heads of 64 from ViT-Tiny to ViT-Large); the latter is
said. Where neither tells, the file is refused: another number of heads gives other attention from the same tensors.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import torch

from vitviz.errors import ModelError
from vitviz.models.architectures import Shape
from vitviz.models.checkpoint import WeightFile

VIT = "vit_base_patch16_224"
SWIN = "swin_tiny_patch4_window7_224"
_BLOCK = re.compile(r"^blocks\.(\d+)\.")
_STAGE = re.compile(r"^layers\.(\d+)\.blocks\.(\d+)\.")

# Width → heads of the published ViTs.
_USUAL_HEADS = {
    192: 3,
    256: 4,
    320: 5,
    384: 6,
    512: 8,
    640: 10,
    768: 12,
    832: 13,
    896: 14,
    1024: 16,
    1280: 16,
}


def vit_options(
    file: WeightFile, tensors: Mapping[str, torch.Tensor], size: tuple[int, int] | None
) -> tuple[dict[str, Any], str] | None:
    """Options of timm's VisionTransformer that these tensors need, and what was assumed; None for another network."""
    needed = {"patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "blocks.0.mlp.fc1.weight"}
    if not needed <= tensors.keys() or tensors["patch_embed.proj.weight"].ndim != 4:
        return None
    shape = {key: tuple(value.shape) for key, value in tensors.items()}
    width, channels, *patch = shape["patch_embed.proj.weight"]
    table = shape.get("pos_embed")
    if table is None or len(table) != 3 or table[-1] != width or channels != 3:
        return None
    depth = 1 + max(int(found[1]) for key in tensors if (found := _BLOCK.match(key)))
    registers = shape["reg_token"][1] if "reg_token" in shape else 0
    class_token = "cls_token" in shape
    prefix = registers + class_token
    grid, prefixed = _grid(table[1], prefix, patch, size, file)
    if grid is None:
        return None
    heads, note = heads_of(file, width, shape)
    options: dict[str, Any] = {
        "img_size": (grid[0] * patch[0], grid[1] * patch[1]),
        "patch_size": tuple(patch),
        "embed_dim": width,
        "depth": depth,
        "num_heads": heads,
        "mlp_ratio": shape["blocks.0.mlp.fc1.weight"][0] / width,
        "qkv_bias": "blocks.0.attn.qkv.bias" in shape,
        "proj_bias": "blocks.0.attn.proj.bias" in shape,
        "qk_norm": "blocks.0.attn.q_norm.weight" in shape,
        "init_values": 1e-5 if "blocks.0.ls1.gamma" in shape else None,
        "class_token": class_token,
        "reg_tokens": registers,
        "no_embed_class": not prefixed and prefix > 0,
        "pre_norm": "norm_pre.weight" in shape,
        "global_pool": "token" if class_token and "fc_norm.weight" not in shape else "avg",
        "fc_norm": "fc_norm.weight" in shape,
        "final_norm": "norm.weight" in shape or "fc_norm.weight" in shape,
    }
    return {key: value for key, value in options.items() if value is not None}, note


def heads_of(file: WeightFile, width: int, shape: Mapping[str, Shape]) -> tuple[int, str]:
    """The number of heads, and what was assumed of it. Raises ModelError where nothing tells it."""
    per_head = shape.get("blocks.0.attn.q_norm.weight")
    if per_head and width % per_head[0] == 0:
        return width // per_head[0], ""
    told = next(
        (
            file.settings[key]
            for key in ("num_heads", "heads", "n_heads", "num_attention_heads")
            if key in file.settings
        ),
        None,
    )
    if isinstance(told, int) and told > 0 and width % told == 0:
        return told, ""
    if width in _USUAL_HEADS:
        heads = _USUAL_HEADS[width]
        return heads, f"{heads} heads assumed, as usual for width {width}"
    stem = file.path.stem
    raise ModelError(
        f"{file.path.name} is a vision transformer of width {width}, and neither its tensors nor its settings say how many "
        f"heads it has. Say it in a file {stem}.json beside it: "
        f'{{"timm": {{"architecture": "{VIT}", "kwargs": {{"num_heads": …, …}}}}}}.',
        f"kwargs takes the options of timm's VisionTransformer: img_size, patch_size, embed_dim={width}, depth, …",
    )


def swin_options(file: WeightFile, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any] | None:
    """Options of timm's SwinTransformer that these tensors need; None for another network."""
    first = "layers.0.blocks.0.attn.relative_position_bias_table"
    if not {"patch_embed.proj.weight", first, "layers.0.blocks.0.mlp.fc1.weight"} <= tensors.keys():
        return None
    width, channels, patch, across = tensors["patch_embed.proj.weight"].shape
    places = [(int(m[1]), int(m[2])) for key in tensors if (m := _STAGE.match(key))]
    depths = [
        1 + max(block for stage, block in places if stage == one) for one in sorted({p[0] for p in places})
    ]
    tables = [
        tensors.get(f"layers.{stage}.blocks.0.attn.relative_position_bias_table")
        for stage in range(len(depths))
    ]
    if channels != 3 or patch != across or any(table is None for table in tables):
        return None
    windows = [(math.isqrt(table.shape[0]) + 1) // 2 for table in tables if table is not None]
    if len(set(windows)) > 1:
        return None
    return {
        "patch_size": int(patch),
        "embed_dim": int(width),
        "depths": tuple(depths),
        "num_heads": tuple(int(table.shape[1]) for table in tables if table is not None),
        "window_size": windows[0],
        "mlp_ratio": tensors["layers.0.blocks.0.mlp.fc1.weight"].shape[0] / width,
        "qkv_bias": "layers.0.blocks.0.attn.qkv.bias" in tensors,
        "img_size": swin_size(file, tensors, int(patch), windows[0])
        or _natural(int(patch), windows[0], len(depths)),
    }


def swin_size(
    file: WeightFile, tensors: Mapping[str, torch.Tensor], patch: int, window: int
) -> tuple[int, int] | None:
    """The input size a Swin was trained at: by the file's settings, or by how many windows its masks are for."""
    told = stated_size(file)
    if told is not None:
        return told
    mask = tensors.get("layers.0.blocks.1.attn_mask")
    if mask is None:
        return None
    side = math.isqrt(mask.shape[0])
    return (side * window * patch,) * 2 if side * side == mask.shape[0] else None


def stated_size(file: WeightFile) -> tuple[int, int] | None:
    """The input size (height, width) that the file's settings state."""
    for key in ("img_size", "image_size", "input_size", "resolution"):
        told = file.settings.get(key)
        if isinstance(told, int) and told > 0:
            return told, told
        if isinstance(told, tuple | list) and len(told) in (2, 3) and min(told) > 0:
            return int(told[-2]), int(told[-1])
    return None


def _natural(patch: int, window: int, stages: int) -> tuple[int, int]:
    """The size at which the last stage is one window, as the published models have."""
    return (patch * window << (stages - 1),) * 2


def _grid(
    entries: int, prefix: int, patch: list[int], size: tuple[int, int] | None, file: WeightFile
) -> tuple[tuple[int, int] | None, bool]:
    """Rows and columns of a position table, and whether it has entries for the prefix tokens."""
    wanted = size or stated_size(file)
    for extra in dict.fromkeys((prefix, 0)):
        count = entries - extra
        if wanted is not None:
            rows, cols = wanted[0] // patch[0], wanted[1] // patch[1]
            if rows * cols == count:
                return (rows, cols), extra > 0
    for extra in dict.fromkeys((prefix, 0)):
        side = math.isqrt(max(entries - extra, 0))
        if side > 0 and side * side == entries - extra:
            return (side, side), extra > 0
    raise ModelError(
        f"{file.path.name} has positions for {entries - prefix} patches, which are no square, and does not say how many are "
        "in a row; give the size that it was trained at (image_size=(height, width), --image-size).",
    )
