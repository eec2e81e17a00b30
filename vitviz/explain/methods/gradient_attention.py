"""Gradient × attention in one layer: which weights raise a class's logit (Chefer 2021b, the first step of relevance).

(∇A_h⊙A_h)⁺ of one head, or E_h((∇A⊙A)⁺), clamped before the mean; the query's row, or column.
"""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from vitviz.attention.gradients import Gradients
from vitviz.attention.layer import Layer
from vitviz.attention.trace import Query, Trace
from vitviz.errors import MethodError
from vitviz.explain.heatmap import Heatmap
from vitviz.explain.methods import class_gradients as of_class
from vitviz.explain.query import (
    Direction,
    Floats,
    check_choice,
    check_head,
    describe,
    find_layer,
    pool_queries,
    silence,
    weighted,
)

refusal = of_class.refusal


def gradient_attention(
    trace: Trace,
    target: int | None = None,
    layer: int | str = -1,
    head: int | None = None,
    query: Query = None,
    direction: Direction = "to",
) -> Heatmap:
    """What each weight of a query adds to the logit of class `target` (None: the top prediction), to first order.

    `layer`, `head`, `query`, `direction` as in `attention`; `head` None is the mean of all heads. Negative contributions are
    set to 0, before the mean. One backward pass serves every layer, head and query.
    """
    chosen = find_layer(trace, layer)
    check_choice("direction", direction, ("to", "by"))
    check_head(chosen, head)
    weights = trace.query_weights(chosen, query)
    reached = (
        None
        if weights is None or not _attends(chosen, weights, pool_queries(trace, query), direction)
        else contributed(
            of_class.gradients(trace, target), chosen, weights, direction, pool_queries(trace, query)
        )
    )
    if reached is None:
        raise MethodError(f"In {chosen.name} {silence(trace, chosen, query, direction)}.")
    index = of_class.class_index(trace, target)
    values, leak = (part.mean(0) if head is None else part[head] for part in reached)
    heads = f"head {head}" if head is not None else f"the mean of {chosen.heads} heads"
    what = "attends to" if direction == "to" else "is attended by"
    return Heatmap(
        values=chosen.layout.on_grid(values),
        patches=chosen.layout.patches,
        photo=trace.photo,
        framing=trace.framing,
        method="gradient_attention",
        title=f"Gradient × attention for {of_class.called(trace, index)}: what {describe(trace, query, chosen)} {what} "
        f"in {chosen.name}, {heads}",
        unit="gradient × attention, in logits",
        model_name=trace.model.full_name,
        options={
            "target": index,
            "layer": chosen.name,
            "head": head,
            "query": query,
            "direction": direction,
        },
        prefix=dict(zip(chosen.layout.prefix, values.tolist(), strict=False)),
        leak=float(leak) if direction == "to" else 0.0,
    )


def contributed(
    gradients: Gradients,
    layer: Layer,
    weights: Floats,
    direction: Direction,
    pool: tuple[int, ...] = (),
) -> tuple[Floats, Floats]:
    """(∇A⊙A)⁺ of a query given as weights over the layer's tokens: heads×N, and per head the weight on padding.

    `pool`: the queries of an attention pool that the query stands for; in a pooling layer their mean.
    """
    if layer.pooling:
        row = gradients.contributions(layer)[0][:, list(pool)].relu_().mean(1).cpu().numpy()
        return row, np.zeros(layer.heads, np.float32)
    tokens = np.nonzero(weights)[0]
    if direction == "to" and layer.layout.windows is None and len(tokens) <= 8:
        rows = tokens if layer.queries is None else [layer.queries.index(token) for token in tokens]
        parts = [
            weights[token]
            * gradients.contributions(layer, slice(row, row + 1))[0, :, 0].relu_().cpu().numpy()
            for token, row in zip(tokens.tolist(), map(int, rows), strict=True)
        ]
        return np.asarray(sum(parts), np.float32), np.zeros(layer.heads, np.float32)

    def whole() -> Tensor:
        return gradients.contributions(layer).relu_()

    def chunks() -> Iterator[tuple[slice, Tensor]]:
        return ((rows, chunk.relu_()) for rows, chunk in gradients.chunks(layer))

    return weighted(layer, weights, direction, whole, chunks)


def _attends(layer: Layer, weights: Floats, pool: tuple[int, ...], direction: Direction) -> bool:
    if layer.pooling:
        return bool(pool) and direction == "to"
    return direction == "by" or layer.queries is None or set(np.nonzero(weights)[0]) <= set(layer.queries)
