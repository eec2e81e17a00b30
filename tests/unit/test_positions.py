"""Tables against direct cosines and timm's interpolation; splits of logits against naive products of models' own parts."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from small_models import VIT, small
from timm.layers import resample_abs_pos_embed
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from torch import Tensor, nn

import vitviz
from vitviz.attention.check import noise
from vitviz.attention.operations import SHORT, Recording
from vitviz.attention.trace import Trace
from vitviz.errors import MethodError
from vitviz.explain import positions

SWIN = {"img_size": 56, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4), "num_classes": 5}


def traced(module: nn.Module, size: tuple[int, int]) -> tuple[Trace, list[tuple[Tensor, dict[str, Any]]]]:
    """A trace, and what each attending module was given in that pass: its input and keywords."""
    trace = vitviz.trace(vitviz.load_model(module, device="cpu", image_size=size), noise(size))
    given: list[tuple[Tensor, dict[str, Any]]] = []
    handles = [
        module.get_submodule(layer.name).register_forward_pre_hook(
            lambda _m, args, kwargs: given.append((args[0], kwargs)), with_kwargs=True
        )
        for layer in trace.layers
    ]
    with torch.no_grad():
        module(torch.from_numpy(trace.framing.apply(trace.photo))[None])
    for handle in handles:
        handle.remove()
    return trace, given


def queries_and_keys(attention: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """B×heads×n×d each, as the module's own projection makes them, before scale, norm and rotation."""
    if attention.qkv is None:
        width = attention.head_dim if hasattr(attention, "head_dim") else x.shape[-1] // attention.num_heads
        q, k = (
            projection(x).reshape(*x.shape[:2], -1, width).transpose(1, 2)
            for projection in (attention.q_proj, attention.k_proj)
        )
        return q, k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)  # grouped queries share a key
    qkv = nn.functional.linear(x, attention.qkv.weight, attention.qkv.bias)
    if getattr(attention, "q_bias", None) is not None:
        qkv = qkv + torch.cat([attention.q_bias, torch.zeros_like(attention.q_bias), attention.v_bias])
    qkv = qkv.reshape(x.shape[0], x.shape[1], 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    return qkv[0], qkv[1]


def by_distance(table: Tensor, size: tuple[int, int]) -> np.ndarray:
    """heads×n×n from a (2h−1)·(2w−1) table, one pair at a time."""
    height, width = size
    count = height * width
    bias = np.zeros((table.shape[1], count, count))
    for i in range(count):
        for j in range(count):
            down, across = i // width - j // width, i % width - j % width
            bias[:, i, j] = table[(down + height - 1) * (2 * width - 1) + across + width - 1].detach()
    return bias


def close(ours: np.ndarray, theirs: Any) -> None:
    np.testing.assert_allclose(ours, np.asarray(theirs), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "fused"), [("swin", False), ("swin", True), ("swinv2", False), ("cr", False)]
)
def test_content_position_and_mask_of_a_window_are_swins_own(kind: str, fused: bool) -> None:
    name, options, size = {
        "swin": ("swin_tiny_patch4_window7_224", SWIN | {"img_size": (64, 52)}, (64, 52)),
        "swinv2": ("swinv2_tiny_window8_256", SWIN | {"img_size": 64, "window_size": 8}, (64, 64)),
        "cr": ("swinv2_cr_tiny_224", SWIN | {"window_size": 7}, (56, 56)),
    }[kind]
    module = small(name, **options)
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            if "bias_table" in key:
                parameter.mul_(20)
            if "meta_mlp" in key or "cpb_mlp" in key:
                parameter.mul_(2)
    for child in module.modules():
        if hasattr(child, "fused_attn"):
            child.fused_attn = fused
    trace, given = traced(module, size)
    masked = 0
    for layer, (x, kwargs) in zip(trace.layers, given, strict=True):
        attention: Any = module.get_submodule(layer.name)
        with torch.no_grad():
            q, k = queries_and_keys(attention, x)
            if kind == "swin":
                content = q @ k.transpose(-2, -1) * attention.scale
                position = by_distance(attention.relative_position_bias_table, attention.window_size)
            else:
                cosine = nn.functional.normalize(q, dim=-1) @ nn.functional.normalize(k, dim=-1).transpose(
                    -2, -1
                )
                content = cosine * attention.logit_scale.clamp(max=np.log(100)).exp().view(-1, 1, 1)
            if kind == "swinv2":
                table = 16 * torch.sigmoid(attention.cpb_mlp(attention.relative_coords_table))
                position = by_distance(table.view(-1, attention.num_heads), attention.window_size)
            if kind == "cr":
                position = attention._relative_positional_encodings()[0].numpy()
        mask = kwargs["mask"]
        for row, col in ((0, 0), (layer.layout.patches.rows - 1, 3), (5, layer.layout.patches.cols - 1)):
            finest = np.array([row, col]) * (trace.patches.rows // layer.layout.patches.rows)
            found = positions.split(trace, layer.name, tuple(int(place) for place in finest))
            window, slot = layer.layout.windows.slot(trace.token(layer, *finest.tolist()))
            theirs = np.zeros(found.mask.shape) if mask is None else mask[window, slot].numpy()
            close(found.content, content[window, :, slot])
            close(found.position, position[:, slot])
            close(found.mask, np.broadcast_to(theirs, found.mask.shape))
            close(found.content + found.position + found.mask, found.logits)
            masked += int((found.mask < 0).sum())
            weights = layer.attention()[window, :, slot]
            np.testing.assert_allclose(found.attention, weights, atol=1e-5)
            shown = found.picture(found.attention, head=1)
            real = found.keys >= 0
            np.testing.assert_allclose(shown.reshape(-1)[real], weights[1][real], atol=1e-5)
            assert np.isnan(shown.reshape(-1)[~real]).all()
            token = layer.layout.token(*(int(place) for place in trace.cell(layer.layout.patches, *finest)))
            assert found.keys.reshape(found.shape)[found.place] == token
    assert masked > 0


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("beit_base_patch16_224", {}),
        ("vit_relpos_small_patch16_224", {}),
        ("vit_relpos_base_patch32_plus_rpn_256", {}),
        ("beit_base_patch16_224", {"use_shared_rel_pos_bias": True, "use_rel_pos_bias": False}),
        ("vit_relpos_small_patch16_224", {"shared_rel_pos": True}),
    ],
)
def test_content_and_relative_bias_add_up_to_the_logits(name: str, more: dict[str, object]) -> None:
    module = small(name, **(VIT | {"img_size": (48, 80)} | more))
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            if "relative_position_bias_table" in key or "rel_pos.mlp" in key:
                parameter.normal_()
    trace, given = traced(module, (48, 80))
    assert trace.check.exact
    for layer, (x, kwargs) in zip(trace.layers, given, strict=True):
        attention: Any = module.get_submodule(layer.name)
        with torch.no_grad():
            q, k = queries_and_keys(attention, x)
            if hasattr(attention, "q_norm"):
                q, k = attention.q_norm(q), attention.k_norm(k)
            content = (q @ k.transpose(-2, -1) * attention.scale)[0]
            if getattr(attention, "rel_pos", None) is not None:
                bias = attention.rel_pos.get_bias()
            else:
                shared = [value for key, value in kwargs.items() if "shared" in key and value is not None]
                bias = shared[0] if shared else attention._get_rel_pos_bias()
        bias = bias.reshape(bias.shape[-3:]).numpy()
        assert np.abs(bias).max() > 0.1
        found = positions.split(trace, layer.name, (2, 4))
        token = layer.layout.token(2, 4)
        close(found.content, content[:, token])
        close(found.position, bias[:, token])
        close(found.content + found.position + found.mask, found.logits)
        np.testing.assert_allclose(found.attention, layer.row(token), atol=1e-5)
        assert found.picture(found.position).shape == (3, 5)
        close(positions.position_bias(trace, layer.name), bias)
    patches = (
        by_distance(attention.relative_position_bias_table, (3, 5)) if "beit" in name and not more else None
    )
    if patches is not None:  # BEiT's table has three more rows, for the class token
        close(found.position[:, 1:], patches[:, token - 1])


ROTARY = {"img_size": 64, "patch_size": 16, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 10}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("eva02_tiny_patch14_224", ROTARY | {"ref_feat_shape": (4, 4)}),
        ("vit_small_patch16_dinov3", ROTARY),
        ("vit_small_patch16_rope_mixed_224", ROTARY),
        ("vit_base_patch16_rope_reg1_gap_256", {"img_size": 64, "embed_dim": 96, "depth": 2, "num_heads": 3}),
    ],
)
def test_rotating_back_gives_the_logits_without_rotation(name: str, options: dict[str, object]) -> None:
    module = small(name, **options)
    unrotated_as_the_model_would(module, *traced(module, (64, 64)))


NAFLEX = {"embed_dim": 96, "depth": 2, "num_heads": 3, "num_classes": 4}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("naflexvit_base_patch16_gap", {"rope_type": "axial", "pos_embed": "none"}),
        ("naflexvit_base_patch16_gap", {"rope_type": "mixed", "reg_tokens": 2}),
        ("naflexvit_base_patch16_gap", {"rope_type": "dinov3", "rope_rotate_half": True}),
        ("naflexvit_base_patch16_gap", {"rope_type": "mrope", "rope_mrope_section": (4, 6, 6)}),
        ("naflexvit_base_patch16_gap", {"rope_type": "axial", "attn_type": "eva", "pos_embed": "none"}),
        ("naflexvit_base_patch16_gap", {"rope_type": "axial", "qkv_fused": False, "num_kv_heads": 1}),
        ("vit_base_patch16_rope_224", {"use_naflex": True}),
        ("vit_base_patch16_rope_mixed_224", {"use_naflex": True}),
        ("vit_small_patch16_dinov3", {"use_naflex": True}),
    ],
)
def test_a_naflexs_rotation_is_turned_back_on_its_own_grid(name: str, options: dict[str, object]) -> None:
    module = small(name, **(NAFLEX | options))
    assert type(module).__name__ == "NaFlexVit"
    trace, given = traced(module, (96, 64))
    assert (trace.patches.rows, trace.patches.cols) == (6, 4)
    unrotated_as_the_model_would(module, trace, given)


def unrotated_as_the_model_would(
    module: nn.Module, trace: Trace, given: list[tuple[Tensor, dict[str, Any]]]
) -> None:
    """Each layer's split against the products of its own projections, with and without timm's rotation."""
    for layer, (x, kwargs) in zip(trace.layers, given, strict=True):
        attention: Any = module.get_submodule(layer.name)
        with torch.no_grad():
            q, k = queries_and_keys(attention, x)
            if getattr(attention, "q_norm", None) is not None:
                q, k = attention.q_norm(q), attention.k_norm(k)
            plain = (q @ k.transpose(-2, -1) * attention.scale)[0]
            skip, half = attention.num_prefix_tokens, attention.rotate_half
            turned = [
                torch.cat([z[:, :, :skip], apply_rot_embed_cat(z[:, :, skip:], kwargs["rope"], half=half)], 2)
                for z in (q, k)
            ]
            logits = (turned[0] @ turned[1].transpose(-2, -1) * attention.scale)[0]
        token = layer.layout.token(1, 3)
        found = positions.split(trace, layer.name, (1, 3))
        assert found.kind == "rotary"
        close(found.logits, logits[:, token])
        close(found.content, plain[:, token])
        close(found.content + found.position + found.mask, found.logits)
        assert np.abs(found.position[:, skip:]).max() > 1e-2
        close(found.position, (logits - plain)[:, token])
    with pytest.raises(MethodError, match="rotate"):
        positions.position_bias(trace, 0)


def test_swins_of_other_libraries_are_split_too() -> None:
    from test_families import huggingface, loaded, torchvision_swin

    torch.manual_seed(0)
    for module in (torchvision_swin(False), torchvision_swin(True), huggingface("swin")):
        module = module.eval()
        with torch.no_grad():
            for key, parameter in module.named_parameters():
                if "relative_position_bias_table" in key:
                    parameter.normal_()
        trace = vitviz.trace(loaded(module), noise((64, 64)))
        for index in (0, 1):
            layer = trace.layers[index]
            found = positions.split(trace, index, (0, 0))
            window, slot = layer.layout.windows.slot(0)
            close(found.content + found.position + found.mask, found.logits)
            np.testing.assert_allclose(found.attention, layer.attention()[window, :, slot], atol=1e-5)
            assert np.ptp(found.position) > 1e-3
            # what is left without position and mask is content: no trace of the mask's −100
            assert np.abs(found.content).max() < 30
    assert isinstance(torchvision_swin(True), torchvision.models.SwinTransformer)


def deit() -> Trace:
    module = small("deit_tiny_distilled_patch16_224", **VIT)
    with torch.no_grad():
        module.pos_embed.normal_()
    model = vitviz.load_model(module, device="cpu")
    return vitviz.trace(model, noise((90, 60)), framing="fit")


def test_similarity_norm_and_prefix_are_direct_cosines_of_the_table() -> None:
    trace = deit()
    stored = trace.model.stored_position[0].numpy().astype(np.float64)
    ours = positions.similarity(trace, stored=True)
    prefix = positions.prefix_similarity(trace, stored=True)
    assert ours.shape == (4, 4, 4, 4)
    assert prefix.names == ("class", "distillation")

    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        return float(one @ other / np.sqrt((one @ one) * (other @ other)))

    for i in range(16):
        for j in range(16):
            expected = cosine(stored[2 + i], stored[2 + j])
            assert ours[i // 4, i % 4, j // 4, j % 4] == pytest.approx(expected, abs=1e-6)
        assert positions.norm(trace, stored=True)[i // 4, i % 4] == pytest.approx(
            np.sqrt((stored[2 + i] ** 2).sum()), rel=1e-6
        )
        assert prefix.patches[1, i // 4, i % 4] == pytest.approx(cosine(stored[1], stored[2 + i]), abs=1e-6)
    assert prefix.each_other[0, 1] == pytest.approx(cosine(stored[0], stored[1]), abs=1e-6)


def test_the_table_in_use_is_timms_interpolation_of_the_stored_one() -> None:
    trace = deit()
    grid = (trace.patches.rows, trace.patches.cols)
    assert grid != (4, 4)
    used = resample_abs_pos_embed(
        trace.model.stored_position, list(grid), [4, 4], num_prefix_tokens=2, verbose=False
    )[0].numpy()
    prefix, patches = positions.table(trace)
    np.testing.assert_allclose(prefix, used[:2], atol=1e-6)
    np.testing.assert_allclose(patches.reshape(-1, 48), used[2:], atol=1e-6)
    assert positions.similarity(trace).shape == (*grid, *grid)
    changed = positions.change(trace)
    assert (changed.stored_grid, changed.used_grid) == ((4, 4), grid)
    assert f"from 4×4 to {grid[0]}×{grid[1]}" in changed.sentence
    assert changed.norms[1] < changed.norms[0]  # interpolating random rows averages them
    assert changed.nearest.max() < 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("naflexvit_base_patch16_gap", "table"),
        ("naflexvit_base_patch16_par_gap", "table"),
        ("naflexvit_base_patch16_parfac_gap", "factorised table"),
    ],
)
def test_the_table_of_a_naflex_is_what_it_adds_to_its_patches(name: str, kind: str) -> None:
    module: Any = small(name, embed_dim=48, depth=1, num_heads=3, num_classes=4)
    trace = vitviz.trace(vitviz.load_model(module, device="cpu", image_size=(96, 64)), noise((96, 64)))
    assert trace.position_embedding.kinds == (kind,)
    assert "interpolated from 16×16 to 6×4" in positions.change(trace).sentence
    used = positions.table(trace)[1].copy()
    inputs = torch.from_numpy(trace.framing.apply(trace.photo))[None]
    tables = [p for key, p in module.embeds.named_parameters() if "pos_embed" in key]
    with torch.no_grad():
        after = module.embeds(inputs)
        after = after[0] if isinstance(after, tuple) else after
        for parameter in tables:
            parameter.mul_(0)  # what is left has no positions
        before = module.embeds(inputs)
        before = before[0] if isinstance(before, tuple) else before
    added = (after - before)[0, module.embeds.num_prefix_tokens :].numpy()
    assert used.shape == (trace.patches.rows, trace.patches.cols, 48)
    np.testing.assert_allclose(used.reshape(-1, 48), added, atol=1e-5)


def test_components_are_those_of_the_covariance_and_unchanged_where_the_table_is() -> None:
    trace = vitviz.trace(
        vitviz.load_model(small("vit_tiny_patch16_224", **VIT), device="cpu"), noise((64, 64))
    )
    found = positions.components(trace)
    rows = positions.table(trace)[1].reshape(16, -1).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    assert found.shares == pytest.approx(tuple(values[::-1][:3] / values.sum()), rel=1e-4)
    projected = rows @ vectors[:, -1]
    for sign in (projected, -projected):
        unit = (sign - sign.min()) / np.ptp(sign)
        if np.allclose(found.colors[..., 0].reshape(-1), unit, atol=1e-4):
            break
    else:
        raise AssertionError("red is not the first component")
    np.testing.assert_array_equal(positions.components(trace, stored=True).colors, found.colors)
    assert positions.change(trace).nearest.min() == pytest.approx(1)


def test_what_cannot_be_shown_is_refused_with_the_reason() -> None:
    plain = vitviz.trace(
        vitviz.load_model(small("vit_tiny_patch16_224", **VIT), device="cpu"), noise((64, 64))
    )
    with pytest.raises(MethodError, match="before the first layer"):
        positions.split(plain, 0, (1, 1))
    swin = vitviz.trace(
        vitviz.load_model(small("swin_tiny_patch4_window7_224", **SWIN), device="cpu"), noise((56, 56))
    )
    with pytest.raises(MethodError, match="no table of positions to show: relative bias"):
        positions.similarity(swin)
    with pytest.raises(MethodError, match="Choose one patch"):
        positions.split(swin, 0, None)
    with pytest.raises(MethodError, match="Choose one patch"):
        positions.split(swin, 0, ((0, 0), (8, 8)))
    assert vitviz.positions is positions


def test_logits_are_kept_beside_weights_only_where_rows_are_short() -> None:
    for keys, kept in ((SHORT, True), (SHORT + 1, False)):
        recording = Recording()
        logits = torch.randn(1, 1, 2, keys)
        weights = logits.softmax(-1)
        recording.add_weights("attn", weights, torch.randn(1, 1, keys, 4), weights, weights, logits)
        (operation,) = recording.operations
        assert (operation.logits is not None) == kept
        if kept:
            torch.testing.assert_close(operation.logits, logits)
            assert operation.bytes >= 2 * weights.nbytes


def test_a_layer_of_which_only_weights_are_known_is_refused() -> None:
    trace = vitviz.trace(
        vitviz.load_model(small("swin_tiny_patch4_window7_224", **SWIN), device="cpu"), noise((56, 56))
    )
    layer = trace.layers[0]
    bare = replace(layer, operations=(replace(layer.operations[0], logits=None),))
    with pytest.raises(MethodError, match="only its softmaxed weights"):
        positions.split(replace(trace, layers=(bare, *trace.layers[1:])), 0, (1, 1))
    assert positions.position_bias(trace, 0).shape == (2, 49, 49)  # the bias alone can still be shown
