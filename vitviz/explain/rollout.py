"""Attention rollout: attention of all layers composed, residual connections counted in (Abnar & Zuidema 2020, section 3).

Ā_ℓ = rownorm((F_h A_ℓ + I)/2), R = Ā_L ⋯ Ā_1, and the map is R's row of the query. Only that row is computed: rᵀ ← rᵀ Ā_ℓ
from the last layer to the first. For Swin the rows go through windows, shifts and padding as they are, and back through the
merges by giving each real child an equal part: composition of attention under equal merging, a model and not a theorem.
"""

from dataclasses import dataclass
from itertools import groupby
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitviz.attention.layer import Layer
from vitviz.attention.layout import Layout
from vitviz.attention.trace import Query, Trace
from vitviz.errors import MethodError
from vitviz.explain.attention import Fusion, check_choice, describe, find_layer, silence
from vitviz.explain.heatmap import Heatmap
from vitviz.explain.registry import Method

Floats = NDArray[np.float32]

KEPT_BYTES = 1 << 29
"""Fused matrices of a trace are kept for its next query if they take no more than this together (512 MiB)."""

_fused: "WeakKeyDictionary[Layer, dict[tuple[str, float], tuple[Tensor, Tensor]]]" = WeakKeyDictionary()


@dataclass
class Flow:
    """Weight on its way down: over the tokens of a layout, and what has left the patches for good."""

    weights: Tensor
    layout: Layout
    leak: float
    born: dict[str, float]
    """Weight that came down to prefix tokens at the layer where they join, so that no earlier layer has them."""


def rollout(
    trace: Trace,
    fusion: Fusion = "mean",
    discard: float = 0.0,
    query: Query = None,
    layer: int | str = -1,
    renormalise: bool = False,
) -> Heatmap:
    """The rollout of a query down to the patches of the photo.

    `fusion` of the heads: "mean", "max" or "min". `discard`: the share of smallest entries of each fused matrix set to zero
    before the residual is added. `query`: a patch, a prefix token's name, or None for the readout. `layer`: roll from this
    layer's output down. Weight on padding is reported as the leak; `renormalise` divides it out.
    """
    check_choice("fusion", fusion, ("mean", "max", "min"))
    if not isinstance(discard, int | float) or not 0 <= discard < 1:
        raise MethodError(f"discard is a share from 0 up to, not including, 1; not {discard!r}.")
    top = find_layer(trace, layer)
    layers = tuple(each for each in trace.layers if each.step <= top.step)
    if query is not None:  # no patch and no prefix token attends in an attention pool
        layers = tuple(each for each in layers if not each.pooling)
    flow = roll(trace, layers, query, fusion, discard)
    values = flow.weights.cpu().numpy()
    prefix = {name: flow.born.get(name, 0.0) for name in trace.prefix}
    for name, weight in zip(flow.layout.prefix, values.tolist(), strict=False):
        prefix[name] += weight
    kept = 1 - flow.leak if renormalise else 1.0
    through_all = f"{len(layers)} layers" if len(layers) > 1 else "1 layer"
    share = "" if not discard else f", {discard:.0%} of entries discarded"
    return Heatmap(
        values=flow.layout.on_grid(values) / np.float32(kept),
        patches=flow.layout.patches,
        photo=trace.photo,
        framing=trace.framing,
        method="rollout",
        title=f"Rollout of {describe(trace, query, layers[-1])} through {through_all}, {fusion} of heads{share}",
        unit="share of attention, rolled out",
        model_name=trace.model.name,
        options={
            "fusion": fusion,
            "discard": discard,
            "query": query,
            "layer": top.name,
            "renormalise": renormalise,
        },
        prefix={name: weight / kept for name, weight in prefix.items()},
        leak=0.0 if renormalise else flow.leak,
    )


def roll(trace: Trace, layers: tuple[Layer, ...], query: Query, fusion: Fusion, discard: float) -> Flow:
    """The query's weight carried from the last of `layers` down to the input of the first."""
    steps = [tuple(group) for _, group in groupby(layers, key=lambda layer: layer.step)]
    last = steps[-1][0]
    device = last.operations[0].value.device if last.operations[0].value is not None else torch.device("cpu")
    keep = (
        sum(step[0].layout.tokens ** 2 * 4 for step in steps if step[0].layout.windows is None) <= KEPT_BYTES
    )
    if last.pooling:
        weights = _fuse(last.weights()[0], fusion)[0]
        flow = Flow(weights / weights.sum(), last.layout, 0.0, {})
        steps = steps[:-1]
    else:
        start = trace.query_weights(last, query)
        if start is None:
            raise MethodError(f"In {last.name} {silence(trace, last, query, 'to')}.")
        flow = Flow(torch.from_numpy(start).to(device), last.layout, 0.0, {})
    for step in reversed(steps):
        carry(flow, step[0].layout)
        through(flow, step, fusion, discard, keep)
    return flow


def through(flow: Flow, step: tuple[Layer, ...], fusion: Fusion, discard: float, keep: bool) -> None:
    """rᵀ ← rᵀ Ā for one layer, or for several that read the same tokens side by side."""
    layer = step[0]
    matrix, divisor = _matrix(step, fusion, discard, keep)
    windows = layer.layout.windows
    if windows is not None:
        index = torch.from_numpy(windows.index).to(matrix.device)
        real = index >= 0
        rows = torch.where(real, flow.weights[index.clamp_min(0)], 0.0)
        scaled = rows / divisor
        spread = torch.einsum("wi,wij->wj", scaled, matrix) + scaled
        flow.leak += float(spread[~real].sum())
        flow.weights = torch.zeros_like(flow.weights).index_put((index[real],), spread[real])
        return
    if layer.queries is None:
        scaled = flow.weights / divisor
        flow.weights = scaled @ matrix + scaled
        return
    queries = list(layer.queries)
    scaled = flow.weights[queries] / divisor
    rest = flow.weights.clone()
    rest[queries] = scaled  # tokens that do not attend pass unchanged
    flow.weights = rest + scaled @ matrix


def carry(flow: Flow, below: Layout) -> None:
    """Carry weight over one layout's tokens to those of the layout below: prefix tokens by name, patches through a merge."""
    above = flow.layout
    if above is below or (above.prefix == below.prefix and above.patches == below.patches):
        flow.layout = below
        return
    prefix, patches = flow.weights[: len(above.prefix)], flow.weights[len(above.prefix) :]
    if above.patches != below.patches:
        if above.merge is None:
            raise MethodError("Two stages follow each other without a merge that vitviz knows.")
        rows = torch.from_numpy(above.merge.shares(above.patches.rows, below.patches.rows)).to(patches.device)
        cols = torch.from_numpy(above.merge.shares(above.patches.cols, below.patches.cols)).to(patches.device)
        patches = (rows.T @ patches.view(above.patches.rows, above.patches.cols) @ cols).flatten()
    carried = torch.zeros(len(below.prefix), device=patches.device)
    for name, weight in zip(above.prefix, prefix, strict=True):
        if name in below.prefix:
            carried[below.prefix.index(name)] = weight
        else:
            flow.born[name] = flow.born.get(name, 0.0) + float(weight)
    flow.weights, flow.layout = torch.cat([carried, patches]), below


def _matrix(step: tuple[Layer, ...], fusion: Fusion, discard: float, keep: bool) -> tuple[Tensor, Tensor]:
    """The fused attention of a step (queries×N, or windows×n×n) and what divides its rows once the residual is added.

    Kept for the next query where it is small enough.
    """
    known = _fused.setdefault(step[0], {})
    key = (fusion, discard)
    if key not in known:
        matrix = _fused_matrix(step, fusion)
        if discard:
            count = int(discard * matrix.numel())
            matrix.view(-1)[matrix.view(-1).topk(count, largest=False).indices] = 0.0
        fused = matrix, matrix.sum(-1) + 1
        if not keep:
            return fused
        known.clear()
        known[key] = fused
    return known[key]


def _fused_matrix(step: tuple[Layer, ...], fusion: Fusion) -> Tensor:
    if step[0].layout.windows is not None:
        return _fuse(torch.cat([layer.weights() for layer in step], 1).transpose(0, 1), fusion)
    together = zip(*(layer.chunks() for layer in step), strict=True)
    return torch.cat([_fuse(torch.cat([chunk for _, chunk in chunks], 0), fusion) for chunks in together], 0)


def _fuse(weights: Tensor, fusion: Fusion) -> Tensor:
    """heads×… → …"""
    if fusion == "mean":
        return weights.mean(0)
    return weights.amax(0) if fusion == "max" else weights.amin(0)


def _refusal(trace: Trace) -> str | None:
    for layer in trace.layers:
        if not layer.is_distribution:
            return (
                f"because rows of {layer.name} are not shares: its heads are mixed with signed weights after the softmax"
                if len(layer.operations) == 1
                else f"because {layer.name} subtracts one attention map from another, so its rows are not shares"
            )
    return None


METHOD = Method(
    name="rollout",
    label="Rollout",
    about="All layers composed: how much of each patch has reached the query through attention and residual connections.",
    refusal=_refusal,
    compute=rollout,
)
