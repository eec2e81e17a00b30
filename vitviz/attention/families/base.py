"""What a family of models describes of a model: layers, readout and position information."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from vitviz.attention.layer import Layer
from vitviz.attention.readout import Readout
from vitviz.attention.recording.operations import Operation
from vitviz.attention.self_check.place import Reading
from vitviz.models.model import Model


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
