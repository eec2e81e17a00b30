"""Splits of a query's logits against naive products of the models' own parts."""

from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from small_models import VIT, small
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from torch import Tensor, nn

import vitviz
from vitviz.attention.model_check import noise
from vitviz.attention.recording.operations import SHORT, Recording
from vitviz.attention.trace import Trace
from vitviz.errors import MethodError
from vitviz.explain.internals import positions

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
            token = trace.token(layer, *finest)
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


def set_fused(module: nn.Module, fused: bool) -> None:
    for child in module.modules():
        if hasattr(child, "fused_attn"):
            child.fused_attn = fused


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("swin_tiny_patch4_window7_224", SWIN),
        ("beit_base_patch16_224", VIT),
        ("vit_relpos_small_patch16_224", VIT),
        ("vit_small_patch16_dinov3", ROTARY),
        ("vit_small_patch16_rope_mixed_224", ROTARY),
        ("naflexvit_base_patch16_gap", NAFLEX | {"rope_type": "axial"}),
    ],
)
def test_attention_that_is_not_fused_is_split_as_if_it_were(
    name: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = small(name, **options)
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            if "bias_table" in key or "rel_pos.mlp" in key:
                parameter.normal_()
    model = vitviz.load_model(module, device="cpu", image_size=options.get("img_size", 64))
    photo = noise(model.input_size)
    set_fused(module, True)
    fused = vitviz.trace(model, photo)
    set_fused(module, False)
    monkeypatch.setattr(
        "vitviz.attention.recording.operations.SHORT", 0
    )  # as if rows were too long for logits to be kept
    plain = vitviz.trace(model, photo)
    kept = plain.bytes
    for layer, known in zip(plain.layers, fused.layers, strict=True):
        assert layer.operations[0].query is None
        assert layer.operations[0].logits is None
        assert known.operations[0].query is not None
        ours, theirs = (positions.split(trace, layer.name, (1, 3)) for trace in (plain, fused))
        assert ours.kind == theirs.kind
        for part in ("content", "position", "mask", "logits"):
            np.testing.assert_allclose(getattr(ours, part), getattr(theirs, part), atol=2e-5, rtol=0)
        np.testing.assert_allclose(ours.attention, theirs.attention, atol=1e-5)
    assert plain.bytes == kept  # nothing of the second pass is kept
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())


def test_a_long_row_that_is_not_fused_is_split_too() -> None:
    options = VIT | {"img_size": 416, "depth": 2}
    module: Any = small("vit_relpos_small_patch16_224", **options)
    set_fused(module, False)
    trace, given = traced(module, (416, 416))
    assert trace.layers[1].layout.tokens > SHORT
    assert trace.layers[1].operations[0].logits is None
    attention = module.blocks[1].attn
    with torch.no_grad():
        q, k = (
            norm(part)
            for norm, part in zip(
                (attention.q_norm, attention.k_norm), queries_and_keys(attention, given[1][0]), strict=True
            )
        )
        token = trace.layers[1].layout.token(20, 5)
        content = (q[0, :, token] * attention.scale)[:, None] @ k[0].transpose(-2, -1)
    found = positions.split(trace, 1, (20, 5))
    np.testing.assert_allclose(found.content, content[:, 0], rtol=1e-5, atol=1e-5)  # logits up to 40
    close(found.position, attention.rel_pos.get_bias()[0, :, token].detach())


def test_a_model_that_has_changed_since_is_not_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitviz.attention.recording.operations.SHORT", 0)
    module: Any = small("swin_tiny_patch4_window7_224", **SWIN)
    trace = vitviz.trace(vitviz.load_model(module, device="cpu"), noise((56, 56)))
    with torch.no_grad():
        module.layers[0].blocks[0].attn.qkv.weight.mul_(-1.5)
    with pytest.raises(MethodError, match="other weights"):
        positions.split(trace, 0, (1, 1))
