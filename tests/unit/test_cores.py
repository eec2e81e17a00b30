"""Attention cores as libraries write them: shown exactly, told as weights where rows are no shares, or refused."""

import re
from collections.abc import Callable

import numpy as np
import proof_cores as cores
import pytest
import torch
from proof_cores import FlashSelfAttention, Packed, TokensFirst, Unpacking
from proof_models import DATA, Block, HandWritten, strong, timm_vit, with_attention
from torch import Tensor, nn

import vitviz
from vitviz.attention.model_check import check_model, noise
from vitviz.attention.trace import Trace
from vitviz.errors import MethodError, RefusedError

Make = Callable[[nn.Module], nn.Module]


def in_timm(attention: nn.Module) -> nn.Module:
    return with_attention(timm_vit(), 1, lambda _: strong(attention))


def by_hand(attention: nn.Module) -> nn.Module:
    return HandWritten(Block(), Block(attention), Block())


BASES = {"timm": in_timm, "hand-written": by_hand}


def traced(module: nn.Module) -> Trace:
    return vitviz.trace(vitviz.load_model(module, device="cpu", data=DATA), noise(DATA.input_size))


def agrees(trace: Trace) -> np.ndarray:
    """The second layer's weights are what the core itself gives."""
    module, given = trace.model.module, dict[str, Tensor]()
    attention = module.blocks[1].attn
    handle = attention.register_forward_pre_hook(lambda _m, args: given.update(x=args[0]))
    with torch.no_grad():
        module(torch.from_numpy(trace.framing.apply(trace.photo))[None])
        handle.remove()
        expected = attention.weights(given["x"]).numpy()
    layer, token = trace.layers[1], trace.layers[1].layout.token(1, 5)
    np.testing.assert_allclose(layer.attention(), expected, atol=1e-6)
    np.testing.assert_allclose(layer.row(token), expected[:, token], atol=1e-6)
    np.testing.assert_allclose(layer.column(token), expected[:, :, token], atol=1e-6)
    return expected


SHOWN: dict[str, Callable[[], nn.Module]] = {
    "flash attention in a module": lambda: TokensFirst(FlashSelfAttention()),
    "flash attention, packed": lambda: Packed(Unpacking()),
    "xformers' reference": lambda: TokensFirst(cores.memory_efficient),
    "baddbmm": lambda: TokensFirst(cores.added_products),
    "einsum with an ellipsis": lambda: TokensFirst(cores.einsum_ellipsis),
    "einsum, keys first": lambda: TokensFirst(cores.einsum_keys_first),
    "einsum with spaces": lambda: TokensFirst(cores.einsum_spaced),
    "a softmax in float32": lambda: TokensFirst(cores.wide_softmax),
    "causal": lambda: TokensFirst(cores.causal),
    "cosine": lambda: TokensFirst(cores.cosine),
    "nine keys each": lambda: TokensFirst(cores.nine_keys),
}


@pytest.mark.parametrize("core", SHOWN)
@pytest.mark.parametrize("base", BASES)
def test_a_core_that_gets_tokens_before_heads_is_shown(core: str, base: str) -> None:
    trace = traced(BASES[base](SHOWN[core]()))
    assert trace.check.proved, [claim.sentence for claim in trace.check.claims]
    expected = agrees(trace)
    np.testing.assert_allclose(expected.sum(-1), 1, atol=1e-5)
    heat = vitviz.explain(trace, "attention", layer=1, query=(1, 5))
    assert heat.unit == "share of attention"
    assert vitviz.explain(trace, "rollout").total > 0


WEIGHTS = {
    "times 0.3": cores.scaled,
    "divided in place": cores.divided_in_place,
    "one key left out": cores.one_key_left_out,
    "summed to two": cores.summed_to_two,
    "softmax over heads": cores.softmax_over_heads,
    "softmax over queries": cores.softmax_over_queries,
}


@pytest.mark.parametrize("core", WEIGHTS)
@pytest.mark.parametrize("base", BASES)
def test_rows_that_are_no_shares_are_told_with_their_sums(core: str, base: str) -> None:
    trace = traced(BASES[base](TokensFirst(WEIGHTS[core])))
    expected = agrees(trace)
    claim = trace.check.claim("shares")
    assert claim.fails
    said = claim.sentence.split("over its keys they sum to ")[1].split(" (")[0].split(" up to ")
    assert [float(part) for part in said] == pytest.approx(
        [expected.sum(-1).min(), expected.sum(-1).max()], rel=1e-2
    )
    assert "signed" not in claim.sentence
    assert vitviz.explain(trace, "attention", layer=1, query=(1, 5)).unit == "weight"
    for method in ("rollout", "relevance"):
        with pytest.raises(MethodError, match=r"because rows of blocks\.1\.attn are not shares"):
            vitviz.explain(trace, method)


NO_QUERIES = (
    r"in blocks\.1\.attn nothing of the photo was found in the queries, while there is one for each key"
)
MIXED = "influence each other in a way that vitviz does not record"
REFUSED = {
    "sums of queries and keys": (cores.additive, NO_QUERIES),
    "distances": (cores.distances, NO_QUERIES),
    "logarithms": (cores.logarithms, MIXED),
    "sigmoids": (cores.sigmoids, MIXED),
    "divided at the end": (cores.normalised_at_the_end, MIXED),
    "a sum by hand": (cores.summed_by_hand, r"A softmax in blocks\.1\.attn is not followed by a product"),
}


@pytest.mark.parametrize("core", REFUSED)
@pytest.mark.parametrize("base", BASES)
def test_what_cannot_be_read_is_refused_with_the_reason(core: str, base: str) -> None:
    attend, reason = REFUSED[core]
    model = vitviz.load_model(BASES[base](TokensFirst(attend)), device="cpu", data=DATA)
    with pytest.raises(RefusedError, match=reason) as caught:
        vitviz.trace(model, noise(DATA.input_size))
    assert "channels, not" not in caught.value.message
    assert re.search(reason, check_model(model).reason or "")


@pytest.mark.parametrize("core", [cores.logarithms, cores.sigmoids, cores.normalised_at_the_end])
def test_as_the_last_attention_they_are_mixing_behind_the_one_before(core: Callable[..., Tensor]) -> None:
    with pytest.raises(RefusedError, match=rf"(?i)behind blocks\.1\.attn its tokens {MIXED}"):
        traced(HandWritten(Block(), Block(), Block(TokensFirst(core))))
