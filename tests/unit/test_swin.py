"""Swin: what a layer gives equals the dense operator of timm's own block, probed with attention frozen."""

import numpy as np
import pytest
import torch
from small_models import small
from torch import Tensor, nn

import vitviz
from vitviz.attention.layer import Layer
from vitviz.attention.trace import Trace
from vitviz.attention.windows import Windows
from vitviz.images.photo import Photo

SMALL = {"img_size": 56, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4), "num_classes": 5}
KINDS = {
    "Swin": ("swin_tiny_patch4_window7_224", SMALL),
    "Swin, padded and non-square": ("swin_tiny_patch4_window7_224", SMALL | {"img_size": (64, 52)}),
    "SwinV2": ("swinv2_tiny_window8_256", SMALL | {"img_size": 64, "window_size": 8}),
    "SwinV2, padded": ("swinv2_tiny_window8_256", SMALL | {"img_size": (80, 48), "window_size": 8}),
    "SwinV2-CR": ("swinv2_cr_tiny_224", SMALL | {"window_size": 7}),
}


class Frozen(nn.Module):
    """Replaces a block's attention: applies one head's recorded weights to its input."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.weights @ x


def dense(module: nn.Module, layer: Layer, head: int) -> np.ndarray:
    """N×N: timm's own roll, pad, partition, reverse and roll back around the frozen weights of one head."""
    block = module.get_submodule(layer.name.rpartition(".")[0])
    rows, cols = layer.layout.patches.rows, layer.layout.patches.cols
    push = getattr(block, "_attn", None) or block._shifted_window_attn
    attention = block.attn
    block.attn = Frozen(torch.from_numpy(layer.attention()[:, head]))
    try:
        with torch.no_grad():
            pushed = push(torch.eye(rows * cols).view(1, rows, cols, rows * cols))
    finally:
        block.attn = attention
    return pushed.view(rows * cols, rows * cols).numpy()


def traced(kind: str, photo: Photo, **more: object) -> Trace:
    name, options = KINDS[kind]
    return vitviz.trace(vitviz.load_model(small(name, **options), device="cpu"), photo, **more)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_columns_and_leak_equal_the_probed_block(kind: str, photo: Photo) -> None:
    trace = traced(kind, photo)
    rng = np.random.default_rng(0)
    assert len(trace.layers) == 4
    for layer in trace.layers:
        expected = np.stack([dense(trace.model.module, layer, head) for head in range(layer.heads)])
        for token in rng.choice(layer.layout.tokens, 12, replace=False):
            np.testing.assert_allclose(layer.row(int(token)), expected[:, token], atol=1e-6)
            np.testing.assert_allclose(layer.column(int(token)), expected[:, :, token], atol=1e-6)
        np.testing.assert_allclose(expected.sum(2) + layer.leak(), 1, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_rollout_equals_dense_matrices_with_equal_merging(kind: str, photo: Photo) -> None:
    trace = traced(kind, photo)
    weights = np.full(trace.layers[-1].layout.tokens, 1 / trace.layers[-1].layout.tokens)
    leak, above = 0.0, None
    for layer in reversed(trace.layers):
        grid = layer.layout.patches
        if above is not None and above != grid:
            weights = unmerge(weights.reshape(above.rows, above.cols), grid.rows, grid.cols)
        fused = np.mean([dense(trace.model.module, layer, head) for head in range(layer.heads)], axis=0)
        leak += float(weights @ (1 - fused.sum(1))) / 2
        weights = weights @ (fused.astype(np.float64) + np.eye(len(fused))) / 2
        above = grid
    heatmap = vitviz.explain(trace, "rollout")
    np.testing.assert_allclose(heatmap.values.reshape(-1), weights, atol=1e-5 * weights.max())
    assert heatmap.leak == pytest.approx(leak, abs=1e-6)
    assert heatmap.total + heatmap.leak == pytest.approx(1, abs=1e-6)
    renormalised = vitviz.explain(trace, "rollout", renormalise=True)
    assert renormalised.total == pytest.approx(1, abs=1e-5)
    assert renormalised.leak == 0


def unmerge(weights: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Each parent's weight in equal parts to its real children, one by one."""
    below = np.zeros((rows, cols))
    for row in range(weights.shape[0]):
        for col in range(weights.shape[1]):
            children = [
                (r, c)
                for r in (2 * row, 2 * row + 1)
                for c in (2 * col, 2 * col + 1)
                if r < rows and c < cols
            ]
            for child in children:
                below[child] += weights[row, col] / len(children)
    return below.reshape(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_windows_shift_and_regions_are_those_of_the_model(kind: str, photo: Photo) -> None:
    trace = traced(kind, photo, check=True)
    assert trace.check.exact
    shifted = [layer for layer in trace.layers if any(layer.layout.windows.shift)]
    assert shifted  # or nothing below is tested
    for layer in trace.layers:
        windows = layer.layout.windows
        present = np.sort(windows.index[windows.index >= 0])
        np.testing.assert_array_equal(present, np.arange(layer.layout.tokens))  # every token once
        apart = windows.regions[:, :, None] != windows.regions[:, None, :]
        weights = layer.attention().mean(1)
        assert (weights[apart] < 1e-20).all()
        assert (weights[~apart] > 1e-20).all()
    assert any((layer.layout.windows.regions > 0).any() for layer in shifted)


def test_a_wrong_shift_is_found_by_the_self_check(photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitviz.attention.families import window_stages

    right = window_stages.cut

    def wrong(
        grid: tuple[int, int], size: tuple[int, int], shift: tuple[int, int], *, pad_first: bool
    ) -> Windows:
        return right(grid, size, (shift[0] // 2, shift[1]), pad_first=pad_first)

    monkeypatch.setattr(window_stages, "cut", wrong)
    trace = traced("Swin", photo, check=True, refuse=False)
    assert not trace.check.exact
    assert "windows do not agree" in trace.check.sentence


def test_windows_that_hold_other_tokens_are_found_by_the_self_check(
    photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Padding before the shift instead of after it leaves the number of windows and the mask as they are."""
    from vitviz.attention.families import window_stages

    right = window_stages.cut
    monkeypatch.setattr(
        window_stages, "cut", lambda grid, size, shift, pad_first: right(grid, size, shift, pad_first=True)
    )
    assert traced("Swin", photo, check=True).check.exact  # without padding the order does not matter
    check = traced("Swin, padded and non-square", photo, refuse=False).check
    assert check.masks
    assert not check.exact
    assert check.misplaced == ("layers.0.blocks.1.attn", "layers.1.blocks.1.attn")


def test_padding_takes_weight_and_is_reported(photo: Photo) -> None:
    square, padded = traced("Swin", photo), traced("Swin, padded and non-square", photo)
    assert vitviz.explain(square, "rollout").leak == 0
    assert not any(layer.leak().any() for layer in square.layers)
    assert padded.layers[0].layout.windows.padding == 7 * 7 * 3 * 2 - 16 * 13
    assert vitviz.explain(padded, "rollout").leak > 0.05
    single = vitviz.explain(padded, "attention", layer=0, query=(15, 12))
    assert single.leak > 0.3
    assert single.total + single.leak == pytest.approx(1, abs=1e-6)


def test_a_patch_is_found_again_in_the_later_stages(photo: Photo) -> None:
    trace = traced("Swin, padded and non-square", photo)
    first, last = trace.layers[0], trace.layers[-1]
    assert (first.layout.patches.rows, first.layout.patches.cols) == (16, 13)
    assert (last.layout.patches.rows, last.layout.patches.cols) == (8, 7)
    for row, col in ((0, 0), (5, 8), (15, 12)):
        assert last.layout.place(trace.token(last, row, col)) == (row // 2, col // 2)
    heatmap = vitviz.explain(trace, "attention", layer=-1, query=(15, 12))
    assert heatmap.values.shape == (8, 7)


@pytest.mark.parametrize("size", [224, (256, 208)])
def test_swin_tiny_itself(photo: Photo, size: int | tuple[int, int]) -> None:
    model = vitviz.load_model(small("swin_tiny_patch4_window7_224", img_size=size), device="cpu")
    trace = vitviz.trace(model, photo, check=True)
    assert trace.check.exact
    for index in (1, 3, 4):
        layer = trace.layers[index]
        expected = dense(model.module, layer, 1)
        for token in (0, layer.layout.tokens // 2, layer.layout.tokens - 1):
            np.testing.assert_allclose(layer.row(token)[1], expected[token], atol=1e-6)
        np.testing.assert_allclose(expected.sum(1) + layer.leak()[1], 1, atol=1e-6)
    heatmap = vitviz.explain(trace, "rollout")
    assert heatmap.total + heatmap.leak == pytest.approx(1, abs=1e-6)
    assert (heatmap.leak > 0) == (size != 224)
