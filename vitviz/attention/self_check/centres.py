"""Where the field of each token is centred, for models whose patches overlap: convolutional stems and pooling convolutions.

A little noise is added to a picture: once everywhere, once multiplied by each pixel's row, and once by its column. With all
recorded attention silent, the share of a token's first change that the second makes is the mean row of what it depends on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitviz.attention.layer import Layer
from vitviz.attention.recording.operations import four_dimensional
from vitviz.attention.self_check.pictures import unchanged
from vitviz.attention.self_check.silence import Given, Silence

STEP = 0.02
"""How much noise is added, as a share of the picture's own; small enough for a model to answer in proportion."""

DRAWS = 8
"""How many times noise is drawn until a field counts as displaced."""

TOLERANCE = 1.0
"""How far a token's field may be centred, in cells, from where it is due by those of all tokens together."""

SHIFT, SLOPES = 0.75, (0.65, 1.2)
"""How far the centres of all tokens together may be shifted, in cells, and by which factor they may be drawn together."""

Places = NDArray[np.float64]


class Centres(NamedTuple):
    """groups×tokens×2 each: (y, x) in input pixels, NaN for tokens that do not depend on the photo."""

    query: Places
    key: Places
    value: Places


def centres(module: nn.Module, size: tuple[int, int], count: int) -> Iterator[list[Centres]]:
    """Per operation the centres of what its tokens depend on: an estimate, and better ones as more noise is drawn.

    The first takes four passes without attention and each further one three. Wide fields need several: what pixels of one
    field do to a token together is noise that falls with the number of draws.
    """
    weight = next(module.parameters())
    base = unchanged(size)
    down, across = (torch.linspace(0.5 / length, 1 - 0.5 / length, length) for length in size)
    generator = torch.Generator().manual_seed(21)
    before = _given(module, base.to(weight), count)
    sums = [[_Sums.none() for _ in operation] for operation in before]
    for _ in range(DRAWS):
        noise = torch.randn(base.shape, generator=generator) * STEP
        whole, by_row, by_col = (
            _changes(before, _given(module, (base + noise * factor).to(weight), count))
            for factor in (torch.ones(1), down[:, None], across[None])
        )
        for number, operation in enumerate(sums):
            for role, sum_ in enumerate(operation):
                sum_.add(
                    before[number][role], whole[number][role], by_row[number][role], by_col[number][role]
                )
        yield [_centres(operation, size) for operation in sums]


Parts = list[list[Tensor]]
"""Per operation what it was given: query, key and value."""


def _given(module: nn.Module, picture: Tensor, count: int) -> Parts:
    seen: Parts = []

    def see(given: Given, _shape: tuple[int, ...]) -> None:
        seen.append([four_dimensional(part.detach()).float() for part in given[1:]])

    with torch.no_grad(), Silence(see, count):
        module(picture)
    return seen


def _changes(before: Parts, after: Parts) -> Parts:
    return [[new - old for new, old in zip(*each, strict=True)] for each in zip(after, before, strict=True)]


@dataclass(eq=False)
class _Sums:
    """Over draws of noise, groups×tokens each."""

    strength: Tensor
    by_row: Tensor
    by_col: Tensor
    own: float = 0.0
    """The largest square of what the operation is given without noise."""

    @classmethod
    def none(cls) -> "_Sums":
        return cls(torch.zeros(()), torch.zeros(()), torch.zeros(()))

    def add(self, before: Tensor, whole: Tensor, by_row: Tensor, by_col: Tensor) -> None:
        self.strength = self.strength + (whole * whole).sum((1, 3))
        self.by_row = self.by_row + (by_row * whole).sum((1, 3))
        self.by_col = self.by_col + (by_col * whole).sum((1, 3))
        self.own += float((before * before).sum((1, 3)).amax()) if before.numel() else 0.0


def _centres(roles: list[_Sums], size: tuple[int, int]) -> Centres:
    """Of tokens that are queries, keys and values at once all three are taken together."""
    query, key, value = roles
    alike = [each for each in (key, value, query) if each.strength.shape == key.strength.shape]
    together = _places(alike, size)
    return Centres(
        together if query.strength.shape == key.strength.shape else _places([query], size),
        together,
        together if value.strength.shape == key.strength.shape else _places([value], size),
    )


def _places(parts: list[_Sums], size: tuple[int, int]) -> Places:
    # Each role counts as much as the others, whatever the size of its numbers.
    scales = [1 / max(each.own, 1e-30) for each in parts]
    strength, by_row, by_col = (
        torch.stack([getattr(each, name) * scale for each, scale in zip(parts, scales, strict=True)]).sum(0)
        for name in ("strength", "by_row", "by_col")
    )
    found = torch.stack([by_row / strength * size[0], by_col / strength * size[1]], -1)
    untouched = strength <= 1e-10 * len(parts)
    return found.masked_fill(untouched[..., None], float("nan")).double().cpu().numpy()


def displaced(layers: tuple[Layer, ...], found: list[Centres]) -> str:
    """The first token whose field is not centred on its cell, as a sentence; empty if there is none."""
    operations = [layer for layer in layers for _ in layer.modules]
    if len(operations) != len(found):
        return "The model attends another number of times when its tokens are followed."
    for layer, places in zip(operations, found, strict=True):
        due = middles(layer)
        for role, seen in zip(("query", "key", "value"), places, strict=True):
            wanted = due
            if role == "query" and layer.pooling:
                wanted = np.full(seen.shape, np.nan)
            elif role == "query" and layer.queries is not None:
                wanted = due[:, list(layer.queries)]
            if seen.shape != wanted.shape:
                return f"{layer.name} has {seen.shape[1]} tokens for {role}, not {wanted.shape[1]}."
            wrong = np.argwhere(
                (np.isnan(seen) != np.isnan(wanted)).any(-1) | _away(layer, seen, wanted).any(-1)
            )
            if len(wrong):
                group, token = (int(part) for part in wrong[0])
                return _sentence(layer, role, token, seen[group, token], wanted[group, token])
    return ""


def _away(layer: Layer, seen: Places, wanted: Places) -> NDArray[np.bool_]:
    """Whether a field is centred too far from the middle of its cell, along each axis.

    Edges and normalisations over the whole photo pull wide fields towards its middle in proportion to the distance.
    """
    cell = np.array(layer.layout.patches.cell)
    too_far = np.zeros(wanted.shape, bool)
    real = ~np.isnan(seen).any(-1) & ~np.isnan(wanted).any(-1)
    for axis in (0, 1):
        due, found = wanted[..., axis][real] / cell[axis], seen[..., axis][real] / cell[axis]
        if not len(due):
            continue
        apart, middle = due - due.mean(), float(found.mean() - due.mean())
        spread = float((apart * apart).sum())
        slope = float((apart * found).sum()) / spread if spread > 0 else 1.0
        rest = np.abs(found - found.mean() - slope * apart)
        whole = abs(middle) > SHIFT or not SLOPES[0] <= slope <= SLOPES[1]
        too_far[..., axis][real] = (rest > TOLERANCE) | (whole & (np.abs(found - due) > SHIFT / 2))
    return too_far


def middles(layer: Layer) -> Places:
    """The middle of each token's cell in input pixels, groups×tokens×2; NaN for tokens without a place."""
    grid, windows = layer.layout.patches, layer.layout.windows
    rows, cols = np.indices((grid.rows, grid.cols))
    places = np.stack([rows, cols], -1).reshape(-1, 2) + 0.5
    places = places * np.array(grid.cell) + np.array(grid.origin)
    tokens = np.concatenate([np.full((len(layer.layout.prefix), 2), np.nan), places])
    if windows is None:
        return tokens[None]
    return np.where((windows.index >= 0)[..., None], tokens[windows.index.clip(0)], np.nan)


def _sentence(layer: Layer, role: str, token: int, seen: Places, wanted: Places) -> str:
    def said(place: Places) -> str:
        return "nowhere" if np.isnan(place).any() else f"at pixel ({place[0]:.0f}, {place[1]:.0f})"

    return f"In {layer.name} the field of {role} {token} is centred {said(seen)}, where its cell is {said(wanted)}."
