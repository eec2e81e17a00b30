"""Small timm models with far from uniform attention, and timm's own unfused path as the naive reference."""

from collections.abc import Iterator
from contextlib import contextmanager

import timm
import torch
from torch import Tensor, nn


def small(name: str, seed: int = 0, **options: object) -> nn.Module:
    """A timm model with random weights large enough that attention is far from uniform."""
    torch.manual_seed(seed)
    module = timm.create_model(name, **options).eval()
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            if "qkv" in key or key.endswith(
                ("q.weight", "k.weight", "kv.weight", "q_proj.weight", "k_proj.weight")
            ):
                parameter.mul_(8)
    return module


VIT = {"img_size": 64, "patch_size": 16, "embed_dim": 48, "depth": 3, "num_heads": 3, "num_classes": 10}


@contextmanager
def unfused(module: nn.Module) -> Iterator[list[Tensor]]:
    """timm's own unfused path: inside, each attention's softmaxed weights are collected as the model computes them."""
    seen: list[Tensor] = []
    handles = []
    switched = [child for child in module.modules() if getattr(child, "fused_attn", False)]
    for child in switched:
        child.fused_attn = False
    for child in module.modules():
        if hasattr(child, "fused_attn"):
            drop = getattr(child, "attn_drop", None)
            assert isinstance(drop, nn.Dropout)
            handles.append(
                drop.register_forward_pre_hook(lambda _m, args: seen.append(args[0].detach().clone()))
            )
    try:
        with torch.no_grad():
            yield seen
    finally:
        for handle in handles:
            handle.remove()
        for child in switched:
            child.fused_attn = True
