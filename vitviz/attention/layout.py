"""Layouts: which token of a layer is which patch of the photo."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitviz.attention.windows import Windows
from vitviz.images.framing import PatchGrid


@dataclass(frozen=True)
class Merge:
    """How a stage's tokens came from those of the stage before: each from kernel×kernel of them, every `stride`."""

    kernel: int = 2
    stride: int = 2
    padding: int = 0

    def shares(self, parents: int, children: int) -> NDArray[np.float32]:
        """parents×children along one axis: each parent's weight, divided equally among its real children.

        Equal division is a stated model of merging, not a theorem: the merge itself is a learned linear map.
        """
        first = np.arange(parents)[:, None] * self.stride - self.padding
        child = np.arange(children)[None, :]
        taken = ((child >= first) & (child < first + self.kernel)).astype(np.float32)
        shares: NDArray[np.float32] = taken / taken.sum(1, keepdims=True)
        return shares


@dataclass(frozen=True)
class Layout:
    """The tokens of a layer: prefix tokens (class, distillation, register …) first, then the patches row by row."""

    patches: PatchGrid
    prefix: tuple[str, ...] = ()
    windows: Windows | None = None
    merge: Merge | None = None
    """How this layer's patches came from the previous layer's; None where they are the same."""

    @property
    def tokens(self) -> int:
        """How many tokens the layer has, padding not counted."""
        return len(self.prefix) + self.patches.rows * self.patches.cols

    def token(self, row: int, col: int) -> int:
        """The token of a patch."""
        if not (0 <= row < self.patches.rows and 0 <= col < self.patches.cols):
            raise IndexError(
                f"patch ({row}, {col}) is not in a grid of {self.patches.rows}×{self.patches.cols}"
            )
        return len(self.prefix) + row * self.patches.cols + col

    def place(self, token: int) -> tuple[int, int] | None:
        """The (row, column) of a token, or None for a prefix token."""
        if not 0 <= token < self.tokens:
            raise IndexError(f"token {token} is not among {self.tokens}")
        patch = token - len(self.prefix)
        return None if patch < 0 else divmod(patch, self.patches.cols)

    def name(self, token: int) -> str:
        """What to call a token: "class", "register 2", "patch (4, 7)"."""
        place = self.place(token)
        return self.prefix[token] if place is None else f"patch ({place[0]}, {place[1]})"

    def on_grid(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The patches' part of …×tokens values, as …×rows×cols."""
        patches = values[..., len(self.prefix) :]
        return patches.reshape(*values.shape[:-1], self.patches.rows, self.patches.cols)
