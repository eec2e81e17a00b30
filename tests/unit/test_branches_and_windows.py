"""More ways to branch and to cut windows: parallel parts of a block, several networks, shifts and padding of any size."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from proof_models import DATA, DIM, GRID, Attention, Block, HandWritten, strong, timm_vit, weighing
from proof_swin import OneWindow
from timm.models.vision_transformer import ParallelScalingBlock
from torch import Tensor, nn

import vitviz
from vitviz.attention.model_check import noise
from vitviz.attention.trace import Trace
from vitviz.errors import MethodError

PATCHES = GRID * GRID


def traced(module: nn.Module, side: int = 112) -> Trace:
    data = replace(DATA, input_size=(side, side))
    return vitviz.trace(vitviz.load_model(module, device="cpu", data=data), noise((side, side)))


def run(trace: Trace) -> None:
    with torch.no_grad():
        trace.model.module(torch.from_numpy(trace.framing.apply(trace.photo))[None])


def rolled(layers: list[np.ndarray]) -> np.ndarray:
    result = np.eye(layers[0].shape[-1])
    for weights in layers:
        result = (weights.mean(0) + np.eye(len(result))) / 2 @ result
    return result


class Several(nn.Module):
    """Attentions side by side; `join` makes one result of theirs."""

    def __init__(self, count: int, join: Callable[[list[Tensor]], Tensor], features: int = DIM) -> None:
        super().__init__()
        self.parts = nn.ModuleList([Attention() for _ in range(count)])
        self.join, self.out = join, nn.Linear(features, DIM)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.join([part(x) for part in self.parts]))


BRANCHES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "three added": (lambda: Several(3, lambda found: torch.stack(found).sum(0)), 3),
    "two side by side": (lambda: Several(2, lambda found: torch.cat(found, -1), 2 * DIM), 2),
    "one less a half of the other": (lambda: Several(2, lambda found: found[0] - found[1] / 2), 2),
    "one gated by the other": (lambda: Several(2, lambda found: found[0] + found[1].tanh()), 2),
}


@pytest.mark.parametrize("kind", BRANCHES)
def test_attentions_of_one_block_are_one_layer(kind: str) -> None:
    make, count = BRANCHES[kind]
    module = HandWritten(Block(make()), Block(make()))
    trace = traced(module)
    with weighing(module) as seen:
        run(trace)
    blocks = [torch.cat(seen[start : start + count]).double().numpy() for start in (0, count)]
    steps = sorted({layer.step for layer in trace.layers})
    assert steps == [0, 1]
    for step, expected in zip(steps, blocks, strict=True):
        shown = np.concatenate([layer.attention() for layer in trace.layers if layer.step == step])
        np.testing.assert_allclose(shown, expected, atol=1e-5)
    heat = vitviz.explain(trace, "rollout")
    np.testing.assert_allclose(heat.values.reshape(-1), rolled(blocks)[0, 1:], atol=1e-5)


def test_attention_beside_the_mlp_is_a_chain() -> None:
    """The parallel block of ViT-22B: attention and MLP read the same tokens."""
    module = timm_vit(block_fn=ParallelScalingBlock)
    trace = traced(module)
    assert trace.check.proved, [claim.sentence for claim in trace.check.claims]
    assert [layer.step for layer in trace.layers] == [0, 1, 2]


class Networks(nn.Module):
    """Networks whose predictions are joined."""

    def __init__(self, count: int, join: Callable[[list[Tensor]], Tensor]) -> None:
        super().__init__()
        self.parts = nn.ModuleList([HandWritten(Block(), Block()) for _ in range(count)])
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        return self.join([part(x) for part in self.parts])


NETWORKS: dict[str, tuple[int, Callable[[list[Tensor]], Tensor]]] = {
    "the sum of three": (3, lambda found: torch.stack(found).sum(0)),
    "the larger of two": (2, lambda found: torch.maximum(*found)),
    "the product of two probabilities": (2, lambda found: found[0].softmax(-1) * found[1].softmax(-1)),
    "one gates the other": (2, lambda found: found[0] * found[1].sigmoid()),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_that_meet_in_the_prediction_only_are_not_composed(kind: str) -> None:
    count, join = NETWORKS[kind]
    trace = traced(Networks(count, join))
    claim = trace.check.claim("order")
    assert claim.fails
    assert f"The model has {count} separate streams of tokens" in claim.sentence
    with pytest.raises(MethodError, match=f"{count} separate streams"):
        vitviz.explain(trace, "rollout")
    with weighing(trace.model.module) as seen:
        run(trace)
    for layer, weights in zip(trace.layers, seen, strict=True):
        np.testing.assert_allclose(layer.attention(), weights.numpy(), atol=1e-5)


@pytest.mark.parametrize("shifts", [(0, 1), (2, 5), (6, 3, 0)])
def test_one_window_with_any_shift_is_laid_shifted(shifts: tuple[int, ...]) -> None:
    module = OneWindow(*shifts)
    trace = traced(module)
    assert trace.check.proved
    given: list[Tensor] = []
    handles = [
        block.attn.register_forward_hook(lambda m, args, _o: given.append(window_weights(m, args[0])))
        for block in module.blocks
    ]
    run(trace)
    for handle in handles:
        handle.remove()
    for layer, block, weights in zip(trace.layers, module.blocks, given, strict=True):
        index = block.placed(torch.arange(PATCHES).view(1, GRID, GRID, 1))[0, :, 0].argsort().numpy()
        expected = weights[0].numpy()[:, index][:, :, index]
        shown = np.stack([layer.row(token) for token in range(PATCHES)], 1)
        np.testing.assert_allclose(shown, expected, atol=1e-5)


def window_weights(attention: nn.Module, x: Tensor) -> Tensor:
    q, k, _ = attention.qkv(x).unflatten(-1, (3, attention.heads, -1)).permute(2, 0, 3, 1, 4)
    bias = attention.table[attention.index].permute(2, 0, 1)
    return (q @ k.mT / q.shape[-1] ** 0.5 + bias).softmax(-1)


class Detector(nn.Module):
    """A plain backbone for detection: windows of `side` on a 7×7 grid that is padded below and to the right, by fused
    attention, and attention over all patches in the last block.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side, self.embed, self.head = side, nn.Conv2d(3, DIM, 16, 16), nn.Linear(DIM, 10)
        self.qkv = nn.ModuleList([nn.Linear(DIM, 3 * DIM) for _ in range(3)])
        self.proj = nn.ModuleList([nn.Linear(DIM, DIM) for _ in range(3)])
        self.norms = nn.ModuleList([nn.LayerNorm(DIM) for _ in range(3)])
        strong(self)

    def attention(self, x: Tensor, number: int) -> Tensor:
        groups, height, width, _ = x.shape
        q, k, v = self.qkv[number](x.flatten(1, 2)).unflatten(-1, (3, 3, 16)).permute(2, 0, 3, 1, 4)
        self.seen.append((q.detach(), k.detach()))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.proj[number](mixed).view(groups, height, width, DIM)

    def forward(self, x: Tensor) -> Tensor:
        x, side = self.embed(x).permute(0, 2, 3, 1), self.side
        self.seen: list[tuple[Tensor, Tensor]] = []
        more = -GRID % side
        across = (GRID + more) // side
        for number in range(3):
            y = self.norms[number](x)
            if number < 2:
                y = (
                    F.pad(y, (0, 0, 0, more, 0, more))
                    .unflatten(2, (across, side))
                    .unflatten(1, (across, side))
                )
                y = self.attention(y.transpose(2, 3).flatten(0, 2), number)
                y = y.unflatten(0, (-1, across, across)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
                y = y[:, :GRID, :GRID]
            else:
                y = self.attention(y, number)
            x = x + y
        return self.head(x.mean((1, 2)))


@pytest.mark.parametrize("side", [3, 4, 5])
def test_padded_windows_of_a_detector_are_shown(side: int) -> None:
    module = Detector(side)
    trace = traced(module)
    assert trace.check.proved, [claim.sentence for claim in trace.check.claims]
    run(trace)
    across = -(-GRID // side)
    places = np.full((across * side, across * side), -1)
    places[:GRID, :GRID] = np.arange(PATCHES).reshape(GRID, GRID)
    windows = places.reshape(across, side, across, side).transpose(0, 2, 1, 3).reshape(across**2, -1)
    for number, (layer, (q, k)) in enumerate(zip(trace.layers, module.seen, strict=True)):
        seen = (q @ k.mT / 4).softmax(-1)
        dense = np.zeros((3, PATCHES, PATCHES), np.float32)
        for group, weights in zip(
            windows if number < 2 else np.arange(PATCHES)[None], seen.numpy(), strict=True
        ):
            real = np.nonzero(group >= 0)[0]
            dense[:, group[real][:, None], group[real][None]] = weights[:, real][:, :, real]
        for token in (0, 6, 24, 48):
            np.testing.assert_allclose(layer.row(token), dense[:, token], atol=1e-5)
            np.testing.assert_allclose(layer.column(token), dense[:, :, token], atol=1e-5)
        np.testing.assert_allclose(layer.leak(), 1 - dense.sum(2), atol=1e-5)
