"""One small model of each family for the audit, with random weights that attend unevenly, and a slow one."""

import time
from collections.abc import Callable
from functools import cache

import timm
import torch
from proof_models import DATA, HandWritten
from torch import nn

from vitviz.models.loading import load_model
from vitviz.models.model import Model

_VIT = {"img_size": 64, "patch_size": 8, "embed_dim": 48, "num_heads": 3, "depth": 3}
_SWIN = {"img_size": 64, "window_size": 4, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
_PAUSE = 0.05  # seconds that each pass of the slow model takes longer


def _timm(name: str, classes: int = 12, **options: object) -> nn.Module:
    torch.manual_seed(4)
    module = timm.create_model(name, num_classes=classes, **options).eval()
    with torch.no_grad():
        for key, weight in module.named_parameters():
            if key.endswith(("qkv.weight", "q.weight", "k.weight")):
                weight.mul_(4)
    return module


def _slow() -> nn.Module:
    module = _timm("vit_tiny_patch16_224", **_VIT)
    module.register_forward_pre_hook(lambda *_: time.sleep(_PAUSE))
    return module


_FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "vit": lambda: _timm("vit_tiny_patch16_224", **_VIT),
    "swin": lambda: _timm("swin_tiny_patch4_window7_224", 5, **_SWIN),
    "distilled": lambda: _timm("deit_tiny_distilled_patch16_224", **_VIT),
    "swinv2": lambda: _timm("swinv2_tiny_window8_256", 5, **_SWIN),
    "registers": lambda: _timm("vit_tiny_patch16_224", reg_tokens=4, **_VIT),
    "cait": lambda: _timm("cait_xxs24_224", 7, **_VIT),
    "slow": _slow,
    "without classes": lambda: _timm("vit_tiny_patch16_224", 0, **_VIT),
    "read off by proof": HandWritten,
}
FAMILIES = tuple(_FAMILIES)


@cache
def model_of(family: str) -> Model:
    """The model of a family, the same each time."""
    data = DATA if family == "read off by proof" else None
    return load_model(_FAMILIES[family](), device="cpu", data=data)
