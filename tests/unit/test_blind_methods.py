"""Every method that knows no class equals its definition with dense matrices and timm's unfused attention, by family."""

import math
from typing import Any

import numpy as np
import pytest
from naive import (
    KINDS,
    Matrix,
    Reference,
    composed,
    dense,
    grid,
    known,
    laid,
    merge,
    patches,
    pooled,
    prefixes,
    readout,
    relative,
    row_sums,
    token_of,
    windowed,
)

import vitviz
from vitviz.attention.trace import Trace

SHARES = [kind for kind in KINDS if kind != "differential"]
"""Where rows of attention are shares: all but where one map is subtracted from another."""
FUSIONS = {"mean": np.mean, "max": np.max, "min": np.min}


def attention(expected: Reference) -> list[Matrix]:
    return [weights.numpy() for weights in expected.attention]


def pools(trace: Trace, index: int) -> bool:
    return pooled(trace) and index == len(trace.layers) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_attention_in_every_layer_head_and_direction(kind: str) -> None:
    trace, expected = known(kind)
    for index, weights in enumerate(attention(expected)):
        heads = weights.shape[1]
        by_head = [
            weights[0, head] if pools(trace, index) else dense(trace, index, weights[:, head])
            for head in range(heads)
        ]
        cases: list[tuple[dict[str, Any], Matrix]] = [
            ({"fusion": name}, fuse(by_head, axis=0)) for name, fuse in FUSIONS.items()
        ]
        cases += [({"head": head}, by_head[head]) for head in range(heads)]
        for options, tokens in cases:
            options["layer"] = index
            if pools(trace, index):
                row = vitviz.explain(trace, "attention", **options)
                assert relative(row.values, patches(trace, tokens[0], index)) <= 1e-5
                continue
            token = token_of(trace, index, 1, 2)
            for direction, matrix in (("to", tokens), ("by", tokens.T)):
                one = vitviz.explain(trace, "attention", query=(1, 2), direction=direction, **options)
                assert relative(one.values, patches(trace, matrix[token], index)) <= 1e-5
                np.testing.assert_allclose(
                    list(one.prefix.values()),
                    matrix[token][: prefixes(trace)],
                    atol=1e-5 * np.abs(matrix[token]).max(),
                )
        if not pooled(trace):  # a readout of several tokens: in each head the mean of their rows, then fused
            rows = np.stack([readout(trace, tokens) for tokens in by_head])
            for name, fuse in FUSIONS.items():
                read = vitviz.explain(trace, "attention", layer=index, fusion=name)
                assert relative(read.values, patches(trace, fuse(rows, axis=0), index)) <= 1e-5


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "padded" in kind])
def test_what_a_patch_gives_to_padding(kind: str) -> None:
    trace, expected = known(kind)
    lost = 0.0
    for index, weights in enumerate(attention(expected)):
        for head in range(weights.shape[1]):
            missing = 1 - dense(trace, index, weights[:, head]).sum(1)
            token = token_of(trace, index, 15, 11)
            map_ = vitviz.explain(trace, "attention", layer=index, head=head, query=(15, 11))
            assert map_.leak == pytest.approx(missing[token], abs=1e-6)
            assert map_.total + map_.leak == pytest.approx(1, abs=1e-6)
            lost = max(lost, missing[token])
    assert lost > 0.05


def rolled(
    trace: Trace,
    expected: Reference,
    fusion: str = "mean",
    discard: float = 0.0,
    residual: float = 0.5,
    first: int = 0,
) -> tuple[Matrix, Matrix]:
    """R of the last layer's tokens (the pool's layer left out), and each layer's fused matrix."""
    fused = [FUSIONS[fusion](weights, axis=1) for weights in attention(expected)]
    for part in fused if discard else []:
        flat = part.reshape(-1)
        flat[np.argsort(flat, kind="stable")[: int(discard * flat.size)]] = 0

    def step(index: int, result: Matrix) -> Matrix:
        both = (1 - residual) * dense(trace, index, fused[index]) + residual * np.eye(len(result))
        sums = (1 - residual) * row_sums(trace, index, fused[index]) + residual
        return both / sums[:, None] @ result

    tokens = composed(trace, step, first)
    pool = fused[-1][0, 0]
    return tokens, pool / pool.sum() @ tokens if pooled(trace) else readout(trace, tokens)


@pytest.mark.parametrize("discard", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("kind", SHARES)
def test_rollout(kind: str, fusion: str, discard: float) -> None:
    trace, expected = known(kind)
    _, row = rolled(trace, expected, fusion, discard)
    map_ = vitviz.explain(trace, "rollout", fusion=fusion, discard=discard)
    assert relative(map_.values, patches(trace, row)) <= 1e-5
    np.testing.assert_allclose(list(map_.prefix.values()), row[: prefixes(trace)], atol=1e-5 * row.max())
    assert map_.leak == pytest.approx(1 - row.sum(), abs=1e-6)
    if "padded" in kind and not discard:
        assert map_.leak > 0.05
        whole = vitviz.explain(trace, "rollout", fusion=fusion, renormalise=True)
        assert relative(whole.values, patches(trace, row / row.sum())) <= 1e-5


@pytest.mark.parametrize("residual", [0.0, 0.2, 0.8])
@pytest.mark.parametrize("kind", SHARES)
def test_rollout_with_another_residual_share(kind: str, residual: float) -> None:
    trace, expected = known(kind)
    _, row = rolled(trace, expected, residual=residual)
    map_ = vitviz.explain(trace, "rollout", residual=residual)
    assert relative(map_.values, patches(trace, row)) <= 1e-5


@pytest.mark.parametrize("kind", SHARES)
def test_rollout_of_a_patch_down_to_every_layer(kind: str) -> None:
    trace, expected = known(kind)
    for first in range(len(trace.layers) - pooled(trace)):
        tokens, row = rolled(trace, expected, first=first)
        map_ = vitviz.explain(trace, "rollout", start=first)
        assert relative(map_.values, patches(trace, row, first)) <= 1e-5
        if pooled(trace):
            continue
        one = vitviz.explain(trace, "rollout", start=first, query=(2, 3))
        token = token_of(trace, len(trace.layers) - 1, 2, 3)
        assert relative(one.values, patches(trace, tokens[token], first)) <= 1e-5


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "stages" in kind])
def test_the_models_in_stages_shift_pad_and_merge_with_odd_edges(kind: str) -> None:
    """Checks the references themselves: otherwise comparisons with them prove less."""
    trace, expected = known(kind)
    merges = [parts for index in range(len(trace.layers)) if (parts := merge(trace, index)) is not None]
    assert len(merges) == 2
    assert all({1, 2, 4} & set((parts > 0).sum(1)) != {4} for parts in merges)
    blocks = [trace.model.module.get_submodule(layer.name.rpartition(".")[0]) for layer in trace.layers]
    assert sum(any(block.shift_size) for block in blocks) >= 2
    slots = [weights.shape[0] * weights.shape[-1] for weights in attention(expected)]
    assert sum(slots[index] > math.prod(grid(trace, index)) for index in range(len(slots))) >= 4


def numbers(trace: Trace, index: int, weights: Matrix) -> dict[str, Matrix]:
    """The statistics of a layer from windows×heads×n×n: what is known of slots is laid on tokens by timm."""
    rows, cols = grid(trace, index)
    first, heads = prefixes(trace), weights.shape[1]
    module: Any = trace.model.module
    down, across = module.patch_embed.patch_size
    if windowed(trace, index):  # a cell of a later stage is twice as large, also where the grid was odd
        down = across = down * 2 ** sum(merge(trace, at) is not None for at in range(index + 1))
    places = np.array(
        [((row + 0.5) * down, (col + 0.5) * across) for row in range(rows) for col in range(cols)]
    )
    far = np.linalg.norm(places[:, None] - places[None], axis=-1)
    seen = (weights[:, 0] > 1e-20).astype(np.float64)  # the mask leaves 1e-44
    keys = laid(trace, index, seen.sum(-1, keepdims=True))[first:, 0]
    visible = dense(trace, index, seen)[first:, first:]
    names = ("distance", "distance_unnormalised", "entropy", "prefix", "padding")
    found: dict[str, list[Any]] = {name: [] for name in names}
    for head in range(heads):
        matrix = dense(trace, index, weights[:, head])[first:]
        moved = (matrix[:, first:] * far).sum(1)
        found["distance"].append((moved / matrix[:, first:].sum(1)).mean())
        found["distance_unnormalised"].append(moved.mean())
        logs = np.log(np.where(weights[:, head] > 0, weights[:, head], 1))
        spread = laid(trace, index, -(weights[:, head] * logs).sum(-1, keepdims=True))[first:, 0]
        found["entropy"].append((spread[keys > 1] / np.log(keys[keys > 1])).mean())
        found["prefix"].append(matrix[:, :first].mean(0))
        found["padding"].append((1 - matrix.sum(1)).mean())
    lengths = weights / np.linalg.norm(weights, axis=-1, keepdims=True)
    alike = [
        [(lengths[:, a] * lengths[:, b]).sum(-1, keepdims=True) for b in range(heads)] for a in range(heads)
    ]
    return {name: np.array(values).T for name, values in found.items()} | {
        "similarity": np.array([[laid(trace, index, each)[first:].mean() for each in row] for row in alike]),
        "uniform_distance": np.array(((visible * far).sum(1) / visible.sum(1)).mean()),
        "uniform_share": np.array((1 / keys).mean()),
    }


@pytest.mark.parametrize("kind", SHARES)
def test_statistics(kind: str) -> None:
    trace, expected = known(kind)
    found = vitviz.statistics(trace)
    for index, weights in enumerate(attention(expected)):
        if pools(trace, index):
            continue
        for name, values in numbers(trace, index, weights).items():
            own = getattr(found.layers[index], name)
            np.testing.assert_allclose(
                own, values, atol=1e-5 * np.abs(values).max(initial=0) + 1e-9, err_msg=name
            )
