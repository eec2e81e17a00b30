"""Rollout equals a naive product of dense matrices built from timm's unfused attention, mistake by mistake."""

import numpy as np
import pytest
import torch
from small_models import VIT, small, unfused

import vitviz
from vitviz.attention import layer as layer_module
from vitviz.attention.trace import Trace
from vitviz.errors import MethodError
from vitviz.images.photo import Photo


def traced(name: str, photo: Photo, **options: object) -> tuple[Trace, list[np.ndarray]]:
    model = vitviz.load_model(small(name, **(VIT | options)), device="cpu")
    trace = vitviz.trace(model, photo)
    with unfused(model.module) as seen:
        model.module(torch.from_numpy(trace.framing.apply(photo))[None])
    return trace, [weights[0].double().numpy() for weights in seen]


def naive(matrices: list[np.ndarray], fusion: str = "mean", discard: float = 0.0) -> np.ndarray:
    """R = Ā_L ⋯ Ā_1 with Ā = rownorm((F_h A + I)/2), every matrix written out (N×N, float64)."""
    tokens = matrices[0].shape[-1]
    result = np.eye(tokens)
    for heads in matrices:
        fused = getattr(np, {"mean": "mean", "max": "amax", "min": "amin"}[fusion])(heads, axis=0)
        flat = fused.reshape(-1)
        flat[np.argsort(flat, kind="stable")[: int(discard * flat.size)]] = 0
        both = (fused + np.eye(tokens)) / 2
        result = (both / both.sum(axis=1, keepdims=True)) @ result
    return result


def relative(values: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(values - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("fusion", ["mean", "max", "min"])
@pytest.mark.parametrize("discard", [0.0, 0.5, 0.9])
def test_every_fusion_and_discard_equals_the_dense_product(photo: Photo, fusion: str, discard: float) -> None:
    trace, matrices = traced("vit_tiny_patch16_224", photo)
    row = naive([m.copy() for m in matrices], fusion, discard)[0]
    heatmap = vitviz.explain(trace, "rollout", fusion=fusion, discard=discard)
    assert heatmap.values.shape == (4, 4)
    assert heatmap.values.dtype == np.float32
    assert relative(heatmap.values.reshape(-1), row[1:]) <= 1e-5
    assert heatmap.prefix["class"] == pytest.approx(row[0], rel=1e-5)
    assert heatmap.total + heatmap.prefix["class"] == pytest.approx(1, abs=1e-6)


def test_discard_takes_entries_and_not_columns_or_the_class_token(photo: Photo) -> None:
    trace, _ = traced("vit_tiny_patch16_224", photo)
    kept_all = vitviz.explain(trace, "rollout").values
    discarded = vitviz.explain(trace, "rollout", discard=0.9).values
    assert relative(discarded, kept_all) > 0.05
    assert (
        relative(vitviz.explain(trace, "rollout").values, kept_all) == 0
    )  # matrices kept for reuse stay unchanged


@pytest.mark.parametrize(
    ("name", "options", "prefix", "readout"),
    [
        ("vit_tiny_patch16_224", {}, 1, [0]),
        ("vit_tiny_patch16_224", {"img_size": (48, 80)}, 1, [0]),
        ("deit_tiny_distilled_patch16_224", {}, 2, [0, 1]),
        ("vit_medium_patch16_reg4_gap_256", {}, 4, range(4, 20)),
        ("vit_relpos_small_patch16_224", {}, 0, range(16)),
        ("eva02_tiny_patch14_224", {}, 1, range(1, 17)),
    ],
)
def test_readouts_of_every_kind(
    photo: Photo, name: str, options: dict[str, object], prefix: int, readout: list[int]
) -> None:
    trace, matrices = traced(name, photo, **options)
    expected = naive(matrices)[list(readout)].mean(0)
    heatmap = vitviz.explain(trace, "rollout")
    rows, cols = trace.patches.rows, trace.patches.cols
    assert heatmap.values.shape == (rows, cols)
    assert relative(heatmap.values.reshape(-1), expected[prefix:]) <= 1e-5
    np.testing.assert_allclose(list(heatmap.prefix.values()), expected[:prefix], rtol=1e-4)


def test_a_patch_or_a_prefix_token_can_be_the_query(photo: Photo) -> None:
    trace, matrices = traced("deit_tiny_distilled_patch16_224", photo)
    product = naive(matrices)
    for query, token in (((2, 3), 2 + 2 * 4 + 3), ("class", 0), ("distillation", 1)):
        values = vitviz.explain(trace, "rollout", query=query).values
        assert relative(values.reshape(-1), product[token][2:]) <= 1e-5
    several = vitviz.explain(trace, "rollout", query=((0, 0), (3, 3))).values
    assert relative(several.reshape(-1), (product[2] + product[17])[2:] / 2) <= 1e-5


def test_rolling_from_an_earlier_layer(photo: Photo) -> None:
    trace, matrices = traced("vit_tiny_patch16_224", photo)
    for layer in (0, 1, "blocks.1.attn"):
        depth = 2 if isinstance(layer, str) else layer + 1
        values = vitviz.explain(trace, "rollout", layer=layer).values
        assert relative(values.reshape(-1), naive(matrices[:depth])[0][1:]) <= 1e-5


def test_an_attention_pool_is_the_readout(photo: Photo) -> None:
    model = vitviz.load_model(small("vit_base_patch16_siglip_224", **VIT), device="cpu")
    trace = vitviz.trace(model, photo)
    matrices = [layer.attention().astype(np.float64) for layer in trace.layers]
    expected = matrices[-1].mean(0)[0] @ naive(matrices[:-1])
    assert relative(vitviz.explain(trace, "rollout").values.reshape(-1), expected) <= 1e-5


def test_parallel_attention_is_one_layer_with_all_heads(photo: Photo) -> None:
    module = small("vit_small_patch16_18x2_224", **VIT)
    trace = vitviz.trace(vitviz.load_model(module, device="cpu"), photo)
    seen: list[np.ndarray] = []
    for block in module.blocks:
        for branch in block.attns:
            branch.attn.fused_attn = False
            branch.attn.attn_drop.register_forward_hook(
                lambda _m, _g, weights: seen.append(weights[0].double().numpy())
            )
    with torch.no_grad():
        module(torch.from_numpy(trace.framing.apply(photo))[None])
    together = [np.concatenate(seen[i : i + 2]) for i in (0, 2, 4)]
    assert [layer.name for layer in trace.layers] == ["blocks.0", "blocks.1", "blocks.2"]
    for layer, weights in zip(trace.layers, together, strict=True):
        assert relative(layer.attention(), weights) <= 1e-5
    assert relative(vitviz.explain(trace, "rollout").values.reshape(-1), naive(together)[0][1:]) <= 1e-5


@pytest.mark.parametrize("fusion", ["mean", "max", "min"])
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_small_patch16_18x2_224"])
def test_matrices_made_in_chunks_of_rows_are_whole(
    photo: Photo, name: str, fusion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, _ = traced(name, photo)
    matrices = [layer.attention().astype(np.float64) for layer in trace.layers]
    monkeypatch.setattr(layer_module, "CHUNK_ENTRIES", trace.layers[0].heads * 17 * 5)  # 5, 5, 5 and 2 rows
    assert len(list(trace.layers[0].chunks())) == 4
    values = vitviz.explain(trace, "rollout", fusion=fusion).values
    assert relative(values.reshape(-1), naive(matrices, fusion)[0][1:]) <= 1e-5


def test_pooled_stages_keep_the_books(photo: Photo) -> None:
    trace = vitviz.trace(vitviz.load_model(small("pit_ti_distilled_224"), device="cpu"), photo)
    heatmap = vitviz.explain(trace, "rollout")
    assert heatmap.values.shape == (27, 27)
    assert heatmap.total + sum(heatmap.prefix.values()) == pytest.approx(1, abs=1e-6)


def test_where_rollout_does_not_apply_the_reason_is_told(photo: Photo) -> None:
    trace = vitviz.trace(
        vitviz.load_model(small("cait_xxs24_224", img_size=64, depth=1), device="cpu"), photo
    )
    reason = vitviz.methods(trace)["rollout"]
    assert reason == (
        "does not apply, because rows of blocks.0.attn are not shares: "
        "its heads are mixed with signed weights after the softmax"
    )
    with pytest.raises(MethodError, match=r"does not apply to cait.*because rows of blocks\.0\.attn"):
        vitviz.explain(trace, "rollout")
    assert vitviz.methods(trace)["attention"] is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"fusion": "median"}, "fusion is one of mean, max, min; not 'median'"),
        ({"discard": 1.0}, "discard is a share from 0 up to"),
        ({"query": (4, 0)}, r"no patch \(4, 0\): the photo is 4 rows × 4 columns"),
        ({"query": "register 1"}, "no token 'register 1'; its prefix tokens: class"),
        ({"layer": 3}, "3 layers, numbered from 0"),
        ({"colour": 1}, "rollout takes no option colour; it takes: fusion"),
    ],
)
def test_wrong_options_are_told(photo: Photo, options: dict[str, object], sentence: str) -> None:
    trace, _ = traced("vit_tiny_patch16_224", photo)
    with pytest.raises(MethodError, match=sentence):
        vitviz.explain(trace, "rollout", **options)
    with pytest.raises(MethodError, match="There is no method 'rolout'; there are: attention, rollout"):
        vitviz.explain(trace, "rolout")


def script(attentions: list[np.ndarray], fusion: str, discard: float) -> np.ndarray:
    """vit-explain's loop over layers as vit_rollout.py has it, 1×heads×N×N each: columns divided, entry (0, 0) protected."""
    result = torch.eye(attentions[0].shape[-1], dtype=torch.float64)
    for array in attentions:
        heads = torch.from_numpy(array)[None]
        fused = heads.mean(1) if fusion == "mean" else getattr(heads, fusion)(1)[0]
        flat = fused.view(1, -1)
        _, smallest = flat.topk(int(flat.size(-1) * discard), -1, largest=False)
        flat[0, smallest[smallest != 0]] = 0
        both = (fused + torch.eye(fused.size(-1))) / 2
        result = torch.matmul(both / both.sum(dim=-1), result)
    mask = result[0, 0, 1:].numpy()
    return mask / mask.max()


@pytest.mark.parametrize("fusion", ["mean", "max", "min"])
@pytest.mark.parametrize("discard", [0.0, 0.9])
@pytest.mark.parametrize("size", [64, (48, 80)])
def test_the_numbers_of_vit_explain(
    photo: Photo, size: int | tuple[int, int], fusion: str, discard: float
) -> None:
    trace, matrices = traced("vit_tiny_patch16_224", photo, img_size=size)
    heatmap = vitviz.explain(trace, "rollout", vit_explain=True, fusion=fusion, discard=discard)
    assert relative(heatmap.values.reshape(-1), script(matrices, fusion, discard)) <= 1e-5
    assert heatmap.values.max() == 1
    assert heatmap.title.startswith("Rollout as vit-explain computes it (columns divided)")
    right = vitviz.explain(trace, "rollout", fusion=fusion, discard=discard).values
    if discard or fusion != "mean":  # rows of a mean sum to 1, so there is nothing to divide wrongly
        assert relative(right / right.max(), heatmap.values) > 1e-3


@pytest.mark.parametrize(
    ("name", "more", "options", "sentence"),
    [
        ("deit_tiny_distilled_patch16_224", VIT, {}, "behind one class token"),
        ("vit_base_patch16_siglip_224", VIT, {}, "vit_explain does not apply to"),
        (
            "swin_tiny_patch4_window7_224",
            {"img_size": 56, "depths": (1, 1)},
            {},
            "vit_explain does not apply to",
        ),
        ("vit_tiny_patch16_224", VIT, {"residual": 0.3}, "has a residual share of 0.5"),
    ],
)
def test_where_the_script_does_not_apply_the_reason_is_told(
    photo: Photo, name: str, more: dict[str, object], options: dict[str, object], sentence: str
) -> None:
    trace = vitviz.trace(vitviz.load_model(small(name, **more), device="cpu"), photo)
    with pytest.raises(MethodError, match=sentence):
        vitviz.explain(trace, "rollout", vit_explain=True, **options)


@pytest.mark.parametrize("residual", [0.0, 0.2, 0.8])
def test_the_residual_share_and_the_layer_to_start_from(photo: Photo, residual: float) -> None:
    trace, matrices = traced("vit_tiny_patch16_224", photo)
    for start in (0, 1, "blocks.2.attn"):
        product = np.eye(17)
        for heads in matrices[2 if isinstance(start, str) else start :]:
            product = ((1 - residual) * heads.mean(0) + residual * np.eye(17)) @ product
        heatmap = vitviz.explain(trace, "rollout", residual=residual, start=start)
        assert relative(heatmap.values.reshape(-1), product[0, 1:]) <= 1e-5
        assert heatmap.total + sum(heatmap.prefix.values()) == pytest.approx(1, abs=1e-6)
    emptied = vitviz.explain(trace, "rollout", residual=0.0, discard=0.999)  # rows may have nothing left
    assert emptied.title.endswith(", 99.9% of entries discarded, residual share 0%")
    assert emptied.total + sum(emptied.prefix.values()) == pytest.approx(1, abs=1e-6)


def test_many_kinds_of_rollout_do_not_disturb_each_other(photo: Photo) -> None:
    """Matrices are kept for the next query; each set of options has its own."""
    trace, matrices = traced("vit_tiny_patch16_224", photo)
    before = vitviz.explain(trace, "rollout").values
    for options in ({"discard": 0.5}, {"vit_explain": True}, {"fusion": "max"}, {"residual": 0.1}):
        vitviz.explain(trace, "rollout", **options)
    np.testing.assert_array_equal(vitviz.explain(trace, "rollout").values, before)
    assert relative(before.reshape(-1), naive(matrices)[0][1:]) <= 1e-5
