"""Every layer and head in one picture."""

import numpy as np
import pytest

from vitviz.render.mosaic import mosaic


@pytest.fixture
def stages():
    """A Swin-like pair: 2 heads of 4×6 patches, then 3 heads of 2×3."""
    rng = np.random.default_rng(0)
    return [rng.random((2, 4, 6)).astype(np.float32), rng.random((3, 2, 3)).astype(np.float32)]


@pytest.mark.parametrize("turn", [False, True])
def test_tiles_hold_their_maps_and_gaps_are_nan(stages, turn):
    picture = mosaic(stages, gap=2, turn=turn)
    assert picture.image.shape == ((2 * 6 - 2, 3 * 8 - 2) if turn else (3 * 6 - 2, 2 * 8 - 2))
    covered = np.zeros(picture.image.shape, dtype=bool)
    for layer, maps in enumerate(stages):
        for head, values in enumerate(maps):
            left, top, right, bottom = picture.box(layer, head)
            fine = values.repeat(4 // values.shape[0], 0).repeat(6 // values.shape[1], 1)
            assert picture.image[top:bottom, left:right] == pytest.approx(fine / values.max())
            covered[top:bottom, left:right] = True
            assert picture.highs[layer, head] == values.max()
    assert np.isnan(picture.image[~covered]).all()
    assert np.isnan(picture.highs[0, 2])


def test_scales_of_each_tile_layer_and_all(stages):
    tops = {scale: mosaic(stages, scale=scale).highs for scale in ("each", "layer", "all")}
    assert tops["layer"][0, :2] == pytest.approx(stages[0].max())
    assert tops["layer"][1] == pytest.approx(stages[1].max())
    everything = max(layer.max() for layer in stages)
    assert tops["all"][~np.isnan(tops["all"])] == pytest.approx(everything)
    picture = mosaic(stages, scale="all")
    assert np.nanmax(picture.image) == 1
    assert (np.nanmax(mosaic([stages[0] * 0.1, stages[1]], scale="all").image[:4, :6])) < 0.11


@pytest.mark.parametrize("turn", [False, True])
def test_a_point_leads_back_to_its_layer_head_and_patch(stages, turn):
    picture = mosaic(stages, gap=1, turn=turn)
    found = 0
    for y in range(picture.image.shape[0]):
        for x in range(picture.image.shape[1]):
            place = picture.at(x + 0.5, y + 0.5)
            assert (place is None) == np.isnan(picture.image[y, x])
            if place is not None:
                layer, head, row, col = place
                values = stages[layer][head]
                assert picture.image[y, x] == pytest.approx(values[row, col] / values.max())
                found += 1
    assert found == 5 * 24
    assert picture.at(-0.5, 0) is None
    assert picture.at(1e4, 0) is None


def test_maps_of_nothing_stay_dark_and_grids_need_not_divide():
    picture = mosaic([np.zeros((1, 3, 3), np.float32), np.ones((1, 2, 2), np.float32)], gap=0)
    assert (picture.image[:, :3] == 0).all()
    assert (picture.image[:, 3:] == 1).all()
    assert mosaic([]).image.size == mosaic([], scale="all").image.size == 0


@pytest.mark.parametrize("scale", ["each", "layer", "all"])
def test_a_layer_in_which_the_query_does_not_attend_is_empty(scale):
    silent = np.full((2, 3, 3), np.nan, np.float32)
    picture = mosaic([silent, np.ones((2, 3, 3), np.float32)], gap=0, scale=scale)
    assert np.isnan(picture.image[:, :3]).all()
    assert np.isnan(picture.highs[0]).all()
    assert (picture.image[:, 3:] == 1).all()
