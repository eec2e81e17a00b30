"""The logit lens: equal to loops over the blocks written here, and to the model's own prediction at the end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import VIT
from small_models import small as quiet
from torch import Tensor, nn

import vitviz
from vitviz.attention.recording.recorder import Cancelled
from vitviz.errors import MethodError
from vitviz.explain.internals.lens import BY_STAGE
from vitviz.images.photo import Photo

SWIN = {"img_size": 56, "embed_dim": 24, "depths": (2, 1, 2), "num_heads": (2, 2, 4), "num_classes": 5}
OBLONG = VIT | {"img_size": (48, 80)}
PLAIN = {
    "class token": ("vit_tiny_patch16_224", VIT),
    "class token, non-square": ("vit_tiny_patch16_224", OBLONG),
    "registers": ("vit_small_patch14_reg4_dinov2", VIT),
    "attention pool": ("vit_base_patch16_siglip_224", VIT),
    "attention pool, non-square": ("vit_base_patch16_siglip_224", OBLONG),
    "mean pool": ("vit_base_patch16_siglip_gap_224", VIT),
    "distilled": ("deit_tiny_distilled_patch16_224", VIT),
    "distilled, non-square": ("deit_tiny_distilled_patch16_224", OBLONG),
    "parallel blocks": ("vit_small_patch16_18x2_224", VIT),
}


def small(name: str, **options: Any) -> nn.Module:
    """A small model whose blocks change something: at first layer scales and SwinV2's norms are nearly 0, as are heads."""
    module = quiet(name, **options)
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            if "gamma" in key or ("norm" in key and key.endswith("weight")):
                parameter.fill_(1.0)
            elif key.startswith(("head", "attn_pool")) and key.endswith("weight") and parameter.ndim == 2:
                parameter.normal_(std=0.2)
    return module


def traced(module: nn.Module, photo: Photo) -> vitviz.Trace:
    return vitviz.trace(vitviz.load_model(module, device="cpu"), photo)


def inputs_of(trace: vitviz.Trace) -> Tensor:
    return torch.from_numpy(trace.framing.apply(trace.photo))[None]


def assert_rows(trace: vitviz.Trace, expected: list[Tensor]) -> None:
    found = vitviz.lens(trace)
    logits = torch.cat(expected).numpy()
    np.testing.assert_allclose(found.logits, logits, atol=1e-5 * np.abs(logits).max())
    exponentials = np.exp(logits.astype(np.float64))
    shares = exponentials / exponentials.sum(1, keepdims=True)
    np.testing.assert_allclose(found.probabilities(), shares, atol=1e-5)
    np.testing.assert_allclose(found.probabilities()[-1], trace.probabilities(), atol=1e-6)
    assert np.abs(found.logits[-1] - found.logits[1]).max() > 1e-2  # or any row would do


@pytest.mark.parametrize("kind", PLAIN)
def test_each_row_is_norm_and_head_after_a_loop_over_the_blocks(kind: str, photo: Photo) -> None:
    name, options = PLAIN[kind]
    module: Any = small(name, **options)
    trace = traced(module, photo)
    rows = []
    with torch.no_grad():
        stream = module.norm_pre(module._pos_embed(module.patch_embed(inputs_of(trace))))
        rows.append(module.forward_head(module.norm(stream)))
        for block in module.blocks:
            stream = block(stream)
            rows.append(module.forward_head(module.norm(stream)))
    assert_rows(trace, rows)
    found = vitviz.lens(trace)
    assert found.layers == (None, 0, 1, 2)
    assert found.names == ("", "blocks.0", "blocks.1", "blocks.2")
    assert BY_STAGE not in found.sentence
    assert trace.readout.sentence in found.sentence


@pytest.mark.parametrize(
    "rope", ["eva02_tiny_patch14_224", "beit_base_patch16_224", "vit_relpos_small_patch16_224"]
)
def test_rotary_and_relative_positions(rope: str, photo: Photo) -> None:
    """Each middle row is what a copy of the model with fewer blocks predicts."""
    module: Any = small(rope, **VIT)
    trace = traced(module, photo)
    expected = []
    for depth in range(4):
        fewer: Any = small(rope, **VIT)
        fewer.load_state_dict(module.state_dict())
        fewer.blocks = fewer.blocks[:depth]
        with torch.no_grad():
            expected.append(fewer(inputs_of(trace)))
    assert_rows(trace, expected)


def test_both_heads_of_a_distilled_model_and_their_mean(photo: Photo) -> None:
    module: Any = small("deit_tiny_distilled_patch16_224", **VIT)
    trace = traced(module, photo)
    found = vitviz.lens(trace)
    with torch.no_grad():
        stream = module.blocks[1](module.blocks[0](module._pos_embed(module.patch_embed(inputs_of(trace)))))
        tokens = module.norm(stream)[0]
        class_head, distilled = module.head(tokens[0]).numpy(), module.head_dist(tokens[1]).numpy()
    np.testing.assert_allclose(found.heads_logits["class"][2], class_head, atol=1e-5)
    np.testing.assert_allclose(found.heads_logits["distillation"][2], distilled, atol=1e-5)
    np.testing.assert_allclose(found.logits[2], (class_head + distilled) / 2, atol=1e-5)
    for head in ("class", "distillation"):
        np.testing.assert_allclose(found.heads_logits[head][-1], trace.heads_logits[head], atol=1e-5)
        assert found.predictions(head=head)[0].index == trace.predictions(1, head)[0].index
    with pytest.raises(MethodError, match="it has: both, class, distillation"):
        found.probabilities("third")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("swin_tiny_patch4_window7_224", SWIN),
        ("swin_tiny_patch4_window7_224", SWIN | {"img_size": (64, 52)}),
        ("swinv2_tiny_window8_256", SWIN | {"img_size": 64, "window_size": 8}),
        ("swinv2_tiny_window8_256", SWIN | {"img_size": (72, 52), "window_size": 4}),
    ],
)
def test_swin_keeps_its_mergings_and_skips_the_blocks(
    name: str, options: dict[str, Any], photo: Photo
) -> None:
    module: Any = small(name, **options)
    trace = traced(module, photo)
    blocks = [block for stage in module.layers for block in stage.blocks]
    rows = []
    with torch.no_grad():
        for kept in range(len(blocks) + 1):
            alive = set(blocks[:kept])
            x = module.patch_embed(inputs_of(trace))
            for stage in module.layers:
                x = stage.downsample(x)
                for block in stage.blocks:
                    x = block(x) if block in alive else x
            rows.append(module.forward_head(module.norm(x)))
    assert_rows(trace, rows)
    assert vitviz.lens(trace).sentence.endswith(BY_STAGE)
    assert vitviz.lens(trace).layers == (None, 0, 1, 2, 3, 4)


def torchvision_vit() -> nn.Module:
    from torchvision.models import VisionTransformer

    torch.manual_seed(3)
    module = VisionTransformer(64, 16, 2, 3, 48, 96, num_classes=6).eval()
    nn.init.normal_(module.heads.head.weight)
    return module


def torchvision_swin() -> nn.Module:
    from torchvision.models import SwinTransformer

    torch.manual_seed(3)
    return SwinTransformer([4, 4], 24, [1, 2], [2, 4], [4, 4], num_classes=6).eval()


def transformers_swin() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    options = {"image_size": 64, "embed_dim": 24, "depths": [1, 2], "num_heads": [2, 4], "window_size": 4}
    return transformers.SwinForImageClassification(transformers.SwinConfig(**options, num_labels=6)).eval()


@pytest.mark.parametrize(
    ("make", "skipped"),
    [
        (torchvision_vit, lambda module: [module.encoder.layers.encoder_layer_1]),
        (torchvision_swin, lambda module: [module.features[3][0], module.features[3][1]]),
        (transformers_swin, lambda module: list(module.swin.encoder.layers[1].blocks)),
    ],
)
def test_other_libraries(
    make: Callable[[], nn.Module], skipped: Callable[[Any], list[nn.Module]], photo: Photo
) -> None:
    """After the first layer: the model with its later blocks replaced by nothing."""
    module = make()
    trace = traced(module, photo)
    found = vitviz.lens(trace)
    np.testing.assert_allclose(found.logits[-1], trace.logits, atol=1e-5)
    for block in skipped(module):
        block.forward = lambda stream, *_, **__: stream
        if "transformers" in type(module).__module__:
            block.forward = lambda stream, *_, **__: (stream, None)
    with torch.no_grad():
        output = module(inputs_of(trace))
    expected = getattr(output, "logits", output)[0].numpy()
    np.testing.assert_allclose(found.logits[1], expected, atol=1e-5 * np.abs(expected).max())
    assert np.abs(found.logits[-1] - found.logits[1]).max() > 1e-3


def test_the_model_is_not_changed_and_the_lens_is_kept(photo: Photo) -> None:
    module = small("vit_tiny_patch16_224", **VIT)
    trace = traced(module, photo)
    passes: list[int] = []
    handle = module.register_forward_hook(lambda *_: passes.append(1))
    first = vitviz.lens(trace)
    assert vitviz.lens(trace) is first
    assert len(passes) == 1
    handle.remove()
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())
    np.testing.assert_array_equal(vitviz.trace(trace.model, photo).logits, trace.logits)


def test_leaders_are_the_final_top_and_who_leads_before(photo: Photo) -> None:
    found = vitviz.lens(traced(small("vit_tiny_patch16_224", **VIT), photo))
    shares = found.probabilities()
    leaders = found.leaders(2)
    assert leaders[:2] == np.argsort(-shares[-1])[:2].tolist()
    assert set(leaders) == set(leaders[:2]) | set(shares.argmax(1).tolist())
    assert len(leaders) == len(set(leaders))
    assert [one.index for one in found.predictions(1, top=3)] == np.argsort(-shares[1])[:3].tolist()


def test_it_stops_when_asked(photo: Photo) -> None:
    trace = traced(small("vit_tiny_patch16_224", **VIT), photo)
    asked: list[int] = []
    with pytest.raises(Cancelled):
        vitviz.lens(trace, cancel=lambda: asked.append(1) or len(asked) > 1)  # type: ignore[func-returns-value]
    assert len(asked) == 2
    assert not any(child._forward_hooks for child in trace.model.module.modules())


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("vit_tiny_patch16_224", VIT | {"num_classes": 0}, "no classifier"),
        (
            "cait_xxs24_224",
            {"img_size": 64, "depth": 1, "num_classes": 5},
            "the class token, which is read, is not there",
        ),
        ("pit_ti_224", {"num_classes": 5}, "its blocks do not pass on one tensor of tokens"),
    ],
)
def test_where_it_does_not_apply_it_says_why(
    name: str, options: dict[str, Any], reason: str, photo: Photo
) -> None:
    with pytest.raises(MethodError, match=f"does not apply to .*, because .*{reason}"):
        vitviz.lens(traced(small(name, **options), photo))


def test_a_last_row_that_is_not_the_models_own_is_refused(photo: Photo) -> None:
    """A module after the blocks that depends on the whole batch."""
    module: Any = small("vit_tiny_patch16_224", **VIT)
    trace = traced(module, photo)
    module.norm.register_forward_hook(lambda _m, _i, out: out - out.mean(0, keepdim=True) * (len(out) > 1))
    with pytest.raises(MethodError, match="does not come out as the model's own prediction"):
        vitviz.lens(trace)


def test_deit_tiny_finds_the_zebra_late(real: Path) -> None:
    deit = vitviz.load_model(real / "deit_tiny_patch16_224.safetensors", device="cpu")
    trace = vitviz.trace(deit, vitviz.open_image(next((real / "photos").glob("n02391049_zebra.*"))))
    shares = vitviz.lens(trace).probabilities()[:, 340]
    assert shares[-1] == pytest.approx(trace.probabilities()[340], abs=1e-6)
    assert shares[:6].max() < 0.01 < 0.8 < shares[-1]
