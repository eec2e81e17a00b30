"""Recording changes neither the logits nor the model nor the fused path."""

import pytest
import torch
import torch.nn.functional as F
from small_models import VIT, small, unfused
from torch import nn

import vitviz
from vitviz.attention.model_check import noise
from vitviz.attention.recording.recorder import Cancelled, run
from vitviz.errors import RefusedError
from vitviz.images.framing import DataConfig

HALF = (0.5, 0.5, 0.5)
TINY = DataConfig(
    input_size=(64, 64), mean=HALF, std=HALF, interpolation="bicubic", crop_pct=1.0, crop_mode="center"
)


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


class Block(nn.Module):
    """A hand-made attention block; `way` is how it computes its attention."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.qkv, self.way = nn.Linear(32, 96), way

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part.unflatten(-1, (4, 8)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        scores = q @ k.transpose(-2, -1) / 8**0.5
        if self.way == "fused":
            mixed = F.scaled_dot_product_attention(q, k, v)
        elif self.way == "summed":
            mixed = (scores.softmax(-1)[..., None] * v[..., None, :, :]).sum(-2)
        elif self.way == "exponentials":
            weights = scores.exp()
            mixed = (weights / weights.sum(-1, keepdim=True)) @ v
        else:
            mixed = scores.softmax(-1).to(torch.float64).to(torch.float32) @ v
        return x + mixed.transpose(1, 2).flatten(2)


class Stack(nn.Module):
    def __init__(self, *ways: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.blocks = nn.Conv2d(3, 32, 16, 16), nn.Sequential(*map(Block, ways))
        self.head = nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.embed(x).flatten(2).transpose(1, 2)).mean(1))


def test_attention_that_cannot_be_recorded_is_refused_and_not_left_out() -> None:
    inputs = torch.randn(1, 3, 64, 64)
    with pytest.raises(RefusedError, match=r"softmax in blocks\.1 is not followed by a product"):
        run(Stack("fused", "summed", "fused").eval(), inputs)
    with pytest.raises(RefusedError, match=r"softmax in blocks\.0 is not followed"):
        run(Stack("summed").eval(), inputs)
    model = vitviz.load_model(Stack("fused", "exponentials", "fused").eval(), device="cpu", data=TINY)
    with pytest.raises(
        RefusedError, match="tokens influence each other in a way that vitviz does not record"
    ):
        vitviz.trace(model, noise((64, 64)))
    whole = vitviz.load_model(Stack("fused", "converted", "fused").eval(), device="cpu", data=TINY)
    assert len(vitviz.trace(whole, noise((64, 64))).layers) == 3


def test_a_change_of_precision_after_the_softmax_leaves_shares() -> None:
    _, operations = run(Stack("converted").eval(), torch.randn(1, 3, 64, 64))
    assert operations[0].is_distribution


def test_attending_modules_inside_each_other_are_recorded_once() -> None:
    class Outer(Block):
        def __init__(self) -> None:
            super().__init__("fused")
            self.inner = Block("plain")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(self.inner(x))

    module = nn.Sequential(Outer(), Block("fused")).eval()
    tokens = torch.randn(1, 6, 32)
    first, second = run(module, tokens)[1], run(module, tokens)[1]
    assert [o.module for o in first] == [o.module for o in second] == ["0.inner", "0", "1"]


def test_a_direct_call_of_torchs_multi_head_attention_is_refused() -> None:
    class Pool(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(32, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a = self.attention
            return F.multi_head_attention_forward(
                x,
                x,
                x,
                32,
                4,
                a.in_proj_weight,
                a.in_proj_bias,
                None,
                None,
                False,
                0.0,
                a.out_proj.weight,
                a.out_proj.bias,
            )[0]

    with pytest.raises(RefusedError, match=r"calls F.multi_head_attention_forward itself"):
        run(Pool().eval(), torch.randn(6, 1, 32))
