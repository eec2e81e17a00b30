"""A few numbers for each token, which change when the token changes: those of a whole pass take little memory."""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from vitviz.attention.recording.operations import four_dimensional

NUMBERS = 8
"""How many numbers stand for a token. A change is missed only if it changes none of so many random sums."""

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-5, torch.float16: 5e-3, torch.bfloat16: 2e-2}
"""A change counts from this share of a token's root mean square, by the precision in which the model computes."""


@dataclass(frozen=True, eq=False)
class Digest:
    """What is kept of a tensor of one pass."""

    sums: Tensor
    """8×…: as `sums_over` gives them."""
    least: Tensor
    """…: how large a change has to be."""

    def differs(self, sums: Tensor) -> Tensor:
        """…: where the sums of another pass differ. Raises ValueError if they are of another shape."""
        if sums.shape != self.sums.shape:
            raise ValueError("its tensors have other shapes for other pictures")
        return (sums - self.sums).abs_().amax(0) > self.least


def digest(tensor: Tensor, axis: int) -> Digest:
    """The digest of a tensor, one of its axes summed over."""
    sums = sums_over(tensor, axis)
    size = torch.linalg.vector_norm(tensor, dim=axis, dtype=sums.dtype) / max(tensor.shape[axis], 1) ** 0.5
    return Digest(sums, size * TOLERANCES.get(tensor.dtype, 1e-5))


def by_tokens(part: Tensor) -> Tensor:
    """…×heads×tokens×d → groups×tokens×(heads·d)."""
    groups, heads, tokens, features = four_dimensional(part).shape
    return four_dimensional(part).transpose(1, 2).reshape(groups, tokens, heads * features)


def sums_over(tensor: Tensor, axis: int) -> Tensor:
    """8×(the other axes): sums along one axis with random weights, about as large as the numbers themselves."""
    rest = [length for place, length in enumerate(tensor.shape) if place != axis]
    length, wide = tensor.shape[axis], torch.promote_types(tensor.dtype, torch.float32)
    weights = (
        torch.randn(NUMBERS, length, generator=torch.Generator().manual_seed(23)) / max(length, 1) ** 0.5
    )
    columns = tensor.movedim(axis, -1).reshape(prod(rest), length).to(wide).T
    # In this order the product is four times as fast as with the tokens first.
    return torch.mm(weights.to(tensor.device, wide), columns).view(NUMBERS, *rest)
