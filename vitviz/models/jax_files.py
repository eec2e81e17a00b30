"""The original weights of ViT (Google Research, JAX, .npz), under timm's names.

timm's own reader converts them, into a VisionTransformer of the size that the arrays have.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vitviz.errors import ModelError

_PREFIXES = ("", "opt/target/", "params/", "params/img/")
_BLOCK = re.compile(r"Transformer/encoderblock_(\d+)/")


def read_npz(path: Path) -> tuple[dict[str, Any], tuple[str, ...], Mapping[str, Any]]:
    """The tensors of a JAX ViT by timm's names, no hints, and the number of heads, which its arrays tell.

    Raises ModelError for other arrays, and for the hybrids with a ResNet, which are loaded by name.
    """
    shapes = _shapes(path)
    prefix = next((one for one in _PREFIXES if f"{one}embedding/kernel" in shapes), None)
    if prefix is None:
        raise ModelError(
            f"{path.name} holds NumPy arrays, but not those of a ViT; its first is {next(iter(shapes), 'missing')}."
        )
    if any("conv_root" in name for name in shapes):
        raise ModelError(
            f"{path.name} is a ViT behind a ResNet (R26, R50 …); load it by its timm name, such as vit_small_r26_s32_224."
        )
    layers = {int(found[1]) for name in shapes if (found := _BLOCK.search(name))}
    first = f"{prefix}Transformer/encoderblock_0/"
    try:
        patch, _, channels, width = shapes[f"{prefix}embedding/kernel"]
        heads = shapes[f"{first}MultiHeadDotProductAttention_1/query/kernel"][1]
        hidden = shapes[f"{first}MlpBlock_3/Dense_0/kernel"][1]
        entries = shapes[f"{prefix}Transformer/posembed_input/pos_embedding"][1]
    except (KeyError, ValueError, IndexError) as error:
        raise ModelError(
            f"{path.name} holds the arrays of a ViT under names that vitviz does not know.", str(error)
        ) from error
    token = f"{prefix}cls" in shapes
    side = math.isqrt(entries - token)
    if side * side != entries - token:
        raise ModelError(f"{path.name} has positions for {entries - token} patches, which are no square.")
    classes = shapes.get(f"{prefix}head/bias", (0,))[0]
    return _by_timm(path, {
        "img_size": side * patch, "patch_size": patch, "in_chans": channels, "embed_dim": width, "depth": len(layers),
        "num_heads": heads, "mlp_ratio": hidden / width, "num_classes": classes, "class_token": token,
        "global_pool": "token" if token else "avg", "fc_norm": False,
    })  # fmt: skip


def _by_timm(
    path: Path, options: dict[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...], Mapping[str, Any]]:
    from timm.models.vision_transformer import VisionTransformer

    try:
        module = VisionTransformer(weight_init="skip", **options)
        module.load_pretrained(str(path))
    # timm's reader fails in many ways on arrays of other shapes.
    except Exception as error:
        raise ModelError(
            f"{path.name} cannot be read as a ViT in JAX.", f"{type(error).__name__}: {error}"
        ) from error
    return dict(module.state_dict()), (), {"num_heads": options["num_heads"]}


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of all arrays, read from their headers."""
    import zipfile

    shapes = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    version = np.lib.format.read_magic(file)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shapes[name.removesuffix(".npy")] = read(file)[0]
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path.name} is damaged: its arrays cannot be read.", str(error)) from error
    return shapes
