"""Framing: equal to timm's own transform, and every patch found again in the photo's own pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform

from vitviz.errors import ModelError, VitvizError
from vitviz.images import framing as framing_module
from vitviz.images.framing import DataConfig, Framing, PatchGrid, fit_size, frame
from vitviz.images.photo import Photo, open_image, photo_from_array

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = [
    (300, 200),
    (200, 300),
    (224, 224),
    (256, 256),
    (225, 231),
    (7, 5),
    (1, 1),
    (1, 50),
    (50, 1),
    (37, 411),
    (900, 40),
]
COLORS = np.array(
    [(220, 40, 40), (40, 200, 60), (50, 70, 230), (240, 220, 30), (200, 60, 220), (40, 210, 220)], np.uint8
)


def config(
    input_size: tuple[int, int] = (224, 224),
    crop_pct: float = 0.9,
    crop_mode: str = "center",
    interpolation: str = "bicubic",
    multiple: int = 16,
) -> DataConfig:
    return DataConfig(input_size, MEAN, STD, interpolation, crop_pct, crop_mode, multiple)


def noise(height: int, width: int) -> Photo:
    pixels = np.random.default_rng(height * 10_000 + width).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )
    return photo_from_array(pixels)


def timms_input(photo: Photo, wanted: DataConfig) -> np.ndarray:
    transform = create_transform(
        input_size=(3, *wanted.input_size),
        interpolation=wanted.interpolation,
        mean=wanted.mean,
        std=wanted.std,
        crop_pct=wanted.crop_pct,
        crop_mode=wanted.crop_mode,
    )
    tensor = transform(Image.fromarray(photo.pixels))
    assert isinstance(tensor, torch.Tensor)
    return tensor.numpy()


def grid_of(framing: Framing, cell: int = 16) -> PatchGrid:
    return PatchGrid(framing.input_size[0] // cell, framing.input_size[1] // cell, (cell, cell))


# The way in


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("input_size", [(224, 224), (256, 208), (64, 97)])
@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
def test_crop_is_timms_transform_to_the_bit(
    size: tuple[int, int], input_size: tuple[int, int], crop_mode: str
) -> None:
    photo = noise(*size)
    for crop_pct in (0.875, 0.9, 1.0, 1.15):  # above 1 the resized photo is smaller than the input
        if crop_mode == "border" and min(size) * min(input_size) / crop_pct / max(size) < 1:
            continue  # timm fails on these
        wanted = config(input_size, crop_pct, crop_mode)
        actual = frame(size, wanted).apply(photo)
        assert actual.dtype == np.float32
        assert actual.flags.c_contiguous
        np.testing.assert_array_equal(actual, timms_input(photo, wanted))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"])
def test_every_interpolation_of_timms_is_followed(interpolation: str) -> None:
    for size in ((300, 200), (100, 130)):
        wanted = config(interpolation=interpolation)
        np.testing.assert_array_equal(
            frame(size, wanted).apply(noise(*size)), timms_input(noise(*size), wanted)
        )


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 600), st.integers(1, 600)),
    st.tuples(st.integers(16, 96), st.integers(16, 96)),
    st.floats(0.5, 1.3),
    st.sampled_from(["center", "squash", "border"]),
)
def test_any_crop_is_timms(
    size: tuple[int, int], input_size: tuple[int, int], crop_pct: float, crop_mode: str
) -> None:
    wanted = config(input_size, crop_pct, crop_mode)
    framing = frame(size, wanted)
    if crop_mode == "border" and min(framing.resized) == 1:
        return
    np.testing.assert_array_equal(framing.apply(noise(*size)), timms_input(noise(*size), wanted))


def test_the_data_configs_of_timms_models_are_followed() -> None:
    photo = noise(333, 500)
    for name in (
        "deit_tiny_patch16_224",
        "swin_tiny_patch4_window7_224",
        "vit_base_patch16_siglip_224",
        "eva02_tiny_patch14_336",
    ):
        pretrained = timm.get_pretrained_cfg(name)
        assert pretrained is not None
        data = timm.data.resolve_data_config(pretrained_cfg=pretrained.to_dict())
        wanted = DataConfig(
            data["input_size"][1:],
            data["mean"],
            data["std"],
            data["interpolation"],
            data["crop_pct"],
            data["crop_mode"],
        )
        reference = create_transform(**data)(Image.fromarray(photo.pixels)).numpy()
        np.testing.assert_array_equal(frame(photo.size, wanted).apply(photo), reference)


def test_a_border_so_thin_that_timm_fails_keeps_one_pixel() -> None:
    framing = frame((2, 2000), config(crop_mode="border"))
    assert framing.resized == (1, 248)
    assert framing.picture(noise(2, 2000)).shape == (224, 224, 3)


def test_squash_is_the_whole_photo_at_the_input_size() -> None:
    photo = noise(300, 200)
    framing = frame(photo.size, config((208, 256)), "squash")
    expected = Image.fromarray(photo.pixels).resize((256, 208), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(framing.picture(photo), np.asarray(expected))
    assert framing.seen() == (0, 0, 200, 300)


def test_fit_is_the_whole_photo_with_its_aspect_and_the_mean_around_it() -> None:
    photo = photo_from_array(np.full((263, 376, 3), (250, 10, 200), np.uint8))
    framing = frame(photo.size, config(), "fit")
    assert framing.input_size == framing.config.input_size == fit_size(photo.size, config()) == (192, 272)
    assert framing.resized == (190, 272)
    assert framing.offset == (-1, 0)
    picture = framing.picture(photo)
    mean = [round(255 * value) for value in MEAN]
    assert picture[[0, -1]].tolist() == [[mean] * 272] * 2
    assert np.all(picture[1:-1] == (250, 10, 200))
    assert framing.seen() == pytest.approx((0, 0, 376, 263))
    assert np.abs(framing.apply(photo)[:, 0]).max() < 0.01  # the mean colour is about zero for the model


def test_the_input_is_normalised_by_mean_and_deviation() -> None:
    photo = photo_from_array(np.full((224, 224, 3), (0, 128, 255), np.uint8))
    values = frame(photo.size, config(crop_pct=1.0)).apply(photo)
    expected = (np.array([0, 128 / 255, 1]) - MEAN) / STD
    np.testing.assert_allclose(
        values, np.broadcast_to(expected[:, None, None], (3, 224, 224)), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("size", [(640, 480), (3, 400), (400, 3), (90, 100)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_only_the_window_of_a_very_long_photo_is_resized(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], interpolation: str
) -> None:
    photo = noise(*size)
    framing = frame(size, config((96, 128), interpolation=interpolation))
    whole = framing.picture(photo).astype(int)
    monkeypatch.setattr(framing_module, "_MOST_RESIZED", 0)
    assert np.abs(framing.picture(photo) - whole).max() <= 1


def test_a_photo_of_a_million_to_one_can_be_framed() -> None:
    pixels = np.zeros((1, 1_000_000, 3), np.uint8)
    pixels[0, 500_000:] = 255
    photo = photo_from_array(pixels)
    for mode in ("crop", "squash", "fit"):
        framing = frame(photo.size, config(), mode)
        picture = framing.picture(photo)
        assert picture.shape == (*framing.input_size, 3)
    middle = frame(photo.size, config()).picture(photo)  # all of it would be 248 × 248,000,000 pixels
    assert middle[:, 0].max() < 20  # black, but for the filter's reach into the white half
    assert middle[:, -1].min() > 235


def test_a_framing_is_for_photos_of_its_own_size() -> None:
    with pytest.raises(ValueError, match="for a photo of"):
        frame((30, 40), config()).apply(noise(40, 30))


def test_an_unknown_framing_is_refused_with_the_choices() -> None:
    with pytest.raises(VitvizError, match="no framing “stretch”; choose one of crop, squash, fit"):
        frame((30, 40), config(), "stretch")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_size", (0, 224)),
        ("mean", (0.5,)),
        ("std", (0.2, 0.0, 0.2)),
        ("interpolation", "random"),
        ("crop_pct", 0),
        ("crop_mode", "middle"),
        ("multiple", 0),
    ],
)
def test_data_configs_that_no_framing_can_follow_are_refused(name: str, value: object) -> None:
    with pytest.raises(ModelError, match=f"The model's {name} is "):
        replace(config(), **{name: value})  # type: ignore[arg-type]


# The input size of "fit"


def test_fit_sizes_of_usual_photos() -> None:
    assert fit_size((1000, 1000), config()) == (224, 224)
    assert fit_size((3000, 4000), config()) == (192, 256)
    assert fit_size((4000, 3000), config()) == (256, 192)
    assert fit_size((4000, 6000), config((518, 518), multiple=14)) == (420, 630)
    assert fit_size((1, 1_000_000), config()) == (16, 16 * 196)


sizes = st.tuples(st.integers(1, 3000), st.integers(1, 3000))
configs = st.builds(
    lambda cells, multiple: config((cells[0] * multiple, cells[1] * multiple), multiple=multiple),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([4, 14, 16, 32, 224]),
)


@settings(max_examples=200, deadline=None)
@given(sizes, configs)
def test_fit_pads_less_than_one_multiple_of_one_side(size: tuple[int, int], wanted: DataConfig) -> None:
    framing = frame(size, wanted, "fit")
    height, width = framing.input_size
    assert height % wanted.multiple == width % wanted.multiple == 0
    padding = height - framing.resized[0], width - framing.resized[1]
    assert min(padding) == 0
    assert max(padding) < wanted.multiple
    assert height * width < 8 * max(wanted.input_size[0] * wanted.input_size[1], wanted.multiple**2)
    for axis in (0, 1):  # the aspect is kept, to the rounding of a pixel
        exact = size[axis] * max(framing.resized[0] / size[0], framing.resized[1] / size[1])
        assert framing.resized[axis] == 1 or abs(framing.resized[axis] - exact) <= max(
            1, size[axis] / size[1 - axis]
        )


@settings(max_examples=200, deadline=None)
@given(sizes, configs)
def test_fit_asked_again_with_its_own_answer_gives_the_same(
    size: tuple[int, int], wanted: DataConfig
) -> None:
    once = fit_size(size, wanted)
    assert fit_size(size, replace(wanted, input_size=once)) == once
    assert frame(size, replace(wanted, input_size=once), "fit") == frame(size, wanted, "fit")
    assert fit_size(size[::-1], wanted) == once[::-1]


@settings(max_examples=100, deadline=None)
@given(st.floats(1 / 3, 3), st.integers(10, 40))
def test_fit_keeps_about_the_area(aspect: float, cells: int) -> None:
    height, width = fit_size((round(2000 * aspect), 2000), config((16 * cells, 16 * cells)))
    assert 0.8 < height * width / (16 * cells) ** 2 < 1.25


# The way back


def painted(
    rows: int, cols: int, top: int, left: int, step: int, size: tuple[int, int]
) -> tuple[Photo, np.ndarray]:
    """A gray photo with coloured squares of `step` pixels from (top, left), and each square's colour."""
    pixels = np.full((*size, 3), 128, np.uint8)
    colors = COLORS[(np.arange(rows)[:, None] * 2 + np.arange(cols)) % len(COLORS)]
    pixels[top : top + rows * step, left : left + cols * step] = colors.repeat(step, axis=0).repeat(
        step, axis=1
    )
    return photo_from_array(pixels), colors


def assert_patches_see(framing: Framing, grid: PatchGrid, photo: Photo, colors: np.ndarray) -> None:
    """The model sees each square's colour in the patch, and the patch's polygon encloses the square in the photo."""
    seen = framing.picture(photo)
    for row in range(grid.rows):
        for col in range(grid.cols):
            left, top, right, bottom = (round(edge) for edge in grid.box(row, col))
            inner = seen[top + 4 : bottom - 4, left + 4 : right - 4].reshape(-1, 3).astype(int)
            assert np.abs(inner - colors[row, col]).max() <= 8
            corners = framing.polygon(grid, row, col)
            (x0, y0), (x1, y1) = np.rint(corners[0]).astype(int), np.rint(corners[2]).astype(int)
            assert np.all(photo.pixels[y0:y1, x0:x1] == colors[row, col])
            assert (y1 - y0) * (x1 - x0) > 0


def test_center_crop_squares_painted_on_the_photo_are_the_patches() -> None:
    # Resized to 256 × 384, of which the middle 224 × 224 is taken: photo pixels 48…720 down and 240…912 across.
    photo, colors = painted(14, 14, 48, 240, 48, (768, 1152))
    framing = frame(photo.size, config(crop_pct=0.875))
    assert framing.seen() == pytest.approx((240, 48, 912, 720))
    assert_patches_see(framing, grid_of(framing), photo, colors)


def test_squash_squares_painted_on_the_photo_are_the_patches() -> None:
    photo, colors = painted(14, 14, 0, 0, 40, (560, 560))
    wide = photo_from_array(photo.pixels.repeat(2, axis=1))
    framing = frame(wide.size, config(), "squash")
    assert_patches_see(framing, grid_of(framing), wide, colors)


def test_fit_squares_painted_on_the_photo_are_the_patches() -> None:
    photo, colors = painted(12, 18, 0, 0, 50, (600, 900))
    framing = frame(photo.size, config(), "fit")
    assert framing.input_size == (192, 288)
    assert_patches_see(framing, grid_of(framing), photo, colors)


def test_border_padding_is_no_part_of_the_photo() -> None:
    photo, colors = painted(7, 14, 0, 0, 40, (280, 560))
    framing = frame(photo.size, config(crop_pct=1.0, crop_mode="border"))
    assert (framing.resized, framing.offset) == ((112, 224), (-56, 0))
    assert framing.seen() == pytest.approx((0, 0, 560, 280))
    grid = PatchGrid(7, 14, (16, 16), origin=(56, 0))  # the rows that hold the photo
    assert_patches_see(framing, grid, photo, colors)
    assert framing.polygon(grid_of(framing), 0, 0)[0].tolist() == pytest.approx([0, -140])  # in the padding
    assert framing.patch_at(grid_of(framing), 3, 3) == (3, 0)


def test_polygons_run_clockwise_from_the_top_left_and_are_not_clipped() -> None:
    framing = frame((100, 200), config((32, 32), crop_pct=1.0), "squash")
    grid = PatchGrid(2, 2, (16, 16))
    np.testing.assert_allclose(framing.polygon(grid, 1, 0), [(0, 50), (100, 50), (100, 100), (0, 100)])
    beyond = PatchGrid(3, 3, (16, 16))
    np.testing.assert_allclose(
        framing.polygon(beyond, 2, 2), [(200, 100), (300, 100), (300, 150), (200, 150)]
    )


framings = st.builds(
    lambda size, input_size, crop_pct, crop_mode, mode: frame(
        size, config(input_size, crop_pct, crop_mode), mode
    ),
    st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    st.tuples(st.integers(16, 640), st.integers(16, 640)),
    st.floats(0.5, 1.3),
    st.sampled_from(["center", "squash", "border"]),
    st.sampled_from(["crop", "squash", "fit"]),
)
grids = st.builds(
    PatchGrid,
    st.integers(1, 40),
    st.integers(1, 40),
    st.tuples(st.floats(1, 40), st.floats(1, 40)),
    st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
)


def covered(framing: Framing, x: float, y: float) -> bool:
    """Whether a photo point is in the photo and in the input, told from the definition and not from patch_at."""
    (height, width), (tall, wide) = framing.photo_size, framing.input_size
    across = x * framing.resized[1] / width - framing.offset[1]
    down = y * framing.resized[0] / height - framing.offset[0]
    return 0 <= x < width and 0 <= y < height and 0 <= across < wide and 0 <= down < tall


@settings(max_examples=150, deadline=None)
@given(framings, grids, st.data())
def test_every_patch_is_found_again_at_its_centre_and_just_inside_its_edges(
    framing: Framing, grid: PatchGrid, data: st.DataObject
) -> None:
    row = data.draw(st.integers(0, grid.rows - 1))
    col = data.draw(st.integers(0, grid.cols - 1))
    corners = framing.polygon(grid, row, col)
    middle = corners.mean(axis=0)
    for inside in (0.0, 0.99999):
        for corner in corners:
            x, y = (middle + inside * (corner - middle)).tolist()
            assert framing.patch_at(grid, x, y) == ((row, col) if covered(framing, x, y) else None)
    for corner in corners:
        x, y = (middle + 1.00001 * (corner - middle)).tolist()
        assert framing.patch_at(grid, x, y) != (row, col)


@settings(max_examples=150, deadline=None)
@given(framings, st.data())
def test_points_are_in_a_patch_exactly_where_the_model_saw_the_photo(
    framing: Framing, data: st.DataObject
) -> None:
    grid = PatchGrid(1, 1, (float(framing.input_size[0]), float(framing.input_size[1])))
    height, width = framing.photo_size
    x = data.draw(st.floats(-0.5 * width, 1.5 * width))
    y = data.draw(st.floats(-0.5 * height, 1.5 * height))
    left, top, right, bottom = framing.seen()
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    near = min(abs(x - left), abs(x - right), abs(y - top), abs(y - bottom)) < 1e-6 * max(width, height)
    if not near:
        inside = left <= x < right and top <= y < bottom
        assert framing.patch_at(grid, x, y) == ((0, 0) if inside else None)


@settings(max_examples=100, deadline=None)
@given(framings, st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), min_size=1, max_size=5))
def test_the_two_ways_undo_each_other_and_are_affine(
    framing: Framing, points: list[tuple[float, float]]
) -> None:
    array = np.array(points)
    np.testing.assert_allclose(framing.to_input(framing.to_photo(array)), array, atol=1e-6)
    np.testing.assert_allclose(framing.to_photo(framing.to_input(array)), array, rtol=1e-9, atol=1e-6)
    assert framing.to_photo(array).dtype == np.float64
    assert framing.to_photo(array[:, None]).shape == (len(points), 1, 2)
    halfway = framing.to_photo((array + array[::-1]) / 2)
    ends = framing.to_photo(array)
    np.testing.assert_allclose(halfway, (ends + ends[::-1]) / 2, rtol=1e-9, atol=1e-6)


def test_points_that_are_no_numbers_are_in_no_patch() -> None:
    framing = frame((100, 100), config())
    for x, y in ((float("nan"), 5.0), (5.0, float("inf"))):
        assert framing.patch_at(grid_of(framing), x, y) is None
    assert PatchGrid(2, 2, (16, 16)).at(float("nan"), 1) is None


@settings(max_examples=200)
@given(grids, st.data())
def test_a_grid_places_every_point_in_the_box_that_holds_it(grid: PatchGrid, data: st.DataObject) -> None:
    row, col = data.draw(st.integers(0, grid.rows - 1)), data.draw(st.integers(0, grid.cols - 1))
    left, top, right, bottom = grid.box(row, col)
    assert grid.at(left, top) == (row, col)
    assert grid.at(np.nextafter(right, left), np.nextafter(bottom, top)) == (row, col)
    assert grid.at(right, bottom) == (
        (row + 1, col + 1) if row + 1 < grid.rows and col + 1 < grid.cols else None
    )
    assert grid.at(np.nextafter(grid.origin[1], -100.0), top) is None


def test_a_grid_has_no_boxes_outside() -> None:
    grid = PatchGrid(3, 4, (16, 14))
    assert grid.box(2, 3) == (42, 32, 56, 48)
    for row, col in ((3, 0), (0, 4), (-1, 0), (0, -1)):
        with pytest.raises(IndexError, match="not in a grid of 3 × 4"):
            grid.box(row, col)


def test_real_photos_are_framed_as_timm_frames_them(real: Path) -> None:
    for path in sorted((real / "photos").iterdir()):
        photo = open_image(path)
        wanted = config(crop_pct=0.9)
        with Image.open(path) as image:
            reference = timms_input(photo_from_array(np.asarray(image.convert("RGB"))), wanted)
        framing = frame(photo.size, wanted)
        np.testing.assert_array_equal(framing.apply(photo), reference)
        grid = grid_of(framing)
        for row, col in np.ndindex(grid.rows, grid.cols):
            x, y = framing.polygon(grid, row, col).mean(axis=0).tolist()
            assert framing.patch_at(grid, x, y) == (row, col)
