"""Models during training: with a head that classifies each patch and is discarded afterwards.

From class labels alone a small transformer stays near chance for over 100,000 pictures; with the class of each patch as
a target (the masks are known) it learns several times sooner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from vitviz.demo.architectures import Kind, Teacher, build
from vitviz.demo.shapes import CLASSES


@dataclass(frozen=True, eq=False)
class Answers:
    """``heads``: class logits (B, classes) per head; ``dense``: (B, rows, cols, classes + 1), background last."""

    heads: tuple[torch.Tensor, ...]
    dense: torch.Tensor


class PlainLearner(nn.Module):
    """A ViT or a distilled DeiT; it can learn from a window of the picture, each patch keeping its true position."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.model: Any = build(kind)
        self.dense = nn.Linear(self.model.embed_dim, len(CLASSES) + 1)

    def forward(self, x: torch.Tensor, corner: torch.Tensor) -> Answers:
        """Answer for windows ``x`` (B, 3, h, w) whose top-left patch is ``corner`` (B, 2) of the whole picture."""
        model = self.model
        cells = model.patch_embed.proj(x)
        rows, cols = cells.shape[-2:]
        cells = cells.flatten(2).transpose(1, 2)
        prefix = [model.cls_token]
        if getattr(model, "dist_token", None) is not None:
            prefix.append(model.dist_token)
        n = len(prefix)
        width = model.patch_embed.grid_size[1]
        row = corner[:, 0, None, None] + torch.arange(rows, device=x.device)[None, :, None]
        col = corner[:, 1, None, None] + torch.arange(cols, device=x.device)[None, None, :]
        places = (row * width + col).flatten(1) + n
        table = model.pos_embed[0]
        first = torch.cat(prefix, dim=1) + table[:n]
        tokens = torch.cat([first.expand(len(x), -1, -1), cells + table[places]], dim=1)
        tokens = model.norm(model.blocks(tokens))
        heads = [model.head(tokens[:, 0])]
        if n == 2:
            heads.append(model.head_dist(tokens[:, 1]))
        return Answers(tuple(heads), self.dense(tokens[:, n:]).unflatten(1, (rows, cols)))


class SwinLearner(nn.Module):
    """A Swin; it has no position table and sees whole pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.model: Any = build("swin")
        self.dense = nn.Linear(self.model.num_features, len(CLASSES) + 1)

    def forward(self, x: torch.Tensor, corner: torch.Tensor) -> Answers:
        """Answer for whole pictures (B, 3, H, W)."""
        features = self.model.forward_features(x)
        return Answers((self.model.forward_head(features),), self.dense(features))


class TeacherLearner(nn.Module):
    """The convolutional teacher."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Teacher()
        self.dense = nn.Linear(self.model.width, len(CLASSES) + 1)

    def forward(self, x: torch.Tensor, corner: torch.Tensor) -> Answers:
        """Answer for pictures or windows of them (B, 3, h, w)."""
        features = self.model.features(x)
        return Answers((self.model.classify(features),), self.dense(features.movedim(1, -1)))


def learner(name: str) -> nn.Module:
    """Return the untrained learner: "teacher", "vit", "deit" or "swin"."""
    if name == "teacher":
        return TeacherLearner()
    if name == "swin":
        return SwinLearner()
    return PlainLearner(cast(Kind, name))
