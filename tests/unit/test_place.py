"""Place is read off the model: what a family states is shown only if every query, key and value is where it says."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from proof_models import (
    DATA,
    GRID,
    PATCH,
    SIZE,
    Attention,
    Block,
    Columns,
    HandWritten,
    Permuted,
    exponentials,
    linear,
    mirrored,
    resized,
    strong,
    timm_vit,
    torchvision_vit,
    with_attention,
)
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torchvision.models import VisionTransformer as TorchvisionViT

import vitviz
from vitviz.attention.layer import Layer
from vitviz.attention.model_check import noise
from vitviz.attention.recording.recorder import Cancelled
from vitviz.attention.self_check.centres import Centres
from vitviz.attention.self_check.pictures import code_for, coded, rearranged, unchanged
from vitviz.attention.self_check.reader import ends_of
from vitviz.attention.trace import Trace
from vitviz.errors import RefusedError
from vitviz.images.framing import PatchGrid


def traced(module: nn.Module) -> Trace:
    return vitviz.trace(vitviz.load_model(module, device="cpu", data=DATA), noise(DATA.input_size))


def hooked() -> nn.Module:
    module = timm_vit()
    module.register_forward_pre_hook(lambda _m, given: (given[0].flip(-1),))
    return module


def by_columns() -> nn.Module:
    module = timm_vit()
    module.patch_embed = Columns(module.patch_embed)
    return module


def shared_and_permuted() -> nn.Module:
    block = Block()
    return HandWritten(Block(), block, Permuted(block), Block())


class Mixing(nn.Module):
    """Neighbouring tokens are averaged."""

    def forward(self, x: Tensor) -> Tensor:
        return (x + x.roll(1, 1)) / 2


def shared_with_mixing_between() -> nn.Module:
    block = Block()
    return HandWritten(block, Mixing(), block)


def permuted(where: str) -> nn.Module:
    module = timm_vit()
    if where == "block":
        module.blocks[1] = Permuted(module.blocks[1])
        return module
    return with_attention(module, 1, Permuted)


MISPLACED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "mirrored in forward": (
        lambda: timm_vit(mirrored(VisionTransformer)),
        r"in blocks\.0\.attn query 1 comes from patch \(0, 6\), where .* expect patch \(0, 0\)",
    ),
    "mirrored, torchvision": (
        lambda: torchvision_vit(mirrored(TorchvisionViT)),
        r"in encoder.layers.encoder_layer_0.self_attention query 1 comes from patch \(0, 6\)",
    ),
    "mirrored by a hook": (hooked, r"in blocks\.0\.attn query 1 comes from patch \(0, 6\)"),
    "column by column": (
        by_columns,
        r"in blocks\.0\.attn query 2 comes from patch \(1, 0\), .* patch \(0, 1\)",
    ),
    "cropped and resized": (
        lambda: timm_vit(resized(VisionTransformer)),
        "query 1 comes from several patches at once",
    ),
    "cropped and resized, torchvision": (
        lambda: torchvision_vit(resized(TorchvisionViT)),
        "query 1 comes from several patches at once",
    ),
    "permuted inside the attention": (
        lambda: permuted("attention"),
        r"in blocks\.1\.attn\.inner query 1 comes from",
    ),
    "permuted round a block": (
        lambda: permuted("block"),
        r"in blocks\.1\.inner\.attn query 1 comes from patch",
    ),
}


@pytest.mark.parametrize("kind", MISPLACED)
def test_a_map_that_would_lie_elsewhere_is_refused_with_layer_and_token(kind: str) -> None:
    make, reason = MISPLACED[kind]
    with pytest.raises(RefusedError, match=reason):
        traced(make())


UNSEEN = "influence each other in a way that vitviz does not record"


@pytest.mark.parametrize(
    "make",
    [
        lambda: with_attention(timm_vit(), 1, lambda _: strong(Attention(linear))),
        lambda: with_attention(timm_vit(), 1, lambda _: strong(Attention(exponentials))),
        lambda: with_attention(timm_vit(), 2, lambda _: strong(Attention(linear))),
        lambda: with_attention(timm_vit(global_pool="avg"), 2, lambda _: strong(Attention(exponentials))),
        lambda: HandWritten(Block(), Block(Attention(linear))),
        lambda: HandWritten(Block(), Block(Attention(exponentials)), read=lambda x: x[:, 1:].mean(1)),
        lambda: HandWritten(Block(), Mixing(), Block()),
        shared_with_mixing_between,
    ],
)
def test_mixing_that_is_not_recorded_is_found_anywhere(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(RefusedError, match=UNSEEN):
        traced(make())


class Astray(nn.Module):
    """An attention whose output is given to other tokens than attended."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, **more: object) -> Tensor:
        mixed = self.inner(x, **more)
        return torch.cat([mixed[:, :1], mixed[:, 1:].flip(1)], 1)


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("base", ["timm", "hand-written"])
def test_what_an_operation_gives_must_come_back_to_its_own_token(number: int, base: str) -> None:
    if base == "timm":
        module: nn.Module = with_attention(timm_vit(), number, Astray)
    else:
        module = HandWritten(*(Block(Astray(Attention()) if each == number else None) for each in range(3)))
    with pytest.raises(RefusedError, match=UNSEEN):
        traced(module)


def test_only_this_trace_of_a_module_is_refused_and_nothing_stays_on() -> None:
    module = permuted("block")
    with pytest.raises(RefusedError):
        traced(module)
    assert len(torch.overrides._get_current_function_mode_stack()) == 0
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())


@pytest.mark.parametrize(("rows", "cols", "levels"), [(7, 7, 0), (5, 9, 0), (8, 12, 2), (7, 5, 2), (1, 3, 0)])
def test_each_set_of_pictures_names_one_patch(rows: int, cols: int, levels: int) -> None:
    code = code_for(PatchGrid(rows, cols, (4.0, 4.0)), levels)
    words = code.merged(0)
    assert words.shape == (rows * cols, code.bits)
    covers = ~(words[:, None] & ~words[None]).any(-1)  # [i, j]: whether j changes wherever i does
    assert (covers == np.eye(rows * cols, dtype=bool)).all()
    patterns = np.concatenate([code.merged(level) for level in range(levels + 1)])
    blocks = [code.size(level) for level in range(levels + 1)]
    whole = sum(r * c for r, c in blocks)
    assert len(patterns) == whole


@pytest.mark.parametrize("edge", [16, 12, 10, 9])
def test_a_pass_ends_early_only_where_merged_blocks_are_whole(edge: int) -> None:
    """A 2×2 block at an odd edge has one row: a picture of the other row changes no token of it."""
    code = code_for(PatchGrid(edge, edge, (4.0, 4.0)), 2)
    ends = ends_of(code, [0, 0, 1, 1, 2, 2])
    for number, end in enumerate(ends):
        told = code.tells[number]
        merged = code.merged(told + 1)[:, 2 * number : 2 * number + 2] if told < 2 else np.zeros(1)
        assert (end < 7) == bool(merged.all())


def padded(pixels: int) -> nn.Module:
    """A ViT of library classes only, whose photo is moved to the right by padding."""
    module = timm_vit()
    module.patch_embed.proj = nn.Sequential(nn.ZeroPad2d((pixels, -pixels, 0, 0)), module.patch_embed.proj)
    return module


def rolled(pixels: int) -> nn.Module:
    module = timm_vit()
    module.register_forward_pre_hook(lambda _m, given: (given[0].roll(pixels, -1),))
    return module


@pytest.mark.parametrize("make", [padded, rolled])
@pytest.mark.parametrize("pixels", [4, 8, 12])
def test_a_photo_that_is_moved_by_part_of_a_patch_is_refused(
    make: Callable[[int], nn.Module], pixels: int
) -> None:
    with pytest.raises(
        RefusedError, match=r"in blocks\.0\.attn query [12] comes from several patches at once"
    ):
        traced(make(pixels))


def test_a_photo_that_is_moved_by_a_whole_patch_is_named() -> None:
    with pytest.raises(
        RefusedError, match=r"query 1 comes from patch \(0, 6\), where .* expect patch \(0, 0\)"
    ):
        traced(rolled(PATCH))


def test_a_coded_picture_keeps_the_statistics_of_the_whole() -> None:
    grid = PatchGrid(GRID, GRID, (16.0, 16.0))
    base = unchanged((SIZE, SIZE))
    other = rearranged(base, grid)
    code = code_for(grid)
    for number in (0, code.pictures - 1):
        picture = coded(code.words[2 * number], code, (SIZE, SIZE), base, other)
        cells = picture.unfold(2, 16, 16).unfold(3, 16, 16).flatten(4)
        before = base.unfold(2, 16, 16).unfold(3, 16, 16).flatten(4)
        assert torch.equal(cells.sort(-1).values, before.sort(-1).values)
        changed = (cells != before).any(-1).any(1)[0].numpy()
        np.testing.assert_array_equal(changed, code.words[2 * number])


@pytest.mark.parametrize("name", ["vit_tiny_r_s16_p8_224", "vit_base_r50_s16_224", "pit_ti_distilled_224"])
def test_overlapping_patches_of_a_library_are_centred_on_their_cells(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vitviz.attention import proof
    from vitviz.models.random_weights import random_module

    model = vitviz.load_model(random_module(name, 1), device="cpu")
    claim = vitviz.trace(model, noise(model.input_size)).check.claim("place")
    assert claim.holds
    assert "centre of the field" in claim.how
    right = proof.displaced

    def mirrored_layouts(layers: tuple[Layer, ...], found: list[Centres]) -> str:
        width = model.input_size[1]
        turned = [
            Centres(*(np.stack([part[..., 0], width - part[..., 1]], -1) for part in each)) for each in found
        ]
        return right(layers, turned)

    monkeypatch.setattr(proof, "displaced", mirrored_layouts)
    with pytest.raises(RefusedError, match=r"is centred at pixel .* where its cell is at pixel"):
        vitviz.trace(model, noise(model.input_size), check=True)


def test_a_proof_stops_when_its_trace_is_no_longer_wanted() -> None:
    model = vitviz.load_model(timm_vit(), device="cpu", data=DATA)
    told: list[str] = []

    def cancel() -> bool:
        return any("proving" in what for what in told)

    with pytest.raises(Cancelled):
        vitviz.trace(
            model, noise(DATA.input_size), cancel=cancel, progress=lambda what, _share: told.append(what)
        )
    assert sum("proving" in what for what in told) == 1
    first = vitviz.trace(model, noise(DATA.input_size))
    assert first.check.proved
    told.clear()
    with torch.no_grad():
        model.module.head.weight.mul_(2)
    with pytest.raises(Cancelled):
        vitviz.trace(
            model, noise(DATA.input_size), cancel=cancel, progress=lambda what, _share: told.append(what)
        )
    assert vitviz.trace(model, noise(DATA.input_size)).check is not first.check


@pytest.mark.parametrize("kind", ["timm", "hand-written", "subclass"])
def test_reading_and_proving_stop_before_the_next_layer(kind: str) -> None:
    """Wherever in its passes a module is, `cancel` is asked again before it attends once more."""

    class Own(VisionTransformer):
        pass

    def made() -> nn.Module:
        return (
            HandWritten()
            if kind == "hand-written"
            else timm_vit(Own if kind == "subclass" else VisionTransformer)
        )

    module, attended, asked = made(), [], []
    for block in module.blocks:
        block.attn.register_forward_pre_hook(lambda *_: attended.append(1))
    model = vitviz.load_model(module, device="cpu", data=DATA)
    attended.clear()
    vitviz.trace(model, noise(DATA.input_size), cancel=lambda: bool(asked.append(len(attended))))
    total = len(attended)
    assert total > 12
    # Asked at every call of an attention of every pass.
    assert set(range(total)) <= set(asked)
    for stop in (2, 5, total // 3, total // 2, total - 5):
        model = vitviz.load_model(module, device="cpu", data=DATA)
        attended.clear()
        with pytest.raises(Cancelled):
            vitviz.trace(model, noise(DATA.input_size), cancel=lambda stop=stop: len(attended) >= stop)
        assert len(attended) == stop
