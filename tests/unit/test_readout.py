"""What the prediction is read from is found behind the last attention, as a set of parts."""

from collections.abc import Callable

import numpy as np
import pytest
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
    strong,
    timm_vit,
    torchvision_vit,
    weighing,
)
from torch import Tensor, nn

import vitviz
from vitviz.attention.model_check import noise
from vitviz.attention.trace import Trace
from vitviz.errors import MethodError

PATCHES = GRID * GRID


def traced(module: nn.Module) -> Trace:
    return vitviz.trace(vitviz.load_model(module, device="cpu", data=DATA), noise(DATA.input_size))


def blocks() -> list[nn.Module]:
    return [Block(), Block()]


def hand(read: Callable[[Tensor], Tensor], features: int = DIM, **options: int) -> Callable[[], nn.Module]:
    return lambda: HandWritten(*blocks(), read=read, features=features, **options)


CLASS, MEAN, ALL = "the class token", "the mean of the patches", "the mean of all tokens"
READOUTS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "class": (hand(lambda x: x[:, 0]), CLASS),
    "class, timm": (timm_vit, CLASS),
    "class, torchvision": (torchvision_vit, CLASS),
    "class, wrapped": (lambda: Wrapped(timm_vit()), CLASS),
    "mean of patches": (hand(lambda x: x[:, 1:].mean(1)), MEAN),
    "mean of patches, timm": (lambda: timm_vit(global_pool="avg"), MEAN),
    "sum of patches": (hand(lambda x: x[:, 1:].sum(1) / 7), MEAN),
    "mean of all tokens": (hand(lambda x: x.mean(1)), ALL),
    "class and mean of patches": (
        hand(lambda x: torch.cat([x[:, 0], x[:, 1:].mean(1)], 1), 2 * DIM),
        f"{CLASS} (the head also reads {MEAN})",
    ),
    "class and mean of patches, with registers": (
        hand(lambda x: torch.cat([x[:, 0], x[:, 5:].mean(1)], 1), 2 * DIM, prefix=5),
        f"the prefix 1 token (the head also reads {MEAN})",
    ),
    "maximum": (hand(lambda x: x[:, 1:].amax(1)), f"{MEAN} (standing for another pooling)"),
    "maximum, timm": (lambda: timm_vit(global_pool="max"), f"{MEAN} (standing for max pooling)"),
    "one pool": (
        lambda: HandWritten(*blocks(), Pool(), read=lambda x: x[:, 0]),
        "the attention pool",
    ),
    "pool, timm": (lambda: timm_vit(global_pool="map"), "the attention pool"),
    "class query only": (lambda: HandWritten(*blocks(), ClassQuery()), CLASS),
    "distilled, DeiT's own code": (lambda: timm_vit(OriginalDistilled), "the mean of class and distillation"),
    "distilled, wrapped": (
        lambda: Wrapped(timm_vit(OriginalDistilled)),
        "the mean of class and distillation",
    ),
}


@pytest.mark.parametrize("kind", READOUTS)
def test_the_parts_that_the_head_reads_are_found(kind: str) -> None:
    make, sentence = READOUTS[kind]
    trace = traced(make())
    assert trace.readout.sentence == sentence
    assert trace.check.claim("readout").holds
    assert trace.check.proved
    assert sentence in vitviz.explain(trace, "attention").title


def test_the_weights_of_a_readout_are_the_truth() -> None:
    for kind, row in (
        ("class and mean of patches", np.eye(1 + PATCHES)[0]),
        ("distilled, wrapped", np.r_[0.5, 0.5, np.zeros(PATCHES)]),
        ("mean of all tokens", np.full(1 + PATCHES, 1 / (1 + PATCHES))),
    ):
        trace = traced(READOUTS[kind][0]())
        np.testing.assert_allclose(trace.query_weights(trace.layers[-1], None), row, atol=1e-7)


def test_a_last_block_that_computes_the_class_query_only_is_shown() -> None:
    module = HandWritten(*blocks(), ClassQuery())
    trace = traced(module)
    last = trace.layers[-1]
    assert last.queries == (0,)
    assert not last.pooling
    with weighing(module) as seen:
        module(torch.from_numpy(trace.framing.apply(trace.photo))[None])
    np.testing.assert_allclose(last.row(0), seen[-1][:, 0].numpy(), atol=1e-5)
    expected = np.eye(1 + PATCHES)
    for weights in seen[:-1]:
        expected = (weights.double().mean(0).numpy() + np.eye(1 + PATCHES)) / 2 @ expected
    top = (seen[-1].double().mean(0)[0].numpy() + np.eye(1 + PATCHES)[0]) / 2
    np.testing.assert_allclose(
        vitviz.explain(trace, "rollout").values.reshape(-1), (top @ expected)[1:], atol=1e-6
    )
    with pytest.raises(MethodError, match="only class attends"):
        vitviz.explain(trace, "attention", query=(0, 0))


def zero_head(module: nn.Module) -> nn.Module:
    nn.init.zeros_(module.head.weight)
    return module


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "flattened": (hand(lambda x: x.flatten(1), DIM * 50), "reads every patch in a way of its own"),
    "flattened patches": (
        hand(lambda x: x[:, 1:].flatten(1), DIM * 49),
        "reads every patch in a way of its own",
    ),
    "a corner": (hand(lambda x: x[:, 8]), r"some of its patches only, the first is patch \(1, 0\)"),
    "a zero head": (
        lambda: zero_head(HandWritten(*blocks())),
        "does not depend on the photo: its head is zero",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_readout_that_no_row_stands_for_is_told_and_patches_are_shown(kind: str) -> None:
    make, reason = REFUSED[kind]
    trace = traced(make())
    assert not trace.check.claim("readout").holds
    for method in ("attention", "rollout"):
        with pytest.raises(MethodError, match=reason):
            vitviz.explain(trace, method)
    assert vitviz.explain(trace, "rollout", layer=0, query=(1, 2)).total > 0


def test_a_zero_head_of_a_library_is_told_and_its_readout_waits_for_proof() -> None:
    trace = traced(zero_head(timm_vit()))
    assert trace.check.claim("readout").verdict == "not yet proved"
    assert "its head is zero" in trace.check.claim("readout").sentence
    assert trace.readout.sentence == CLASS
    assert vitviz.explain(trace, "rollout").total > 0


@pytest.mark.parametrize("kind", ["embedding", "tokens"])
def test_a_model_without_a_head_works_where_no_class_is_needed(kind: str) -> None:
    module = HandWritten(*blocks(), read=(lambda x: x[:, 0]) if kind == "embedding" else (lambda x: x))
    module.head = nn.Identity()
    trace = traced(module)
    assert trace.model.labels == ()
    assert trace.predictions() == []
    assert trace.check.proved
    assert trace.readout.sentence == CLASS + ("" if kind == "embedding" else " (the model has no head)")
    assert vitviz.explain(trace, "rollout").total > 0
    found = vitviz.methods(trace)
    assert {name for name, reason in found.items() if reason is None} == {"attention", "rollout"}
    assert all("there is no class to explain" in reason for reason in found.values() if reason is not None)


def test_an_answer_as_wide_as_the_tokens_that_a_head_gave_has_classes() -> None:
    module = HandWritten(*blocks())
    module.head = nn.Linear(DIM, DIM)
    assert len(traced(strong(module)).predictions(None)) == DIM
    assert len(traced(HandWritten(*blocks())).predictions(None)) == CLASSES


def hugging_face(kind: str) -> nn.Module:
    import transformers as hf

    wide = {
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "image_size": 112,
        "patch_size": 16,
    }
    small = wide | {"intermediate_size": 96}
    made: dict[str, Callable[[], nn.Module]] = {
        "DINOv2": lambda: hf.Dinov2Model(hf.Dinov2Config(**wide)),
        "DINOv2 with registers": lambda: hf.Dinov2WithRegistersModel(
            hf.Dinov2WithRegistersConfig(**wide, num_register_tokens=4)
        ),
        "DINOv2, classes": lambda: hf.Dinov2ForImageClassification(hf.Dinov2Config(**wide, num_labels=5)),
        "DINOv3": lambda: hf.DINOv3ViTModel(hf.DINOv3ViTConfig(**small, num_register_tokens=4)),
        "CLIP": lambda: hf.CLIPVisionModel(hf.CLIPVisionConfig(**small)),
        "CLIP, embedding": lambda: hf.CLIPVisionModelWithProjection(
            hf.CLIPVisionConfig(**small, projection_dim=24)
        ),
        "SigLIP": lambda: hf.SiglipVisionModel(hf.SiglipVisionConfig(**small)),
        "ViT": lambda: hf.ViTModel(hf.ViTConfig(**small)),
        "ViT, tokens only": lambda: hf.ViTModel(hf.ViTConfig(**small), add_pooling_layer=False),
        "BEiT": lambda: hf.BeitModel(hf.BeitConfig(**small)),
        "CLIP, classes": lambda: hf.CLIPForImageClassification(
            hf.CLIPConfig(vision_config=small | {"image_size": 112}, num_labels=5)
        ),
    }
    torch.manual_seed(0)
    return made[kind]().eval()


HUGGING_FACE = {
    "DINOv2": CLASS,
    "DINOv2 with registers": CLASS,
    "DINOv2, classes": f"{CLASS} (the head also reads {MEAN})",
    "DINOv3": CLASS,
    "CLIP": CLASS,
    "CLIP, embedding": CLASS,
    "SigLIP": "the attention pool",
    "ViT": CLASS,
    "ViT, tokens only": f"{CLASS} (the model has no head)",
    "BEiT": MEAN,
    "CLIP, classes": MEAN,
}


@pytest.mark.parametrize("kind", HUGGING_FACE)
def test_hugging_faces_models_are_shown_with_or_without_a_head(kind: str) -> None:
    module = hugging_face(kind)
    trace = vitviz.trace(vitviz.load_model(module, device="cpu"), noise((112, 112)))
    assert trace.model.input_size == (112, 112)
    assert trace.check.proved, [claim.sentence for claim in trace.check.claims]
    assert trace.readout.sentence == HUGGING_FACE[kind]
    assert (trace.patches.rows, trace.patches.cols) == (GRID, GRID)
    registers = tuple(f"register {number}" for number in range(1, 5))
    expected = () if kind == "SigLIP" else ("class", *registers) if len(trace.prefix) > 1 else ("class",)
    assert trace.prefix == expected
    assert vitviz.explain(trace, "rollout").total > 0
    classes = kind.endswith("classes")
    assert len(trace.predictions(None)) == (5 if classes else 0)
    assert (vitviz.methods(trace)["relevance"] is None) == classes
    if kind == "SigLIP":
        return  # its pool is an nn.MultiheadAttention, which has no eager twin
    module.set_attn_implementation("eager")
    with torch.no_grad():
        pixels = torch.from_numpy(trace.framing.apply(trace.photo))[None]
        inner = getattr(module, "vision_model", getattr(module, "dinov2", module))
        seen = inner(pixels, output_attentions=True).attentions
    for layer, weights in zip(trace.layers, seen, strict=True):
        np.testing.assert_allclose(layer.attention(), weights[0].numpy(), atol=1e-5)
