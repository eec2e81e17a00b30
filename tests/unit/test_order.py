"""Composition needs layers that follow one another on one stream; branches of one layer count as one layer."""

import re
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
from proof_models import (
    CLASSES,
    DATA,
    DIM,
    GRID,
    Attention,
    Block,
    ClassQuery,
    Ensemble,
    HandWritten,
    Loop,
    PerHead,
    Two,
    exponentials,
    fused,
    plain,
    strong,
    timm_vit,
    weighing,
)
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

import vitviz
from vitviz.attention.model_check import noise
from vitviz.attention.trace import Trace
from vitviz.errors import MethodError, RefusedError


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


class Together(nn.Module):
    """The same as several attentions that are added, as one operation with all their heads."""

    def __init__(self, *parts: Attention) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.attend = plain

    def forward(self, x: Tensor) -> Tensor:
        given = [part.qkv(x).unflatten(-1, (3, part.heads, -1)).permute(2, 0, 3, 1, 4) for part in self.parts]
        mixed = self.attend(*(torch.cat(each, 1) for each in zip(*given, strict=True)))
        heads = mixed.split([part.heads for part in self.parts], 1)
        return torch.stack(
            [part.proj(own.transpose(1, 2).flatten(2)) for part, own in zip(self.parts, heads, strict=True)]
        ).sum(0)


def as_one(branches: nn.Module) -> nn.Module:
    """A module of branches as one operation, with the same parameters."""
    if isinstance(branches, Loop):
        return Together(branches)
    return Together(*branches.heads) if isinstance(branches, PerHead) else Together(*branches.children())


@pytest.mark.parametrize("kind", BRANCHES)
def test_branches_are_one_layer_with_all_their_heads(kind: str) -> None:
    make, branches = BRANCHES[kind]
    module = HandWritten(*(Block(make()) for _ in range(3)))
    trace = traced(module)
    seen = weights_of(trace)
    assert len(seen) == 3 * branches
    blocks = [np.concatenate(seen[start : start + branches]) for start in range(0, len(seen), branches)]
    assert [layer.name for layer in trace.layers] == [f"blocks.{number}.attn" for number in range(3)]
    assert [layer.heads for layer in trace.layers] == [len(blocks[0])] * 3
    assert trace.check.proved
    for layer, weights in zip(trace.layers, blocks, strict=True):
        np.testing.assert_allclose(layer.attention(), weights, atol=1e-5)
        np.testing.assert_allclose(layer.column(8), weights[:, :, 8], atol=1e-5)
    heatmap = vitviz.explain(trace, "rollout")
    expected = rolled(blocks)[0]
    np.testing.assert_allclose(heatmap.values.reshape(-1), expected[1:], atol=1e-6)
    assert heatmap.prefix["class"] == pytest.approx(expected[0], abs=1e-6)
    chained = rolled(seen)[0]
    assert np.abs(chained - expected).max() > 1e-2  # or the wrong way would pass too


@pytest.mark.parametrize("kind", BRANCHES)
@pytest.mark.parametrize("gradients", [False, True])
def test_classes_are_explained_as_by_the_same_layer_in_one_operation(kind: str, gradients: bool) -> None:
    module = HandWritten(*(Block(BRANCHES[kind][0]()) for _ in range(3)))
    one = deepcopy(module)
    for block in one.blocks:
        block.attn = as_one(block.attn)
    models = [vitviz.load_model(each, device="cpu", data=DATA) for each in (module, one.eval())]
    photo = noise(DATA.input_size)
    for model in models:
        vitviz.trace(model, photo)  # the first proves, and keeps no graph
    ours, known = (vitviz.trace(model, photo, gradients=gradients) for model in models)
    np.testing.assert_allclose(ours.logits, known.logits, atol=1e-4)
    shown: set[str] = set()
    for method, options in (
        ("relevance", {}),
        ("gradient_rollout", {}),
        ("gradient_attention", {"layer": 1, "query": (1, 5)}),
        ("gradient_attention", {"layer": 2, "head": 1}),
        ("gradient_attention", {"layer": 2, "head": 2}),
        ("gradcam", {"layer": 1}),
    ):
        maps = [vitviz.explain(trace, method, target=3, **options).values for trace in (ours, known)]
        np.testing.assert_allclose(*maps, atol=1e-4 * np.abs(maps[1]).max())
        shown |= {method} if np.abs(maps[1]).max() > 0 else set()
    assert shown >= {
        "relevance",
        "gradient_rollout",
        "gradient_attention",
    }  # one that is 0 everywhere shows nothing


def test_branches_of_different_kinds_stay_layers_of_one_step() -> None:
    class Unlike(Two):
        def __init__(self) -> None:
            super().__init__()
            self.second = Attention(fused)

    trace = traced(HandWritten(*(Block(Unlike()) for _ in range(2))))
    seen = weights_of(trace)
    assert [layer.step for layer in trace.layers] == [0, 0, 1, 1]
    expected = rolled([np.concatenate(seen[start : start + 2]) for start in (0, 2)])[0]
    np.testing.assert_allclose(vitviz.explain(trace, "rollout").values.reshape(-1), expected[1:], atol=1e-6)


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


def test_two_crops_are_no_map_of_the_photo() -> None:
    def crop(x: Tensor) -> Tensor:
        return nn.functional.interpolate(x[..., 8:-8, 8:-8], x.shape[-2:], mode="bilinear", antialias=True)

    with pytest.raises(
        RefusedError, match=r"tokens of second\.blocks\.0\.attn hold parts of several of the 7×7 patches"
    ):
        traced(Ensemble(HandWritten(), HandWritten(), crop))


def test_a_chain_without_residual_connections_is_told() -> None:
    trace = traced(HandWritten(*(Block(residual=False) for _ in range(3))))
    claim = trace.check.claim("order")
    assert claim.fails
    assert "blocks.2.attn reads nothing of what blocks.0.attn gave" in claim.sentence
    assert (
        "no residual connection between them, so the identity that rollout adds has no ground"
        in claim.sentence
    )
    with pytest.raises(MethodError, match="no residual connection"):
        vitviz.explain(trace, "rollout")
    for layer, weights in zip(trace.layers, weights_of(trace), strict=True):
        np.testing.assert_allclose(layer.attention(), weights, atol=1e-5)


class Between(nn.Module):
    """What happens to tokens between two blocks."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(x)


def class_to_all(x: Tensor) -> Tensor:
    """Each token gets something of the class token."""
    return x + x[:, :1]


def class_to_one(x: Tensor) -> Tensor:
    return torch.cat([x[:, :9], x[:, 9:10] + x[:, :1], x[:, 10:]], 1)


def exchanged(x: Tensor) -> Tensor:
    """The class token and a register change places."""
    return x[:, [1, 0, *range(2, x.shape[1])]]


APART: dict[str, tuple[Callable[[Tensor], Tensor], int, str]] = {
    "class to all": (class_to_all, 1, r"token 1 \(patch \(0, 0\)\) gets something of another \(class\)"),
    "class to one": (class_to_one, 1, r"token 9 \(patch \(1, 1\)\) gets something of another \(class\)"),
    "class to register": (lambda x: torch.cat([x[:, :1], x[:, 1:2] + x[:, :1], x[:, 2:]], 1), 2, "token 1 "),
    "exchanged": (exchanged, 3, "token 1 "),
}


@pytest.mark.parametrize("kind", APART)
@pytest.mark.parametrize("behind", [0, 1])
def test_tokens_without_a_place_that_meet_others_outside_attention_are_found(kind: str, behind: int) -> None:
    change, prefix, said = APART[kind]
    blocks: list[nn.Module] = [Block(), Block(), Block()]
    blocks.insert(behind + 1, Between(change))
    trace = traced(HandWritten(*blocks, prefix=prefix))
    claim = trace.check.claim("order")
    assert claim.fails
    before, after = f"blocks.{behind}.attn", f"blocks.{behind + 2}.attn"
    assert re.search(f"Between {before} and {after} .*{said}", claim.sentence), claim.sentence
    with pytest.raises(MethodError, match="cannot be composed"):
        vitviz.explain(trace, "rollout")
    for layer, weights in zip(trace.layers, weights_of(trace), strict=True):
        np.testing.assert_allclose(layer.attention(), weights, atol=1e-5)


class OtherQueries(Attention):
    """An attention whose queries get something of the class token's query."""

    def forward(self, x: Tensor, **_: object) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(self.attend(q + q[..., :1, :], k, v).transpose(1, 2).flatten(2))


def mean_of_patches(x: Tensor) -> Tensor:
    return x[:, 1:].mean(1)


def test_queries_that_hold_something_of_the_class_token_are_found() -> None:
    claim = traced(HandWritten(Block(), Block(OtherQueries()), Block())).check.claim("order")
    assert re.search(r"Between blocks\.0\.attn and blocks\.1\.attn .*\(class\)", claim.sentence), (
        claim.sentence
    )


class TimmLeak(VisionTransformer):
    """A subclass whose class token is added to all patches behind the last block."""

    def forward_features(self, x: Tensor, **more: object) -> Tensor:
        return class_to_all(super().forward_features(x, **more))


def hugging_face_leak() -> nn.Module:
    import transformers as hf

    small = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}
    config = hf.Dinov2Config(**small, image_size=112, patch_size=16, num_labels=CLASSES)
    module = strong(hf.Dinov2ForImageClassification(config))
    module.dinov2.layernorm = nn.Sequential(module.dinov2.layernorm, Between(class_to_all))
    return module


LAST: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "class to all, mean": (
        lambda: HandWritten(Block(), Block(), Between(class_to_all), read=mean_of_patches),
        "blocks.1.attn",
    ),
    "class to all, class": (lambda: HandWritten(Block(), Block(), Between(class_to_all)), "blocks.1.attn"),
    "class to one": (
        lambda: HandWritten(Block(), Block(), Between(class_to_one), read=mean_of_patches),
        "blocks.1.attn",
    ),
    "register to class": (
        lambda: HandWritten(
            Block(), Between(lambda x: torch.cat([x[:, :1] + x[:, 2:3], x[:, 1:]], 1)), prefix=3
        ),
        "blocks.0.attn",
    ),
    "class behind the patches": (
        lambda: HandWritten(
            Block(), Block(), Between(lambda x: x + x[:, -1:]), read=lambda x: x[:, :-1].mean(1), last=True
        ),
        "blocks.1.attn",
    ),
    "class and register exchanged": (
        lambda: HandWritten(Block(), Block(), Between(exchanged), prefix=3),
        "blocks.1.attn",
    ),
    "only some queries, then a leak": (
        lambda: HandWritten(
            Block(),
            ClassAlone(),
            Between(class_to_all),
            read=mean_of_patches,
        ),
        "blocks.1.inner",
    ),
    "timm, a subclass": (lambda: timm_vit(TimmLeak, global_pool="avg"), "blocks.2.attn"),
    "Hugging Face, its norm replaced": (hugging_face_leak, "dinov2.encoder.layer.1.attention"),
}


class ClassAlone(nn.Module):
    """CaiT's last blocks: the class token attends, the patches stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = ClassQuery()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.inner(x), x[:, 1:]], 1)


@pytest.mark.parametrize("kind", LAST)
def test_tokens_without_a_place_that_meet_others_behind_the_last_attention_are_found(kind: str) -> None:
    make, last = LAST[kind]
    trace = traced(make())
    for name in ("order", "readout"):
        claim = trace.check.claim(name)
        assert claim.fails, name
        assert f"Behind {last}" in claim.sentence
        assert re.search(r"token \d+ gets something of a token without a place", claim.sentence)
    for method in ("attention", "rollout"):
        with pytest.raises(MethodError, match="influence each other"):
            vitviz.explain(trace, method)
    assert vitviz.explain(trace, "attention", layer=0, query=(1, 5)).total > 0
    if hasattr(trace.model.module, "embed"):
        for layer, weights in zip(trace.layers, weights_of(trace), strict=True):
            order = np.arange(layer.layout.tokens)
            if "behind" in kind:
                order = np.r_[order[-1], order[:-1]]
            token = layer.layout.token(1, 5)
            if layer.queries is None:
                np.testing.assert_allclose(layer.row(token), weights[:, order[token], order], atol=1e-5)


MIXERS: dict[str, Callable[[], nn.Module]] = {
    "a linear map over tokens": lambda: OverTokens(nn.Linear(1 + GRID * GRID, 1 + GRID * GRID)),
    "a convolution over tokens": lambda: OverTokens(nn.Conv1d(DIM, DIM, 3, padding=1)),
    "attention by exponentials": lambda: Block(Attention(exponentials)),
    "the mean added": lambda: Between(lambda x: x + x.mean(1, keepdim=True)),
    "a gate by the mean": lambda: Between(lambda x: x * x.mean(1, keepdim=True).sigmoid()),
    "to the class token only": lambda: Between(
        lambda x: torch.cat([x[:, :1] + x[:, 1:].amax(1, keepdim=True), x[:, 1:]], 1)
    ),
    "Fourier": lambda: Between(lambda x: x + torch.fft.fft(x, dim=1).real),
}


class OverTokens(nn.Module):
    """A module that is given features×tokens, beside a skip."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x.transpose(1, 2)).transpose(1, 2)


@pytest.mark.parametrize("kind", MIXERS)
@pytest.mark.parametrize("read", ["class", "mean"])
def test_a_mixer_of_tokens_behind_the_last_attention_is_refused(kind: str, read: str) -> None:
    module = HandWritten(
        Block(), Block(), MIXERS[kind](), read=mean_of_patches if read == "mean" else lambda x: x[:, 0]
    )
    with pytest.raises(
        RefusedError, match=r"behind blocks\.1\.attn its tokens influence each other.*not recorded"
    ):
        traced(module)


def test_what_the_head_does_with_what_it_reads_is_no_mixing() -> None:
    """A head that adds the class token to the patches that it pools reads both, each by itself."""
    trace = traced(HandWritten(Block(), Block(), read=lambda x: (x[:, 1:] + x[:, :1]).mean(1)))
    assert trace.check.proved, [claim.sentence for claim in trace.check.claims]
    assert trace.readout.names == ("class", "mean")


@pytest.mark.parametrize("prefix", [1, 2, 5])
def test_tokens_without_a_place_that_stay_apart_are_no_fault(prefix: int) -> None:
    module = HandWritten(prefix=prefix, read=lambda x: x[:, -1])
    assert traced(module).check.claim("order").holds


class Around(nn.Module):
    """Some blocks with a long connection round them, on which tokens are changed."""

    def __init__(self, *blocks: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.blocks, self.change = nn.Sequential(*blocks), change

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x) + self.change(x)


class Leaning(Block):
    """A block whose residual connection, and nothing else, brings tokens together."""

    def forward(self, x: Tensor) -> Tensor:
        x = (x + x.roll(1, 1)) / 2 + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def blurred(x: Tensor) -> Tensor:
    """The mean of each token and its neighbour."""
    return (x + x.roll(1, 1)) / 2


LONG: dict[str, Callable[[], list[nn.Module]]] = {
    "round two layers": lambda: [Block(), Around(Block(), Block(), change=blurred), Block()],
    "round all but the last": lambda: [Around(Block(), Block(), Block(), change=blurred), Block()],
    "round all": lambda: [Around(Block(), Block(), change=blurred)],
    "on the skip only": lambda: [Block(), Leaning(), Block()],
    "on the last skip": lambda: [Block(), Block(), Leaning()],
}


@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize("read", ["class", "mean"])
def test_mixing_on_long_connections_is_found(kind: str, read: str) -> None:
    def tokens(x: Tensor) -> Tensor:
        return x[:, 0] if read == "class" else x[:, 1:].mean(1)

    with pytest.raises(RefusedError, match="in a way that vitviz does not record"):
        traced(HandWritten(*LONG[kind](), read=tokens))


def test_a_long_connection_without_mixing_is_no_fault() -> None:
    module = HandWritten(Block(), Around(Block(), Block(), change=lambda x: x * 0.5), Block())
    trace = traced(module)
    assert trace.check.claim("order").holds


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
