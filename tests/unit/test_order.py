"""Composition needs layers that follow one another on one stream; branches of one layer count as one layer."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from proof_models import (
    DATA,
    GRID,
    Attention,
    Block,
    Ensemble,
    HandWritten,
    Loop,
    PerHead,
    Two,
    fused,
    timm_vit,
    weighing,
)
from torch import Tensor, nn

import vitviz
from vitviz.attention.model_check import noise
from vitviz.attention.trace import Trace
from vitviz.errors import MethodError


def traced(module: nn.Module) -> Trace:
    return vitviz.trace(vitviz.load_model(module, device="cpu", data=DATA), noise(DATA.input_size))


def weights_of(trace: Trace) -> list[np.ndarray]:
    with weighing(trace.model.module) as seen:
        trace.model.module(torch.from_numpy(trace.framing.apply(trace.photo))[None])
    return [weights.double().numpy() for weights in seen]


def rolled(blocks: list[np.ndarray]) -> np.ndarray:
    """Attention rollout of each block's weights, heads×N×N, with a residual share of one half."""
    result = np.eye(blocks[0].shape[-1])
    for weights in blocks:
        result = (weights.mean(0) + np.eye(len(result))) / 2 @ result
    return result


BRANCHES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "two attentions added": (Two, 2),
    "a module per head": (PerHead, 3),
    "a loop over heads": (Loop, 3),
    "a loop over heads, fused": (lambda: Loop(fused), 3),
}


@pytest.mark.parametrize("kind", BRANCHES)
def test_branches_of_one_layer_are_composed_as_one_with_all_their_heads(kind: str) -> None:
    make, branches = BRANCHES[kind]
    trace = traced(HandWritten(*(Block(make()) for _ in range(3))))
    seen = weights_of(trace)
    assert len(seen) == len(trace.layers) == 3 * branches
    blocks = [np.concatenate(seen[start : start + branches]) for start in range(0, len(seen), branches)]
    assert [layer.step for layer in trace.layers] == [number // branches for number in range(3 * branches)]
    assert trace.check.proved
    heatmap = vitviz.explain(trace, "rollout")
    expected = rolled(blocks)[0]
    np.testing.assert_allclose(heatmap.values.reshape(-1), expected[1:], atol=1e-6)
    assert heatmap.prefix["class"] == pytest.approx(expected[0], abs=1e-6)
    chained = rolled(seen)[0]
    assert np.abs(chained - expected).max() > 1e-2  # or the wrong way would pass too


def mirror(x: Tensor) -> Tensor:
    return x.flip(-1)


STREAMS: dict[str, Callable[[], nn.Module]] = {
    "two networks": lambda: Ensemble(HandWritten(), HandWritten()),
    "a photo and its mirror image": lambda: (lambda one: Ensemble(one, one, mirror))(HandWritten()),
    "two of timm": lambda: Ensemble(timm_vit(), timm_vit()),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_separate_streams_are_named_and_not_composed(kind: str) -> None:
    trace = traced(STREAMS[kind]())
    claim = trace.check.claim("order")
    assert claim.fails
    assert "2 separate streams of tokens, which begin with first.blocks.0.attn" in claim.sentence
    for method in ("rollout", "relevance", "gradient_rollout"):
        with pytest.raises(MethodError, match="2 separate streams"):
            vitviz.explain(trace, method)
    with pytest.raises(MethodError, match="several streams of tokens; choose a patch"):
        vitviz.explain(trace, "attention")
    if kind == "two of timm":
        return
    seen = weights_of(trace)
    mirrored = kind == "a photo and its mirror image"
    for number, (layer, weights) in enumerate(zip(trace.layers, seen, strict=True)):
        shown = vitviz.explain(trace, "attention", layer=number, query=(1, 5)).values
        turned = mirrored and number >= 3
        row = weights.mean(0)[1 + GRID + (GRID - 1 - 5 if turned else 5), 1:].reshape(GRID, GRID)
        np.testing.assert_allclose(shown, row[:, ::-1] if turned else row, atol=1e-5)
        assert layer.heads == 3


def test_a_chain_without_residual_connections_is_told() -> None:
    trace = traced(HandWritten(*(Block(residual=False) for _ in range(3))))
    claim = trace.check.claim("order")
    assert claim.fails
    assert "blocks.2.attn reads nothing of what blocks.0.attn gave" in claim.sentence
    assert "no residual connection" in claim.sentence
    with pytest.raises(MethodError, match="no residual connection"):
        vitviz.explain(trace, "rollout")
    for layer, weights in zip(trace.layers, weights_of(trace), strict=True):
        np.testing.assert_allclose(layer.attention(), weights, atol=1e-5)


class Gated(nn.Module):
    """An attention whose output is multiplied by a number."""

    def __init__(self, gate: float) -> None:
        super().__init__()
        self.inner, self.gate = Attention(), gate

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.gate


def test_a_branch_that_is_multiplied_by_zero_leaves_order_unproved() -> None:
    trace = traced(HandWritten(Block(), Block(Gated(0.0)), Block()))
    claim = trace.check.claim("order")
    assert claim.verdict == "not yet proved"
    assert "blocks.1.attn.inner gives is multiplied by zero" in claim.sentence
    with pytest.raises(MethodError, match="multiplied by zero"):
        vitviz.explain(trace, "rollout")
    assert traced(HandWritten(Block(), Block(Gated(1e-3)), Block())).check.claim("order").holds


def test_a_librarys_own_layers_may_wait_for_the_proof_of_their_order() -> None:
    module = timm_vit(init_values=1.0)
    with torch.no_grad():
        for block in module.blocks:
            block.ls1.gamma.zero_()
    trace = traced(module)
    assert trace.check.claim("order").verdict == "not yet proved"
    assert trace.check.exact
    assert not trace.check.proved
    assert vitviz.explain(trace, "rollout").total > 0
