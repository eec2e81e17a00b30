"""The check is of this pass: what was changed since the proof is noticed, proved again or refused."""

import numpy as np
import pytest
import torch
from proof_models import DATA, Attention, Block, HandWritten, Permuted, linear, strong, timm_vit
from torch import nn

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
