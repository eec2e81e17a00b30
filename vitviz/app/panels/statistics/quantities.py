"""The quantities that the statistics panel can show of each head, as numbers and in words."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitviz.app.ui import number_format

if TYPE_CHECKING:
    from vitviz.explain.measures.statistics import LayerStatistics


@dataclass(frozen=True)
class Quantity:
    """A quantity of a head."""

    key: str
    name: str
    axis: str
    """The unit of the axis."""
    meaning: str


_DISTANCE = "how far patches look on average"
QUANTITIES = (
    Quantity(
        "distance", "mean attention distance", "input pixels", f"{_DISTANCE}, the weight on patches alone"
    ),
    Quantity(
        "distance_unnormalised",
        "mean attention distance, not renormalised",
        "input pixels",
        f"{_DISTANCE}, the weight on other tokens as distance 0",
    ),
    Quantity(
        "entropy",
        "entropy",
        "share of its maximum",
        "0 is all on one token, 1 is even over all it may see",
    ),
)
"""The quantities that every model has."""


def reading(asked: Quantity, layer: "LayerStatistics", value: float) -> str:
    """A value with its unit, compared with that of even attention."""
    if math.isnan(value):
        return "no patch attends here, or weights are no shares"
    even = even_of(layer, asked.key)
    if asked.key.startswith("distance"):
        return (
            f"{value:.0f} px, {value / even:.2f}× even attention ({even:.0f} px)"
            if even
            else f"{value:.0f} px"
        )
    if asked.key == "entropy":
        return f"{value:.3f} of the entropy of even attention"
    if math.isnan(even):
        return f"{value:.1%} of attention"
    return f"{number_format.compared(value, even)} of attention"


def share_of(key: str, of: str) -> Quantity:
    """The share of attention on one or more prefix tokens, or on padding."""
    return Quantity(key, f"share on {of}", "share of attention", "mean over patches as queries")


def values_of(layer: "LayerStatistics", key: str) -> NDArray[np.float64]:
    """The quantity of each head of a layer; NaN for a prefix token that the layer lacks."""
    if key == "prefix":
        total: NDArray[np.float64] = layer.prefix.sum(0)
        return total
    if key.startswith("prefix "):
        number = int(key.partition(" ")[2])
        return layer.prefix[number] if number < len(layer.prefix) else np.full(layer.heads, np.nan)
    values: NDArray[np.float64] = getattr(layer, key)
    return values


def even_of(layer: "LayerStatistics", key: str) -> float:
    """The quantity for even attention; NaN where it is not the same for all queries."""
    if key == "distance":
        return float(layer.uniform_distance)
    if key == "distance_unnormalised":
        return float(layer.uniform_distance) * (1 - len(layer.prefix) * float(layer.uniform_share))
    if key == "entropy":
        return 1.0
    if key == "padding":
        return math.nan
    return float(layer.uniform_share) * (len(layer.prefix) if key == "prefix" else 1)


def number(asked: Quantity, value: float) -> str:
    """A value with its unit."""
    return f"{value:.1f} px" if asked.key.startswith("distance") else number_format.number(value)


def alike(layer: "LayerStatistics", pair: tuple[int, int]) -> str:
    """How similar two heads of a layer are, compared with the mean of all pairs."""
    others = layer.similarity[~np.eye(layer.heads, dtype=bool)]
    compared = f", layer's mean {others.mean():.2f}" if others.size else ""
    return f"heads {pair[0]} and {pair[1]}: cosine {float(layer.similarity[pair]):.2f}{compared}"
