"""Windows, shift, regions, pieces and merging as pure data, against timm's own blocks applied to a grid of indices."""

from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import small
from torch import Tensor, nn

import vitviz
from vitviz.attention.layer import Layer
from vitviz.attention.layout import footprint
from vitviz.attention.model_check import noise
from vitviz.attention.trace import Trace
from vitviz.attention.windows import MASKED, Box, Windows, cut

TINY = {"embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2), "num_classes": 3}
SWIN, V2, CR, S3 = (
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "swinv2_cr_tiny_224",
    "swin_s3_tiny_224",
)
CASES = {
    **{
        f"{name}, {size}, window {window}": (name, {"img_size": size, "window_size": window})
        for name, size, window in (
            (SWIN, 224, 7), (SWIN, 224, 8), (SWIN, 224, 12), (SWIN, 224, 16),
            (SWIN, (256, 208), 7), (SWIN, (256, 208), 8), (SWIN, (256, 208), 12), (SWIN, (256, 208), 16),
            (V2, 224, 7), (V2, 224, 8), (V2, 224, 12), (V2, 224, 16),
            (V2, (256, 208), 7), (V2, (256, 208), 8), (V2, (256, 208), 12), (V2, (256, 208), 16),
            (CR, 224, 7), (CR, 224, 8), (CR, 224, 12), (CR, 224, 16),
            (CR, (256, 208), 7), (CR, (256, 208), 8), (CR, (256, 208), 12), (CR, (256, 208), 16),
        )
    },
    "CR, 256×192, window 8": (CR, {"img_size": (256, 192), "window_size": 8}),
    "S3, 224": (S3, {"img_size": 224}),
    "S3, 256×208": (S3, {"img_size": (256, 208)}),
}  # fmt: skip


@lru_cache(maxsize=2)
def traced(case: str) -> Trace:
    name, options = CASES[case]
    size = options["img_size"]
    tiny = TINY | ({"window_size": (7, 14)} if name == S3 else {})
    model = vitviz.load_model(small(name, **(tiny | options)), device="cpu")
    return vitviz.trace(model, noise(size if isinstance(size, tuple) else (size, size)))


class Catch(nn.Module):
    """Replaces a block's attention and keeps its input."""

    def __init__(self) -> None:
        super().__init__()
        self.given: Tensor | None = None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self.given = x
        return x


def pushed(trace: Trace, layer: Layer) -> np.ndarray:
    """windows×slots: a grid of indices after timm's own roll, pad and partition; −1 where timm has put zeros."""
    block = trace.model.module.get_submodule(layer.name.rpartition(".")[0])
    push = getattr(block, "_attn", None) or block._shifted_window_attn
    rows, cols = layer.layout.patches.rows, layer.layout.patches.cols
    attention, block.attn = block.attn, Catch()
    try:
        push(torch.arange(1.0, rows * cols + 1).view(1, rows, cols, 1))
        return block.attn.given[..., 0].long().numpy() - 1
    finally:
        block.attn = attention


@pytest.mark.parametrize("case", CASES)
def test_windows_are_those_of_timms_own_block_and_see_what_it_lets_them_see(case: str) -> None:
    trace = traced(case)
    assert any(any(layer.layout.windows.shift) for layer in trace.layers)
    if "window" in case:
        assert trace.layers[0].layout.windows.size == (CASES[case][1]["window_size"],) * 2
    padded = 0
    for layer in trace.layers:
        windows = layer.layout.windows
        np.testing.assert_array_equal(windows.index, pushed(trace, layer))
        padded += windows.padding
        weights = layer.attention()  # windows×heads×n×n
        for window in range(len(windows.index)):
            masked = windows.masked(window)
            assert (weights[window][:, ~masked] > 0).all()
            assert (weights[window][:, masked] < 1e-20).all()
        block = trace.model.module.get_submodule(layer.name.rpartition(".")[0])
        mask = block.get_attn_mask() if hasattr(block, "get_attn_mask") else block.attn_mask
        if any(windows.shift):
            ours = np.stack([windows.masked(window) * MASKED for window in range(len(windows.index))])
            np.testing.assert_array_equal(ours, mask.numpy())
    if "208" in case:
        assert padded > 0


@pytest.mark.parametrize("case", ["CR, 256×192, window 8", "S3, 224"])
def test_a_tokens_attention_lies_in_its_windows_parts_of_its_own_region(case: str) -> None:
    trace = traced(case)
    for layer in trace.layers:
        windows, grid = layer.layout.windows, layer.layout.patches
        for token in (0, grid.cols - 1, layer.layout.tokens // 2, layer.layout.tokens - 1):
            window, slot = windows.slot(token)
            expected = np.zeros((grid.rows, grid.cols), bool)
            for part in windows.parts(window):
                if part.region == windows.regions[window, slot]:
                    expected[cells(part.box)] = True
            np.testing.assert_array_equal(layer.layout.on_grid(layer.row(token)).max(0) > 1e-20, expected)


def cells(box: Box) -> tuple[slice, slice]:
    return slice(int(box.top), int(box.bottom)), slice(int(box.left), int(box.right))


def made(grid: tuple[int, int], size: tuple[int, int], shifts: tuple[int, int], pad_first: bool) -> Windows:
    shift = tuple(0 if n <= w else s % w for n, w, s in zip(grid, size, shifts, strict=True))
    return cut(grid, size, shift, pad_first=pad_first)


WINDOWS = st.builds(
    made,
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    st.tuples(st.integers(0, 7), st.integers(0, 7)),
    st.booleans(),
)


@given(windows=WINDOWS)
def test_parts_hold_each_token_once_where_it_lies(windows: Windows) -> None:
    tokens = np.arange(windows.grid[0] * windows.grid[1]).reshape(windows.grid)
    for window in range(len(windows.index)):
        slots = np.full(windows.size, -1)
        regions = np.full(windows.size, -1)
        for part in windows.parts(window):
            slots[cells(part.slots)] = tokens[cells(part.box)]
            assert (regions[cells(part.slots)] == -1).all()
            regions[cells(part.slots)] = part.region
        np.testing.assert_array_equal(slots.reshape(-1), windows.index[window])
        real = windows.index[window] >= 0
        np.testing.assert_array_equal(regions.reshape(-1)[real], windows.regions[window][real])


@given(windows=WINDOWS)
def test_pieces_carry_the_picture_to_where_the_windows_cut_it(windows: Windows) -> None:
    before = windows.picture(shifted=False)
    moved = np.full_like(before, -9)
    for piece in windows.pieces():
        moved[cells(piece.target)] = before[cells(piece.source)]
    after = windows.picture()
    np.testing.assert_array_equal(moved, after[: moved.shape[0], : moved.shape[1]])
    assert (after >= 0).sum() == windows.grid[0] * windows.grid[1]
    np.testing.assert_array_equal(after[cells(windows.box(0))].reshape(-1), windows.index[0])
    last = len(windows.index) - 1
    np.testing.assert_array_equal(after[cells(windows.box(last))].reshape(-1), windows.index[last])


@given(windows=WINDOWS, progress=st.floats(0, 1))
def test_on_the_way_the_pieces_cover_the_grid_once(windows: Windows, progress: float) -> None:
    shape = windows.picture(shifted=False).shape
    pieces = windows.pieces(progress)
    assert sum(piece.source.area for piece in pieces) == pytest.approx(shape[0] * shape[1])
    for piece in pieces:
        assert piece.target.area == pytest.approx(piece.source.area)
        for box in (piece.source, piece.target):
            assert box.top >= 0
            assert box.left >= 0
            assert box.bottom <= shape[0] + 1e-9
            assert box.right <= shape[1] + 1e-9
    if progress == 0:
        assert [piece.source for piece in pieces] == [Box(0, 0, *shape)]


@pytest.mark.parametrize("case", ["S3, 224", f"{SWIN}, (256, 208), window 7"])
def test_footprints_agree_with_the_merge_of_timm(case: str) -> None:
    trace = traced(case)
    layouts = [layer.layout for layer in trace.layers]
    first, last = layouts[0].patches, layouts[-1].patches
    merge = trace.model.module.layers[1].downsample
    # timm's own merge, its norm and reduction replaced by what only gathers
    merge.norm, norm = nn.Identity(), merge.norm
    merge.reduction, reduction = nn.Identity(), merge.reduction
    gathered = merge(torch.arange(1.0, first.rows * first.cols + 1).view(1, first.rows, first.cols, 1))[0]
    merge.norm, merge.reduction = norm, reduction
    for row, col in ((0, 0), (last.rows - 1, last.cols - 1), (3, 5)):
        own, below = footprint(layouts, len(layouts) - 1, row, col)
        assert own.box == Box(row, col, row + 1, col + 1)
        tokens = np.arange(1, first.rows * first.cols + 1).reshape(first.rows, first.cols)
        children = sorted(tokens[cells(below.box)].reshape(-1).tolist())
        assert children == sorted(int(value) for value in gathered[row, col] if value > 0)
        assert below.layout.patches == first
        corners = below.layout.polygon(trace.framing, below.box)
        np.testing.assert_allclose(corners[0], trace.framing.polygon(last, row, col)[0])
    with pytest.raises(IndexError, match="not in a grid"):
        footprint(layouts, 0, first.rows, 0)


def test_an_odd_edge_has_fewer_children_and_three_stages_reach_down_to_the_first() -> None:
    from vitviz.attention.layout import Layout, Merge
    from vitviz.images.framing import PatchGrid

    layouts = [
        Layout(PatchGrid(7, 5, (4.0, 4.0))),
        Layout(PatchGrid(4, 3, (8.0, 8.0)), merge=Merge()),
        Layout(PatchGrid(4, 3, (8.0, 8.0))),
        Layout(PatchGrid(2, 2, (16.0, 16.0)), merge=Merge()),
    ]
    found = footprint(layouts, 3, 1, 1)
    assert [part.box for part in found] == [Box(1, 1, 2, 2), Box(2, 2, 4, 3), Box(4, 4, 7, 5)]


def test_a_wrapped_window_has_several_polygons_on_the_photo() -> None:
    trace = traced("S3, 224")
    layer = trace.layers[1]
    windows = layer.layout.windows
    corner = windows.slot(0)[0]  # the top left token has gone round both edges
    polygons = [layer.layout.polygon(trace.framing, part.box) for part in windows.parts(corner)]
    assert len(polygons) == 4
    areas = sum(np.ptp(polygon[:, 0]) * np.ptp(polygon[:, 1]) for polygon in polygons)
    cell = np.ptp(trace.framing.polygon(layer.layout.patches, 0, 0), axis=0).prod()
    assert areas == pytest.approx(cell * windows.size[0] * windows.size[1])
    assert len(trace.layers[0].layout.windows.parts(0)) == 1
