"""Recording changes nothing: not the logits, not the model, not the fused path."""

import pytest
import torch
import torch.nn.functional as F
from conftest import VIT, small, unfused
from torch import nn

from vitviz.attention.recorder import Cancelled, run


def hooks_of(module: nn.Module) -> int:
    return sum(len(child._forward_hooks) + len(child._forward_pre_hooks) for child in module.modules())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", VIT),
        (
            "swin_tiny_patch4_window7_224",
            {"img_size": 56, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)},
        ),
        ("cait_xxs24_224", {"img_size": 64, "depth": 2}),
    ],
)
def test_logits_are_the_models_own_bit_for_bit(name: str, options: dict[str, object]) -> None:
    module = small(name, **options)
    inputs = torch.randn(1, 3, options["img_size"], options["img_size"])
    with torch.no_grad():
        own = module(inputs)
    first, seen_first = run(module, inputs)
    second, seen_second = run(module, inputs)
    assert torch.equal(first, own)
    assert torch.equal(second, own)
    assert [operation.module for operation in seen_first] == [operation.module for operation in seen_second]


def test_fused_attention_stays_on_while_recording() -> None:
    module = small("vit_tiny_patch16_224", **VIT)
    softmaxed = []
    for block in module.blocks:  # the unfused path passes its weights through this dropout
        block.attn.attn_drop.register_forward_hook(lambda *_: softmaxed.append(1))
    inputs = torch.randn(1, 3, 64, 64)
    _, operations = run(module, inputs)
    assert softmaxed == []
    assert all(operation.weights is None and operation.query is not None for operation in operations)
    with unfused(module):
        run(module, inputs)
    assert len(softmaxed) == 3  # so the hook above would have seen it


def test_recorded_query_key_value_are_those_of_the_block() -> None:
    module = small("vit_tiny_patch16_224", **VIT)
    inputs = torch.randn(1, 3, 64, 64)
    given = []
    module.blocks[1].attn.register_forward_pre_hook(lambda _m, args: given.append(args[0]))
    _, operations = run(module, inputs)
    with torch.no_grad():
        qkv = module.blocks[1].attn.qkv(given[0]).reshape(1, 17, 3, 3, 16).permute(2, 0, 3, 1, 4)
    assert operations[1].module == "blocks.1.attn"
    for recorded, expected in zip(
        (operations[1].query, operations[1].key, operations[1].value), qkv, strict=True
    ):
        assert torch.equal(recorded, expected)


def test_nothing_stays_behind_even_when_the_pass_fails() -> None:
    module = small("vit_tiny_patch16_224", **VIT)
    before = hooks_of(module)
    for size in (64, 64, 32):  # first pass, later pass, a size the model refuses
        try:
            run(module, torch.randn(1, 3, size, size))
        except AssertionError:
            assert size == 32
    assert hooks_of(module) == before
    broken = module.blocks[1].mlp.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(module, torch.randn(1, 3, 64, 64))
    broken.remove()
    assert hooks_of(module) == before
    assert len(torch.overrides._get_current_function_mode_stack()) == 0


def test_a_pass_can_be_stopped_at_a_block() -> None:
    module = small("vit_tiny_patch16_224", **VIT)
    inputs = torch.randn(1, 3, 64, 64)
    run(module, inputs)
    passed = []

    def on_block(name: str) -> None:
        passed.append(name)
        if len(passed) == 2:
            raise Cancelled

    ran = []
    module.blocks[2].register_forward_pre_hook(lambda *_: ran.append(1))
    with pytest.raises(Cancelled):
        run(module, inputs, on_block=on_block)
    assert passed == ["blocks.0.attn", "blocks.1.attn"]
    assert ran == []
    assert len(torch.overrides._get_current_function_mode_stack()) == 0


def test_grouped_queries_masks_and_scales_are_recorded() -> None:
    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mask = torch.ones(5, 5, dtype=torch.bool).tril()
            return F.scaled_dot_product_attention(
                x, x[:, :2], x[:, 2:], attn_mask=mask, scale=0.5, enable_gqa=True
            )

    x = torch.randn(1, 4, 5, 8)
    output, (operation,) = run(Attend(), x, keep_outputs=True)
    assert operation.shape == (1, 4, 5, 5)
    assert operation.scale == 0.5
    weights = (operation.query @ operation.key.transpose(-2, -1) * 0.5 + operation.bias).softmax(-1)
    assert torch.allclose(weights @ operation.value, output, atol=1e-6)
    assert (weights.triu(1) == 0).all()
