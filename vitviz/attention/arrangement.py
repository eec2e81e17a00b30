"""Operations whose tokens, windows or heads lie in another order than layouts have them, brought into that order."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitviz.attention.recording.operations import Operation

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Where an operation has what a layout wants."""

    groups: Indices
    """windows×heads: the group that holds each; heads that are folded into the batch are groups of their own."""
    queries: Indices
    """windows×queries: the index of each in its group."""
    keys: Indices
    """windows×keys."""

    @property
    def is_plain(self) -> bool:
        """Whether everything is where layouts have it."""
        windows, heads = self.groups.shape
        return (
            heads == 1
            and all(
                np.array_equal(part, np.broadcast_to(np.arange(part.shape[1]), part.shape))
                for part in (self.queries, self.keys)
            )
            and np.array_equal(self.groups[:, 0], np.arange(windows))
        )

    def rows(self, tensor: Tensor) -> Tensor:
        """groups×heads×queries×… → windows×heads×queries×…"""
        return _taken(self._grouped(tensor), self.queries, 2)

    def columns(self, tensor: Tensor) -> Tensor:
        """groups×heads×keys×d → windows×heads×keys×d."""
        return _taken(self._grouped(tensor), self.keys, 2)

    def both(self, tensor: Tensor) -> Tensor:
        """groups×heads×queries×keys → windows×heads×queries×keys."""
        return _taken(self.rows(tensor), self.keys, 3)

    def _grouped(self, tensor: Tensor) -> Tensor:
        windows, heads = self.groups.shape
        if heads == 1 and np.array_equal(self.groups[:, 0], np.arange(len(tensor))):
            return tensor
        found = tensor[torch.from_numpy(self.groups.reshape(-1)).to(tensor.device)]
        return found.reshape(windows, heads * tensor.shape[1], *tensor.shape[2:])


def _taken(tensor: Tensor, indices: Indices, axis: int) -> Tensor:
    """The tokens along an axis in another order, each window's in its own."""
    if (indices == indices[:1]).all():
        return tensor.index_select(axis, torch.from_numpy(indices[0]).to(tensor.device))
    index = torch.from_numpy(indices).to(tensor.device)
    shape = [1] * tensor.ndim
    shape[0], shape[axis] = index.shape
    return tensor.gather(axis, index.reshape(shape).expand(*_with(tensor.shape, axis, index.shape[1])))


def _with(shape: torch.Size, axis: int, length: int) -> list[int]:
    return [length if place == axis else each for place, each in enumerate(shape)]


def arranged(operation: Operation, arrangement: Arrangement) -> Operation:
    """The operation with its windows, heads and tokens where layouts have them."""
    if arrangement.is_plain:
        return operation
    full = operation.shape

    def rows(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else arrangement.rows(tensor)

    def both(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else arrangement.both(tensor)

    output = operation.output
    if output is not None and operation.projection is not None:
        output = _taken(output, arrangement.queries, 1)  # B×N×dim
    elif output is not None and not output.requires_grad:
        output = arrangement.rows(output)
    return replace(
        operation,
        query=rows(operation.query),
        key=None if operation.key is None else arrangement.columns(operation.key),
        value=None if operation.value is None else arrangement.columns(operation.value),
        bias=None if operation.bias is None else arrangement.both(operation.bias.expand(full)),
        weights=both(operation.weights),
        logits=both(operation.logits),
        output=output,
    )
