"""Layouts: which token of a layer is which patch of the photo."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitviz.attention.windows import Box, Windows
from vitviz.images.framing import Framing, PatchGrid


@dataclass(frozen=True)
class Merge:
    """How a stage's tokens are merged from those of the stage before: each from kernel×kernel tokens, `stride` apart."""

    kernel: int = 2
    stride: int = 2
    padding: int = 0

    def shares(self, parents: int, children: int) -> NDArray[np.float32]:
        """parents×children along one axis: each parent's weight, divided equally among its real children.

        Equal division is an assumption: the merge itself is a learned linear map.
        """
        first = np.arange(parents)[:, None] * self.stride - self.padding
        child = np.arange(children)[None, :]
        taken = ((child >= first) & (child < first + self.kernel)).astype(np.float32)
        shares: NDArray[np.float32] = taken / taken.sum(1, keepdims=True)
        return shares

    def children(self, box: Box, below: tuple[int, int]) -> Box:
        """The tokens of the stage below, a grid of rows×cols, that were merged into a rectangle of tokens.

        Fewer than kernel×kernel per token where the grid below ends.
        """

        def span(first: float, end: float, length: int) -> tuple[float, float]:
            low = first * self.stride - self.padding
            return max(low, 0), min((end - 1) * self.stride - self.padding + self.kernel, length)

        top, bottom = span(box.top, box.bottom, below[0])
        left, right = span(box.left, box.right, below[1])
        return Box(top, left, bottom, right)


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
        """The name of a token: "class", "register 2", "patch (4, 7)"."""
        place = self.place(token)
        return self.prefix[token] if place is None else f"patch ({place[0]}, {place[1]})"

    def on_grid(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The patches' part of …×tokens values, as …×rows×cols."""
        patches = values[..., len(self.prefix) :]
        return patches.reshape(*values.shape[:-1], self.patches.rows, self.patches.cols)

    def polygon(self, framing: Framing, box: Box) -> NDArray[np.float64]:
        """A rectangle of cells as (4, 2) points (x, y) in photo pixels, clockwise from the top left; not clipped."""
        (y, x), (height, width) = self.patches.origin, self.patches.cell
        left, right = x + box.left * width, x + box.right * width
        top, bottom = y + box.top * height, y + box.bottom * height
        return framing.to_photo([(left, top), (right, top), (right, bottom), (left, bottom)])


@dataclass(frozen=True)
class Footprint:
    """The rectangle of tokens in one stage that a token of a later stage was merged from."""

    layout: Layout
    box: Box


def footprint(layouts: Sequence[Layout], layer: int, row: int, col: int) -> list[Footprint]:
    """From a token of a layer down to the finest grid: its own cell, its children, their children …, one per stage.

    `layouts`: those of all layers in order. Raises IndexError for a cell outside the layer's grid.
    """
    grid = layouts[layer].patches
    if not (0 <= row < grid.rows and 0 <= col < grid.cols):
        raise IndexError(f"cell ({row}, {col}) is not in a grid of {grid.rows}×{grid.cols}")
    found = [Footprint(layouts[layer], Box(row, col, row + 1, col + 1))]
    for above, below in zip(layouts[layer:0:-1], layouts[layer - 1 :: -1], strict=False):
        if above.merge is not None:
            size = (below.patches.rows, below.patches.cols)
            found.append(Footprint(below, above.merge.children(found[-1].box, size)))
    return found
