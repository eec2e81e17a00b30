"""Muon: gradient descent whose steps are orthogonal matrices. It needs about half the pictures that AdamW needs here.

Source: Keller Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks". torch has one too
(torch.optim.Muon), but it works in bfloat16, which is several times slower than float32 on most CPUs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch


class Muon(torch.optim.Optimizer):
    """For matrices and convolution kernels, taken as (outputs, the rest). Equal shapes are orthogonalised together."""

    def __init__(
        self,
        matrices: Iterable[torch.Tensor],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.05,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step along the orthogonalised momentum."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[torch.Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike[matrix.shape].append(matrix)
            for shape, matrices in alike.items():
                steps = []
                for matrix in matrices:
                    assert matrix.grad is not None
                    state = self.state[matrix]
                    running = state.setdefault("momentum", torch.zeros_like(matrix))
                    running.lerp_(matrix.grad, 1 - group["momentum"])
                    steps.append(matrix.grad.lerp(running, group["momentum"]))
                directions = orthogonal(torch.stack(steps).flatten(2))
                scale = max(1.0, shape[0] / directions.shape[2]) ** 0.5
                for matrix, direction in zip(matrices, directions, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.add_(direction.view_as(matrix), alpha=-group["lr"] * scale)


def orthogonal(x: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """Return about the nearest (semi-)orthogonal matrix of each of (n, a, b), by Newton–Schulz iteration."""
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.mT if tall else x
