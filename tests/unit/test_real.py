"""Real weights and real photos: DeiT-Tiny as trained on ImageNet."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from small_models import unfused
from test_rollout import script
from timm.data import create_transform, resolve_data_config

import vitviz

FOUND = {
    "n01443537_goldfish": 1,
    "n02391049_zebra": 340,
    "n02123045_tabby": 281,
    "n02099601_golden_retriever": 207,
    "n02690373_airliner": 404,
    "n02676566_acoustic_guitar": 402,
}


@pytest.fixture(scope="module")
def deit(real: Path) -> vitviz.Model:
    return vitviz.load_model(real / "deit_tiny_patch16_224.safetensors", device="cpu")


@pytest.fixture(scope="module")
def plain(real: Path) -> torch.nn.Module:
    """The same weights in timm, vitviz not involved."""
    module = timm.create_model("deit_tiny_patch16_224").eval()
    module.load_state_dict(load_file(real / "deit_tiny_patch16_224.safetensors"))
    return module


def photo_of(real: Path, name: str) -> vitviz.Photo:
    return vitviz.open_image(next((real / "photos").glob(f"{name}.*")))


def test_the_architecture_is_found_from_the_tensors(deit: vitviz.Model) -> None:
    assert deit.architecture == "deit_tiny_patch16_224"
    assert deit.labels[340] == "zebra"


@pytest.mark.parametrize("name", FOUND)
def test_logits_equal_timms_and_the_class_is_right(
    name: str, real: Path, deit: vitviz.Model, plain: torch.nn.Module
) -> None:
    photo = photo_of(real, name)
    trace = vitviz.trace(deit, photo, check=True)
    from PIL import Image

    transform = create_transform(**resolve_data_config({}, model=plain), is_training=False)
    with torch.no_grad():
        own = plain(transform(Image.fromarray(photo.pixels))[None])[0].numpy()
    np.testing.assert_allclose(trace.logits, own, atol=1e-4)
    with torch.no_grad():
        same = plain(torch.from_numpy(trace.framing.apply(photo))[None])[0].numpy()
    np.testing.assert_array_equal(trace.logits, same)
    assert trace.predictions(top=1)[0].index == FOUND[name]
    assert trace.check.exact


def test_rollout_and_attention_equal_a_naive_dense_computation(
    real: Path, deit: vitviz.Model, plain: torch.nn.Module
) -> None:
    photo = photo_of(real, "hila_catdog")
    trace = vitviz.trace(deit, photo)
    with unfused(plain) as seen:
        plain(torch.from_numpy(trace.framing.apply(photo))[None])
    matrices = [weights[0].double().numpy() for weights in seen]
    product = np.eye(197)
    for layer, heads in zip(trace.layers, matrices, strict=True):
        np.testing.assert_allclose(layer.attention(), heads, atol=1e-5)
        both = (heads.mean(0) + np.eye(197)) / 2
        product = both / both.sum(1, keepdims=True) @ product
    heatmap = vitviz.explain(trace, "rollout")
    error = np.abs(heatmap.values.reshape(-1) - product[0, 1:]).max() / product[0, 1:].max()
    assert error <= 1e-5
    patch = vitviz.explain(trace, "attention", layer=8, head=1, query=(4, 7)).values
    np.testing.assert_allclose(patch.reshape(-1), matrices[8][1, 1 + 4 * 14 + 7, 1:], atol=1e-5)


def upper_half(trace: vitviz.Trace, method: str, **options: object) -> float:
    values = vitviz.explain(trace, method, **options).values
    return float(values[: len(values) // 2].sum() / values.sum())


@pytest.mark.parametrize(("fusion", "discard"), [("mean", 0.0), ("mean", 0.9), ("max", 0.9), ("min", 0.9)])
def test_the_widely_used_scripts_numbers_on_real_weights(
    real: Path, deit: vitviz.Model, plain: torch.nn.Module, fusion: str, discard: float
) -> None:
    trace = vitviz.trace(deit, photo_of(real, "hila_catdog"))
    with unfused(plain) as seen:
        plain(torch.from_numpy(trace.framing.apply(trace.photo))[None])
    expected = script([weights[0].double().numpy() for weights in seen], fusion, discard)
    heatmap = vitviz.explain(trace, "rollout", vit_explain=True, fusion=fusion, discard=discard)
    # An entry at the edge of what is discarded may fall on either side of it in float32.
    np.testing.assert_allclose(heatmap.values.reshape(-1), expected, atol=1e-4)


UPPER = {
    "relevance": (0.60, 0.35),
    "gradcam": (0.71, 0.03),
    "gradient_rollout": (0.65, 0.19),
    "gradient_attention": (0.85, 0.16),
    "input_gradient": (0.57, 0.50),
}
"""The figures of tests/README.md: a map's share in the upper half when the dog is asked for, and when the cat is."""


def test_class_specific_maps_go_to_the_animal_that_is_asked_for(real: Path, deit: vitviz.Model) -> None:
    """A dog (bull mastiff, 243) above, a cat (tiger cat, 282) below: the share of a map in the picture's upper half."""
    trace = vitviz.trace(deit, photo_of(real, "hila_catdog"))
    for method, (dog, cat) in UPPER.items():
        assert upper_half(trace, method, target=243) == pytest.approx(dog, abs=0.01), method
        assert upper_half(trace, method, target=282) == pytest.approx(cat, abs=0.01), method
    for method in ("relevance", "gradcam"):
        assert upper_half(trace, method, target=282) < 0.5 < upper_half(trace, method, target=243)
    assert upper_half(trace, "rollout") == pytest.approx(0.5, abs=0.01)  # it explains no class
    assert upper_half(trace, "attention") == pytest.approx(0.65, abs=0.01)


def test_relevance_and_grad_cam_equal_a_naive_computation(
    real: Path, deit: vitviz.Model, plain: torch.nn.Module
) -> None:
    """DeiT-Tiny unfused, in float32, with hooks and stored gradients, as scripts do it."""
    trace = vitviz.trace(deit, photo_of(real, "hila_catdog"))
    kept: list[torch.Tensor] = []
    handles = []
    for block in plain.blocks:
        block.attn.fused_attn = False
        handles.append(block.attn.attn_drop.register_forward_pre_hook(lambda _m, args: kept.append(args[0])))
    z: list[torch.Tensor] = []
    handles.append(plain.blocks[-1].norm1.register_forward_hook(lambda _m, _i, output: z.append(output)))
    try:
        logits = plain(torch.from_numpy(trace.framing.apply(trace.photo))[None])
        found = torch.autograd.grad(logits[0, 282], [*kept, *z])
    finally:
        for handle in handles:
            handle.remove()
        for block in plain.blocks:
            block.attn.fused_attn = True
    relevance = torch.eye(197)
    for attention, gradient in zip(kept, found[:-1], strict=True):
        relevance += (gradient * attention.detach())[0].clamp(min=0).mean(0) @ relevance
    error = np.abs(
        vitviz.explain(trace, "relevance", target=282).values.reshape(-1) - relevance[0, 1:].numpy()
    )
    assert error.max() <= 1e-4 * float(relevance[0, 1:].max())
    cam = (z[0].detach()[0, 1:] @ found[-1][0, 1:].mean(0)).clamp(min=0).numpy()
    error = np.abs(vitviz.explain(trace, "gradcam", target=282).values.reshape(-1) - cam)
    assert error.max() <= 1e-4 * cam.max()
