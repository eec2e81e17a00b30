"""What part of the photo the first operation's tokens depend on: by gradients, in one pass that ends there.

It tells quickly which grids of patches its tokens cannot be, and what they are where they are no patches.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitviz.attention.recording.operations import four_dimensional
from vitviz.attention.recording.own_parameters import frozen
from vitviz.attention.self_check.silence import Given, Silence
from vitviz.images.framing import PatchGrid

WEAK = 1e-3
"""A gradient below this share of the largest is no part of the field: of a standardised picture every pixel has a little."""

SLIGHT = 0.1
"""The same for channels: those that are normalised along the tokens depend a little on each."""


@dataclass(frozen=True)
class Field:
    """The rectangle of pixels that something depends on; rows and columns of pixels, ends not included."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Its height and width in pixels."""
        return self.bottom - self.top, self.right - self.left

    def in_one_cell(self, grid: PatchGrid) -> bool:
        """Whether it lies in a single cell of a grid."""
        spans = ((self.top, self.bottom), (self.left, self.right))
        return all(
            int(first // cell) == int((end - 1) // cell)
            for (first, end), cell in zip(spans, grid.cell, strict=True)
        )


@dataclass(frozen=True)
class Fields:
    """What the first operation's keys depend on."""

    tokens: tuple[Field, ...]
    """Of some tokens that depend on the photo."""
    channels: tuple[Field, ...]
    """Of some channels, all tokens taken together."""
    known: bool
    """Whether gradients lead from there to the photo, so that there is something to say."""

    def widest(self) -> tuple[int, int]:
        """The largest height and width of a token's field in pixels."""
        return max(field.size[0] for field in self.tokens), max(field.size[1] for field in self.tokens)


class _SeenError(Exception):
    """The first operation has been seen: the rest of the pass is not needed."""


def first_fields(module: nn.Module, inputs: Tensor) -> Fields:
    """Look at the keys of the first operation in a pass of `inputs`, 1×3×H×W; the module is left as it was."""
    seen: list[Tensor] = []

    def see(given: Given, _shape: tuple[int, ...]) -> Tensor | None:
        seen.append(four_dimensional(given.key))
        raise _SeenError

    pixels = inputs.detach().clone().requires_grad_()
    with torch.enable_grad(), suppress(_SeenError), Silence(see), frozen(module):
        module(pixels * 1)  # the module may write into what it is given
    if not seen or not seen[0].requires_grad:
        return Fields((), (), False)
    keys = seen[0]
    groups, _, tokens, channels = keys.shape
    each = (keys[group, :, token] for group in _some(groups) for token in _some(tokens))
    of_tokens = _fields(each, pixels, WEAK)
    whole = (keys[groups // 2, 0, :, channel] for channel in _some(channels))
    of_channels = _fields(whole, pixels, SLIGHT)
    return Fields(of_tokens, of_channels, True)


def _some(count: int) -> list[int]:
    """A first, a middle and a last index."""
    return sorted({0, count // 2, count - 1})


def _fields(parts: Iterable[Tensor], pixels: Tensor, weak: float) -> tuple[Field, ...]:
    found = (_field(part, pixels, weak) for part in parts)
    return tuple(field for field in found if field is not None)


def _field(part: Tensor, pixels: Tensor, weak: float) -> Field | None:
    weights = torch.randn(part.shape, generator=torch.Generator().manual_seed(23)).to(part)
    (gradient,) = torch.autograd.grad((part * weights).sum(), pixels, retain_graph=True, allow_unused=True)
    if gradient is None or not bool((gradient != 0).any()):
        return None
    strength = gradient.float().abs().amax((0, 1))
    there = strength > weak * strength.max()
    rows, cols = (there.any(axis).nonzero().flatten() for axis in (1, 0))
    return Field(int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1)
