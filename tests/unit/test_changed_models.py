"""The check is of this pass: what was changed since the proof is noticed, proved again or refused."""

import numpy as np
import pytest
import torch
from proof_models import (
    DATA,
    Attention,
    Block,
    HandWritten,
    Permuted,
    linear,
    mirrored,
    scaled_in_place,
    strong,
    timm_vit,
)
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

import vitviz
from vitviz.attention.model_check import noise
from vitviz.errors import RefusedError

PHOTO = noise(DATA.input_size)


def loaded(module: nn.Module) -> vitviz.Model:
    return vitviz.load_model(module, device="cpu", data=DATA)


def made(kind: str) -> nn.Module:
    return timm_vit() if kind == "timm" else HandWritten(Block(), Block(), Block())


@pytest.mark.parametrize("kind", ["timm", "hand-written"])
def test_train_mode_after_loading_is_refused(kind: str) -> None:
    module = made(kind)
    model = loaded(module)
    vitviz.trace(model, PHOTO)
    module.blocks[1].train()
    with pytest.raises(RefusedError, match=r"is in train mode \(blocks\.1\).*call its eval\(\)"):
        vitviz.trace(model, PHOTO)
    module.eval()
    assert vitviz.trace(model, PHOTO).check.proved


@pytest.mark.parametrize("kind", ["timm", "hand-written"])
def test_autocast_of_the_caller_changes_nothing(kind: str) -> None:
    model = loaded(made(kind))
    plain = vitviz.trace(model, PHOTO)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = vitviz.trace(model, PHOTO)
    np.testing.assert_array_equal(cast.logits, plain.logits)
    assert cast.layers[0].operations[0].value.dtype == torch.float32


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["blocks.1.attn.qkv.weight", "head.bias"])
def test_numbers_that_are_not_finite_are_named(number: float, name: str) -> None:
    model = loaded(made("timm"))
    vitviz.trace(model, PHOTO)
    parameter = dict(model.module.named_parameters())[name]
    whole = parameter.detach().clone()
    with torch.no_grad():
        parameter[0] = number
    with pytest.raises(RefusedError, match=rf"holds numbers that are not finite \({name}\)"):
        vitviz.trace(model, PHOTO)
    with torch.no_grad():
        parameter.copy_(whole)
    vitviz.trace(model, PHOTO)
    parameter.data[0] = number  # leaves no trace but in the numbers
    with pytest.raises(RefusedError, match=rf"holds numbers that are not finite \({name}\)"):
        vitviz.trace(model, PHOTO)


def test_an_answer_that_is_not_finite_is_refused() -> None:
    module = HandWritten(Block(), read=lambda x: x[:, 0] / 0)
    with pytest.raises(RefusedError, match="answers with numbers that are not finite"):
        vitviz.trace(loaded(module), PHOTO)


def test_weights_changed_in_place_are_proved_again() -> None:
    model = loaded(made("timm"))
    first = vitviz.trace(model, PHOTO)
    assert vitviz.trace(model, PHOTO).check is first.check
    with torch.no_grad():
        model.module.blocks[0].attn.qkv.weight.mul_(1.5)
    changed = vitviz.trace(model, PHOTO)
    assert changed.check is not first.check
    assert changed.check.proved
    model.module.load_state_dict(timm_vit().state_dict())
    assert vitviz.trace(model, PHOTO).check is not changed.check


def test_hooks_and_modules_put_in_since_are_noticed() -> None:
    module = made("timm")
    model = loaded(module)
    vitviz.trace(model, PHOTO)
    handle = module.register_forward_pre_hook(lambda _m, given: (given[0].flip(-1),))
    with pytest.raises(RefusedError, match=r"query 1 comes from patch \(0, 6\)"):
        vitviz.trace(model, PHOTO)
    handle.remove()
    assert vitviz.trace(model, PHOTO).check.proved
    attention = module.blocks[1].attn
    module.blocks[1].attn = Permuted(attention).eval()
    with pytest.raises(RefusedError, match=r"in blocks\.1\.attn\.inner query 1 comes from"):
        vitviz.trace(model, PHOTO)
    module.blocks[1].attn = strong(Attention(linear))
    with pytest.raises(RefusedError, match="influence each other in a way that vitviz does not record"):
        vitviz.trace(model, PHOTO)
    module.blocks[1].attn = attention
    assert vitviz.trace(model, PHOTO).check.proved


class Buffered(HandWritten):
    """Two buffers, one of which is used and one not saved."""

    def __init__(self) -> None:
        super().__init__(Block(), Block())
        self.register_buffer("shift", torch.zeros(1, 1, 48))
        self.register_buffer("unsaved", torch.zeros(3), persistent=False)

    def tokens(self, x: Tensor) -> Tensor:
        return super().tokens(x) + self.shift


@pytest.mark.parametrize("name", ["shift", "unsaved"])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_buffer_that_is_not_finite_is_named(name: str, number: float) -> None:
    module = Buffered()
    model = loaded(module)
    vitviz.trace(model, PHOTO)
    getattr(module, name).view(-1)[0] = number
    with pytest.raises(RefusedError, match=rf"holds numbers that are not finite \({name}\)"):
        vitviz.trace(model, PHOTO)


@pytest.mark.parametrize("kind", ["timm", "hand-written"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_another_precision_is_proved_again(kind: str, dtype: torch.dtype) -> None:
    module = made(kind)
    model = loaded(module)
    first = vitviz.trace(model, PHOTO)
    module.to(dtype)
    second = vitviz.trace(model, PHOTO)
    assert second.check is not first.check
    assert second.check.proved
    assert f"torch.{second.check.precision}" == str(dtype)
    np.testing.assert_allclose(second.layers[1].row(3), first.layers[1].row(3), atol=2e-2)


@pytest.mark.parametrize("assign", [False, True])
def test_weights_that_were_loaded_since_are_those_that_are_shown(assign: bool) -> None:
    module, other = made("timm"), strong(timm_vit(), 5)
    model = loaded(module)
    first = vitviz.trace(model, PHOTO)
    module.load_state_dict(other.state_dict(), assign=assign)
    second = vitviz.trace(model, PHOTO)
    assert second.check is not first.check
    expected = vitviz.trace(loaded(other), PHOTO)
    np.testing.assert_array_equal(second.logits, expected.logits)
    np.testing.assert_array_equal(second.layers[2].row(0), expected.layers[2].row(0))


def test_a_hook_in_place_of_another_is_noticed() -> None:
    module = made("timm")
    handle = module.patch_embed.register_forward_hook(lambda _m, _i, out: out * 1.0)
    model = loaded(module)
    assert vitviz.trace(model, PHOTO).check.proved
    handle.remove()
    module.patch_embed.register_forward_hook(lambda _m, _i, out: out.flip(1))
    with pytest.raises(RefusedError, match=r"in blocks\.0\.attn query 1 comes from patch \(6, 6\)"):
        vitviz.trace(model, PHOTO)


def test_another_class_and_another_method_are_noticed() -> None:
    class Own(VisionTransformer):
        pass

    reason = r"in blocks\.0\.attn query 1 comes from patch \(0, 6\)"
    model = loaded(timm_vit(Own))
    assert vitviz.trace(model, PHOTO).check.proved
    Own.forward = lambda self, x: VisionTransformer.forward(self, x.flip(-1))
    with pytest.raises(RefusedError, match=reason):
        vitviz.trace(model, PHOTO)
    model = loaded(timm_vit())
    assert vitviz.trace(model, PHOTO).check.proved
    model.module.__class__ = mirrored(VisionTransformer)
    with pytest.raises(RefusedError, match=reason):
        vitviz.trace(model, PHOTO)
    model = loaded(timm_vit())
    assert vitviz.trace(model, PHOTO).check.proved
    own = model.module.patch_embed.forward
    model.module.patch_embed.forward = lambda x: own(x).flip(1)
    with pytest.raises(RefusedError, match=r"in blocks\.0\.attn query 1 comes from patch \(6, 6\)"):
        vitviz.trace(model, PHOTO)


def test_attributes_that_say_how_a_module_computes_are_noticed() -> None:
    model = loaded(timm_vit())
    assert vitviz.trace(model, PHOTO).readout.sentence == "the class token"
    model.module.global_pool = "avg"
    assert vitviz.trace(model, PHOTO).readout.sentence == "the mean of the patches"
    module = made("hand-written")
    model = loaded(module)
    assert vitviz.trace(model, PHOTO).readout.sentence == "the class token"
    module.read = lambda x: x[:, 1:].mean(1)
    assert vitviz.trace(model, PHOTO).readout.sentence == "the mean of the patches"
    module.blocks[1].attn.attend = scaled_in_place
    assert vitviz.trace(model, PHOTO).check.claim("shares").fails


def test_a_module_that_counts_its_passes_is_proved_once() -> None:
    class Counting(HandWritten):
        passes = 0

        def forward(self, x: Tensor) -> Tensor:
            self.passes += 1
            return super().forward(x)

    module = Counting()
    model = loaded(module)
    first = vitviz.trace(model, PHOTO)
    before = module.passes
    assert vitviz.trace(model, PHOTO).check is first.check
    assert module.passes == before + 1


def test_inference_mode_round_a_trace_changes_nothing_and_round_a_module_is_told() -> None:
    plain = vitviz.trace(loaded(made("timm")), PHOTO)
    model = loaded(made("timm"))
    with torch.inference_mode():
        trace = vitviz.trace(model, PHOTO)
        assert trace.check.proved
        np.testing.assert_array_equal(trace.logits, plain.logits)
        with pytest.raises(RefusedError, match=r"was made in torch\.inference_mode\(\).*make it outside"):
            vitviz.trace(loaded(made("hand-written")), PHOTO)
