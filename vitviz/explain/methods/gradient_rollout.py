"""Gradient rollout: rollout of the attention that raises a class's logit (vit-explain's vit_grad_rollout.py).

Ā_ℓ = rownorm((1 − ρ) (E_h(∇A_ℓ⊙A_ℓ))⁺ + ρ I), clamped after the mean over heads; composed as rollout is, see `compose`.
"""

import numpy as np

from vitviz.attention.trace import Query, Trace
from vitviz.explain.heatmap import Heatmap
from vitviz.explain.methods import class_gradients as of_class
from vitviz.explain.methods.compose import (
    Mixed,
    Step,
    chosen,
    compose,
    discard_smallest,
    final_weights,
    fused_contributions,
    with_residual,
)
from vitviz.explain.methods.rollout import check_share, shares_set, through_layers
from vitviz.explain.query import describe, find_layer

refusal = of_class.refusal


def gradient_rollout(
    trace: Trace,
    target: int | None = None,
    discard: float = 0.0,
    query: Query = None,
    layer: int | str = -1,
    renormalise: bool = False,
    residual: float = 0.5,
    start: int | str = 0,
) -> Heatmap:
    """The rollout of gradient × attention for class `target` (None: the top prediction); other options as in `rollout`.

    Gradients are small, so most of each row stays with its own token: compare the map's pattern, not its values.
    """
    check_share("discard", discard)
    check_share("residual", residual)
    layers = chosen(trace, query, layer, start)
    found = of_class.gradients(trace, target)

    def mix(step: Step) -> Mixed:
        matrix = fused_contributions(found, step, "after")
        if discard:
            discard_smallest(matrix, discard)
        return with_residual(matrix, residual)

    kind = ("gradient_rollout", found.target, discard, residual)
    flow = compose(trace, layers, query, mix, kind, shares=True)
    values, prefix = final_weights(trace, flow)
    kept = 1 - flow.leak if renormalise else 1.0
    return Heatmap(
        values=values / np.float32(kept),
        patches=flow.layout.patches,
        photo=trace.photo,
        framing=trace.framing,
        method="gradient_rollout",
        title=f"Gradient rollout for {of_class.called(trace, found.target)}: {describe(trace, query, layers[-1])} "
        f"through {through_layers(trace, layers)}{shares_set(discard, residual)}",
        unit="share of gradient × attention, rolled out",
        model_name=trace.model.full_name,
        options={
            "target": found.target,
            "discard": discard,
            "query": query,
            "layer": find_layer(trace, layer).name,
            "renormalise": renormalise,
            "residual": residual,
            "start": layers[0].name,
        },
        prefix={name: weight / kept for name, weight in prefix.items()},
        leak=0.0 if renormalise else flow.leak,
    )
