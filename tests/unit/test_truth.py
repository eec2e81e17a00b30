"""The pointing game and the share of a map on an object, against loops over pixels."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_models import VIT, small

import vitviz
from vitviz.explain.measures.truth import HIT, cover, input_mask, on_object
from vitviz.images.framing import PatchGrid
from vitviz.images.photo import Photo

GRIDS = {
    "whole pixels": (PatchGrid(3, 5, (16.0, 16.0)), (48, 80)),
    "a later stage": (PatchGrid(2, 3, (32.0, 32.0)), (48, 80)),
    "set off": (PatchGrid(2, 3, (16.0, 20.0), (8.0, 10.0)), (48, 80)),
}


def naive(values: np.ndarray, grid: PatchGrid, mask: np.ndarray) -> dict[str, Any]:
    """Every number by loops: each cell's pixels are those whose centres lie in it."""
    inside = np.zeros((grid.rows, grid.cols))
    for row in range(grid.rows):
        for col in range(grid.cols):
            top, left = grid.origin[0] + row * grid.cell[0], grid.origin[1] + col * grid.cell[1]
            levels = [
                mask[y, x] / 255
                for y in range(mask.shape[0])
                for x in range(mask.shape[1])
                if top <= y + 0.5 < top + grid.cell[0] and left <= x + 0.5 < left + grid.cell[1]
            ]
            inside[row, col] = sum(levels) / len(levels)
    positive = np.where(values > 0, values, 0.0)
    hottest = max(range(values.size), key=lambda cell: positive.flat[cell])
    return {
        "points": inside.flat[hottest] >= 0.25,
        "chance": sum(share >= 0.25 for share in inside.flat) / inside.size,
        "mass": (positive * inside).sum() / positive.sum(),
        "uniform": inside.mean(),
    }


@pytest.mark.parametrize("kind", GRIDS)
def test_numbers_equal_loops_over_pixels(kind: str) -> None:
    grid, size = GRIDS[kind]
    rng = np.random.default_rng(3)
    hits = set()
    for _ in range(12):
        mask = np.zeros(size, np.uint8)
        top, left = rng.integers(0, 30), rng.integers(0, 50)
        mask[top : top + 22, left : left + 27] = rng.integers(100, 256)
        values = rng.normal(0.3, 1, (grid.rows, grid.cols)).astype(np.float32)
        heatmap: Any = SimpleNamespace(values=values, patches=grid)
        found, expected = on_object(heatmap, mask), naive(values.astype(np.float64), grid, mask)
        assert found.points == expected["points"]
        for name in ("chance", "mass", "uniform"):
            assert getattr(found, name) == pytest.approx(expected[name], rel=1e-9), name
        hits.add(found.points)
    assert hits == {True, False}  # or every map would do


@pytest.mark.parametrize(("pixels", "points"), [(63, False), (64, True)])
def test_a_quarter_of_a_patch_is_a_hit_and_less_is_none(pixels: int, points: bool) -> None:
    mask = np.zeros((32, 32), np.uint8)
    mask[:16, :16] = np.where(np.arange(256) < pixels, 255, 0).reshape(16, 16)
    heatmap: Any = SimpleNamespace(
        values=np.array([[1.0, 0.5], [0.5, 0.5]], np.float32), patches=PatchGrid(2, 2, (16.0, 16.0))
    )
    assert pytest.approx(0.25) == HIT
    assert on_object(heatmap, mask).points is points


def test_a_map_of_a_model_on_a_mask_of_its_photo(photo: Photo) -> None:
    """An input that is not square, cut out of a photo: masses of an object and of all else add up to the map."""
    model = vitviz.load_model(small("vit_tiny_patch16_224", **(VIT | {"img_size": (48, 80)})), device="cpu")
    trace = vitviz.trace(model, photo)
    heatmap = vitviz.explain(trace, "rollout")
    mask = np.zeros(photo.size, np.uint8)
    mask[10:60, 30:100] = 255
    seen = input_mask(trace.framing, mask)
    assert seen.shape == (48, 80)
    assert cover(heatmap, seen).shape == (3, 5)
    one, rest = on_object(heatmap, seen), on_object(heatmap, 255 - seen)
    assert one.mass + rest.mass == pytest.approx(1)
    assert one.mass == pytest.approx(naive(heatmap.values.astype(np.float64), heatmap.patches, seen)["mass"])
