"""The bundled models: timm's own classes at a size two CPU cores can train, and the convolutional teacher.

Why these sizes: 96-pixel pictures in 8-pixel patches give a 12×12 grid, fine enough to look at; 96 channels and 6 blocks
learn ten shapes within the hour on two cores. The Swin's stages have 12×12 and 6×6 tokens, both larger than its 3×3
windows and whole numbers of them, so every second block really shifts and masks, and nothing is padded.
"""

from __future__ import annotations

from typing import Any, Literal

import timm
import torch
from torch import nn

from vitviz.demo.shapes import CLASSES

Kind = Literal["vit", "deit", "swin"]
KINDS: tuple[Kind, ...] = ("vit", "deit", "swin")

SIDE = 96
MEAN = STD = (0.5, 0.5, 0.5)

_PLAIN: dict[str, Any] = {
    "img_size": SIDE,
    "patch_size": 8,
    "embed_dim": 96,
    "depth": 6,
    "num_heads": 3,
    "mlp_ratio": 2.0,
    "num_classes": len(CLASSES),
}

ARCHITECTURES: dict[Kind, tuple[str, dict[str, Any]]] = {
    "vit": ("vit_tiny_patch16_224", _PLAIN),
    "deit": ("deit_tiny_distilled_patch16_224", _PLAIN),
    "swin": (
        "swin_tiny_patch4_window7_224",
        {
            "img_size": SIDE,
            "patch_size": 8,
            "window_size": 3,
            "embed_dim": 48,
            "depths": [2, 4],
            "num_heads": [3, 6],
            "mlp_ratio": 2.0,
            "num_classes": len(CLASSES),
            "drop_path_rate": 0.0,
        },
    ),
}
"""For each kind the name registered in timm and the arguments it is built with: what the card holds too."""


def build(kind: Kind) -> Any:
    """Return the untrained timm model of a kind."""
    name, arguments = ARCHITECTURES[kind]
    return timm.create_model(name, **arguments)


class Teacher(nn.Module):
    """A small residual convolutional network: (B, 3, H, W) to class logits (B, classes)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolve(3, width, stride=2, size=5),
            _Residual(width, 2 * width, stride=2),
            _Residual(2 * width, 2 * width),
            _Residual(2 * width, 4 * width, stride=2),
            _Residual(4 * width, 4 * width),
            _Residual(4 * width, 4 * width),
        )
        self.head = nn.Linear(8 * width, len(CLASSES))
        self.width = 4 * width

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last feature map, (B, channels, H/8, W/8)."""
        features: torch.Tensor = self.body(x)
        return features

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits (B, classes) from the mean and the maximum over the map."""
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        logits: torch.Tensor = self.head(pooled)
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (B, classes) of pictures (B, 3, H, W)."""
        return self.classify(self.features(x))


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _convolve(inputs, outputs, stride)
        self.second = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.skip = (
            nn.Identity()
            if inputs == outputs and stride == 1
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.skip(x) + self.second(self.first(x)))


def _convolve(inputs: int, outputs: int, stride: int, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
