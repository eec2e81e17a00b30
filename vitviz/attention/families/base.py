"""What a family of models describes of a model: layers, readout and position information."""

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from vitviz.attention.layer import Layer
from vitviz.attention.layout import Layout
from vitviz.attention.recording.operations import Operation
from vitviz.attention.self_check.place import Reading
from vitviz.models.model import Model


@dataclass(frozen=True)
class Readout:
    """The token or tokens the prediction is read from."""

    kind: str
    """ "class", "class + distillation", "mean", "attention pool", "max" or "mean and max"."""
    prefix: tuple[str, ...] = ()
    """The prefix tokens that are read, each with the same weight; empty: all patches (and see `all_tokens`)."""
    all_tokens: bool = False
    """Whether a mean pool includes the prefix tokens."""
    also: str = ""
    """What the head reads beside it, as a part of a sentence; empty if nothing."""
    headless: bool = False
    """Whether nothing is read, as the model has no head: it stands for what a head would usually read."""

    @property
    def sentence(self) -> str:
        """How to say it: "the class token", "the mean of the patches"."""
        if self.headless:
            return f"{replace(self, headless=False).sentence} (the model has no head)"
        if self.also:
            return f"{replace(self, also='').sentence} (the head also reads {self.also})"
        if self.prefix:
            return (
                "the mean of " + " and ".join(self.prefix)
                if len(self.prefix) > 1
                else f"the {self.prefix[0]} token"
            )
        if self.kind == "attention pool":
            return "the attention pool"
        what = "all tokens" if self.all_tokens else "the patches"
        return f"the mean of {what}" + ("" if self.kind == "mean" else f" (standing for {self.kind} pooling)")

    def sentence_in(self, layout: Layout, pooling: bool) -> str:
        """What is used as the readout in a layer, in words; what is read may only exist in a later layer."""
        if self.prefix and not set(self.prefix) & set(layout.prefix):
            return f"the mean of the patches ({self.sentence} joins later)"
        if self.kind == "attention pool" and not pooling:
            return "the mean of the patches (the attention pool reads them later)"
        return self.sentence

    def weights(self, layout: Layout) -> NDArray[np.float32]:
        """The readout as weights over a layer's tokens, sum 1. An attention pool and a token that a layer does not have
        are taken as the mean of its patches.
        """
        weights = np.zeros(layout.tokens, np.float32)
        present = [layout.prefix.index(name) for name in self.prefix if name in layout.prefix]
        if present:
            weights[present] = 1 / len(present)
        else:
            start = 0 if self.all_tokens else len(layout.prefix)
            weights[start:] = 1 / (layout.tokens - start)
        return weights


@dataclass(frozen=True, eq=False)
class PositionEmbedding:
    """What tells the model where a token is."""

    kinds: tuple[str, ...]
    """Any of "table", "factorised table", "rotary", "relative bias", "continuous relative bias"; empty if there is none."""
    stored: NDArray[np.float32] | None = None
    """The table as it was trained: (prefix + rows·cols)×dim."""
    stored_grid: tuple[int, int] | None = None
    used: NDArray[np.float32] | None = None
    """The table as this input uses it, interpolated where the grid differs."""
    used_grid: tuple[int, int] | None = None
    prefix: int = 0
    """How many rows at the top of the tables belong to prefix tokens."""

    @property
    def sentence(self) -> str:
        """What kind of position information the model has, in words."""
        if not self.kinds:
            return "no position information that vitviz knows of"
        resized = self.used_grid != self.stored_grid and self.used_grid and self.stored_grid
        note = (
            f" (interpolated from {_times(self.stored_grid)} to {_times(self.used_grid)})" if resized else ""
        )
        return " and ".join(self.kinds) + note


@dataclass(frozen=True)
class Anatomy:
    """The layers of a forward pass with their layouts, the readout, the position information, the distilled heads."""

    layers: tuple[Layer, ...]
    readout: Readout
    position: PositionEmbedding
    classifiers: dict[str, str] = field(default_factory=dict)
    """For distilled models: readout token → the name of the module that classifies it."""
    reading: Reading | None = None
    """What the layouts were read from, if off the model itself, which proves them."""


class Family(Protocol):
    """A module in `vitviz.attention.families`: it maps the tokens of a family of models to the input."""

    def matches(self, module: nn.Module) -> bool:
        """Whether this family's description fits the model."""

    def anatomy(self, model: Model, operations: list[Operation]) -> Anatomy:
        """Map the layers of a recorded pass to the input. Raises RefusedError where that is not possible."""


def table(
    stored: Tensor | None,
    used: Tensor | None,
    stored_grid: tuple[int, int],
    used_grid: tuple[int, int],
    *more: str,
) -> PositionEmbedding:
    """Position information with a table (None, None: without one), both 1×tokens×dim or tokens×dim."""
    if used is None:
        return PositionEmbedding(kinds=more)
    before = used if stored is None else stored
    as_array = [t.detach().float().cpu().numpy().reshape(-1, t.shape[-1]) for t in (before, used)]
    prefix = len(as_array[1]) - used_grid[0] * used_grid[1]
    return PositionEmbedding(("table", *more), as_array[0], stored_grid, as_array[1], used_grid, prefix)


def own_table(model: Model, own: Tensor, grid: tuple[int, int]) -> PositionEmbedding:
    """Position information with the module's own table of 1×tokens×dim, which `at_size` may have resized."""
    if model.stored_grid is None:
        return table(own, own, grid, grid)
    return table(model.stored_position, own, model.stored_grid, grid)


def _times(grid: tuple[int, int] | None) -> str:
    return f"{grid[0]}×{grid[1]}" if grid else "?"
