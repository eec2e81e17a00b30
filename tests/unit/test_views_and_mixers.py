"""Photos that a module turns or cuts, tokens in any place, and what mixes tokens without attention over them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from proof_models import (
    DATA,
    DIM,
    GRID,
    HEADS,
    Attention,
    Block,
    HandWritten,
    Wrapped,
    strong,
    timm_vit,
    torchvision_vit,
    weighing,
    with_attention,
)
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torchvision.models import VisionTransformer as TorchvisionViT

import vitviz
from vitviz.attention.model_check import noise
from vitviz.attention.trace import Trace
from vitviz.errors import RefusedError

PATCHES = GRID * GRID


def traced(module: nn.Module) -> Trace:
    return vitviz.trace(vitviz.load_model(module, device="cpu", data=DATA), noise(DATA.input_size))


def seeing(base: type[nn.Module], view: Callable[[Tensor], Tensor]) -> type[nn.Module]:
    """A subclass that looks at another view of the photo."""

    class Seeing(base):  # type: ignore[misc, valid-type]
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(view(x))

    return Seeing


def upside_down(x: Tensor) -> Tensor:
    return x.flip(-2)


def transposed(x: Tensor) -> Tensor:
    return x.mT


def rotated(x: Tensor) -> Tensor:
    return x.rot90(1, (-2, -1))


def a_row_down(x: Tensor) -> Tensor:
    return x.roll(16, -2)


def halves_exchanged(x: Tensor) -> Tensor:
    return torch.cat([x[..., 56:, :], x[..., :56, :]], -2)


def a_quarter(x: Tensor) -> Tensor:
    return F.interpolate(x[..., :56, :56], x.shape[-2:])


VIEWS: dict[Callable[[Tensor], Tensor], str] = {
    upside_down: r"query 1 comes from patch \(6, 0\), where .* expect patch \(0, 0\)",
    transposed: r"query 2 comes from patch \(1, 0\), where .* expect patch \(0, 1\)",
    rotated: r"query 1 comes from patch \(0, 6\), where .* expect patch \(0, 0\)",
    a_row_down: r"query 1 comes from patch \(6, 0\), where .* expect patch \(0, 0\)",
    halves_exchanged: r"query 1 comes from several patches at once",
    a_quarter: r"query 2 comes from patch \(0, 0\), where .* expect patch \(0, 1\)",
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("base", ["timm", "torchvision"])
def test_a_subclass_that_sees_another_view_is_refused(view: Callable[[Tensor], Tensor], base: str) -> None:
    if base == "timm":
        module: nn.Module = timm_vit(seeing(VisionTransformer, view))
    else:
        module = torchvision_vit(seeing(TorchvisionViT, view))
    with pytest.raises(RefusedError, match=VIEWS[view]):
        traced(module)


@pytest.mark.parametrize("view", [upside_down, transposed, rotated, a_row_down])
def test_another_view_in_a_module_of_ones_own_is_laid_where_it_comes_from(
    view: Callable[[Tensor], Tensor],
) -> None:
    class Seeing(HandWritten):
        def tokens(self, x: Tensor) -> Tensor:
            return super().tokens(view(x))

    trace = traced(Seeing(Block(), Block()))
    assert trace.check.proved
    with weighing(trace.model.module) as seen:
        trace.model.module(torch.from_numpy(trace.framing.apply(trace.photo))[None])
    # Which patch of the photo each token of the module shows.
    shown = view(
        torch.arange(float(PATCHES)).view(1, 1, GRID, GRID).repeat_interleave(16, 2).repeat_interleave(16, 3)
    )
    patches = shown[0, 0, ::16, ::16].flatten().long().numpy()
    places = np.r_[0, 1 + patches.argsort()]
    for layer, weights in zip(trace.layers, seen, strict=True):
        np.testing.assert_allclose(layer.attention(), weights.numpy()[:, places][:, :, places], atol=1e-5)


@pytest.mark.parametrize("view", [halves_exchanged, a_quarter])
def test_a_view_that_cuts_patches_is_refused_in_a_module_of_ones_own_too(
    view: Callable[[Tensor], Tensor],
) -> None:
    with pytest.raises(RefusedError, match=r"overlap|some patches are missing"):
        traced(Wrapped(timm_vit(seeing(VisionTransformer, view))))


def test_views_that_leave_patches_in_their_place_are_no_fault() -> None:
    for view in (lambda x: x.flip(1), lambda x: (x - x.mean()) / x.std()):
        assert traced(timm_vit(seeing(VisionTransformer, view))).check.proved


class Placed(HandWritten):
    """The tokens in an order of their own; the class token is the last of the two prefix tokens, or the only one."""

    def __init__(self, order: list[int], prefix: int) -> None:
        super().__init__(Block(), Block(), prefix=prefix)
        self.order, self.at = order, order.index(prefix - 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.tokens(x)[:, self.order]))[:, self.at])


ORDERS: dict[str, tuple[list[int], int]] = {
    "class in the middle": ([*range(1, 21), 0, *range(21, 50)], 1),
    "register before, class behind": ([0, *range(2, 51), 1], 2),
    "both in the middle": ([*range(2, 9), 0, *range(9, 33), 1, *range(33, 51)], 2),
}


@pytest.mark.parametrize("kind", ORDERS)
def test_tokens_without_a_place_may_stand_anywhere(kind: str) -> None:
    order, prefix = ORDERS[kind]
    trace = traced(Placed(order, prefix))
    assert trace.check.proved, [claim.sentence for claim in trace.check.claims]
    assert trace.readout.prefix == trace.prefix[-1:]
    with weighing(trace.model.module) as seen:
        trace.model.module(torch.from_numpy(trace.framing.apply(trace.photo))[None])
    places, rolled = np.argsort(order), np.eye(len(order))
    for layer, weights in zip(trace.layers, seen, strict=True):
        expected = weights.numpy()[:, places][:, :, places]
        np.testing.assert_allclose(layer.attention(), expected, atol=1e-5)
        rolled = (expected.mean(0) + np.eye(len(order))) / 2 @ rolled
    heat = vitviz.explain(trace, "rollout")
    np.testing.assert_allclose(heat.values.reshape(-1), rolled[prefix - 1, prefix:], atol=1e-5)


@pytest.mark.parametrize("at", ["behind", "middle"])
def test_a_subclass_with_its_class_token_elsewhere_is_refused(at: str) -> None:
    class Elsewhere(VisionTransformer):
        def _pos_embed(self, x: Tensor) -> Tensor:
            x = super()._pos_embed(x)
            cut = x.shape[1] if at == "behind" else 21
            return torch.cat([x[:, 1:cut], x[:, :1], x[:, cut:]], 1)

    with pytest.raises(
        RefusedError, match=r"in blocks\.0\.attn query 0 comes from patch \(0, 0\), where .* no part"
    ):
        traced(timm_vit(Elsewhere))


class Torchs(nn.Module):
    """`nn.MultiheadAttention` as it comes: tokens first."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(DIM, HEADS)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x, x, x)[0]


class OverPhotos(Attention):
    """Batch and tokens are exchanged by mistake."""

    def forward(self, x: Tensor, **_: object) -> Tensor:
        return super().forward(x.transpose(0, 1)).transpose(0, 1)


@pytest.mark.parametrize("make", [Torchs, OverPhotos])
@pytest.mark.parametrize("number", [0, 1])
def test_attention_over_the_batch_is_named(make: Callable[[], nn.Module], number: int) -> None:
    blocks = [Block(make()) if each == number else Block() for each in range(2)]
    with pytest.raises(
        RefusedError, match=rf"blocks\.{number}\.attn[.a-z]* attends over the batch.*batch_first=True"
    ):
        traced(HandWritten(*blocks))


def test_tokens_first_is_right_for_torchs_attention() -> None:
    class TokensFirst(HandWritten):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(self.blocks(self.tokens(x).transpose(0, 1)))[0])

    trace = traced(TokensFirst(Block(Torchs()), Block(Torchs())))
    assert trace.check.proved
    inner, given = trace.model.module.blocks[1].attn.inner, list[Tensor]()
    handle = inner.register_forward_pre_hook(lambda _m, args: given.append(args[0]))
    with torch.no_grad():
        trace.model.module(torch.from_numpy(trace.framing.apply(trace.photo))[None])
        handle.remove()
        expected = inner(*given * 3, need_weights=True, average_attn_weights=False)[1][0].numpy()
    np.testing.assert_allclose(trace.layers[1].attention(), expected, atol=1e-5)


class OverChannels(Attention):
    """Cross-covariance attention: over channels, queries and keys normalised along the tokens."""

    def forward(self, x: Tensor, **_: object) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 4, 1)
        mixed = F.scaled_dot_product_attention(F.normalize(q, dim=-1), F.normalize(k, dim=-1), v)
        return self.proj(mixed.flatten(1, 2).transpose(1, 2))


class Running(nn.Module):
    """Each token becomes the sum of those before it."""

    def forward(self, x: Tensor, **_: object) -> Tensor:
        return x.cumsum(1)


class AttentionFree(nn.Module):
    """An attention-free transformer's layer: keys weigh all values in the same way for every token."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(DIM, 3 * DIM)

    def forward(self, x: Tensor, **_: object) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return q.sigmoid() * (k.exp() * v).sum(1, keepdim=True) / k.exp().sum(1, keepdim=True)


class Fewer(Attention):
    """Keys and values are projected from 50 tokens to seven, as in a Linformer."""

    def __init__(self) -> None:
        super().__init__()
        self.fewer = nn.Linear(1 + PATCHES, 7)

    def forward(self, x: Tensor, **_: object) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        k, v = (self.fewer(part.mT).mT for part in (k, v))
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Efficient(Attention):
    """Softmax of queries over features and of keys over tokens, values first."""

    def forward(self, x: Tensor, **_: object) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj((q.softmax(-1) @ (k.softmax(-2).mT @ v)).transpose(1, 2).flatten(2))


WHOLE = "depends on the whole photo"
MIXED = "influence each other in a way that vitviz does not record"
KINDS: dict[Callable[[], nn.Module], str] = {
    OverChannels: f"over channels|{WHOLE}",
    Running: f"{MIXED}|{WHOLE}|comes from several patches at once",
    AttentionFree: f"{MIXED}|{WHOLE}|comes from several patches at once",
    Fewer: f"{MIXED}|{WHOLE}",
    Efficient: "is not followed by a product that vitviz recognises",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("base", ["timm", "hand-written"])
def test_what_is_no_attention_over_tokens_is_refused_wherever_it_stands(
    kind: Callable[[], nn.Module], number: int, base: str
) -> None:
    if base == "timm":
        module: nn.Module = with_attention(timm_vit(), number, lambda _: strong(kind()))
    else:
        module = HandWritten(*(Block(kind() if each == number else None) for each in range(3)))
    with pytest.raises(RefusedError, match=KINDS[kind]) as caught:
        traced(module)
    assert "blocks." in caught.value.message
