"""Layouts are read off models that no family knows: permuted tokens, class tokens anywhere, windows, heads in the batch."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from proof_models import (
    DATA,
    DIM,
    GRID,
    Attend,
    Attention,
    Block,
    Columns,
    HandWritten,
    Permuted,
    Wrapped,
    fused,
    mirrored,
    plain,
    strong,
    timm_vit,
    weighing,
)
from proof_swin import (
    Core,
    HandSwin,
    OneWindow,
    by_einsum,
    by_einsum_other_axes,
    fused_in_the_batch,
    heads_before_the_batch,
    heads_in_the_batch,
    product_then_einsum,
)
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

import vitviz
from vitviz.attention.model_check import check_model, noise
from vitviz.attention.trace import Trace
from vitviz.errors import ModelError, RefusedError

PATCHES = GRID * GRID


def traced(module: nn.Module, side: int = 112) -> Trace:
    data = replace(DATA, input_size=(side, side))
    return vitviz.trace(vitviz.load_model(module, device="cpu", data=data), noise((side, side)))


def weights_of(trace: Trace) -> list[np.ndarray]:
    with weighing(trace.model.module) as seen:
        trace.model.module(torch.from_numpy(trace.framing.apply(trace.photo))[None])
    return [weights.numpy() for weights in seen]


def agrees(trace: Trace, truth: list[np.ndarray], order: list[np.ndarray]) -> None:
    """Each layer's attention is the truth with its tokens in `order`: prefix tokens first, then patches row by row."""
    assert trace.check.proved, [claim.sentence for claim in trace.check.claims]
    assert len(trace.layers) == len(truth)
    for layer, weights, places in zip(trace.layers, truth, order, strict=True):
        np.testing.assert_allclose(layer.attention(), weights[:, places][:, :, places], atol=1e-5)
        token = layer.layout.token(1, 5)
        np.testing.assert_allclose(layer.row(token), weights[:, places[token], places], atol=1e-5)
        np.testing.assert_allclose(layer.column(token), weights[:, places, places[token]], atol=1e-5)


@pytest.mark.parametrize("prefix", [1, 5])
def test_tokens_without_a_place_may_stand_behind_the_patches(prefix: int) -> None:
    class First(HandWritten):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(self.blocks(self.tokens(x)))[:, PATCHES])

    trace = traced(First(prefix=prefix, last=True))
    order = np.r_[np.arange(PATCHES, PATCHES + prefix), np.arange(PATCHES)]
    agrees(trace, weights_of(trace), [order] * 3)
    assert len(trace.prefix) == prefix
    assert trace.readout.prefix == trace.prefix[:1]
    rollout = vitviz.explain(trace, "rollout")
    expected = np.eye(PATCHES + prefix)
    for weights in weights_of(trace):
        expected = (weights.mean(0) + np.eye(len(expected))) / 2 @ expected
    np.testing.assert_allclose(rollout.values.reshape(-1), expected[PATCHES, :PATCHES], atol=1e-6)


def test_tokens_that_are_permuted_in_one_layer_are_put_back() -> None:
    shared = Block()
    for module, moved in (
        (HandWritten(Block(), Permuted(Block()), Block()), [1]),
        (HandWritten(Block(), Block(Permuted(Attention())), Block()), [1]),
        (HandWritten(shared, Permuted(shared), shared), [1]),
    ):
        trace = traced(module)
        inverse = (
            next(part for part in module.modules() if isinstance(part, Permuted)).order.argsort().numpy()
        )
        plainly = np.arange(1 + PATCHES)
        agrees(trace, weights_of(trace), [inverse if number in moved else plainly for number in range(3)])
        gradients = vitviz.explain(trace, "gradient_attention", layer=1, query=(1, 5), target=3)
        assert gradients.total > 0


def test_gradients_of_permuted_tokens_are_put_back_too() -> None:
    """Gradient × attention of a layer whose tokens are permuted and put back is that of the same layer without."""
    straight = HandWritten(Block(), Block(), Block())
    moved = HandWritten(Block(), Permuted(Block()), Block())
    names = [name for name in moved.state_dict() if "order" not in name]
    moved.load_state_dict(dict(zip(names, straight.state_dict().values(), strict=True)), strict=False)
    for options in ({"layer": 1, "query": (1, 5)}, {"layer": 2}):
        ours, known = (
            vitviz.explain(traced(module), "gradient_attention", target=3, **options)
            for module in (moved, straight)
        )
        np.testing.assert_allclose(ours.values, known.values, atol=1e-5 * np.abs(known.values).max())
    for method in ("relevance", "gradient_rollout", "rollout"):
        ours, known = (vitviz.explain(traced(module), method) for module in (moved, straight))
        np.testing.assert_allclose(ours.values, known.values, atol=1e-5 * np.abs(known.values).max())


@pytest.mark.parametrize("kind", ["mirrored", "column by column"])
def test_a_subclass_in_a_module_of_ones_own_is_read(kind: str) -> None:
    inner = timm_vit(mirrored(VisionTransformer)) if kind == "mirrored" else timm_vit()
    if kind != "mirrored":
        inner.patch_embed = Columns(inner.patch_embed)
    trace = traced(Wrapped(inner))
    grid = np.arange(PATCHES).reshape(GRID, GRID)
    places = grid[:, ::-1] if kind == "mirrored" else grid.T
    for block in inner.blocks:
        block.attn.fused_attn = False
    seen: list[np.ndarray] = []
    handles = [
        block.attn.attn_drop.register_forward_hook(lambda _m, _g, weights: seen.append(weights[0].numpy()))
        for block in inner.blocks
    ]
    with torch.no_grad():
        inner(torch.from_numpy(trace.framing.apply(trace.photo))[None])
    for handle in handles:
        handle.remove()
    agrees(trace, seen, [np.r_[0, 1 + places.reshape(-1)]] * 3)


WAYS: dict[str, Attend] = {
    "einsum": by_einsum,
    "einsum, other axes": by_einsum_other_axes,
    "product, then einsum": product_then_einsum,
    "heads in the batch": heads_in_the_batch,
    "heads before the batch": heads_before_the_batch,
    "heads in the batch, fused": fused_in_the_batch,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("core", [False, True])
def test_every_way_to_write_attention_is_shown(way: str, core: bool) -> None:
    def make() -> nn.Module:
        attention = Attention(plain)
        attention.attend = Core(WAYS[way]) if core else WAYS[way]
        return attention

    def by_products(module: nn.Module) -> None:
        for part in module.modules():
            if isinstance(part, Core) == core and not isinstance(
                getattr(part, "attend", core), nn.Module | bool
            ):
                part.attend = plain

    module = HandWritten(Block(make()), Block(make()))
    report = check_model(vitviz.load_model(module, device="cpu", data=DATA))
    assert report.exact, report.reason
    assert report.logits_error == 0
    trace = traced(module)
    assert [layer.heads for layer in trace.layers] == [3, 3]
    by_products(module)
    agrees(trace, weights_of(trace), [np.arange(1 + PATCHES)] * 2)
    module = HandWritten(Block(make()), Block(make()))
    ours = vitviz.explain(traced(module), "relevance", target=2)
    by_products(module)
    known = vitviz.explain(traced(module), "relevance", target=2)
    np.testing.assert_allclose(ours.values, known.values, atol=1e-5 * known.values.max())


SWINS: dict[str, Callable[[], HandSwin]] = {
    "as Microsoft's": HandSwin,
    "heads in the batch": lambda: HandSwin(form="heads in the batch"),
    "windows before heads": lambda: HandSwin(form="windows before heads"),
    "windows behind heads": lambda: HandSwin(form="windows behind heads"),
    "no mask": lambda: HandSwin(masked=False),
    "a shift of 1": lambda: HandSwin(shift=1),
}


@pytest.mark.parametrize("kind", SWINS)
def test_windows_of_a_hand_written_swin_are_read(kind: str) -> None:
    module = SWINS[kind]()
    trace = traced(module, 32)
    assert trace.check.proved, [claim.sentence for claim in trace.check.claims]
    assert [(layer.layout.patches.rows, layer.heads) for layer in trace.layers] == [
        (8, 2),
        (8, 2),
        (4, 4),
        (4, 4),
    ]
    assert trace.readout.sentence == "the mean of the patches"
    seen: list[Tensor] = []
    handles = [
        block.attn.register_forward_hook(lambda m, given, _o: seen.append(window_weights(m, *given)))
        for block in module.blocks
    ]
    with torch.no_grad():
        module(torch.from_numpy(trace.framing.apply(trace.photo))[None])
    for handle in handles:
        handle.remove()
    for layer, block, weights in zip(trace.layers, module.blocks, seen, strict=True):
        side = layer.layout.patches.rows
        index = block.placed(torch.arange(side * side).view(1, side, side, 1))[..., 0].numpy()
        dense = np.zeros((layer.heads, side * side, side * side), np.float32)
        for window, tokens in enumerate(index):
            dense[:, tokens[:, None], tokens[None]] = weights[window].numpy()
        for token in (0, 3, side * side - 1, side + 2):
            np.testing.assert_allclose(layer.row(token), dense[:, token], atol=1e-5)
            np.testing.assert_allclose(layer.column(token), dense[:, :, token], atol=1e-5)
    heatmap = vitviz.explain(trace, "rollout")
    assert heatmap.total == pytest.approx(1, abs=1e-5)
    shifted = trace.layers[1].layout.windows
    assert shifted is not None
    assert shifted.shift == ((1, 1) if kind == "a shift of 1" else (2, 2))
    assert (shifted.regions > 0).any() == (kind != "no mask")


def window_weights(attention: nn.Module, x: Tensor, mask: Tensor | None = None) -> Tensor:
    """windows×heads×n×n by itself."""
    q, k, _ = attention.qkv(x).unflatten(-1, (3, attention.heads, -1)).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5 + attention.table[attention.index].permute(2, 0, 1)
    return (scores if mask is None else scores + mask[:, None]).softmax(-1)


def test_a_window_that_covers_the_grid_and_is_shifted_is_laid_shifted() -> None:
    module = OneWindow(0, 3, 0)
    trace = traced(module)
    assert trace.check.proved
    given: list[Tensor] = []
    handles = [
        b.attn.register_forward_hook(lambda m, g, _o: given.append(window_weights(m, *g)))
        for b in module.blocks
    ]
    with torch.no_grad():
        module(torch.from_numpy(trace.framing.apply(trace.photo))[None])
    for handle in handles:
        handle.remove()
    for layer, block, weights in zip(trace.layers, module.blocks, given, strict=True):
        index = block.placed(torch.arange(PATCHES).view(1, GRID, GRID, 1))[0, :, 0].argsort().numpy()
        expected = weights[0].numpy()[:, index][:, :, index]
        shown = np.stack([layer.row(token) for token in range(PATCHES)], 1)
        np.testing.assert_allclose(shown, expected, atol=1e-5)


@pytest.mark.parametrize("norm_first", [True, False])
def test_attention_over_the_batch_is_called_so(norm_first: bool) -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv2d(3, DIM, 16, 16)
            layer = nn.TransformerEncoderLayer(DIM, 3, 96, norm_first=norm_first)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(DIM, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.encoder(self.embed(x).flatten(2).transpose(1, 2)).mean(1))

    with pytest.raises(
        RefusedError, match=r"attends over the batch.*batch_first=True\?\)\. Set batch_first=True"
    ):
        traced(Encoder().eval())


class OverChannels(nn.Module):
    """Attention over channels; each of the heads has as many of them as there are patches."""

    def __init__(self, dim: int, heads: int, attend: Attend) -> None:
        super().__init__()
        self.qkv, self.proj, self.heads, self.attend = (
            nn.Linear(dim, 3 * dim),
            nn.Linear(dim, dim),
            heads,
            attend,
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 4, 1)
        return self.proj(self.attend(q, k, v).flatten(1, 2).transpose(1, 2))


@pytest.mark.parametrize("attend", [plain, fused])
@pytest.mark.parametrize("first", [0, 1])
def test_attention_over_channels_is_not_drawn_over_patches(attend: Attend, first: int) -> None:
    """8×8 patches and heads of 64 channels: the numbers fit, the map would lie anywhere."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Conv2d(3, 128, 14, 14), nn.Linear(128, 10)
            made = [Attention(plain, 2, 128), OverChannels(128, 2, attend)]
            self.blocks = nn.Sequential(*(Block(made[(number + first) % 2], dim=128) for number in range(2)))
            strong(self)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.blocks(self.embed(x).flatten(2).transpose(1, 2)).mean(1))

    with pytest.raises(RefusedError, match="attends over channels"):
        traced(Model())


def test_a_module_that_returns_more_than_logits_is_read_by_the_first() -> None:
    class Pair(HandWritten):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.norm(self.blocks(self.tokens(x)))
            return self.head(x[:, 0]), x

    class Output:
        def __init__(self, logits: Tensor) -> None:
            self.logits = logits

    class Wrapping(HandWritten):
        def forward(self, x: Tensor) -> Output:
            return Output(super().forward(x))

    for module in (Pair(), Wrapping()):
        trace = traced(module)
        assert trace.check.proved
        assert trace.readout.prefix == ("class",)
        agrees(trace, weights_of(trace), [np.arange(1 + PATCHES)] * 3)
        assert vitviz.explain(trace, "relevance", target=1).total > 0


def test_tokens_are_called_after_the_parameters_that_they_are_made_of() -> None:
    class Named(HandWritten):
        def __init__(self) -> None:
            super().__init__(prefix=4)
            self.position = self.token = None
            self.dist_token, self.cls_token = (nn.Parameter(torch.randn(1, 1, DIM)) for _ in range(2))
            self.register_tokens = nn.Parameter(torch.randn(2, DIM))
            self.pos_embed = nn.Parameter(torch.randn(1, 4 + PATCHES, DIM))

        def forward(self, x: Tensor) -> Tensor:
            prefix = torch.cat([self.dist_token, self.register_tokens[None], self.cls_token], 1)
            x = torch.cat([prefix.expand(len(x), -1, -1), self.embed(x).flatten(2).transpose(1, 2)], 1)
            return self.head(self.norm(self.blocks(x + self.pos_embed))[:, 3])

    module = Named()
    trace = traced(module)
    assert trace.prefix == ("distillation", "register 1", "register 2", "class")
    assert trace.readout.prefix == ("class",)
    position = trace.position_embedding
    assert position.kinds == ("table",)
    assert position.prefix == 4
    np.testing.assert_array_equal(position.used, module.pos_embed[0].detach().numpy())
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_what_a_module_raises_is_a_sentence() -> None:
    class Text(HandWritten):
        def forward(self, x: Tensor, words: Tensor | None = None) -> Tensor:
            if words is None and x.abs().sum() > 0:
                raise TypeError("words are missing")
            return super().forward(x)

    with pytest.raises(ModelError, match=r"cannot be run on one picture of 3×112×112: words are missing\."):
        traced(Text())


@pytest.mark.parametrize("what", ["SwinV2", "Swin"])
def test_hugging_faces_swins_are_shown(what: str) -> None:
    import transformers as hf

    sizes = {
        "image_size": 32,
        "patch_size": 4,
        "embed_dim": 24,
        "depths": [2, 2],
        "num_heads": [2, 4],
        "window_size": 4,
    }
    torch.manual_seed(0)
    if what == "SwinV2":
        module: nn.Module = hf.Swinv2ForImageClassification(hf.Swinv2Config(**sizes, num_labels=5)).eval()
    else:
        module = Wrapped(hf.SwinForImageClassification(hf.SwinConfig(**sizes, num_labels=5)).eval())
    trace = traced(module, 32)
    assert trace.check.claim("place").holds
    assert trace.readout.sentence == "the mean of the patches"
    windows = [layer.layout.windows for layer in trace.layers]
    assert [None if each is None else each.shift for each in windows] == [(0, 0), (2, 2), None, None]
    inner = module if what == "SwinV2" else module.inner
    inner.set_attn_implementation("eager") if what == "Swin" else None
    with torch.no_grad():
        pixels = torch.from_numpy(trace.framing.apply(trace.photo))[None]
        seen = inner(pixels, output_attentions=True).attentions
    for stage in (0, 1):  # one of each stage is given
        weights, layers = seen[stage].numpy(), trace.layers[2 * stage : 2 * stage + 2]
        known = weights if stage == 0 else weights[0]
        assert any(np.allclose(layer.attention(), known, atol=1e-5) for layer in layers)


class Sam(nn.Module):
    """Windows of 4 on a grid of 6, padded, and global attention in turn; heads in the batch, a bias by einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Conv2d(3, 48, 16, 16), nn.Linear(48, 10)
        self.qkv = nn.ModuleList([nn.Linear(48, 144) for _ in range(3)])
        self.norms = nn.ModuleList([nn.LayerNorm(48) for _ in range(3)])
        self.far = nn.ParameterList([nn.Parameter(torch.randn(length, length, 16)) for length in (4, 6, 4)])
        strong(self)

    def attention(self, x: Tensor, number: int) -> Tensor:
        b, height, width, _ = x.shape
        q, k, v = (
            part.reshape(b * 3, height * width, 16)
            for part in self.qkv[number](x).view(b, height * width, 3, 3, 16).permute(2, 0, 3, 1, 4)
        )
        scores = q @ k.transpose(1, 2) / 4
        along = torch.einsum("bhwc,hkc->bhwk", q.view(b * 3, height, width, 16), self.far[number])
        scores = (
            (scores.view(b * 3, height, width, height, width) + along[..., None]).flatten(3).flatten(1, 2)
        )
        self.weights = scores.softmax(-1)
        mixed = self.weights @ v
        return mixed.view(b, 3, height, width, 16).permute(0, 2, 3, 1, 4).flatten(3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).permute(0, 2, 3, 1)
        self.seen = []
        for number in range(3):
            y = self.norms[number](x)
            if number != 1:
                y = torch.nn.functional.pad(y, (0, 0, 0, 2, 0, 2)).view(-1, 2, 4, 2, 4, 48).transpose(2, 3)
                y = self.attention(y.reshape(-1, 4, 4, 48), number).view(-1, 2, 2, 4, 4, 48).transpose(2, 3)
                y = y.reshape(-1, 8, 8, 48)[:, :6, :6]
            else:
                y = self.attention(y, number)
            self.seen.append(self.weights)
            x = x + y
        return self.head(x.mean((1, 2)))


def test_sams_windows_and_global_attention_are_shown() -> None:
    module = Sam()
    trace = traced(module, 96)
    assert trace.check.proved, [claim.sentence for claim in trace.check.claims]
    with torch.no_grad():
        module(torch.from_numpy(trace.framing.apply(trace.photo))[None])
    places = np.full((8, 8), -1)
    places[:6, :6] = np.arange(36).reshape(6, 6)
    windows = places.reshape(2, 4, 2, 4).transpose(0, 2, 1, 3).reshape(4, 16)
    for number, (layer, seen) in enumerate(zip(trace.layers, module.seen, strict=True)):
        assert layer.heads == 3
        dense = np.zeros((3, 36, 36), np.float32)
        groups = np.arange(36)[None] if number == 1 else windows
        for group, weights in zip(groups, seen.unflatten(0, (-1, 3)).numpy(), strict=True):
            real = np.nonzero(group >= 0)[0]
            dense[:, group[real][:, None], group[real][None]] = weights[:, real][:, :, real]
        for token in (0, 5, 20, 35):
            np.testing.assert_allclose(layer.row(token), dense[:, token], atol=1e-5)
        np.testing.assert_allclose(layer.leak(), 1 - dense.sum(2), atol=1e-5)
