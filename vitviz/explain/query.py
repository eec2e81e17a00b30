"""A query in a layer: the rows or columns of one head, or of several heads fused, and their names in sentences."""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitviz.attention.layer import Layer
from vitviz.attention.trace import Query, Trace, patches_of
from vitviz.errors import MethodError
from vitviz.models.devices import memory_guard

Floats = NDArray[np.float32]


Direction = Literal["to", "by"]


Fusion = Literal["mean", "max", "min"]


FUSIONS: tuple[Fusion, ...] = ("mean", "max", "min")


def head_maps(trace: Trace, query: Query, direction: Direction = "to") -> list[Floats]:
    """Per layer the query's map in every head, heads×rows×cols of that layer's grid: what the mosaic of heads shows.

    NaN where the query does not attend in a layer (a patch in class attention, say).
    """
    with memory_guard(trace.model.name, trace.model.device):
        return [_head_map(trace, layer, query, direction) for layer in trace.layers]


def _head_map(trace: Trace, layer: Layer, query: Query, direction: Direction) -> Floats:
    weights = trace.query_weights(layer, query)
    values = None if weights is None else attend(layer, weights, direction, pool_queries(trace, query))
    if values is None:
        grid = layer.layout.patches
        return np.full((layer.heads, grid.rows, grid.cols), np.nan, np.float32)
    return layer.layout.on_grid(values)


def pool_queries(trace: Trace, query: Query) -> tuple[int, ...]:
    """The queries of an attention pool that a query stands for; none for patches and tokens."""
    reading = trace.reading(query)
    return () if reading is None else reading.queries


def with_readout(trace: Trace, query: Query, part: str | None) -> Query:
    """The query that stands for a part of the readout; `query` itself where `part` is None.

    Raises MethodError for a part that the head does not read, and where there are both a query and a part.
    """
    if part is None:
        return query
    if query is not None:
        raise MethodError("Choose a query or a part of the readout, not both.")
    if trace.reading(part) is not None:
        return part
    if not trace.parts and part == trace.readout.name:
        return None
    parts = ", ".join(trace.parts or (trace.readout.name,))
    raise MethodError(f"The head of {trace.model.name} does not read {part!r}; it reads: {parts}.")


def attend(layer: Layer, weights: Floats, direction: Direction, pool: tuple[int, ...] = ()) -> Floats | None:
    """heads×N: the query's rows, or columns, weighted and summed; None if the query does not attend in this layer.

    `pool`: the queries of an attention pool that the query stands for; in a pooling layer their mean row.
    """
    tokens = np.nonzero(weights)[0]
    if layer.pooling:
        if not pool or direction == "by":
            return None
        return np.asarray(sum(layer.row(number) for number in pool) / len(pool), np.float32)
    if direction == "to" and layer.queries is not None and not set(tokens.tolist()) <= set(layer.queries):
        return None
    if len(tokens) <= 8:
        one = layer.row if direction == "to" else layer.column
        return np.asarray(sum(weights[token] * one(int(token)) for token in tokens), np.float32)
    return weighted(layer, weights, direction, layer.weights, layer.chunks)[0]


def weighted(
    layer: Layer,
    weights: Floats,
    direction: Direction,
    whole: Callable[[], Tensor],
    chunks: Callable[[], Iterator[tuple[slice, Tensor]]],
) -> tuple[Floats, Floats]:
    """A query of many tokens: heads×N, its rows or columns weighted and summed, and per head the weight on padding.

    `whole` gives windows×heads×n×n for a layer of windows, `chunks` groups of rows for any other, as `Layer.chunks` does.
    """
    device = layer.operations[0].value.device if layer.operations[0].value is not None else "cpu"
    query = torch.from_numpy(weights).to(device)
    result = torch.zeros(layer.heads, layer.layout.tokens, device=device)
    windows = layer.layout.windows
    if windows is not None:
        index = torch.from_numpy(windows.index).to(device)
        slots = torch.where(index >= 0, query[index.clamp_min(0)], 0.0)
        product = "whij,wi->whj" if direction == "to" else "whij,wj->whi"
        values = torch.einsum(product, whole(), slots).transpose(0, 1)
        result[:, index[index >= 0]] = values[:, index >= 0]
        return result.cpu().numpy(), values[:, index < 0].sum(1).cpu().numpy()
    attending = torch.arange(layer.layout.tokens) if layer.queries is None else torch.tensor(layer.queries)
    for rows, chunk in chunks():
        tokens = attending[rows].to(device)
        if direction == "to":
            result += query[tokens] @ chunk
        else:
            result[:, tokens] = chunk @ query
    return result.cpu().numpy(), np.zeros(layer.heads, np.float32)


def fuse(values: Floats, fusion: Fusion) -> Floats:
    """heads×… → …, the mean, maximum or minimum over heads."""
    if fusion == "mean":
        fused: Floats = values.mean(0, dtype=np.float32)
    else:
        fused = values.max(0) if fusion == "max" else values.min(0)
    return fused


def find_layer(trace: Trace, layer: int | str) -> Layer:
    """A layer by number (negative from the end) or name. Raises MethodError with what there is."""
    if isinstance(layer, str):
        for candidate in trace.layers:
            if candidate.name == layer:
                return candidate
        span = f"from {trace.layers[0].name} to {trace.layers[-1].name}"
        raise MethodError(f"{trace.model.name} has no layer {layer!r}; its layers run {span}.")
    if type(layer) is not int or not -len(trace.layers) <= layer < len(trace.layers):
        raise MethodError(
            f"{trace.model.name} has {len(trace.layers)} layers, numbered from 0; there is no layer {layer!r}."
        )
    return trace.layers[layer]


def check_choice(option: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise MethodError unless `value` is among the choices."""
    if value not in choices:
        raise MethodError(f"{option} is one of {', '.join(choices)}; not {value!r}.")


def check_head(layer: Layer, head: int | None) -> None:
    """Raise MethodError unless the layer has the head, or it is None."""
    if head is not None and (type(head) is not int or not 0 <= head < layer.heads):
        raise MethodError(
            f"{layer.name} has {layer.heads} heads, numbered from 0; there is no head {head!r}."
        )


def describe(trace: Trace, query: Query, layer: Layer) -> str:
    """The name of a query of a layer in a sentence."""
    reading = trace.reading(query)
    if reading is not None:
        return reading.sentence_in(layer.layout, layer.pooling)
    if isinstance(query, str):
        return f"the {query} token"
    assert query is not None
    patches = patches_of(query)
    if len(patches) > 1:
        return f"the mean of {len(patches)} patches"
    return f"patch ({patches[0][0]}, {patches[0][1]})"


def silence(trace: Trace, layer: Layer, query: Query, direction: Direction) -> str:
    """Why a query has no map in a layer."""
    subject = describe(trace, query, layer)
    if layer.pooling and pool_queries(trace, query):
        return "the pool's own query is no token: nothing attends to it"
    if layer.pooling:
        shown = (
            " (leave the query out to see it)" if trace.readout.queries else ", which the head does not read"
        )
        return f"only the pool's own query attends{shown}, not {subject}"
    if isinstance(query, str) and trace.reading(query) is None and query not in layer.layout.prefix:
        return f"there is no {query} token yet"
    who = " and ".join(layer.layout.name(token) for token in layer.queries or ())
    return f"only {who} attends, not {subject}"
