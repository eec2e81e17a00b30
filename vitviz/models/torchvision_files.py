"""State dicts of torchvision's `vit_*` and `swin_*`, recognised by their names and built from their shapes."""

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from vitviz.errors import ModelError
from vitviz.models.checkpoint import WeightFile
from vitviz.models.plain_vit import heads_of, stated_size

_LAYER = re.compile(r"^encoder\.layers\.encoder_layer_(\d+)\.")
_BLOCK = re.compile(r"^features\.(\d+)\.(\d+)\.attn\.qkv\.weight$")


def is_torchvision(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether the tensors are named as torchvision names those of its ViT or Swin."""
    return ("conv_proj.weight" in tensors and any(_LAYER.match(key) for key in tensors)) or (
        "features.0.0.weight" in tensors and any(_BLOCK.match(key) for key in tensors)
    )


def build(file: WeightFile, image_size: tuple[int, int] | None = None) -> tuple[nn.Module, str]:
    """torchvision's module without its weights (on the meta device), and what was assumed.

    Raises ModelError where the tensors do not tell how it was made.
    """
    tensors = file.tensors
    try:
        with torch.device("meta"):
            return _vit(file, image_size) if "conv_proj.weight" in tensors else (_swin(tensors), "")
    except (KeyError, ValueError, IndexError) as error:
        raise ModelError(
            f"{file.path.name} names its tensors as torchvision does, but lacks some of a ViT's or Swin's ({error}).",
        ) from error


def _vit(file: WeightFile, image_size: tuple[int, int] | None) -> tuple[nn.Module, str]:
    from torchvision.models import VisionTransformer

    tensors = file.tensors
    width, _, patch, _ = tensors["conv_proj.weight"].shape
    size = stated_size(file) or image_size
    side = math.isqrt(tensors["encoder.pos_embedding"].shape[1] - 1)
    if side * side != tensors["encoder.pos_embedding"].shape[1] - 1:
        raise ModelError(
            f"{file.path.name} has positions for a picture that is no square, which torchvision's ViT never has."
        )
    pixels = size[0] if size is not None and size[0] == size[1] and size[0] // patch == side else side * patch
    heads, note = heads_of(file, width, {})
    pre = tensors.get("heads.pre_logits.weight")
    options: dict[str, Any] = {} if pre is None else {"representation_size": pre.shape[0]}
    head = tensors.get("heads.head.weight")
    module = VisionTransformer(
        image_size=pixels,
        patch_size=patch,
        num_layers=1 + max(int(found[1]) for key in tensors if (found := _LAYER.match(key))),
        num_heads=heads,
        hidden_dim=width,
        mlp_dim=tensors["encoder.layers.encoder_layer_0.mlp.0.weight"].shape[0],
        num_classes=1 if head is None else head.shape[0],
        **options,
    )
    if head is None:
        module.heads = nn.Identity()
    return module, note


def _swin(tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    from torchvision.models import swin_transformer as home

    places = [(int(m[1]), int(m[2])) for key in tensors if (m := _BLOCK.match(key))]
    stages = sorted({stage for stage, _ in places})
    second = f"features.{stages[0]}.0.attn.logit_scale" in tensors
    index = tensors[f"features.{stages[0]}.0.attn.relative_position_index"]
    window = math.isqrt(math.isqrt(index.numel()))
    names = "logit_scale" if second else "relative_position_bias_table"
    axis = 0 if second else 1
    width, _, *patch = tensors["features.0.0.weight"].shape
    parts: dict[str, Any] = {}
    if second:
        parts = {"block": home.SwinTransformerBlockV2, "downsample_layer": home.PatchMergingV2}
    head = tensors.get("head.weight")
    module: Any = home.SwinTransformer(
        patch_size=list(patch),
        embed_dim=width,
        depths=[sum(stage == one for stage, _ in places) for one in stages],
        num_heads=[int(tensors[f"features.{one}.0.attn.{names}"].shape[axis]) for one in stages],
        window_size=[window, window],
        mlp_ratio=tensors[f"features.{stages[0]}.0.mlp.0.weight"].shape[0] / width,
        num_classes=1 if head is None else head.shape[0],
        **parts,
    )
    if head is None:
        module.head = nn.Identity()
    made: nn.Module = module
    return made
