"""A map lies exactly over what the model saw: pixel tests in the photo's own pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from vitviz.errors import MethodError
from vitviz.images.framing import DataConfig, Framing, PatchGrid, frame
from vitviz.images.photo import Photo, photo_from_array
from vitviz.render.colors import heat_table, lookup_table, to_index, to_unit, value_range
from vitviz.render.overlay import LEVELS, heat_rgba, overlay

MEAN = (0.5, 0.5, 0.5)


def black(height: int, width: int) -> Photo:
    return photo_from_array(np.zeros((height, width, 3), dtype=np.uint8))


def config(size: tuple[int, int], crop_pct: float = 0.9, crop_mode: str = "center") -> DataConfig:
    return DataConfig(
        input_size=size,
        mean=MEAN,
        std=MEAN,
        interpolation="bicubic",
        crop_pct=crop_pct,
        crop_mode=crop_mode,
        multiple=8,
    )


def grid_of(framing: Framing, cell: int) -> PatchGrid:
    height, width = framing.input_size
    return PatchGrid(rows=-(-height // cell), cols=-(-width // cell), cell=(float(cell), float(cell)))


def inside(framing: Framing, patches: PatchGrid, row: int, col: int) -> NDArray[np.bool_]:
    """The pixels whose centres lie in the patch's polygon and in what the model saw, by brute force."""
    height, width = framing.photo_size
    (left, top), _, (right, bottom), _ = framing.polygon(patches, row, col)
    seen = framing.seen()
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    in_patch = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    return in_patch & (x >= seen[0]) & (x < seen[2]) & (y >= seen[1]) & (y < seen[3])


FRAMINGS = [
    ((61, 97), config((48, 48)), "crop"),
    ((97, 61), config((48, 64), crop_pct=0.8), "crop"),
    ((61, 97), config((48, 48)), "squash"),
    ((61, 97), config((48, 48)), "fit"),
    ((30, 20), config((48, 48), crop_pct=1.0), "crop"),
    ((61, 97), config((48, 48), crop_pct=1.0, crop_mode="border"), "crop"),
    ((61, 97), config((52, 44)), "crop"),  # patches stick out of the input, as Swin's padding does
]


@pytest.mark.parametrize(("size", "data", "mode"), FRAMINGS)
@pytest.mark.parametrize("style", ["glow", "tint"])
def test_one_hot_map_heats_exactly_the_pixels_of_its_patch(size, data, mode, style):
    photo, framing = black(*size), frame(size, data, mode)
    patches = grid_of(framing, 8)
    for row, col in [(0, 0), (patches.rows // 2, patches.cols // 3), (patches.rows - 1, patches.cols - 1)]:
        values = np.zeros((patches.rows, patches.cols), dtype=np.float32)
        values[row, col] = 0.25
        picture = np.asarray(
            overlay(photo, values, framing, patches, style=style, opacity=1.0, colormap="gray")
        )
        assert picture.shape == photo.pixels.shape
        expected = inside(framing, patches, row, col)
        assert (picture[expected] == 255).all()
        assert (picture[~expected] == 0).all()


@given(
    height=st.integers(8, 90),
    width=st.integers(8, 90),
    cell=st.sampled_from([5, 8, 16]),
    side=st.tuples(st.integers(16, 70), st.integers(16, 70)),
    crop_pct=st.floats(0.5, 1.0),
    mode=st.sampled_from(["crop", "squash", "fit"]),
    at=st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)),
)
def test_any_framing_puts_a_patch_where_the_framing_says(height, width, cell, side, crop_pct, mode, at):
    framing = frame((height, width), config(side, crop_pct), mode)
    patches = grid_of(framing, cell)
    row, col = int(at[0] * patches.rows), int(at[1] * patches.cols)
    values = np.zeros((patches.rows, patches.cols))
    values[row, col] = 1
    picture = np.asarray(overlay(black(height, width), values, framing, patches, opacity=1, colormap="gray"))
    assert np.array_equal(picture[..., 0] == 255, inside(framing, patches, row, col))


def test_every_seen_pixel_has_the_patch_that_hovering_it_gives():
    size = (75, 118)
    framing = frame(size, config((64, 64)), "crop")
    patches = grid_of(framing, 16)
    values = np.arange(1, 17, dtype=np.float32).reshape(4, 4)
    picture = np.asarray(
        overlay(black(*size), values, framing, patches, style="tint", opacity=1, colormap="gray")
    )
    shades = heat_rgba(values, style="tint", opacity=1, colormap="gray")[..., 0]
    for y in range(size[0]):
        for x in range(size[1]):
            patch = framing.patch_at(patches, x + 0.5, y + 0.5)
            assert picture[y, x, 0] == (0 if patch is None else shades[patch])


def test_heat_is_blended_over_the_photo_with_the_table_of_its_style():
    rng = np.random.default_rng(0)
    photo = photo_from_array(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    framing = frame((64, 64), config((64, 64), crop_pct=1.0), "crop")
    patches = grid_of(framing, 16)
    values = rng.random((4, 4)).astype(np.float32)
    for style in ("glow", "tint", "dim"):
        rgba = heat_rgba(values, style=style, opacity=0.7).astype(float).repeat(16, 0).repeat(16, 1)
        expected = photo.pixels + (rgba[..., :3] - photo.pixels) * rgba[..., 3:] / 255
        shown = np.asarray(overlay(photo, values, framing, patches, style=style, opacity=0.7))
        assert np.abs(shown - expected).max() <= 1


def test_glow_leaves_the_photo_untouched_where_there_is_no_attention():
    rng = np.random.default_rng(0)
    photo = photo_from_array(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    framing = frame((32, 32), config((32, 32), crop_pct=1.0), "crop")
    values = np.zeros((4, 4))
    values[1, 2] = 1
    shown = np.asarray(overlay(photo, values, framing, grid_of(framing, 8)))
    kept = ~inside(framing, grid_of(framing, 8), 1, 2)
    assert np.array_equal(shown[kept], photo.pixels[kept])
    assert not np.array_equal(shown[~kept], photo.pixels[~kept])


def test_what_the_model_did_not_see_is_darkened_or_left_alone():
    photo = photo_from_array(np.full((40, 80, 3), 200, dtype=np.uint8))
    framing = frame((40, 80), config((32, 32)), "crop")
    patches = grid_of(framing, 8)
    left, top, right, bottom = framing.seen()
    x, y = np.meshgrid(np.arange(80) + 0.5, np.arange(40) + 0.5)
    seen = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    assert 0 < seen.sum() < seen.size
    values = np.zeros((4, 4))
    dark = np.asarray(overlay(photo, values, framing, patches))
    assert (dark[seen] == 200).all()
    assert (dark[~seen] == 70).all()
    plain = np.asarray(overlay(photo, values, framing, patches, dim_unseen=False))
    assert (plain == 200).all()
    spotlight = np.asarray(overlay(photo, values, framing, patches, style="dim", opacity=0.8))
    assert spotlight[~seen].max() < spotlight[seen].min(), "unseen must stay darker than unattended"


def test_smooth_keeps_each_patch_centre_exact_and_never_leaves_the_range():
    rng = np.random.default_rng(1)
    values = rng.random((5, 7)).astype(np.float32)
    values[2, 3], values[0, 0] = 1, 0
    # 9 pixels a patch: pixel 4 of each is centred on it.
    picture = heat_rgba(values, style="tint", colormap="gray", smooth=True, size=(45, 63))
    steps = heat_rgba(values, style="tint", colormap="gray")
    assert np.array_equal(picture[4::9, 4::9], steps)
    flat = heat_rgba(
        np.full((3, 3), 0.4), style="tint", colormap="gray", smooth=True, scale=(0, 1), size=(30, 30)
    )
    assert len(np.unique(flat.reshape(-1, 4), axis=0)) == 1


def test_smooth_follows_a_ramp_between_centres():
    values = np.tile(np.arange(8, dtype=np.float32), (3, 1))
    picture = heat_rgba(values, style="tint", colormap="gray", smooth=True, size=(3, 80))[1, :, 0]
    centres = (np.arange(80) + 0.5) / 10 - 0.5
    inner = (centres >= 1) & (centres <= 6)
    assert np.abs(picture[inner] - centres[inner] / 7 * 255).max() <= 1


def test_smooth_is_laid_like_the_patches_under_a_crop():
    size = (60, 90)
    framing = frame(size, config((48, 48), crop_pct=0.8), "crop")
    patches = grid_of(framing, 16)
    values = np.zeros((3, 3))
    values[1, 1] = 1
    shown = np.asarray(
        overlay(black(*size), values, framing, patches, smooth=True, style="tint", opacity=1, colormap="gray")
    ).astype(float)[..., 0]
    x, y = np.meshgrid(np.arange(90) + 0.5, np.arange(60) + 0.5)
    centre = framing.polygon(patches, 1, 1).mean(axis=0)
    assert (shown * x).sum() / shown.sum() == pytest.approx(centre[0], abs=0.1)
    assert (shown * y).sum() / shown.sum() == pytest.approx(centre[1], abs=0.1)
    left, top, right, bottom = framing.seen()
    assert (shown[(x < left) | (x >= right) | (y < top) | (y >= bottom)] == 0).all()


def test_contours_run_where_the_map_crosses_the_fifths():
    values = np.tile(np.linspace(0, 1, 11, dtype=np.float32), (4, 1))
    drawn = heat_rgba(values, style="contour", colormap="gray", opacity=1, size=(40, 440))[20]
    columns = [float(np.mean(run)) for run in _runs(drawn[:, 3] > 128)]
    # Patch i of 40 pixels is centred on 40 i + 20 and has the value i / 10.
    expected = [400 * level / LEVELS + 19.5 for level in range(1, LEVELS)]
    assert columns == pytest.approx(expected, abs=1)
    assert not heat_rgba(np.ones((4, 4)), style="contour", size=(40, 40))[..., 3].any()


def _runs(flags: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    places = np.flatnonzero(flags)
    return np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)


def test_contours_on_a_photo_equal_those_of_the_window_and_stay_in_the_region():
    size = (120, 160)
    framing = frame(size, config((96, 96), crop_pct=1.0), "crop")
    patches = grid_of(framing, 16)
    y, x = np.mgrid[:6, :6]
    values = np.exp(-((x - 2) ** 2 + (y - 3) ** 2) / 4).astype(np.float32)
    shown = np.asarray(overlay(black(*size), values, framing, patches, style="contour", opacity=1))
    assert shown[:, 20:140].any()
    assert not shown[:, :20].any()
    assert not shown[:, 140:].any()
    alone = Image.new("RGBA", (120, 120), (0, 0, 0, 255))
    alone.alpha_composite(Image.fromarray(heat_rgba(values, style="contour", opacity=1, size=(120, 120))))
    assert np.abs(np.asarray(alone)[..., :3].astype(int) - shown[:, 20:140]).max() <= 2


def test_grid_lines_lie_on_the_patch_borders():
    size = (64, 64)
    framing = frame(size, config((64, 64), crop_pct=1.0), "crop")
    shown = np.asarray(overlay(black(*size), np.zeros((4, 4)), framing, grid_of(framing, 16), grid=True))
    lit = shown[8, :, 0] > 0
    assert set(np.flatnonzero(lit)) <= {0, 15, 16, 31, 32, 47, 48, 63}
    assert lit.sum() >= 4


def test_mark_surrounds_the_patch_without_covering_its_heat():
    size = (64, 64)
    framing = frame(size, config((64, 64), crop_pct=1.0), "crop")
    patches = grid_of(framing, 16)
    values = np.random.default_rng(0).random((4, 4))
    plain = np.asarray(overlay(black(*size), values, framing, patches))
    marked = np.asarray(overlay(black(*size), values, framing, patches, mark=(1, 2)))
    assert np.array_equal(marked[16:32, 32:48], plain[16:32, 32:48])
    assert (marked[15, 32:48] == 255).all()
    assert (marked[16:32, 31] == 255).all()
    assert (marked[16:32, 48] == 255).all()
    assert np.array_equal(marked[:8], plain[:8])


def test_several_marks_are_outlined_together():
    size = (64, 64)
    framing = frame(size, config((64, 64), crop_pct=1.0), "crop")
    patches = grid_of(framing, 16)
    values = np.random.default_rng(0).random((4, 4))
    plain = np.asarray(overlay(black(*size), values, framing, patches))
    marked = np.asarray(overlay(black(*size), values, framing, patches, mark={(1, 2), (1, 1)}))
    assert np.array_equal(marked[16:32, 16:48], plain[16:32, 16:48]), "no line between neighbours"
    assert (marked[15, 14:50] == 255).all()
    assert (marked[32, 14:50] == 255).all()
    assert (marked[14:34, [15, 48]] == 255).all()
    assert (marked[12:36, [13, 50]] == 0).all()
    none = np.asarray(overlay(black(*size), values, framing, patches, mark=frozenset()))
    assert np.array_equal(none, plain)


def test_scale_and_constant_maps():
    size = (32, 32)
    framing = frame(size, config((32, 32), crop_pct=1.0), "crop")
    patches = grid_of(framing, 16)
    options = {"style": "tint", "opacity": 1, "colormap": "gray"}
    half = overlay(black(*size), np.full((2, 2), 0.5), framing, patches, scale=(0, 1), **options)
    assert set(np.unique(np.asarray(half))) == {128}
    full = overlay(black(*size), np.full((2, 2), 0.5), framing, patches, **options)
    assert set(np.unique(np.asarray(full))) == {255}
    nothing = overlay(black(*size), np.full((2, 2), np.nan), framing, patches, **options)
    assert set(np.unique(np.asarray(nothing))) == {0}


def test_window_and_picture_share_their_colours():
    values = np.linspace(0, 1, 12).reshape(3, 4)
    assert np.array_equal(
        heat_rgba(values, size=(30, 40)), heat_rgba(values).repeat(10, axis=0).repeat(10, axis=1)
    )
    assert np.array_equal(heat_table("viridis", 0.85, "tint")[:, :3], lookup_table("viridis"))


@pytest.mark.parametrize("style", ["glow", "tint", "dim"])
@pytest.mark.parametrize("options", [{"temperature": 3.0}, {"log": True}, {"scale": (-1.0, 0.5)}])
def test_bent_and_signed_scales_are_painted_alike_and_as_the_table_says(style, options):
    values = np.linspace(-0.2, 0.8, 16).reshape(4, 4)
    framing = frame((32, 32), config((32, 32), crop_pct=1.0), "crop")
    patches = grid_of(framing, 8)
    painted = np.asarray(overlay(black(32, 32), values, framing, patches, style=style, opacity=1, **options))
    heat = heat_rgba(values, style=style, opacity=1, **options).astype(int)
    over_black = np.rint(heat[..., :3] * heat[..., 3:] / 255).repeat(8, 0).repeat(8, 1)
    assert np.abs(painted.astype(int) - over_black).max() <= 1
    low, high = value_range(values, options.get("scale"), options.get("log", False))
    unit = to_unit(values, low, high, options.get("log", False), options.get("temperature", 1.0))
    table = heat_table("viridis", 1, style, signed=low < 0)
    assert np.array_equal(heat, table[to_index(unit)])


@pytest.mark.parametrize(
    "options", [{"style": "sparkle"}, {"opacity": 1.5}, {"colormap": "no such"}, {"scale": (1.0, 1.0)}]
)
def test_options_that_do_not_exist_are_refused_with_a_sentence(options):
    framing = frame((32, 32), config((32, 32)), "crop")
    with pytest.raises(MethodError, match=r"\.$"):
        overlay(black(32, 32), np.ones((4, 4)), framing, grid_of(framing, 8), **options)


def test_a_map_of_another_shape_is_a_fault():
    framing = frame((32, 32), config((32, 32)), "crop")
    with pytest.raises(ValueError, match="does not fit"):
        overlay(black(32, 32), np.ones((3, 3)), framing, grid_of(framing, 8))


def test_a_field_of_pixels_lies_on_the_inputs_pixels():
    framing = frame((40, 60), config((32, 32), crop_pct=0.8), "crop")
    field = np.zeros((32, 32), np.float32)
    field[10:13, 20:22] = 1
    options = {"style": "tint", "opacity": 1, "colormap": "gray", "dim_unseen": False}
    photo, patches = black(40, 60), grid_of(framing, 8)
    drawn = np.asarray(overlay(photo, np.ones((4, 4)), framing, patches, field=field, **options))[..., 0]
    (x0, y0), (x1, y1) = framing.to_photo([[20, 10], [22, 13]])
    y, x = np.mgrid[:40, :60] + 0.5
    expected = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    assert expected.any()
    assert np.array_equal(drawn == 255, expected)
    lines = overlay(photo, np.ones((4, 4)), framing, patches, field=field, grid=True, **options)
    assert (np.asarray(lines)[..., 0] > 0).mean() < 0.5, "borders are those of the patches"


def test_a_temperature_is_above_zero():
    with pytest.raises(MethodError, match="above 0"):
        heat_rgba(np.ones((2, 2)), temperature=0)
