"""A layer: one attention operation, from which rows, columns and whole maps are computed when they are asked for."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitviz.attention.arrangement import Arrangement
from vitviz.attention.layout import Layout
from vitviz.attention.recording.operations import Operation
from vitviz.errors import MethodError

Floats = NDArray[np.float32]

ALL = slice(None)

CHUNK_ENTRIES = 1 << 22
"""How many attention weights are held at once where a whole matrix is computed in groups of rows (16 MiB in float32)."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One attention operation of a trace, in the order of the forward pass.

    Its weights are those that the model multiplies with the values, float32. For most models each row sums to 1; where
    heads are mixed after the softmax (CaiT) or two maps are subtracted (differential attention) rows do not, and
    `is_distribution` is False.
    """

    name: str
    """The attending module's name in the model, such as "blocks.3.attn"."""
    layout: Layout
    operations: tuple[Operation, ...]
    """One operation; two where the model subtracts one map from another."""
    signs: tuple[float, ...] = (1.0,)
    """The factor of each operation."""
    queries: tuple[int, ...] | None = None
    """The tokens that attend, if not all do (class attention)."""
    pooling: bool = False
    """Whether this is an attention pool: learned queries outside the tokens read them all."""
    step: int = 0
    """Layers with the same step read the same tokens, side by side."""
    arrangement: Arrangement | None = None
    """Where the model has windows, heads and tokens in another order than the layout, by which `operations` are arranged."""
    kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    """Results computed from this layer, by name; freed with it. A copy of the layer has none."""

    @property
    def heads(self) -> int:
        """The number of heads."""
        return self.operations[0].shape[1]

    @property
    def modules(self) -> tuple[str, ...]:
        """The module of each operation as it was recorded; several for branches that were joined."""
        return tuple(
            module for operation in self.operations for module in operation.modules or (operation.module,)
        )

    @property
    def is_distribution(self) -> bool:
        """Whether each row is a set of shares that sum to 1."""
        return len(self.operations) == 1 and self.operations[0].is_distribution

    @property
    def bytes(self) -> int:
        """Bytes this layer keeps."""
        return sum(operation.bytes for operation in self.operations)

    def attention(self) -> Floats:
        """The whole attention: heads×N×N, or windows×heads×n×n; heads×queries×N where not all tokens attend."""
        weights = self.weights()
        return _array(weights if self.layout.windows is not None else weights[0])

    def row(self, query: int) -> Floats:
        """What token `query` attends to: heads×N over the layer's tokens, 0 for those that it cannot attend to.

        For a pooling layer it is the number of one of the pool's own queries. Raises MethodError for a token that does not
        attend here.
        """
        if self.layout.windows is not None:
            window, slot = self.layout.windows.slot(self._checked(query))
            return self._from_window(window, self.weights(slice(slot, slot + 1), window)[0, :, 0])
        index = self._query_index(query)
        return _array(self.weights(slice(index, index + 1))[0, :, 0])

    def column(self, key: int) -> Floats:
        """What attends to token `key`: heads×N over the layer's tokens, 0 for tokens that cannot attend to it.

        For a pooling layer: heads×1, the pool's weight on the token.
        """
        self._checked(key)
        if self.layout.windows is not None:
            window, slot = self.layout.windows.slot(key)
            return self._from_window(window, self.weights(None, window)[0, :, :, slot])
        parts = [
            sign * _column(operation, key, normaliser)
            for sign, operation, normaliser in zip(
                self.signs, self.operations, self._normalisers, strict=True
            )
        ]
        values = _array(torch.stack(parts).sum(0))
        if self.queries is None:
            return values
        column = np.zeros((self.heads, self.layout.tokens), np.float32)
        column[:, list(self.queries)] = values
        return column

    def turn(self) -> None:
        """Keep transposed copies of queries and keys: they make single rows and columns faster while the pointer moves."""
        for operation in self.operations:
            if operation.weights is None:
                _ = operation.turned

    def leak(self) -> Floats:
        """The weight that each token gives to padding: heads×N. Zero everywhere but in padded windows."""
        leak = np.zeros((self.heads, self.layout.tokens), np.float32)
        windows = self.layout.windows
        if windows is not None and windows.padding:
            for window in np.nonzero((windows.index < 0).any(1))[0]:
                real = windows.index[window] >= 0
                weights = _array(self.weights(None, int(window))[0])
                leak[:, windows.index[window][real]] = weights[:, real][:, :, ~real].sum(2)
        return leak

    def weights(self, rows: slice | None = None, window: int | None = None) -> Tensor:
        """The attention weights as a tensor on the model's device: B×heads×rows×keys, B the windows (or 1)."""
        parts = [
            sign * probabilities(operation, rows, window)
            if sign != 1.0
            else probabilities(operation, rows, window)
            for sign, operation in zip(self.signs, self.operations, strict=True)
        ]
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """The attention in groups of rows, so that N×N for all heads is never held: (rows, heads×rows×N)."""
        _, heads, queries, keys = self.operations[0].shape
        step = max(1, CHUNK_ENTRIES // (heads * keys))
        for start in range(0, queries, step):
            rows = slice(start, min(start + step, queries))
            yield rows, self.weights(rows)[0]

    @cached_property
    def _normalisers(self) -> tuple["_Normaliser | None", ...]:
        """Per operation the softmax's normaliser of each row, computed once, so that a column costs one product."""
        return tuple(_normaliser(operation) for operation in self.operations)

    def _checked(self, token: int) -> int:
        if not 0 <= token < self.layout.tokens:
            raise MethodError(f"Token {token} is not among the {self.layout.tokens} tokens of {self.name}.")
        return token

    def _query_index(self, query: int) -> int:
        if self.pooling:
            own = self.operations[0].shape[2]
            if not 0 <= query < own:
                which = "query, number 0, attends" if own == 1 else f"queries, 0 to {own - 1}, attend"
                raise MethodError(f"{self.name} is an attention pool: only its own {which}.")
            return query
        self._checked(query)
        if self.queries is None:
            return query
        if query not in self.queries:
            who = " and ".join(self.layout.name(q) for q in self.queries)
            raise MethodError(f"In {self.name} only {who} attends; {self.layout.name(query)} does not.")
        return self.queries.index(query)

    def _from_window(self, window: int, values: Tensor) -> Floats:
        """heads×slots of one window as heads×N over the stage's tokens."""
        assert self.layout.windows is not None
        index = self.layout.windows.index[window]
        result = np.zeros((self.heads, self.layout.tokens), np.float32)
        result[:, index[index >= 0]] = _array(values)[:, index >= 0]
        return result


def probabilities(operation: Operation, rows: slice | None = None, window: int | None = None) -> Tensor:
    """softmax(q kᵀ·scale + bias) in float32 for some rows and one window (None: all): B×heads×rows×Nk."""
    batch = ALL if window is None else slice(window, window + 1)
    rows = ALL if rows is None else rows
    if operation.weights is not None:
        return operation.weights[batch, :, rows].float()
    return _logits(operation, batch, rows, ALL).softmax(-1)


def _logits(operation: Operation, batch: slice, rows: slice, keys: slice) -> Tensor:
    assert operation.query is not None
    assert operation.key is not None
    if "turned" in vars(operation) and keys.start is not None and keys.stop == keys.start + 1:
        key = operation.key[batch, :, keys].float() * operation.scale
        logits = _products(key, operation.turned[0][batch, :, :, rows]).transpose(-2, -1)
    elif "turned" in vars(operation):
        query = operation.query[batch, :, rows].float() * operation.scale
        logits = _products(query, operation.turned[1][batch, :, :, keys])
    else:
        query = operation.query[batch, :, rows].float() * operation.scale
        logits = query @ operation.key[batch, :, keys].float().transpose(-2, -1)
    if operation.bias is not None:
        logits = logits + operation.bias.expand(operation.shape)[batch, :, rows, keys]
    return logits


def _products(vectors: Tensor, turned: Tensor) -> Tensor:
    """B×heads×n×d times B×heads×d×N. NumPy multiplies a single vector, as while the pointer moves: faster than torch on
    one thread, and without waiting for other threads.
    """
    if vectors.shape[-2] != 1 or vectors.device.type != "cpu":
        return vectors @ turned
    return torch.from_numpy(np.einsum("bhd,bhdn->bhn", vectors[:, :, 0].numpy(), turned.numpy()))[:, :, None]


class _Normaliser(NamedTuple):
    """Each row's largest logit and the log of Σ exp(logit − largest), heads×N: so large logits keep their precision."""

    largest: Tensor
    log_sum: Tensor


def _normaliser(operation: Operation) -> _Normaliser | None:
    if operation.weights is not None:
        return None
    _, heads, queries, keys = operation.shape
    step = max(1, CHUNK_ENTRIES // (heads * keys))
    everything = slice(None)
    largest, log_sum = [], []
    for start in range(0, queries, step):
        logits = _logits(operation, everything, slice(start, start + step), everything)[0]
        largest.append(logits.amax(-1))
        log_sum.append((logits - largest[-1][..., None]).exp().sum(-1).log())
    return _Normaliser(torch.cat(largest, -1), torch.cat(log_sum, -1))


def _column(operation: Operation, key: int, normaliser: _Normaliser | None) -> Tensor:
    if operation.weights is not None:
        return operation.weights[0, :, :, key].float()
    assert normaliser is not None
    logits = _logits(operation, slice(None), slice(None), slice(key, key + 1))[0, :, :, 0]
    return (logits - normaliser.largest - normaliser.log_sum).exp()


def _array(values: Tensor) -> Floats:
    return np.ascontiguousarray(values.detach().float().cpu().numpy())
