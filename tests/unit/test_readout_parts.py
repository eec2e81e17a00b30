"""A head that reads several things: each is a part with a name, is drawn as what it is, and can be chosen."""

from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
from proof_models import (
    CLASSES,
    DATA,
    DIM,
    GRID,
    Block,
    ClassQuery,
    HandWritten,
    OriginalDistilled,
    Pool,
    Wrapped,
    timm_vit,
    weighing,
)
from torch import Tensor, nn

import vitviz
from vitviz.attention.model_check import noise
from vitviz.attention.trace import Trace
from vitviz.batch.export import sample_photo
from vitviz.cli import main
from vitviz.errors import MethodError

PATCHES = GRID * GRID


class Beside(nn.Module):
    """An attention pool, and beside it what `read` takes from the tokens."""

    def __init__(self, read: Callable[[Tensor], Tensor], queries: int = 1) -> None:
        super().__init__()
        self.pool, self.read = Pool(queries), read

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.read(x), self.pool(x)], 1)


def traced(module: nn.Module) -> Trace:
    return vitviz.trace(vitviz.load_model(module, device="cpu", data=DATA), noise(DATA.input_size))


def hand(read: Callable[[Tensor], Tensor], features: int, *more: nn.Module, **options: int) -> nn.Module:
    return HandWritten(Block(), Block(), *more, read=read, features=features, **options)


def truth(trace: Trace) -> list[np.ndarray]:
    """Each layer's weights as the model's own code computes them: heads×queries×keys."""
    module = trace.model.module
    with weighing(module) as seen:
        module(torch.from_numpy(trace.framing.apply(trace.photo))[None])
    return [weights.double().numpy() for weights in seen]


def rolled(weights: list[np.ndarray]) -> np.ndarray:
    """Rollout with a residual share of one half: tokens×tokens."""
    result = np.eye(weights[0].shape[-1])
    for layer in weights:
        result = (layer.mean(0) + np.eye(len(result))) / 2 @ result
    return result


CLASS, MEAN = "the class token", "the mean of the patches"


def weights_of(*tokens: int, count: int = 1 + PATCHES) -> np.ndarray:
    row = np.zeros(count)
    row[list(tokens)] = 1 / len(tokens)
    return row


PATCH_TOKENS = tuple(range(1, 1 + PATCHES))
HEADS: dict[str, tuple[Callable[[], nn.Module], str, dict[str, tuple[str, np.ndarray]]]] = {
    "class and mean": (
        lambda: hand(lambda x: torch.cat([x[:, 0], x[:, 1:].mean(1)], 1), 2 * DIM),
        f"{CLASS} (the head also reads {MEAN})",
        {
            "class": (f"{CLASS} (the head also reads {MEAN})", weights_of(0)),
            "mean": (f"{MEAN} (the head also reads {CLASS})", weights_of(*PATCH_TOKENS)),
        },
    ),
    "mean before class, with registers": (
        lambda: hand(lambda x: torch.cat([x[:, 3:].mean(1), x[:, 0]], 1), 2 * DIM, prefix=3),
        f"the prefix 1 token (the head also reads {MEAN})",
        {
            "prefix 1": (
                f"the prefix 1 token (the head also reads {MEAN})",
                weights_of(0, count=3 + PATCHES),
            ),
            "mean": (
                f"{MEAN} (the head also reads the prefix 1 token)",
                weights_of(*range(3, 3 + PATCHES), count=3 + PATCHES),
            ),
        },
    ),
    "two tokens and the mean": (
        lambda: hand(lambda x: torch.cat([x[:, 0], x[:, 1], x[:, 2:].mean(1)], 1), 3 * DIM, prefix=2),
        f"the mean of prefix 1 and prefix 2 (the head also reads {MEAN})",
        {
            "prefix 2": (
                f"the prefix 2 token (the head also reads the prefix 1 token and {MEAN})",
                weights_of(1, count=2 + PATCHES),
            ),
            "mean": (
                f"{MEAN} (the head also reads the prefix 1 token and the prefix 2 token)",
                weights_of(*range(2, 2 + PATCHES), count=2 + PATCHES),
            ),
        },
    ),
    "sum of the class token's and the maximum's features": (
        lambda: hand(lambda x: x[:, 0] + x[:, 1:].amax(1), DIM),
        f"{CLASS} (the head also reads {MEAN} (standing for another pooling))",
        {
            "another": (
                f"{MEAN} (standing for another pooling) (the head also reads {CLASS})",
                weights_of(*PATCH_TOKENS),
            )
        },
    ),
}


@pytest.mark.parametrize("kind", HEADS)
def test_each_part_that_the_head_reads_can_be_drawn(kind: str) -> None:
    make, drawn, parts = HEADS[kind]
    trace = traced(make())
    assert trace.check.proved
    assert trace.readout.sentence == drawn
    weights = truth(trace)
    count = weights[0].shape[-1]
    for name, (sentence, row) in parts.items():
        assert name in trace.readout.names
        np.testing.assert_allclose(trace.query_weights(trace.layers[0], name), row, atol=1e-7)
        attention = vitviz.explain(trace, "attention", readout=name)
        assert sentence in attention.title
        assert attention.options["query"] == name
        expected = (row @ weights[-1].mean(0))[count - PATCHES :]
        np.testing.assert_allclose(attention.values.reshape(-1), expected, atol=1e-6)
        rollout = vitviz.explain(trace, "rollout", readout=name)
        assert sentence in rollout.title
        expected = (row @ rolled(weights))[count - PATCHES :]
        np.testing.assert_allclose(rollout.values.reshape(-1), expected, atol=1e-6)
        for method in ("relevance", "gradient_rollout", "gradient_attention"):
            assert sentence in vitviz.explain(trace, method, readout=name).title


def test_a_pool_of_four_queries_shows_each_or_says_that_it_shows_their_mean() -> None:
    trace = traced(hand(lambda x: x.flatten(1), 4 * DIM, Pool(4)))
    assert trace.check.proved
    claim = trace.check.claim("readout").sentence
    assert claim == "The prediction is read from all 4 queries of the attention pool."
    weights = truth(trace)
    pool = weights[-1].mean(0)
    assert np.abs(pool - pool.mean(0)).max() > 1e-3  # or the mean could pass for a query
    below = rolled(weights[:-1])
    whole = vitviz.explain(trace, "attention")
    assert "the mean of 4 queries of the attention pool" in whole.title
    np.testing.assert_allclose(whole.values.reshape(-1), pool.mean(0)[1:], atol=1e-6)
    np.testing.assert_allclose(
        vitviz.explain(trace, "rollout").values.reshape(-1), (pool.mean(0) @ below)[1:], atol=1e-6
    )
    for number in range(4):
        name = f"query {number + 1}"
        one = vitviz.explain(trace, "attention", readout=name)
        assert f"{name} of the attention pool (the head also reads 3 other queries of it)" in one.title
        np.testing.assert_allclose(one.values.reshape(-1), pool[number, 1:], atol=1e-6)
        one = vitviz.explain(trace, "attention", readout=name, head=1)
        np.testing.assert_allclose(one.values.reshape(-1), weights[-1][1, number, 1:], atol=1e-6)
        rollout = vitviz.explain(trace, "rollout", readout=name)
        np.testing.assert_allclose(rollout.values.reshape(-1), (pool[number] @ below)[1:], atol=1e-6)
    with pytest.raises(MethodError, match="only the pool's own query attends"):
        vitviz.explain(trace, "attention", query="class")
    with pytest.raises(MethodError, match="nothing attends to it"):
        vitviz.explain(trace, "attention", readout="query 2", direction="by")


def test_gradients_of_a_pool_are_those_of_the_query_that_was_chosen() -> None:
    trace = traced(hand(lambda x: x.flatten(1), 3 * DIM, Pool(3)))
    module = trace.model.module
    seen: list[Tensor] = []

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
        weights.retain_grad()
        seen.append(weights)
        return weights @ v

    own, module.blocks[2].attend = module.blocks[2].attend, attend
    module(torch.from_numpy(trace.framing.apply(trace.photo))[None])[0, 3].backward()
    module.blocks[2].attend = own
    expected = (seen[0] * seen[0].grad).detach()[0].clamp(min=0).mean(0).numpy()
    for number in range(3):
        heat = vitviz.explain(trace, "gradient_attention", target=3, readout=f"query {number + 1}")
        np.testing.assert_allclose(heat.values.reshape(-1), expected[number, 1:], atol=1e-6)
    whole = vitviz.explain(trace, "gradient_attention", target=3)
    np.testing.assert_allclose(whole.values.reshape(-1), expected.mean(0)[1:], atol=1e-6)


def test_queries_of_a_pool_that_the_head_does_not_read_are_no_parts() -> None:
    trace = traced(hand(lambda x: x[:, [1, 3]].flatten(1), 2 * DIM, Pool(4)))
    assert trace.readout.names == ("query 2", "query 4")
    assert trace.readout.all_read == "queries 2 and 4 of the attention pool"
    pool = truth(trace)[-1].mean(0)
    heat = vitviz.explain(trace, "attention")
    np.testing.assert_allclose(heat.values.reshape(-1), pool[[1, 3]].mean(0)[1:], atol=1e-6)
    one = traced(hand(lambda x: x[:, 2], DIM, Pool(4)))
    assert one.readout.names == ()
    assert one.readout.sentence == "query 3 of the attention pool"
    np.testing.assert_allclose(
        vitviz.explain(one, "attention").values.reshape(-1), truth(one)[-1].mean(0)[2, 1:], atol=1e-6
    )


POOLS: dict[str, tuple[Callable[[Tensor], Tensor], str, np.ndarray]] = {
    "class": (lambda x: x[:, :1], CLASS, weights_of(0)),
    "mean": (lambda x: x[:, 1:].mean(1, keepdim=True), MEAN, weights_of(*PATCH_TOKENS)),
}


@pytest.mark.parametrize("beside", POOLS)
def test_what_is_read_beside_a_pool_is_a_part_too(beside: str) -> None:
    read, words, row = POOLS[beside]
    trace = traced(hand(lambda x: x.flatten(1), 2 * DIM, Beside(read)))
    assert trace.check.proved
    assert trace.readout.names == ("attention pool", beside)
    assert trace.readout.sentence == f"the attention pool (the head also reads {words})"
    weights = truth(trace)
    np.testing.assert_allclose(
        vitviz.explain(trace, "attention").values.reshape(-1), weights[-1].mean(0)[0, 1:], atol=1e-6
    )
    heat = vitviz.explain(trace, "rollout", readout=beside)  # the pool is not on its way
    np.testing.assert_allclose(heat.values.reshape(-1), (row @ rolled(weights[:-1]))[1:], atol=1e-6)
    assert f"{words} (the head also reads the attention pool)" in heat.title


def test_a_corner_beside_a_pool_is_refused_with_the_first_patch_that_is_read() -> None:
    trace = traced(hand(lambda x: x.flatten(1), 2 * DIM, Beside(lambda x: x[:, 8:9])))
    with pytest.raises(MethodError, match=r"some of its patches only, the first is patch \(1, 0\)"):
        vitviz.explain(trace, "attention")
    with pytest.raises(MethodError, match="does not read 'attention pool'"):
        vitviz.explain(trace, "rollout", readout="attention pool")


class Unread(Beside):
    """An attention pool that is computed and not used."""

    def forward(self, x: Tensor) -> Tensor:
        self.pool(x)
        return self.read(x)


@pytest.mark.parametrize("read", POOLS)
def test_a_pool_that_is_not_read_is_told_and_what_is_read_is_shown(read: str) -> None:
    take, words, row = POOLS[read]
    trace = traced(hand(lambda x: x.flatten(1), DIM, Unread(take)))
    claim = trace.check.claim("readout")
    assert claim.sentence == f"The prediction is read from {words}, not from the pool in blocks.2.pool."
    assert trace.readout.sentence == words
    heat = vitviz.explain(trace, "rollout")
    np.testing.assert_allclose(heat.values.reshape(-1), (row @ rolled(truth(trace)[:-1]))[1:], atol=1e-6)
    with pytest.raises(MethodError, match="which the head does not read"):
        vitviz.explain(trace, "attention")
    assert vitviz.explain(trace, "attention", layer=1).total > 0


def test_hugging_faces_siglip_classifier_reads_the_mean_and_not_its_pool() -> None:
    import transformers as hf

    small = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}
    config = hf.SiglipConfig(vision_config=small | {"image_size": 112, "patch_size": 16}, num_labels=CLASSES)
    torch.manual_seed(0)
    module = hf.SiglipForImageClassification(config).eval()
    trace = vitviz.trace(vitviz.load_model(module, device="cpu"), noise((112, 112)))
    assert trace.check.proved
    assert trace.readout.sentence == MEAN
    assert vitviz.explain(trace, "rollout").total > 0


def test_a_part_that_is_not_read_and_a_part_with_a_query_are_refused() -> None:
    trace = traced(HEADS["class and mean"][0]())
    with pytest.raises(MethodError, match="does not read 'distillation'; it reads: class, mean"):
        vitviz.explain(trace, "rollout", readout="distillation")
    with pytest.raises(MethodError, match="not both"):
        vitviz.explain(trace, "rollout", readout="mean", query=(0, 0))
    with pytest.raises(MethodError, match="gradcam takes no option readout"):
        vitviz.explain(trace, "gradcam", readout="mean")
    only = traced(hand(lambda x: x[:, 0], DIM))
    assert vitviz.explain(only, "rollout", readout="class").options["query"] is None
    with pytest.raises(MethodError, match="does not read 'mean'; it reads: class"):
        vitviz.explain(only, "rollout", readout="mean")
    assert vitviz.explain(only, "rollout", readout=None).options["query"] is None


class TwoQueries(ClassQuery):
    """A last block that computes the queries of two tokens only, the second token first."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        q = self.q(y[:, [1, 0]]).unflatten(-1, (3, -1)).transpose(1, 2)
        k, v = self.kv(y).unflatten(-1, (2, 3, -1)).permute(2, 0, 3, 1, 4)
        return x[:, [1, 0]] + self.attend(q, k, v).transpose(1, 2).flatten(2)


def test_a_last_block_that_computes_two_queries_has_both_as_parts() -> None:
    trace = traced(hand(lambda x: x.flatten(1), 2 * DIM, TwoQueries(), prefix=2))
    last = trace.layers[-1]
    assert last.queries == (1, 0)
    assert trace.readout.names == ("prefix 1", "prefix 2")
    weights = truth(trace)
    below = rolled(weights[:-1])
    for token, row in ((0, 1), (1, 0)):
        np.testing.assert_allclose(last.row(token), weights[-1][:, row], atol=1e-6)
        top = (weights[-1].mean(0)[row] + np.eye(2 + PATCHES)[token]) / 2
        heat = vitviz.explain(trace, "rollout", readout=f"prefix {token + 1}")
        np.testing.assert_allclose(heat.values.reshape(-1), (top @ below)[2:], atol=1e-6)


def test_hugging_faces_dinov2_classifier_reads_the_mean_too() -> None:
    import transformers as hf

    torch.manual_seed(0)
    wide = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 112}
    module = hf.Dinov2ForImageClassification(hf.Dinov2Config(**wide, patch_size=16, num_labels=CLASSES))
    trace = vitviz.trace(vitviz.load_model(module.eval(), device="cpu"), noise((112, 112)))
    assert trace.readout.names == ("class", "mean")
    heat = vitviz.explain(trace, "attention", readout="mean")
    module.set_attn_implementation("eager")
    with torch.no_grad():
        pixels = torch.from_numpy(trace.framing.apply(trace.photo))[None]
        last = module(pixels, output_attentions=True).attentions[-1][0].mean(0)
    np.testing.assert_allclose(heat.values.reshape(-1), last[1:].mean(0)[1:].numpy(), atol=1e-5)


class TwoHeads(HandWritten):
    """A hand-written distilled ViT: two tokens in parameters of their own, and two heads whose mean is the answer."""

    def __init__(self, share: float = 0.5) -> None:
        super().__init__(Block(), Block(), prefix=2)
        self.cls_token, self.dist_token = (nn.Parameter(self.token.detach()[:, [n]]) for n in (0, 1))
        del self.token
        self.head_one, self.head_two, self.share = self.head, nn.Linear(DIM, CLASSES), share
        del self.head

    def forward(self, x: Tensor) -> Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token, self.dist_token, patches], 1) + self.position
        x = self.norm(self.blocks(x))
        return self.share * self.head_one(x[:, 0]) + (1 - self.share) * self.head_two(x[:, 1])


def teacher() -> nn.Module:
    import transformers as hf

    small = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}
    return hf.DeiTForImageClassificationWithTeacher(
        hf.DeiTConfig(**small, image_size=112, patch_size=16, num_labels=CLASSES)
    ).eval()


DISTILLED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "timm": (
        lambda: timm_vit(timm.models.deit.VisionTransformerDistilled),
        "head",
        "head_dist",
    ),
    "DeiT's own code": (lambda: timm_vit(OriginalDistilled), "head", "head_dist"),
    "DeiT's own code, wrapped": (
        lambda: Wrapped(timm_vit(OriginalDistilled)),
        "inner.head",
        "inner.head_dist",
    ),
    "Hugging Face": (teacher, "cls_classifier", "distillation_classifier"),
    "Hugging Face, wrapped": (
        lambda: Answering(teacher()),
        "inner.cls_classifier",
        "inner.distillation_classifier",
    ),
    "hand-written": (TwoHeads, "head_one", "head_two"),
}


class Answering(Wrapped):
    """A model of Hugging Face that gives its logits alone."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).logits


@pytest.mark.parametrize("kind", DISTILLED)
def test_the_heads_of_every_distilled_model_are_known(kind: str) -> None:
    make, first, second = DISTILLED[kind]
    torch.manual_seed(0)
    module = make()
    trace = traced(module)
    assert trace.readout.names == ("class", "distillation")
    assert trace.readout.sentence == "the mean of class and distillation"
    own: dict[str, np.ndarray] = {}
    handles = [
        module.get_submodule(name).register_forward_hook(
            lambda _m, _i, out, token=token: own.update({token: out[0].detach().numpy()})
        )
        for token, name in (("class", first), ("distillation", second))
    ]
    module(torch.from_numpy(trace.framing.apply(trace.photo))[None])
    for handle in handles:
        handle.remove()
    again = vitviz.trace(trace.model, trace.photo)
    for each in (trace, again):
        for token, logits in own.items():
            np.testing.assert_allclose(each.heads_logits[token], logits, atol=1e-5)
        np.testing.assert_allclose(sum(own.values()) / 2, each.logits, atol=1e-5)
    heat = vitviz.explain(trace, "attention", readout="distillation")
    row = vitviz.explain(trace, "attention", query="distillation")
    np.testing.assert_array_equal(heat.values, row.values)
    assert "the distillation token (the head also reads the class token)" in heat.title
    lens = vitviz.lens(trace)
    for token, logits in own.items():
        np.testing.assert_allclose(lens.heads_logits[token][-1], logits, atol=1e-4)


def test_two_heads_of_unequal_weight_are_parts_but_not_a_distilled_pair() -> None:
    trace = traced(TwoHeads(0.8))
    assert trace.readout.names == ("class", "distillation")
    assert trace.heads_logits == {}


def test_a_distilled_model_without_its_teachers_head_reads_the_class_token() -> None:
    import transformers as hf

    small = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}
    config = hf.DeiTConfig(**small, image_size=112, patch_size=16, num_labels=CLASSES)
    trace = traced(hf.DeiTForImageClassification(config).eval())
    assert trace.readout.sentence == CLASS
    assert trace.heads_logits == {}


def test_the_command_line_shows_a_part_of_the_readout(tmp_path, capsys) -> None:
    """The bundled DeiT is distilled."""
    out, raw = tmp_path / "map.png", tmp_path / "map.npz"
    export = [
        "export",
        "--sample",
        "--model",
        "demo/deit",
        "--device",
        "cpu",
        "--out",
        str(out),
        "--raw",
        str(raw),
    ]
    assert main([*export, "--readout", "distillation"]) == 0
    assert (
        "Rollout of the distillation token (the head also reads the class token)" in capsys.readouterr().out
    )
    trace = vitviz.trace(vitviz.load_model("demo/deit", device="cpu"), vitviz.open_image(sample_photo()))
    expected = vitviz.explain(trace, "rollout", query="distillation").values
    with np.load(raw) as stored:
        np.testing.assert_allclose(stored["values"], expected, atol=1e-6)
        assert "query=distillation" in stored["options"].tolist()
    assert main([*export, "--readout", "mean"]) == 1
    assert "does not read 'mean'; it reads: class, distillation" in capsys.readouterr().err
    assert main([*export, "--readout", "class", "--query", "1,1"]) == 1
    assert "not both" in capsys.readouterr().err
    assert main(["check", "demo/deit", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "drawn: the mean of class and distillation; --readout also takes: class, distillation" in said
    table = str(tmp_path / "scores.csv")
    few = ["--methods", "rollout,gradcam", "--steps", "2", "--random", "2", "--device", "cpu"]
    evaluate = ["evaluate", str(sample_photo()), "--model", "demo/deit", "--out", table, *few]
    assert main([*evaluate, "--readout", "class"]) == 0
    assert main(evaluate) == 1  # a table of another part
    assert "readout class, not " in capsys.readouterr().err
    plate = [
        "plate",
        "matrix",
        str(sample_photo()),
        "--model",
        "demo/deit",
        "--device",
        "cpu",
        "--out",
        str(out),
    ]
    assert main([*plate, "--readout", "mean"]) == 1
    assert "does not read 'mean'" in capsys.readouterr().err
