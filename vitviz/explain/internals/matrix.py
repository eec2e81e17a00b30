"""The whole attention of one head, or of several fused, as one matrix of queries × keys."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitviz.attention.layer import Layer
from vitviz.attention.recording.operations import Operation
from vitviz.errors import MethodError
from vitviz.explain.query import Fusion, check_choice

Floats = NDArray[np.float32]

MOST_BYTES = 1 << 30
"""Larger matrices are not made (1 GiB: 16,384 tokens)."""


@dataclass(frozen=True)
class PrefixShare:
    """What a prefix token receives and gives in one matrix, in shares of attention."""

    name: str
    received: float
    """The mean of what the tokens that attend give it."""
    kept: float | None
    """What it gives to itself; None, as the next two, where it does not attend."""
    to_patches: float | None
    to_prefix: float | None
    """What it gives to the other prefix tokens."""


def matrix(
    layer: Layer,
    head: int | None = None,
    fusion: Fusion = "mean",
    window: int = 0,
    stop: Callable[[], bool] | None = None,
) -> Floats:
    """The attention of one head, or with head None of all fused: queries × keys, rows as the layer's tokens attend.

    Rows are all tokens, or `layer.queries`, or the pool; columns are all tokens. Where the layer cuts windows, slots ×
    slots of one of them. Only the head that is asked for is computed, a group of rows at a time; `stop` is called
    between groups; if it returns True the matrix is empty. Raises MethodError for a head or window that does not exist,
    and for more than 1 GiB.
    """
    check_choice("fusion", fusion, ("mean", "max", "min"))
    if head is not None and not 0 <= head < layer.heads:
        raise MethodError(
            f"{layer.name} has {layer.heads} heads, numbered from 0; there is no head {head!r}."
        )
    _, _, queries, keys = layer.operations[0].shape
    if queries * keys * 4 > MOST_BYTES:
        raise MethodError(
            f"The matrix of {layer.name} would have {queries:,} × {keys:,} weights, which is more than can be shown."
        )
    chosen = layer if head is None else one_head(layer, head)
    windows = layer.layout.windows
    if windows is not None:
        if not 0 <= window < len(windows.index):
            raise MethodError(
                f"{layer.name} has {len(windows.index)} windows, numbered from 0; there is no {window}."
            )
        return _array(_fuse(chosen.weights(None, window)[0], fusion))
    parts = []
    for _, chunk in chosen.chunks():
        if stop is not None and stop():
            return np.zeros((0, keys), np.float32)
        parts.append(_array(_fuse(chunk, fusion)))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def one_head(layer: Layer, head: int) -> Layer:
    """The layer as if it had this head only."""
    return replace(layer, operations=tuple(_one_head(operation, head) for operation in layer.operations))


def prefix_shares(layer: Layer, values: Floats) -> list[PrefixShare]:
    """What each prefix token receives and gives in a matrix of `matrix`; none for windows, which hold patches only."""
    names = layer.layout.prefix
    if layer.layout.windows is not None:
        return []
    attending = list(range(layer.layout.tokens)) if layer.queries is None else list(layer.queries)
    if layer.pooling:
        attending = [-1]
    received = values.mean(0, dtype=np.float64)
    shares = []
    for token, name in enumerate(names):
        row = values[attending.index(token)].astype(np.float64) if token in attending else None
        if row is None:
            shares.append(PrefixShare(name, float(received[token]), None, None, None))
            continue
        kept, prefix = float(row[token]), float(row[: len(names)].sum())
        shares.append(
            PrefixShare(name, float(received[token]), kept, float(row[len(names) :].sum()), prefix - kept)
        )
    return shares


def _one_head(operation: Operation, head: int) -> Operation:
    def part(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[:, head : head + 1]

    bias = operation.bias
    return replace(
        operation,
        query=part(operation.query),
        key=part(operation.key),
        weights=part(operation.weights),
        bias=None if bias is None else part(bias.expand(operation.shape)),
        value=None,
        logits=None,
        output=None,
    )


def _fuse(weights: Tensor, fusion: Fusion) -> Tensor:
    """heads×… → …"""
    if fusion == "mean":
        return weights.mean(0)
    return weights.amax(0) if fusion == "max" else weights.amin(0)


def _array(values: Tensor) -> Floats:
    found: Floats = np.ascontiguousarray(values.detach().to(torch.float32).cpu().numpy())
    return found
