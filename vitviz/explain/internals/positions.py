"""Position information as a model holds it: similarity, principal components and norm of tables; biases and rotations.

    >>> vitviz.positions.similarity(trace)[3, 4]        # doctest: +SKIP
    >>> vitviz.positions.split(trace, layer=5, query=(3, 4)).position        # doctest: +SKIP

Tables (ViT, DeiT, BEiT's and others' absolute ones) are read as they were stored or as this input uses them,
interpolated. Position information without a table is shown by its effect on a query's logits: `split` and
`position_bias`, from `logit_parts`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitviz.attention.trace import Trace
from vitviz.errors import MethodError
from vitviz.explain.internals.logit_parts import Split, position_bias, split

__all__ = [
    "Change",
    "Components",
    "PrefixSimilarity",
    "Split",
    "change",
    "components",
    "norm",
    "position_bias",
    "prefix_similarity",
    "similarity",
    "split",
    "table",
]

Floats = NDArray[np.float32]


def table(trace: Trace, stored: bool = False) -> tuple[Floats, Floats]:
    """The table's rows: prefix×dim and rows×cols×dim, as this input uses them or as they were `stored`.

    Raises MethodError for models without a table, saying what they have instead.
    """
    position = trace.position_embedding
    values, grid = (position.stored, position.stored_grid) if stored else (position.used, position.used_grid)
    if values is None or grid is None:
        raise MethodError(f"{trace.model.name} has no table of positions to show: {position.sentence}.")
    patches = values[position.prefix :]
    return values[: position.prefix], patches.reshape(*grid, -1)


def similarity(trace: Trace, stored: bool = False) -> Floats:
    """rows×cols×rows×cols: the cosine between each position's embedding and every other's (Dosovitskiy 2021, Fig. 7)."""
    _, patches = table(trace, stored)
    rows, cols, dim = patches.shape
    unit = _unit(patches.reshape(-1, dim))
    return (unit @ unit.T).reshape(rows, cols, rows, cols)


@dataclass(frozen=True, eq=False)
class PrefixSimilarity:
    """Cosines of the embeddings of prefix tokens with those of the patches and with each other."""

    names: tuple[str, ...]
    patches: Floats
    """prefix×rows×cols."""
    each_other: Floats
    """prefix×prefix."""


def prefix_similarity(trace: Trace, stored: bool = False) -> PrefixSimilarity:
    """The cosines of class, distillation and register embeddings with every position and with each other.

    Empty where prefix tokens get no position (DINOv2's registers, SigLIP).
    """
    prefix, patches = table(trace, stored)
    unit = _unit(patches.reshape(-1, patches.shape[-1]))
    own = _unit(prefix)
    maps = (own @ unit.T).reshape(len(prefix), *patches.shape[:2])
    return PrefixSimilarity(trace.prefix[: len(prefix)], maps, own @ own.T)


@dataclass(frozen=True, eq=False)
class Components:
    """The first three principal components of a table, as colours."""

    colors: Floats
    """rows×cols×3 in 0 … 1: red, green, blue are the first, second, third component, each over its own range."""
    shares: tuple[float, float, float]
    """How much of the variance of the stored table each explains."""


def components(trace: Trace, stored: bool = False) -> Components:
    """The principal components of the patches' embeddings; directions and ranges are always those of the stored table.

    So a colour means the same in both. Signs: the largest weight of a direction is positive.
    """
    original = table(trace, stored=True)[1]
    shown = table(trace, stored)[1]
    rows = original.reshape(-1, original.shape[-1]).astype(np.float64)
    mean = rows.mean(0)
    _, strengths, directions = np.linalg.svd(rows - mean, full_matrices=False)
    directions = directions[:3]
    signs = np.sign(np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1))
    directions = directions * signs
    reference = (rows - mean) @ directions.T
    low, high = reference.min(0), reference.max(0)
    values = (shown.astype(np.float64) - mean) @ directions.T
    colors = np.clip((values - low) / np.where(high > low, high - low, 1), 0, 1)
    if colors.shape[-1] < 3:  # a table of one or two positions
        colors = np.pad(colors, [(0, 0), (0, 0), (0, 3 - colors.shape[-1])])
    total = max(float((strengths**2).sum()), np.finfo(np.float64).tiny)
    shares = [float(strength**2) / total for strength in strengths[:3]] + [0.0] * 3
    return Components(colors.astype(np.float32), (shares[0], shares[1], shares[2]))


def norm(trace: Trace, stored: bool = False) -> Floats:
    """rows×cols: the length of each position's embedding."""
    lengths: Floats = np.linalg.norm(table(trace, stored)[1], axis=-1)
    return lengths


@dataclass(frozen=True, eq=False)
class Change:
    """How interpolation to another grid changed the table."""

    stored_grid: tuple[int, int]
    used_grid: tuple[int, int]
    nearest: Floats
    """rows×cols of the used grid: the cosine with the stored embedding whose place is nearest."""
    norms: tuple[float, float]
    """The mean length of an embedding, stored and used."""

    @property
    def sentence(self) -> str:
        """What changed, in one sentence."""
        if self.stored_grid == self.used_grid:
            return f"used as it was stored, {self.used_grid[0]}×{self.used_grid[1]}"
        old, new = (f"{rows}×{cols}" for rows, cols in (self.stored_grid, self.used_grid))
        longer = self.norms[1] / self.norms[0] - 1 if self.norms[0] > 0 else 0.0
        more = f"{longer:+.1%}".replace("-", "−")
        return (
            f"interpolated from {old} to {new}: mean length {self.norms[0]:.3g} → {self.norms[1]:.3g} ({more}), "
            f"cosine with the nearest stored one {self.nearest.mean():.3f} on average, {self.nearest.min():.3f} at least"
        )


def change(trace: Trace) -> Change:
    """Compare the stored table with the one that this input uses."""
    stored, used = table(trace, stored=True)[1], table(trace)[1]
    rows, cols = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.intp), old - 1)
        for old, new in zip(stored.shape[:2], used.shape[:2], strict=True)
    )
    nearest = (_unit(stored)[rows][:, cols] * _unit(used)).sum(-1)
    means = [float(np.linalg.norm(values, axis=-1).mean()) for values in (stored, used)]
    return Change(
        (stored.shape[0], stored.shape[1]), (used.shape[0], used.shape[1]), nearest, (means[0], means[1])
    )


def _unit(vectors: Floats) -> Floats:
    """Vectors (last axis) of length 1; a zero vector stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)
