"""The way back: every patch found again in the photo's own pixels."""

from pathlib import Path

import numpy as np
import pytest
from framings import COLORS, config, grid_of, timms_input
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from vitviz.images.framing import Framing, PatchGrid, frame
from vitviz.images.photo import Photo, open_image, photo_from_array


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


@given(
    rows=st.integers(1, 5),
    cols=st.integers(1, 5),
    high=st.floats(0.7, 7),
    wide=st.floats(0.7, 7),
    top=st.floats(-3, 9),
    left=st.floats(-3, 9),
)
@example(rows=4, cols=1, high=0.7000000000000001, wide=1.0, top=0.7, left=0.0)
def test_a_pixel_belongs_to_the_box_that_holds_its_centre(
    rows: int, cols: int, high: float, wide: float, top: float, left: float
) -> None:
    grid = PatchGrid(rows, cols, (high, wide), (top, left))
    found = grid.of_pixels((11, 13))
    boxes = {(row, col): grid.box(row, col) for row in range(rows) for col in range(cols)}
    for y, x in np.ndindex(11, 13):
        holding = [
            place for place, (x0, y0, x1, y1) in boxes.items() if x0 <= x + 0.5 < x1 and y0 <= y + 0.5 < y1
        ]
        assert len(holding) <= 1
        expected = holding[0] if holding else None
        assert grid.at(x + 0.5, y + 0.5) == expected
        assert found[y, x] == (-1 if expected is None else expected[0] * cols + expected[1])


@given(grids, grids, st.data())
def test_a_cell_is_in_the_cell_of_another_grid_that_holds_its_middle(
    grid: PatchGrid, other: PatchGrid, data: st.DataObject
) -> None:
    row, col = data.draw(st.integers(0, grid.rows - 1)), data.draw(st.integers(0, grid.cols - 1))
    assert grid.cell_in(grid, row, col) == grid.nearest_in(grid, row, col) == (row, col)
    left, top, right, bottom = grid.box(row, col)
    x, y = (left + right) / 2, (top + bottom) / 2
    edges = [other.box(0, 0), other.box(other.rows - 1, other.cols - 1)]
    found, nearest = grid.cell_in(other, row, col), grid.nearest_in(other, row, col)
    slack = 2e-6 * max(*grid.cell, *other.cell)
    if found is None:
        inside = (
            edges[0][0] + slack < x < edges[1][2] - slack and edges[0][1] + slack < y < edges[1][3] - slack
        )
        assert not inside
    else:
        x0, y0, x1, y1 = other.box(*found)
        assert x0 - slack <= x < x1 + slack
        assert y0 - slack <= y < y1 + slack
        assert nearest == found
    # No other row or column is nearer to the middle.
    rows = [abs((other.box(r, 0)[1] + other.box(r, 0)[3]) / 2 - y) for r in range(other.rows)]
    cols = [abs((other.box(0, c)[0] + other.box(0, c)[2]) / 2 - x) for c in range(other.cols)]
    assert rows[nearest[0]] <= min(rows) + slack
    assert cols[nearest[1]] <= min(cols) + slack


@pytest.mark.parametrize("size", [(96, 96), (100, 70), (7, 1000)])
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_every_cell_of_a_coarser_grid_holds_its_own(size: tuple[int, int], factor: int) -> None:
    coarse = PatchGrid(3, 5, (size[0] / 3, size[1] / 5), (2.0, -1.5))
    fine = coarse.divided(3 * factor, 5 * factor)
    for row, col in np.ndindex(fine.rows, fine.cols):
        assert fine.cell_in(coarse, row, col) == (row // factor, col // factor)
    for row, col in np.ndindex(coarse.rows, coarse.cols):
        assert coarse.cell_in(fine, row, col) == (row * factor + factor // 2, col * factor + factor // 2)
    apart = PatchGrid(2, 2, (1.0, 1.0), (-500.0, 5000.0))
    assert fine.cell_in(apart, 0, 0) is None
    assert fine.nearest_in(apart, 0, 0) == (1, 0)


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
