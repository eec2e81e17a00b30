"""Where the field of each token is centred, for models whose patches overlap: convolutional stems and pooling convolutions.

A little noise is added to a picture: once everywhere, once multiplied by each pixel's row, and once by its column. With all
recorded attention silent, the share of a token's first change that the second makes is the mean row of what it depends on.
"""

from dataclasses import dataclass, field
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

TOLERANCE, CUT = 0.75, 1.25
"""How far from the middle of its cell, in cells, a token's field may be centred; how far inwards where an edge cuts it."""

Places = NDArray[np.float64]


class Centres(NamedTuple):
    """groups×tokens×2 each: (y, x) in input pixels, NaN for tokens that do not depend on the photo."""

    query: Places
    key: Places
    value: Places


def centres(module: nn.Module, size: tuple[int, int], count: int) -> list[Centres]:
    """Per operation the centres of what its tokens depend on, in four passes without attention."""
    weight = next(module.parameters())
    base = unchanged(size)
    noise = torch.randn(base.shape, generator=torch.Generator().manual_seed(21)) * STEP
    down, across = (torch.linspace(0.5 / length, 1 - 0.5 / length, length) for length in size)
    reader = _Reader()
    for factor in (torch.zeros(1), torch.ones(1), down[:, None], across[None]):
        with torch.no_grad(), Silence(reader.see, count):
            module((base + noise * factor).to(weight.device, weight.dtype))
        reader.passes += 1
    return [Centres(*(_centres(part, size) for part in operation)) for operation in reader.seen]


@dataclass(eq=False)
class _Reader:
    """Keeps what operations were given in each pass."""

    seen: list[tuple[list[Tensor], list[Tensor], list[Tensor]]] = field(default_factory=list)
    passes: int = 0

    def see(self, given: Given, _shape: tuple[int, ...]) -> None:
        if self.passes == 0:
            self.seen.append(([], [], []))
        for kept, part in zip(self.seen[given.number], given[1:], strict=True):
            kept.append(four_dimensional(part.detach()).float())


def _centres(parts: list[Tensor], size: tuple[int, int]) -> Places:
    base, everywhere, down, across = parts
    whole = everywhere - base
    strength = (whole * whole).sum((1, 3))
    found = [
        ((each - base) * whole).sum((1, 3)) / strength * length
        for each, length in zip((down, across), size, strict=True)
    ]
    untouched = strength <= 1e-10 * (base * base).sum((1, 3)).amax()
    place = torch.stack(found, -1).masked_fill(untouched[..., None], float("nan"))
    return place.double().cpu().numpy()


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
    """Whether a field is centred too far from the middle of its cell, along each axis."""
    grid = layer.layout.patches
    cell, origin, size = np.array(grid.cell), np.array(grid.origin), np.array([grid.rows, grid.cols])
    first, last = origin + cell, origin + (size - 1) * cell
    inwards = np.where(wanted < first, 1, 0) - np.where(wanted > last, 1, 0)
    away = (seen - wanted) / cell
    too_far: NDArray[np.bool_] = (np.abs(away) > TOLERANCE) & ((away * inwards <= 0) | (np.abs(away) > CUT))
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
