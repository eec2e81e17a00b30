"""Attention itself: a row (attends to) or a column (attended by) of one head, or of several heads fused."""

from vitviz.attention.layer import Layer
from vitviz.attention.self_check.shares import is_mixed
from vitviz.attention.trace import Query, Trace
from vitviz.errors import MethodError
from vitviz.explain.heatmap import Heatmap
from vitviz.explain.query import (
    FUSIONS,
    Direction,
    Floats,
    Fusion,
    attend,
    check_choice,
    check_head,
    describe,
    find_layer,
    fuse,
    pool_queries,
    silence,
)


def attention(
    trace: Trace,
    layer: int | str = -1,
    head: int | None = None,
    fusion: Fusion = "mean",
    query: Query = None,
    direction: Direction = "to",
) -> Heatmap:
    """What a query attends to in one layer (`direction` "to"), or what attends to it ("by").

    `layer`: its number (−1 is the last) or its name in the model. `head`: its number, or None to fuse all heads by `fusion`.
    `query`: a patch (row, column), several, the name of a prefix token or of a part of the readout, or None for the readout;
    of several tokens the mean of their rows in each head, which is then fused. Source: Dosovitskiy 2021.
    """
    chosen = find_layer(trace, layer)
    check_choice("direction", direction, ("to", "by"))
    check_choice("fusion", fusion, FUSIONS)
    check_head(chosen, head)
    weights = trace.query_weights(chosen, query)
    by_head = None if weights is None else attend(chosen, weights, direction, pool_queries(trace, query))
    if weights is None or by_head is None:
        raise MethodError(f"In {chosen.name} {silence(trace, chosen, query, direction)}.")

    def fused(values: Floats) -> Floats:
        return values[head] if head is not None else fuse(values, fusion)

    values = fused(by_head)
    leak = (
        float(fused(chosen.leak() @ weights))
        if direction == "to" and chosen.layout.windows is not None
        else 0.0
    )
    heads = f"head {head}" if head is not None else f"the {fusion} of {chosen.heads} heads"
    subject = describe(trace, query, chosen)
    return Heatmap(
        values=chosen.layout.on_grid(values),
        patches=chosen.layout.patches,
        photo=trace.photo,
        framing=trace.framing,
        method="attention",
        title=f"What {subject} {'attends to' if direction == 'to' else 'is attended by'} in {chosen.name}, {heads}",
        unit=_unit(chosen),
        model_name=trace.model.full_name,
        options={
            "layer": chosen.name,
            "head": head,
            "fusion": fusion,
            "query": query,
            "direction": direction,
        },
        prefix=dict(zip(chosen.layout.prefix, values.tolist(), strict=False)),
        leak=leak,
    )


def _unit(layer: Layer) -> str:
    if layer.is_distribution:
        return "share of attention"
    return "signed weight" if is_mixed(layer) else "weight"


def refusal(trace: Trace) -> str | None:
    """Attention applies to every trace."""
    return None
