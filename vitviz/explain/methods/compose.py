"""Composition of layers: the weight of a query carried from the last layer down to the patches of the photo.

Each of these methods makes a layer a matrix Ā = diag(a) F + diag(b), F its fused attention, or contributions, and needs
one row of Ā_L ⋯ Ā_1. Only that row is computed: rᵀ ← rᵀ Ā_ℓ from the last layer to the first. For Swin it follows
windows, shifts and padding exactly; at a merge it divides a weight equally among the real children, which is an
assumption.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitviz.attention.gradients import Gradients
from vitviz.attention.layer import Layer
from vitviz.attention.layout import Layout
from vitviz.attention.trace import Query, Trace
from vitviz.errors import MethodError
from vitviz.explain.needs import order
from vitviz.explain.query import Fusion, find_layer, pool_queries, silence

Floats = NDArray[np.float32]
Step = tuple[Layer, ...]
"""One layer, or several that read the same tokens side by side."""

KEPT_BYTES = 1 << 29
"""Matrices of a trace are kept for its next query up to this total size (512 MiB)."""

KEPT_KINDS = 2
"""For how many methods, or classes, a layer's matrix is kept at once."""


@dataclass(frozen=True, eq=False)
class Mixed:
    """A step's matrix Ā = diag(attention) · matrix + diag(residual), its columns then divided by `columns`."""

    matrix: Tensor
    """queries×N, or windows×n×n."""
    attention: Tensor | float = 1.0
    """Per row."""
    residual: Tensor | float = 1.0
    """Per row."""
    columns: Tensor | None = None


@dataclass
class Flow:
    """The query's weight at one layer: over the tokens of a layout, and what is on none of them any more."""

    weights: Tensor
    own: Tensor
    """Weight that is still on the query's own tokens, because it bypassed every attention. Not a part of `weights`."""
    layout: Layout
    leak: float
    joined: dict[str, float]
    """Weight on prefix tokens at the layer where they join: no earlier layer has them."""


def chosen(trace: Trace, query: Query, layer: int | str, start: int | str = 0) -> tuple[Layer, ...]:
    """The layers from `start` to `layer`, without the attention pool unless the readout is asked for."""
    top, bottom = find_layer(trace, layer), find_layer(trace, start)
    if bottom.step > top.step:
        raise MethodError(
            f"start is {bottom.name}, which comes after {top.name}, the layer to start back from."
        )
    layers = tuple(each for each in trace.layers if bottom.step <= each.step <= top.step)
    if not pool_queries(trace, query):  # no patch and no prefix token attends in an attention pool
        layers = tuple(each for each in layers if not each.pooling)
    if not layers:
        raise MethodError(f"In {top.name} {silence(trace, top, query, 'to')}.")
    return layers


def compose(
    trace: Trace,
    layers: tuple[Layer, ...],
    query: Query,
    mix: Callable[[Step], Mixed],
    kind: Hashable,
    shares: bool,
    own: bool = True,
) -> Flow:
    """The query's weight carried from the last of `layers` down to the input of the first.

    `mix` gives a step's matrix; it is kept under `kind` for the next query. `shares`: rows of Ā sum to 1, those of an
    attention pool, which has no residual connection, too. `own`: whether the query's own weight is added to `weights` at
    the end.
    """
    steps = [tuple(group) for _, group in groupby(layers, key=lambda layer: layer.step)]
    reason = order(trace) if len(steps) > 1 else None
    if reason is not None:
        raise MethodError(f"Layers of {trace.model.name} are not composed, {reason}.")
    plain = sum(step[0].layout.tokens ** 2 * 4 for step in steps if step[0].layout.windows is None)

    def mixed(step: Step) -> Mixed:
        return _kept_or_new(step, mix, kind) if plain <= KEPT_BYTES else mix(step)

    last = steps[-1][0]
    first = trace.query_weights(last, query)
    if last.pooling:
        weights = mixed(steps[-1]).matrix[list(pool_queries(trace, query))].mean(0)
        if shares:
            weights = weights / _required(weights.sum(), last)
        flow = Flow(weights, torch.zeros_like(weights), last.layout, 0.0, {})
        steps = steps[:-1]
    else:
        if first is None:
            raise MethodError(f"In {last.name} {silence(trace, last, query, 'to')}.")
        query_weights = torch.from_numpy(first).to(_device(last))
        flow = Flow(torch.zeros_like(query_weights), query_weights, last.layout, 0.0, {})
    for step in reversed(steps):
        carry(flow, step[0].layout, own)
        through(flow, step[0], mixed(step))
    if own:
        flow.weights, flow.own = flow.weights + flow.own, torch.zeros_like(flow.own)
    return flow


def through(flow: Flow, layer: Layer, mixed: Mixed) -> None:
    """rᵀ ← rᵀ Ā for one step."""
    windows = layer.layout.windows
    if windows is not None:
        index = torch.from_numpy(windows.index).to(mixed.matrix.device)
        real = index >= 0
        weights, own = (torch.where(real, part[index.clamp_min(0)], 0.0) for part in (flow.weights, flow.own))
        spread = torch.einsum("wi,wij->wj", (weights + own) * mixed.attention, mixed.matrix)
        spread += weights * mixed.residual
        if windows.padding:
            flow.leak += float(spread[~real].sum())
        empty = torch.zeros_like(flow.weights)
        flow.weights = empty.index_put((index[real],), spread[real])
        flow.own = empty.index_put((index[real],), (own * mixed.residual)[real])
        return
    queries = slice(None) if layer.queries is None else list(layer.queries)
    rows = (flow.weights + flow.own)[queries]
    for part in (flow.weights, flow.own):
        part[queries] = part[queries] * mixed.residual  # tokens that do not attend pass unchanged
    flow.weights += (rows * mixed.attention) @ mixed.matrix
    if mixed.columns is not None:
        flow.weights, flow.own = flow.weights / mixed.columns, flow.own / mixed.columns


def carry(flow: Flow, below: Layout, own: bool) -> None:
    """Move the weight from one layout's tokens to those of the layout below.

    Prefix tokens go by name, patches through a merge. `own`: whether a prefix token's own weight counts where it joins.
    """
    above = flow.layout
    flow.layout = below
    if above is below or (above.prefix == below.prefix and above.patches == below.patches):
        return
    ends = flow.weights + flow.own if own else flow.weights
    for name, weight in zip(above.prefix, ends.tolist(), strict=False):
        if name not in below.prefix:
            flow.joined[name] = flow.joined.get(name, 0.0) + weight
    flow.weights, flow.own = (_carried(part, above, below) for part in (flow.weights, flow.own))


def _carried(weights: Tensor, above: Layout, below: Layout) -> Tensor:
    prefix, patches = weights[: len(above.prefix)], weights[len(above.prefix) :]
    if above.patches != below.patches:
        if above.merge is None:
            raise MethodError("Two stages follow each other without a merge that vitviz knows.")
        rows = torch.from_numpy(above.merge.shares(above.patches.rows, below.patches.rows)).to(weights.device)
        cols = torch.from_numpy(above.merge.shares(above.patches.cols, below.patches.cols)).to(weights.device)
        patches = (rows.T @ patches.view(above.patches.rows, above.patches.cols) @ cols).flatten()
    carried = torch.zeros(len(below.prefix), device=weights.device)
    for name, weight in zip(above.prefix, prefix, strict=True):
        if name in below.prefix:
            carried[below.prefix.index(name)] = weight
    return torch.cat([carried, patches])


def final_weights(trace: Trace, flow: Flow) -> tuple[Floats, dict[str, float]]:
    """The weight at the end: rows×cols on the patches, and by name on prefix tokens."""
    values = flow.weights.cpu().numpy()
    prefix = {name: flow.joined.get(name, 0.0) for name in trace.prefix}
    for name, weight in zip(flow.layout.prefix, values.tolist(), strict=False):
        prefix[name] += weight
    return flow.layout.on_grid(values), prefix


def with_residual(matrix: Tensor, residual: float) -> Mixed:
    """rownorm((1 − residual) F + residual I); a row without weight becomes that of I."""
    sums = (1 - residual) * matrix.sum(-1) + residual
    empty = sums <= 0
    sums = torch.where(empty, 1.0, sums)
    return Mixed(matrix, (1 - residual) / sums, torch.where(empty, 1.0, residual / sums))


def discard_smallest(matrix: Tensor, discard: float, protect_first: bool = False) -> None:
    """Set the ⌊discard · entries⌋ smallest entries of a matrix to zero, in place; `protect_first`: but never the first."""
    flat = matrix.view(-1)
    smallest = flat.topk(int(discard * flat.numel()), largest=False).indices
    flat[smallest[smallest != 0] if protect_first else smallest] = 0.0


def fused_attention(step: Step, fusion: Fusion) -> Tensor:
    """F_h A of a step: queries×N, or windows×n×n."""
    if step[0].layout.windows is not None:
        weights = torch.cat([layer.weights() for layer in step], 1)
        return _fuse(weights.transpose(0, 1), fusion)
    return _over_heads([layer.chunks() for layer in step], lambda weights: _fuse(weights, fusion))


def fused_contributions(gradients: Gradients, step: Step, clamp: Literal["before", "after"]) -> Tensor:
    """E_h((∇A⊙A)⁺), clamped "before" the mean over heads, or (E_h(∇A⊙A))⁺, "after" it: queries×N, or windows×n×n."""

    def fuse(values: Tensor) -> Tensor:
        return values.relu_().mean(0) if clamp == "before" else values.mean(0).relu_()

    if step[0].layout.windows is not None:
        values = torch.cat([gradients.contributions(layer) for layer in step], 1)
        return fuse(values.transpose(0, 1))
    return _over_heads([gradients.chunks(layer) for layer in step], fuse)


def _over_heads(layers: list[Iterator[tuple[slice, Tensor]]], fuse: Callable[[Tensor], Tensor]) -> Tensor:
    """queries×N from the chunks (heads×rows×N) of the layers of a step, all their heads fused.

    All heads at once: smaller pieces, which a CPU's cache would hold, take longer, because threads then mostly wait for
    each other.
    """
    fused = []
    for chunks in zip(*layers, strict=True):
        parts = [values for _, values in chunks]
        fused.append(fuse(parts[0] if len(parts) == 1 else torch.cat(parts)))
    return torch.cat(fused)


def _fuse(weights: Tensor, fusion: Fusion) -> Tensor:
    """heads×… → …"""
    if fusion == "mean":
        return weights.mean(0)
    return weights.amax(0) if fusion == "max" else weights.amin(0)


def _kept_or_new(step: Step, mix: Callable[[Step], Mixed], kind: Hashable) -> Mixed:
    known: dict[Hashable, Mixed] = step[0].kept.setdefault("mixed", {})
    if kind not in known:
        new = mix(step)
        while len(known) >= KEPT_KINDS:
            known.pop(next(iter(known)))
        known[kind] = new
    return known[kind]


def _required(total: Tensor, layer: Layer) -> Tensor:
    if not float(total) > 0:
        raise MethodError(f"In {layer.name} all weights are 0, so there is nothing to compose.")
    return total


def _device(layer: Layer) -> torch.device:
    value = layer.operations[0].value
    return value.device if value is not None else torch.device("cpu")
