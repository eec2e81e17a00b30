"""Scales and colour maps."""

import numpy as np
import pytest

from vitviz.render.colors import (
    COLORMAPS,
    DEFAULT_COLORMAP,
    STYLES,
    heat_table,
    lookup_table,
    to_unit,
    value_range,
)


@pytest.mark.parametrize("name", COLORMAPS)
def test_offered_colour_maps_get_steadily_lighter(name):
    table = lookup_table(name) / 255
    linear = np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness = 116 * np.cbrt(np.maximum(luminance, 0.008856)) - 16
    assert (np.diff(lightness) > -0.6).all(), "a step back in lightness reads as a step back in value"
    assert lightness[-1] - lightness[0] > 45


def test_the_default_is_offered_and_tables_cannot_be_changed():
    assert DEFAULT_COLORMAP in COLORMAPS
    for table in (lookup_table(DEFAULT_COLORMAP), heat_table()):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 0


def test_alpha_follows_the_value_in_glow_is_constant_in_tint_and_falls_in_dim():
    glow, tint, dim = (
        heat_table(opacity=0.8, style=style)[:, 3].astype(int) for style in ("glow", "tint", "dim")
    )
    assert glow[0] == 0
    assert glow[-1] == round(0.8 * 255)
    assert (np.diff(glow) >= 0).all()
    assert set(tint) == {204}
    assert dim[0] == 204
    assert dim[-1] == 0
    assert (np.diff(dim) <= 0).all()
    assert set(STYLES) == {"glow", "tint", "contour", "dim"}


def test_value_range_is_from_zero_or_the_minimum_to_the_maximum_or_as_given():
    assert value_range([0.04, 0.5]) == (0.0, 0.5)
    assert value_range([0.06, 0.5]) == (0.06, 0.5)
    assert value_range([0.49, 0.5]) == (0.0, 0.5), "evenness must look even"
    assert value_range([0.5, 0.5]) == (0.0, 0.5)
    assert value_range([-0.2, np.nan, 0.5]) == (-0.2, 0.5)
    assert value_range([np.nan]) == (0.0, 0.0)
    assert value_range([0.2, 0.5], (0.1, 2)) == (0.1, 2.0)
    assert value_range([0.0, 0.5], log=True) == (0.5 / 10_000, 0.5)
    assert value_range([0.2, 0.5], log=True) == (0.2, 0.5)


def test_to_unit_is_clipped_and_safe():
    assert to_unit([-1, 0, 0.5, 1, 2, np.nan], 0, 1).tolist() == [0, 0, 0.5, 1, 1, 0]
    assert to_unit([0, 0], 0, 0).tolist() == [0, 0]
    assert to_unit([0.3, 0.3], 0.3, 0.3).tolist() == [0, 0]
    assert to_unit([[0.0]], 0, 1).dtype == np.float32
    assert to_unit([0, 1e-4, 1e-2, 1], 1e-4, 1, log=True) == pytest.approx([0, 0, 0.5, 1])
