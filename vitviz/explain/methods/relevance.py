"""Relevance for a class (Chefer, Gur & Wolf 2021, Generic Attention-model Explainability, equations 5 and 6).

Ā_ℓ = E_h((∇A_ℓ⊙A_ℓ)⁺), clamped before the mean over heads; R ← R + Ā_ℓ R from R = I, ℓ = 1 … L, and the map is R's row of
the readout. So rᵀ ← rᵀ (I + Ā_ℓ) from the last layer to the first, and R ← M R at a merge; see `compose`.
"""

from vitviz.attention.trace import Query, Trace
from vitviz.explain.heatmap import Heatmap
from vitviz.explain.methods import class_gradients as of_class
from vitviz.explain.methods.compose import Mixed, chosen, compose, final_weights, fused_contributions
from vitviz.explain.methods.rollout import through_layers
from vitviz.explain.query import describe, find_layer

refusal = of_class.refusal


def relevance(
    trace: Trace,
    target: int | None = None,
    query: Query = None,
    layer: int | str = -1,
    start: int | str = 0,
    own: bool = False,
) -> Heatmap:
    """The relevance of the patches to a query, by the weights that raise the logit of class `target` (None: the top).

    `query`: a patch, several, a prefix token's name, or None for the readout. `layer`, `start`: from this layer's output
    down to that layer's input. `own`: keep the identity part of R, which for a class token lies on no patch but puts 1
    on a patch that is the query, and 1/N on each where the prediction is read from their mean; without it the map is
    that of R − I. Relevance on Swin's padding is the leak; relevance does not sum to 1.
    """
    layers = chosen(trace, query, layer, start)
    found = of_class.gradients(trace, target)
    flow = compose(
        trace,
        layers,
        query,
        lambda step: Mixed(fused_contributions(found, step, "before")),
        ("relevance", found.target),
        shares=False,
        own=own,
    )
    values, prefix = final_weights(trace, flow)
    return Heatmap(
        values=values,
        patches=flow.layout.patches,
        photo=trace.photo,
        framing=trace.framing,
        method="relevance",
        title=f"Relevance for {of_class.called(trace, found.target)} to {describe(trace, query, layers[-1])} "
        f"through {through_layers(trace, layers)}",
        unit="relevance",
        model_name=trace.model.full_name,
        options={
            "target": found.target,
            "query": query,
            "layer": find_layer(trace, layer).name,
            "start": layers[0].name,
            "own": own,
        },
        prefix=prefix,
        leak=flow.leak,
    )
