"""Scales and colour maps."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vitviz.render.colors import (
    COLORMAPS,
    DEFAULT_COLORMAP,
    STYLES,
    Bar,
    bar,
    from_unit,
    heat_table,
    is_signed,
    lookup_table,
    to_unit,
    to_units,
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
    assert to_unit([1e10], 1e10, np.nextafter(1e10, 2e10), log=True).tolist() == [0], (
        "ends with one logarithm"
    )


@example(low=2.2250738585e-313, width=1.0, temperature=1.0, log=True, unit=1.0)
@example(low=5e-324, width=2.0, temperature=1.0, log=True, unit=0.5)
@given(
    low=st.floats(-1, 0.5),
    width=st.floats(0.01, 2),
    temperature=st.sampled_from([0.5, 1.0, 2.0, 4.0]),
    log=st.booleans(),
    unit=st.floats(0, 1),
)
def test_every_place_of_a_scale_has_the_value_that_is_drawn_there(low, width, temperature, log, unit):
    low, high = value_range([], (low, low + width), log)
    if not low < high:
        return
    shown = bar(low, high, log, temperature)
    at = shown.first + unit * (shown.last - shown.first)
    value = from_unit(at, low, high, log, temperature)
    slack = 1e-6 * max(abs(low), high)
    assert min(low, 0) - slack <= value <= high + slack
    assert float(to_unit(value, low, high, log, temperature)) == pytest.approx(at, abs=2e-3)
    assert float(to_unit(shown.middle, low, high, log, temperature)) == pytest.approx(
        shown.first + shown.place * (shown.last - shown.first), abs=1e-4
    )


def test_temperature_is_that_of_a_softmax_up_to_the_scale():
    scores = np.random.default_rng(0).normal(size=12)

    def softmax(temperature):
        weights = np.exp(scores / temperature)
        return weights / weights.sum()

    warmer = softmax(3)
    shown = to_unit(softmax(1), 0, softmax(1).max(), temperature=3)
    np.testing.assert_allclose(shown, warmer / warmer.max(), rtol=1e-5)


def test_a_signed_scale_has_zero_in_the_middle_and_shows_what_is_far_from_it():
    unit = to_unit([-0.2, 0, 0.2, 0.8, np.nan], -0.2, 0.8)
    assert unit.tolist() == pytest.approx([0.375, 0.5, 0.625, 1, 0.5])
    glow = heat_table("viridis", 0.8, "glow", signed=True)
    assert glow[0, 3] == glow[255, 3] == round(0.8 * 255)
    assert max(glow[127, 3], glow[128, 3]) <= 4
    assert glow[0, 2] > glow[0, 0], "below zero is blue"
    assert glow[255, 0] > glow[255, 2], "above zero is red"
    assert bar(-0.2, 0.8) == Bar(-0.2, 0.8, 0.375, 1.0, 0.0, pytest.approx(0.2))
    assert not is_signed(-1e-9, 0.8)


@pytest.mark.parametrize("options", [{}, {"log": True}, {"temperature": 3.0}])
@pytest.mark.parametrize("last", [(0.0, 0.5), (-0.4, 0.5), (0.5, 0.5)])
def test_several_maps_are_each_on_their_own_scale(options, last):
    maps = np.random.default_rng(0).random((3, 4, 5), np.float32) - 0.2
    ends = [(0.0, 0.7), (0.1, 0.3), last]
    found = to_units(maps, ends, **options)
    assert found.dtype == np.float32
    for unit, values, (low, high) in zip(found, maps, ends, strict=True):
        np.testing.assert_array_equal(unit, to_unit(values, low, high, **options))
