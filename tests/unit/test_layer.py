"""Rows, columns and whole maps equal timm's own unfused attention; layouts name the right token."""

import numpy as np
import pytest
import timm
import torch
from small_models import VIT, small, unfused

import vitviz
from vitviz.attention.trace import Trace
from vitviz.errors import MethodError
from vitviz.images.photo import Photo

KINDS = {
    "ViT": ("vit_tiny_patch16_224", VIT),
    "non-square ViT": ("vit_tiny_patch16_224", VIT | {"img_size": (48, 80)}),
    "distilled DeiT": ("deit_tiny_distilled_patch16_224", VIT),
    "registers": ("vit_medium_patch16_reg4_gap_256", VIT),
    "relative bias": ("vit_relpos_small_patch16_224", VIT),
    "BEiT": ("beit_base_patch16_224", VIT),
    "rotary": ("eva02_tiny_patch14_224", VIT | {"embed_dim": 48}),
}


def traced(
    name: str, options: dict[str, object], photo: Photo, **more: object
) -> tuple[Trace, list[np.ndarray]]:
    """A trace, and per layer the weights that timm's unfused path computed for the same input (heads×N×N)."""
    model = vitviz.load_model(small(name, **options), device="cpu")
    trace = vitviz.trace(model, photo, **more)
    with unfused(model.module) as seen:
        model.module(torch.from_numpy(trace.framing.apply(photo))[None])
    return trace, [weights[0].numpy() for weights in seen]


@pytest.mark.parametrize("kind", KINDS)
def test_attention_rows_and_columns_equal_timms_unfused_path(kind: str, photo: Photo) -> None:
    trace, expected = traced(*KINDS[kind], photo)
    assert len(trace.layers) == len(expected) == 3
    for layer, naive in zip(trace.layers, expected, strict=True):
        assert naive.max() > 3 / layer.layout.tokens  # far from uniform, or the test would prove little
        assert layer.attention().dtype == np.float32
        np.testing.assert_allclose(layer.attention(), naive, atol=1e-5)
        for token in (0, 1, layer.layout.tokens - 1):
            np.testing.assert_allclose(layer.row(token), naive[:, token], atol=1e-5)
            np.testing.assert_allclose(layer.column(token), naive[:, :, token], atol=1e-5)
        np.testing.assert_allclose(layer.attention().sum(-1), 1, atol=1e-5)
        assert not layer.leak().any()


def test_prefix_tokens_are_named_and_patches_placed(photo: Photo) -> None:
    trace, _ = traced(*KINDS["registers"], photo)
    layout = trace.layers[0].layout
    assert layout.prefix == ("register 1", "register 2", "register 3", "register 4")
    assert layout.tokens == 4 + 16
    assert layout.place(3) is None
    assert layout.name(3) == "register 4"
    assert layout.place(4) == (0, 0)
    assert layout.token(3, 2) == 4 + 3 * 4 + 2
    assert layout.name(layout.token(3, 2)) == "patch (3, 2)"
    distilled, _ = traced(*KINDS["distilled DeiT"], photo)
    assert distilled.prefix == ("class", "distillation")
    oblong, _ = traced(*KINDS["non-square ViT"], photo)
    assert (oblong.patches.rows, oblong.patches.cols) == (3, 5)


def test_a_token_that_does_not_exist_is_told(photo: Photo) -> None:
    trace, _ = traced(*KINDS["ViT"], photo)
    with pytest.raises(MethodError, match=r"Token 17 is not among the 17 tokens of blocks.0.attn"):
        trace.layers[0].row(17)
    with pytest.raises(MethodError, match="Token -1"):
        trace.layers[0].column(-1)


def test_class_attention_has_one_query(photo: Photo) -> None:
    model = vitviz.load_model(small("cait_xxs24_224", img_size=64, depth=2), device="cpu")
    trace = vitviz.trace(model, photo)
    patches, last = trace.layers[0], trace.layers[-1]
    assert patches.layout.prefix == ()
    assert not patches.is_distribution  # talking heads
    assert last.layout.prefix == ("class",)
    assert last.queries == (0,)
    np.testing.assert_allclose(last.row(0).sum(-1), 1, atol=1e-5)
    column = last.column(5)
    np.testing.assert_allclose(column[:, 0], last.row(0)[:, 5], atol=1e-6)
    assert not column[:, 1:].any()
    with pytest.raises(MethodError, match="only class attends"):
        last.row(3)


def test_attention_pool_is_a_layer_of_its_own(photo: Photo) -> None:
    model = vitviz.load_model(small("vit_base_patch16_siglip_224", **VIT), device="cpu")
    trace = vitviz.trace(model, photo)
    pool = trace.layers[-1]
    assert pool.pooling
    assert trace.readout.kind == "attention pool"
    assert pool.attention().shape == (3, 1, 16)
    np.testing.assert_allclose(pool.row(0).sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(pool.column(4)[:, 0], pool.row(0)[:, 4], atol=1e-6)
    with pytest.raises(MethodError, match="attention pool"):
        pool.row(1)


def test_differential_attention_is_the_difference_that_meets_the_values(photo: Photo) -> None:
    options = VIT | {"num_heads": 3}
    model = vitviz.load_model(small("vit_dwee_patch16_reg1_gap_256", **options), device="cpu")
    trace = vitviz.trace(model, photo, check=True)
    assert len(trace.layers) == 3
    with unfused(model.module):
        weights = []
        for block in model.module.blocks:
            block.attn.attn_drop.register_forward_pre_hook(lambda _m, args: weights.append(args[0]))
        model.module(torch.from_numpy(trace.framing.apply(photo))[None])
    for layer, both, block in zip(trace.layers, weights, model.module.blocks, strict=True):
        both = both.view(3, 2, layer.layout.tokens, -1)
        expected = both[:, 0] - block.attn._compute_lambda() * both[:, 1]
        np.testing.assert_allclose(layer.attention(), expected.detach(), atol=1e-5)
        np.testing.assert_allclose(layer.column(2), expected[:, :, 2].detach(), atol=1e-5)
        assert not layer.is_distribution
    assert trace.check.exact


def test_half_precision_is_traced_with_its_own_tolerance(photo: Photo) -> None:
    module = small("vit_tiny_patch16_224", **VIT).to(torch.bfloat16)
    trace = vitviz.trace(vitviz.load_model(module, device="cpu"), photo, check=True)
    assert trace.check.precision == "bfloat16"
    assert trace.check.tolerance > 1e-3
    assert 1e-5 < trace.check.worst <= trace.check.tolerance
    assert trace.check.exact


def test_memory_kept_is_q_k_v_and_not_n_by_n(photo: Photo) -> None:
    module = timm.create_model("vit_tiny_patch16_224", img_size=256, patch_size=8, depth=2)
    trace = vitviz.trace(vitviz.load_model(module, device="cpu"), photo)
    tokens = 1 + 32 * 32
    assert trace.bytes == 2 * tokens * 3 * 192 * 4
    assert trace.bytes < sum(layer.attention().nbytes for layer in trace.layers) / 5
