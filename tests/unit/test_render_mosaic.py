"""Every layer and head in one picture."""

import numpy as np
import pytest

from vitviz.render.colors import to_unit, value_range
from vitviz.render.mosaic import EMPTY, indices


@pytest.mark.parametrize("scale", ["each", "layer", "all"])
@pytest.mark.parametrize("options", [{}, {"temperature": 2.5}, {"log": True}])
def test_indices_are_the_scale_of_each_tile(scale, options):
    rng = np.random.default_rng(3)
    maps = [rng.random((2, 6, 4), np.float32), rng.random((3, 3, 2), np.float32) / 5]
    found = indices([layer[None] for layer in maps], scale, **options)
    assert found.shape == (2, 3, 6, 4)
    assert (found[0, 2] == EMPTY).all()
    tops = {"each": None, "layer": [layer.max() for layer in maps], "all": [maps[0].max()] * 2}[scale]
    for place, layer in enumerate(maps):
        for head, values in enumerate(layer):
            high = float(values.max() if tops is None else tops[place])
            unit = to_unit(values, *value_range((), (0, high), options.get("log", False)), **options)
            repeated = unit.repeat(6 // len(values), 0).repeat(4 // values.shape[1], 1)
            assert np.abs(found[place, head] - (repeated * 254 + 0.5).astype(int)).max() <= 1


@pytest.mark.parametrize("scale", ["each", "layer", "all"])
def test_where_the_query_does_not_attend_there_is_no_tile(scale):
    ones, unknown = np.ones((1, 2, 3, 3), np.float32), np.full((1, 2, 3, 3), np.nan, np.float32)
    for stacks in ([ones, unknown], [np.concatenate([ones, unknown])]):
        found = indices(stacks, scale)
        assert (found[0] == 254).all()
        assert (found[1] == EMPTY).all()
    assert (indices([np.zeros((1, 1, 2, 2), np.float32)]) == 0).all()


@pytest.mark.parametrize("scale", ["each", "layer", "all"])
@pytest.mark.parametrize("options", [{}, {"temperature": 2.5}, {"log": True}])
def test_layers_that_are_alike_come_out_the_same_together_and_one_by_one(scale, options):
    maps = np.random.default_rng(4).random((4, 3, 5, 7), np.float32)
    maps[2, 1] = 0
    other = np.random.default_rng(5).random((1, 6, 2, 3), np.float32)
    one_by_one = indices([*maps[:, None], other], scale, **options)
    np.testing.assert_array_equal(indices([maps, other], scale, **options), one_by_one)
