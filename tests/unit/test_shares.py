"""The word "share", rollout and relevance need rows that are at least 0 and sum to 1 over the keys."""

import numpy as np
import pytest
import torch
from proof_models import (
    DATA,
    Attend,
    Attention,
    Block,
    HandWritten,
    over_heads,
    over_queries,
    plain,
    scaled_in_place,
    strong,
    timm_vit,
    transposed,
    weighing,
    with_attention,
)
from torch import nn

import vitviz
from vitviz.attention.model_check import noise
from vitviz.attention.trace import Trace
from vitviz.errors import MethodError


def traced(module: nn.Module) -> Trace:
    return vitviz.trace(vitviz.load_model(module, device="cpu", data=DATA), noise(DATA.input_size))


@pytest.mark.parametrize("attend", [over_heads, over_queries, transposed, scaled_in_place])
@pytest.mark.parametrize("base", ["hand-written", "timm"])
def test_rows_that_do_not_sum_to_1_are_no_shares(attend: Attend, base: str) -> None:
    if base == "timm":
        module: nn.Module = with_attention(timm_vit(), 1, lambda _: strong(Attention(attend)))
    else:
        module = HandWritten(Block(), Block(Attention(attend)), Block())
    trace = traced(module)
    with weighing(module) as seen:
        module(torch.from_numpy(trace.framing.apply(trace.photo))[None])
    expected = seen[0 if base == "timm" else 1].numpy()
    assert np.abs(expected.sum(-1) - 1).max() > 0.1  # or nothing is tested
    np.testing.assert_allclose(trace.layers[1].attention(), expected, atol=1e-5)
    claim = trace.check.claim("shares")
    assert claim.fails
    assert "rows of blocks.1.attn are not shares: over its keys they sum to" in claim.sentence
    least, most = (float(part) for part in claim.sentence.split("sum to ")[1].split(" (")[0].split(" up to "))
    assert least == pytest.approx(expected.sum(-1).min(), rel=1e-2)
    assert most == pytest.approx(expected.sum(-1).max(), rel=1e-2)
    assert vitviz.explain(trace, "attention", layer=1, query=(0, 0)).unit == "weight"
    assert vitviz.explain(trace, "attention", layer=0, query=(0, 0)).unit == "share of attention"
    for method in ("rollout", "gradient_rollout", "relevance"):
        with pytest.raises(MethodError, match=r"because rows of blocks\.1\.attn are not shares"):
            vitviz.explain(trace, method)
    assert not trace.check.proved


def test_rows_of_a_softmax_over_keys_are_shares() -> None:
    trace = traced(HandWritten(Block(Attention(plain)), Block()))
    assert trace.check.claim("shares").holds
    assert trace.check.proved
    assert vitviz.explain(trace, "rollout").total > 0
