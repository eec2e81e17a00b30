"""Photos from files of every format, from arrays and from Pillow images."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from photo_files import (
    LOSSLESS,
    LOSSY,
    SIDES,
    assert_close,
    matrix_profile,
    noisy_file,
    over_white,
    saved,
    scene,
    stored_for,
)
from PIL import Image

from vitviz.errors import PhotoError
from vitviz.images.photo import Photo, open_image, photo_from_array, photo_from_image


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_formats_give_the_pixels_that_were_saved(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"photo.{suffix}", scene(), **LOSSLESS[suffix])
    photo = open_image(path)
    np.testing.assert_array_equal(photo.pixels, scene())
    assert (photo.path, photo.name, photo.size) == (path, path.name, (48, 64))
    assert (photo.height, photo.width) == (48, 64)


@pytest.mark.parametrize("suffix", LOSSY)
def test_lossy_formats_come_close(tmp_path: Path, suffix: str) -> None:
    photo = open_image(saved(tmp_path / f"photo.{suffix}", scene(), **LOSSY[suffix]))
    difference = np.abs(photo.pixels.astype(float) - scene())
    assert difference.mean() < (6 if suffix == "gif" else 2)  # 256 colours in a GIF


def test_what_a_file_is_is_told_by_its_content_and_not_by_its_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "photo.txt", scene(), format="PNG")
    np.testing.assert_array_equal(open_image(str(path)).pixels, scene())


@pytest.mark.parametrize(
    ("suffix", "options"), [("gif", {}), ("png", {}), ("webp", {"lossless": True}), ("tiff", {})]
)
def test_of_many_frames_the_first_is_opened(tmp_path: Path, suffix: str, options: dict[str, object]) -> None:
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "blue")]
    path = tmp_path / f"frames.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    assert np.all(open_image(path).pixels == (255, 0, 0))


def test_a_phones_multi_picture_file_opens(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (32, 16), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=frames[1:])
    assert_close(open_image(tmp_path / "phone.jpg").pixels, np.full((16, 32, 3), (255, 0, 0)), 3)


# Orientation. The EXIF standard says which side of the picture the stored row 0 and column 0 are.


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp", "jpg", "avif"])
@pytest.mark.parametrize("orientation", SIDES)
def test_photos_stand_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {**LOSSLESS, **LOSSY}[suffix]
    path = saved(tmp_path / f"turned.{suffix}", stored_for(scene(), orientation), exif=exif, **options)
    photo = open_image(path)
    assert_close(photo.pixels, scene(), 0 if suffix in LOSSLESS else 40)
    assert np.abs(photo.pixels.astype(float) - scene()).mean() < 2


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
@pytest.mark.parametrize(
    "exif", [b"nonsense", b"MM\0*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\x00\x09"]
)
def test_broken_exif_data_is_ignored(tmp_path: Path, suffix: str, exif: bytes) -> None:
    options = {**LOSSLESS, **LOSSY}[suffix]
    path = saved(tmp_path / f"photo.{suffix}", scene(), exif=b"Exif\0\0" + exif, **options)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        photo = open_image(path)
    assert np.abs(photo.pixels.astype(float) - scene()).mean() < 2
    assert seen == []


# Arrays and Pillow images


def test_arrays_of_every_kind() -> None:
    rgb, alpha = scene(), scene()[..., 1]
    np.testing.assert_array_equal(photo_from_array(rgb).pixels, rgb)
    np.testing.assert_array_equal(photo_from_array(rgb / 255).pixels, rgb)
    np.testing.assert_array_equal(photo_from_array((rgb / 255).astype(np.float16)).pixels.shape, rgb.shape)
    np.testing.assert_array_equal(photo_from_array(rgb[..., 0]).pixels, np.repeat(rgb[..., :1], 3, axis=2))
    assert_close(photo_from_array(np.dstack([rgb, alpha])).pixels, over_white(rgb, alpha), 1)
    np.testing.assert_array_equal(photo_from_array(rgb[::-1, ::2]).pixels, rgb[::-1, ::2])
    np.testing.assert_array_equal(photo_from_array(np.array([[0, 1.00001]])).pixels[0, :, 0], [0, 255])


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 4, 5), np.uint8), "channels last"),
        (np.zeros((4, 5, 2), np.uint8), "its shape is (4, 5, 2)"),
        (np.zeros(7, np.uint8), "its shape is (7,)"),
        (np.zeros((0, 5, 3), np.uint8), "its shape is (0, 5, 3)"),
        (np.zeros((4, 5, 3), np.int64), "its type is int64"),
        (np.full((4, 5, 3), 255.0), "from 255 to 255"),
        (np.full((4, 5), -0.5), "from -0.5 to -0.5"),
        (np.full((4, 5), np.nan), "from nan to nan"),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray, reason: str) -> None:
    with pytest.raises(PhotoError) as caught:
        photo_from_array(array, "frame 7")
    assert caught.value.message.startswith("Cannot make a photo of frame 7: ")
    assert reason in caught.value.message


def test_a_pillow_image_is_converted_as_a_file_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "photo.png", stored_for(scene(), 6), exif=exif, icc_profile=matrix_profile())
    with Image.open(path) as image:
        photo = photo_from_image(image, "pasted")
    np.testing.assert_array_equal(photo.pixels, open_image(path).pixels)
    assert (photo.name, photo.path) == ("pasted", None)


def test_pillow_images_that_hold_no_photo_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PhotoError, match=r"Cannot open nothing: it has no pixels\."):
        photo_from_image(Image.new("RGB", (0, 5)), "nothing")
    path = tmp_path / "cut.png"
    path.write_bytes(noisy_file("png")[:4000])
    with (
        Image.open(path) as image,
        pytest.raises(PhotoError, match="Cannot open pasted: the file is damaged"),
    ):
        photo_from_image(image, "pasted")
    monkeypatch.setattr("vitviz.images.photo.PIXEL_LIMIT", 1000)
    with pytest.raises(PhotoError, match="64 × 48 pixels"):
        photo_from_image(Image.fromarray(scene()), "large")


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: open_image(saved(folder / "photo.png", scene())),
        lambda folder: photo_from_array(scene()),
        lambda folder: photo_from_array(np.asfortranarray(scene() / 255)),
        lambda folder: photo_from_image(Image.fromarray(scene()), "pasted"),
        lambda folder: Photo(scene()[:, ::-1]),
    ],
)
def test_pixels_are_contiguous_and_cannot_be_changed(tmp_path: Path, make: Callable[[Path], Photo]) -> None:
    pixels = make(tmp_path).pixels
    assert pixels.flags.c_contiguous
    assert not pixels.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0, 0] = 1


def test_a_photo_does_not_follow_the_array_it_was_made_of() -> None:
    array = scene()
    view = array[:]
    view.flags.writeable = False
    photos = [Photo(array), Photo(view), photo_from_array(array), photo_from_array(view)]
    array[:] = 0
    for photo in photos:
        np.testing.assert_array_equal(photo.pixels, scene())


def test_a_photo_is_uint8_rgb() -> None:
    for wrong in (scene() / 255, scene()[..., 0], np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="pixels must be uint8"):
            Photo(wrong)
    assert "array" not in repr(Photo(scene(), name="goldfish"))


def test_opening_photos_does_not_wait_for_torch() -> None:
    import subprocess
    import sys

    code = "import sys, vitviz.images.framing; sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_real_photos(real: Path) -> None:
    photos = {path.name: open_image(path) for path in sorted((real / "photos").iterdir())}
    assert len(photos) == 8
    guitar = photos["n02676566_acoustic_guitar.JPEG"]
    assert guitar.size == (467, 700)
    assert np.ptp(guitar.pixels, axis=2).max() == 0
    peacock = next(photo for name, photo in photos.items() if name.startswith("viktor"))
    assert peacock.size == (4928, 3264)
    with Image.open(peacock.path) as stored:
        np.testing.assert_array_equal(
            peacock.pixels, np.asarray(stored.convert("RGB"))
        )  # its profile is sRGB
