"""Initial weights for training.

Positions start as two-dimensional sines and cosines, and attention starts on similar tokens, hence on nearby ones:
Trockman & Kolter 2023, "Mimetic initialization of self-attention layers". Starting the patch embedding as the whitening
of real patches was tried too, and was no better than timm's own start.
"""

from __future__ import annotations

import math
from typing import Any

import torch


@torch.no_grad()
def mimic(model: Any) -> None:
    """Give a ViT sine positions, and attention that starts on similar tokens (values: minus the token)."""
    prefix = model.pos_embed.shape[1] - model.patch_embed.num_patches
    model.pos_embed.zero_()
    rows, cols = model.patch_embed.grid_size
    model.pos_embed[0, prefix:] = _sines(rows, cols, model.embed_dim)
    for block in model.blocks:
        attention = block.attn
        dim, heads = model.embed_dim, attention.num_heads
        width = dim // heads
        query, key, value = attention.qkv.weight.view(3, dim, dim)
        for h in range(heads):
            rows = slice(h * width, (h + 1) * width)
            goal = 0.7 * torch.randn(dim, dim) / math.sqrt(dim) + 0.7 * torch.eye(dim)
            left, strength, right = torch.linalg.svd(goal)
            root = strength[:width].sqrt()[:, None]
            query[rows] = left[:, :width].T * root
            key[rows] = right[:width] * root
        goal = 0.4 * torch.randn(dim, dim) / math.sqrt(dim) - 0.4 * torch.eye(dim)
        left, strength, right = torch.linalg.svd(goal)
        value.copy_(strength.sqrt()[:, None] * right)
        attention.proj.weight.copy_(left * strength.sqrt())


def _sines(rows: int, cols: int, dim: int) -> torch.Tensor:
    """Return (rows · cols, dim): sines and cosines of the row in one half, of the column in the other."""
    rates = math.pi / torch.logspace(math.log10(2.5), math.log10(40), dim // 4)
    y = torch.arange(rows).float()[:, None] * rates
    x = torch.arange(cols).float()[:, None] * rates
    down = torch.cat([y.sin(), y.cos()], dim=1)[:, None].expand(rows, cols, -1)
    across = torch.cat([x.sin(), x.cos()], dim=1)[None].expand(rows, cols, -1)
    return 0.5 * torch.cat([down, across], dim=2).flatten(0, 1)


@torch.no_grad()
def grow_distillation(learner: Any, trained: Any) -> None:
    """Start a distilled DeiT as the trained ViT; its distillation token begins near the class token, its head as a copy.

    Not equal to it: two equal tokens would always attend to the same.
    """
    state = dict(trained.state_dict())
    token = state["model.cls_token"] + state["model.pos_embed"][:, :1]
    state["model.dist_token"] = state["model.cls_token"] + 0.5 * token.std() * torch.randn_like(token)
    table = state["model.pos_embed"]
    state["model.pos_embed"] = torch.cat([table[:, :1], table], dim=1)
    for part in ("weight", "bias"):
        state[f"model.head_dist.{part}"] = state[f"model.head.{part}"].clone()
    learner.load_state_dict(state)
