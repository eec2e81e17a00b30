"""Plots: strokes that everybody can tell apart, dashes, and curves where their numbers are."""

import math
from itertools import combinations, pairwise

import numpy as np
import pytest

from vitviz.explain.registry import METHODS, stroke_of
from vitviz.render.colors import LETTERS, REGIONS
from vitviz.render.plot import Chart, Line, ceiling, dashed, plot
from vitviz.render.strokes import RANDOM, spare

STROKES = [*(method.stroke for method in METHODS if method.stroke), *map(spare, range(8))]

# Machado 2009, severity 1: how linear RGB looks to people without the long or the middle cones.
PROTANOPIA = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
]
DEUTERANOPIA = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(color):
    shares = np.array(color) / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def lab(color, seen):
    xyz = TO_XYZ @ np.clip(np.array(seen) @ linear(color), 0, 1) / (TO_XYZ @ np.ones(3))
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one, two):
    bright, dark = sorted((TO_XYZ[1] @ linear(one) + 0.05, TO_XYZ[1] @ linear(two) + 0.05), reverse=True)
    return bright / dark


@pytest.mark.parametrize(
    "seen", [np.eye(3), PROTANOPIA, DEUTERANOPIA], ids=["all", "protanopia", "deuteranopia"]
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_strokes_of_equal_dashes_differ_in_colour_for_everybody(scheme, seen):
    for one, two in combinations((*STROKES, RANDOM), 2):
        if one.dashes == two.dashes:
            difference = np.linalg.norm(lab(getattr(one, scheme), seen) - lab(getattr(two, scheme), seen))
            assert difference > 15, (one, two, difference)


def test_every_stroke_has_dashes_of_its_own():
    """The selected curve is drawn in the accent colour, which is like others for the colour-blind."""
    for one, two in combinations((*STROKES, RANDOM), 2):
        assert one.dashes != two.dashes, (one, two)


def test_the_tints_of_regions_over_a_photo_are_too_alike_for_the_colour_blind_to_do_without_letters():
    def over_grey(color):
        return np.array(color) * 0.43 + 128 * 0.57

    least = {
        name: min(
            np.linalg.norm(lab(over_grey(one), seen) - lab(over_grey(two), seen))
            for one, two in combinations(REGIONS, 2)
        )
        for name, seen in {"all": np.eye(3), "protanopia": PROTANOPIA, "deuteranopia": DEUTERANOPIA}.items()
    }
    assert least["all"] > 25
    assert least["deuteranopia"] < 10
    assert len(LETTERS) == len(REGIONS)


def test_strokes_stand_out_from_their_paper():
    for stroke in (*STROKES, RANDOM):
        assert contrast(stroke.light, (255, 255, 255)) >= 3
        assert contrast(stroke.dark, (0x17, 0x18, 0x1B)) >= 3


def test_there_is_a_stroke_for_every_method():
    strokes = [stroke_of(method.name) for method in METHODS]
    assert len({(stroke.light, stroke.dashes) for stroke in (*strokes, RANDOM)}) == len(METHODS) + 1


def test_dashes_are_as_long_as_asked_round_corners():
    corner = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)]
    pieces = dashed(corner, (4.0, 3.0))
    assert pieces == [[(0, 0), (4, 0)], [(7, 0), (10, 0), (10, 1)], [(10, 4), (10, 8)]]
    assert dashed(corner, ()) == [corner]
    drawn = sum(math.dist(a, b) for piece in pieces for a, b in pairwise(piece))
    assert drawn == pytest.approx(12)


def test_axes_end_at_a_round_number_above_all():
    assert [ceiling(value) for value in (0, 0.1, 0.11, 0.39, 0.61, 0.81, 1)] == [
        0.1,
        0.1,
        0.2,
        0.4,
        0.8,
        1,
        1,
    ]


def test_curves_lie_where_their_numbers_are():
    xs = [0, 0.5, 1]
    red, blue = (200, 0, 0), (0, 0, 200)
    flat = Line("flat", "0.500", xs, [0.5, 0.5, 0.5], red)
    steep = Line("steep", "0.5", xs, [1.0, 0.5, 0.0], blue, half=[0, 0.1, 0])
    pixels = np.asarray(plot([Chart("One", "share", "probability", (flat, steep))], width=800)).astype(int)[
        :540
    ]  # the legend is below
    is_red = (np.abs(pixels - red).sum(-1) < 60).nonzero()
    left, right = is_red[1].min(), is_red[1].max()
    is_blue = np.abs(pixels - blue).sum(-1) < 60
    top = is_blue[:, left + 2].nonzero()[0].mean()
    middle = is_red[0].mean()
    bottom = is_blue[:, right - 2].nonzero()[0].mean()
    assert bottom - middle == pytest.approx(middle - top, abs=3)
    assert is_blue[:, (left + right) // 2].nonzero()[0].min() == pytest.approx(middle, abs=6)
    # Half-way along, the band is a tenth of the height to either side.
    across = (left + right) // 2
    high = round(middle - 0.09 * (bottom - top))
    outside = round(middle - 0.13 * (bottom - top))
    assert pixels[high, across, 2] > pixels[high, across, 0]
    assert pixels[outside, across].tolist() == [255, 255, 255]
