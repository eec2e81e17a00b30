"""Attention rollout: attention of all layers composed, with residual connections (Abnar & Zuidema 2020, section 3).

Ā_ℓ = rownorm((1 − ρ) F_h A_ℓ + ρ I) with ρ = ½, R = Ā_L ⋯ Ā_1, and the map is R's row of the query; see `compose`.
"""

from dataclasses import dataclass

import numpy as np

from vitviz.attention.layer import Layer
from vitviz.attention.trace import Query, Trace
from vitviz.errors import MethodError
from vitviz.explain.heatmap import Heatmap
from vitviz.explain.methods.compose import (
    Flow,
    Mixed,
    Step,
    chosen,
    compose,
    discard_smallest,
    final_weights,
    fused_attention,
    with_residual,
)
from vitviz.explain.query import FUSIONS, Fusion, check_choice, describe, find_layer


def rollout(
    trace: Trace,
    fusion: Fusion = "mean",
    discard: float = 0.0,
    query: Query = None,
    layer: int | str = -1,
    renormalise: bool = False,
    residual: float = 0.5,
    start: int | str = 0,
    vit_explain: bool = False,
) -> Heatmap:
    """The rollout of a query down to the patches of the photo.

    `fusion` of the heads: "mean", "max" or "min". `discard`: the share of smallest entries of each fused matrix set to zero
    before the residual is added. `residual`: the share of the residual connection. `query`: a patch, several, a prefix
    token's name, or None for the readout. `layer`, `start`: roll from this layer's output down to that layer's input. Weight
    on padding is reported as the leak; `renormalise` divides it out.

    `vit_explain`: the numbers of the script vit_rollout.py of jacobgil/vit-explain, for comparing with figures made with
    it (its own defaults: discard 0.9, mean). It divides columns instead of rows, protects only the entry (0, 0) from
    discarding instead of the class token, and divides the map by its maximum.
    """
    check_choice("fusion", fusion, FUSIONS)
    check_share("discard", discard)
    check_share("residual", residual)
    layers = chosen(trace, query, layer, start)
    if vit_explain:
        _require_like_script(trace, layers, residual, renormalise)
    flow = roll(trace, layers, query, fusion, discard, residual, vit_explain)
    values, prefix = final_weights(trace, flow)
    kept = 1 - flow.leak if renormalise else 1.0
    if vit_explain:
        kept = float(values.max())
    name = "Rollout as vit-explain computes it (columns divided)" if vit_explain else "Rollout"
    return Heatmap(
        values=values / np.float32(kept),
        patches=flow.layout.patches,
        photo=trace.photo,
        framing=trace.framing,
        method="rollout",
        title=f"{name} of {describe(trace, query, layers[-1])} through {through_layers(trace, layers)}, "
        f"{fusion} of heads{shares_set(discard, residual)}",
        unit="share of the map's maximum" if vit_explain else "share of attention, rolled out",
        model_name=trace.model.full_name,
        options={
            "fusion": fusion,
            "discard": discard,
            "query": query,
            "layer": find_layer(trace, layer).name,
            "renormalise": renormalise,
            "residual": residual,
            "start": layers[0].name,
            "vit_explain": vit_explain,
        },
        prefix={name: weight / kept for name, weight in prefix.items()},
        leak=0.0 if renormalise else flow.leak,
    )


def roll(
    trace: Trace,
    layers: tuple[Layer, ...],
    query: Query,
    fusion: Fusion,
    discard: float,
    residual: float = 0.5,
    vit_explain: bool = False,
) -> Flow:
    """The query's weight rolled from the last of `layers` down to the input of the first."""
    recipe = _Recipe(fusion, discard, residual, vit_explain)
    return compose(trace, layers, query, recipe.mix, ("rollout", recipe), shares=True)


@dataclass(frozen=True)
class _Recipe:
    """What a layer's matrix depends on."""

    fusion: Fusion
    discard: float
    residual: float
    vit_explain: bool

    def mix(self, step: Step) -> Mixed:
        matrix = fused_attention(step, self.fusion)
        if self.discard:
            discard_smallest(matrix, self.discard, protect_first=self.vit_explain)
        if self.vit_explain:
            return Mixed(matrix, 0.5, 0.5, columns=(matrix.sum(-1) + 1) / 2)
        return with_residual(matrix, self.residual)


def check_share(option: str, value: object) -> None:
    """Raise MethodError unless `value` is a share from 0 up to, not including, 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise MethodError(f"{option} is a share from 0 up to, not including, 1; not {value!r}.")


def shares_set(discard: float, residual: float) -> str:
    """Shares that are not at their defaults, for a title: ", 90% of entries discarded"; 0.999 is not rounded to all."""
    parts = "" if not discard else f", {discard * 100:.6g}% of entries discarded"
    return parts if residual == 0.5 else f"{parts}, residual share {residual * 100:.6g}%"


def through_layers(trace: Trace, layers: tuple[Layer, ...]) -> str:
    """How many layers, for a title: "12 layers", "3 layers from blocks.9.attn on"."""
    count = f"{len(layers)} layers" if len(layers) > 1 else "1 layer"
    return count if layers[0] is trace.layers[0] else f"{count} from {layers[0].name} on"


def _require_like_script(trace: Trace, layers: tuple[Layer, ...], residual: float, renormalise: bool) -> None:
    if residual != 0.5 or renormalise:
        raise MethodError("vit_explain has a residual share of 0.5 and no padding to renormalise.")
    reason = unlike_script(trace, layers)
    if reason is not None:
        raise MethodError(f"vit_explain does not apply to {trace.model.name}, {reason}.")


def unlike_script(trace: Trace, layers: tuple[Layer, ...] = ()) -> str | None:
    """Why the script vit_rollout.py cannot read some layers of a model (default: all), from "because" on; else None."""
    layers = layers or trace.layers
    plain = all(
        layer.layout.windows is None
        and layer.layout == layers[0].layout
        and layer.queries is None
        and not layer.pooling
        for layer in layers
    )
    if plain and layers[0].layout.prefix == ("class",):
        return None
    return "because that script reads one grid of patches behind one class token"


def refusal(trace: Trace) -> str | None:
    """Rollout needs what `registry` states: shares and order."""
    return None
