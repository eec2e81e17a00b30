"""Photos: every format, mode, depth, profile and orientation; and every file that is none."""

import contextlib
import io
import os
import stat
import struct
import tempfile
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from vitviz.errors import PhotoError
from vitviz.images.photo import PIXEL_LIMIT, Photo, open_image, photo_from_array, photo_from_image

LOSSLESS = {"png": {}, "bmp": {}, "tiff": {}, "webp": {"lossless": True}}
LOSSY = {"jpg": {"quality": 95, "subsampling": 0}, "avif": {"quality": 90}, "gif": {}}


def scene(height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth picture, different in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    channels = (255 * x / (width - 1), 255 * y / (height - 1), 128 + 60 * np.sin(x / 9) * np.cos(y / 7))
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def saved(path: Path, image: Image.Image | np.ndarray, **options: object) -> Path:
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(path, **options)
    return path


def over_white(colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return colors * share + 255 * (1 - share)


def assert_close(actual: np.ndarray, expected: np.ndarray, levels: float) -> None:
    assert actual.shape == expected.shape
    assert np.abs(actual.astype(float) - expected).max() <= levels


def png(header: tuple[int, int, int, int], rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file from (width, height, bits, colour type) and its unfiltered rows; for what Pillow cannot write."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0)),
        *chunks,
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(size: tuple[int, int], bits: int, pixels: bytes, photometric: int = 1) -> bytes:
    """A little-endian gray TIFF of (height, width); for depths and polarities that Pillow cannot write."""
    entries = [(256, size[1]), (257, size[0]), (258, bits), (259, 1), (262, photometric), (273, 8)]
    entries += [(277, 1), (278, size[0]), (279, len(pixels))]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    pixels += b"\0" * (len(pixels) % 2)
    return (
        b"II*\0"
        + struct.pack("<I", 8 + len(pixels))
        + pixels
        + struct.pack("<H", len(entries))
        + table
        + bytes(4)
    )


def profile(space: bytes, tags: dict[bytes, bytes], connection: bytes = b"XYZ ") -> bytes:
    """An ICC profile, version 2, of a display (or of a printer, for CMYK) from its tags."""
    d50 = struct.pack(">3i", 63190, 65536, 54061)
    text = b"test\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(79),
        b"cprt": b"text" + bytes(4) + text,
        b"wtpt": b"XYZ " + bytes(4) + d50,
        **tags,
    }
    offset, table, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    head = struct.pack(">I4sI4s4s4s", offset + len(body), b"test", 0x02400000, kind, space, connection)
    head += bytes(12) + b"acsp" + bytes(28) + d50
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def matrix_profile(order: str = "rgb", gamma: float = 1.0) -> bytes:
    """sRGB's primaries, assigned to the channels in `order`, with a gamma curve."""
    primaries = {"r": (0.4360, 0.2225, 0.0139), "g": (0.3851, 0.7169, 0.0971), "b": (0.1431, 0.0606, 0.7141)}
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = {}
    for channel, primary in zip("rgb", order, strict=True):
        values = struct.pack(">3i", *(round(value * 65536) for value in primaries[primary]))
        tags[f"{channel}XYZ".encode()] = b"XYZ " + bytes(4) + values
        tags[f"{channel}TRC".encode()] = curve
    return profile(b"RGB ", tags)


def gray_profile(gamma: float) -> bytes:
    return profile(
        b"GRAY", {b"kTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)}
    )


def cmyk_profile() -> bytes:
    """A printer whose cyan ink is red and whose other inks are black; Lab at each corner of CMYK."""
    ramp = bytes(range(256))
    white, red, black = bytes((255, 128, 128)), bytes((136, 208, 195)), bytes((0, 128, 128))
    corners = white + 7 * black + red + 7 * black
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + ramp * 4 + corners + ramp * 3
    return profile(b"CMYK", {b"A2B0": table}, b"Lab ")


def srgb_of_linear(values: np.ndarray) -> np.ndarray:
    """Linear light 0…255 → sRGB levels (IEC 61966-2-1)."""
    unit = values / 255
    return 255 * np.where(unit <= 0.0031308, 12.92 * unit, 1.055 * unit ** (1 / 2.4) - 0.055)


def refusal(path: object) -> str:
    """The sentence with which a file is refused, checked for what every such sentence has."""
    with pytest.raises(PhotoError) as caught:
        open_image(path)  # type: ignore[arg-type]
    message = caught.value.message
    assert str(path) in message
    assert message.startswith("Cannot open ")
    assert message.endswith(".")
    assert "\n" not in message
    return message


# Formats


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

SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def stored_for(upright: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores of an upright picture, pixel by pixel after the standard's wording."""
    height, width = upright.shape[:2]
    row_side, column_side = SIDES[orientation]
    turned = row_side in ("left", "right")
    stored = np.empty((width, height, 3) if turned else (height, width, 3), np.uint8)
    at = {
        "top": lambda i: i,
        "bottom": lambda i: height - 1 - i,
        "left": lambda i: i,
        "right": lambda i: width - 1 - i,
    }
    for r in range(stored.shape[0]):
        for c in range(stored.shape[1]):
            along, across = at[row_side](r), at[column_side](c)
            stored[r, c] = upright[across, along] if turned else upright[along, across]
    return stored


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


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\x00\x09"]
)
def test_broken_exif_data_is_ignored(tmp_path: Path, exif: bytes) -> None:
    path = saved(tmp_path / "photo.jpg", scene(), quality=95, subsampling=0, exif=exif)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        photo = open_image(path)
    assert np.abs(photo.pixels.astype(float) - scene()).mean() < 2
    assert seen == []


# Modes


@pytest.mark.parametrize("suffix", ["png", "tiff", "jpg"])
def test_gray_becomes_three_equal_channels(tmp_path: Path, suffix: str) -> None:
    gray = scene()[..., 0]
    photo = open_image(saved(tmp_path / f"gray.{suffix}", gray))
    assert_close(photo.pixels, np.repeat(gray[..., None], 3, axis=2), 6 if suffix == "jpg" else 0)
    assert np.ptp(photo.pixels, axis=2).max() == 0


def test_black_and_white_is_black_and_white(tmp_path: Path) -> None:
    bits = scene()[..., 0] > 100
    photo = open_image(saved(tmp_path / "bits.png", Image.fromarray(bits)))
    np.testing.assert_array_equal(photo.pixels, np.repeat(bits[..., None] * np.uint8(255), 3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "webp", "tiff"])
def test_transparency_lies_over_white(tmp_path: Path, suffix: str) -> None:
    alpha = scene()[::-1, :, 1]
    rgba = np.dstack([scene(), alpha])
    photo = open_image(
        saved(
            tmp_path / f"alpha.{suffix}",
            rgba,
            **({"lossless": True, "exact": True} if suffix == "webp" else {}),
        )
    )
    assert_close(photo.pixels, over_white(scene(), alpha), 1)


def test_opaque_alpha_changes_nothing(tmp_path: Path) -> None:
    rgba = np.dstack([scene(), np.full((48, 64), 255, np.uint8)])
    np.testing.assert_array_equal(open_image(saved(tmp_path / "opaque.png", rgba)).pixels, scene())


def test_gray_with_alpha_lies_over_white(tmp_path: Path) -> None:
    gray, alpha = scene()[..., 0], scene()[..., 1]
    photo = open_image(
        saved(tmp_path / "la.png", Image.merge("LA", [Image.fromarray(gray), Image.fromarray(alpha)]))
    )
    assert_close(photo.pixels, over_white(np.repeat(gray[..., None], 3, axis=2), alpha), 1)


def paletted() -> Image.Image:
    image = Image.fromarray((np.arange(64) % 4).astype(np.uint8).reshape(8, 8), "L")
    image = image.copy()
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 40, 80, 120])
    assert image.mode == "P"
    return image


PALETTE = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (40, 80, 120)])


@pytest.mark.parametrize("suffix", ["png", "gif", "tiff", "bmp"])
def test_palettes_give_their_colours(tmp_path: Path, suffix: str) -> None:
    photo = open_image(saved(tmp_path / f"palette.{suffix}", paletted()))
    np.testing.assert_array_equal(photo.pixels, PALETTE[np.arange(64) % 4].reshape(8, 8, 3))


@pytest.mark.parametrize(
    ("suffix", "transparency", "opacity"),
    [
        ("png", 1, (255, 0, 255, 255)),
        ("gif", 1, (255, 0, 255, 255)),
        ("png", bytes((255, 0, 128)), (255, 0, 128, 255)),
    ],
)
def test_transparent_palette_colours_lie_over_white(
    tmp_path: Path, suffix: str, transparency: object, opacity: tuple[int, ...]
) -> None:
    path = saved(tmp_path / f"palette.{suffix}", paletted(), transparency=transparency)
    index = np.arange(64).reshape(8, 8) % 4
    assert_close(open_image(path).pixels, over_white(PALETTE[index], np.array(opacity)[index]), 1)


def test_a_transparent_colour_of_a_picture_without_alpha_is_white(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 2), (10, 20, 30))
    image.putpixel((1, 1), (200, 100, 50))
    photo = open_image(saved(tmp_path / "key.png", image, transparency=(200, 100, 50)))
    assert photo.pixels[1, 1].tolist() == [255, 255, 255]
    assert photo.pixels[0, 0].tolist() == [10, 20, 30]


INKS = {
    (0, 0, 0, 0): (255, 255, 255),
    (255, 0, 0, 0): (0, 255, 255),
    (0, 255, 255, 0): (255, 0, 0),
    (0, 0, 0, 255): (0, 0, 0),
}


@pytest.mark.parametrize("suffix", ["tiff", "jpg"])
@pytest.mark.parametrize("ink", INKS)
def test_cmyk_without_a_profile(tmp_path: Path, suffix: str, ink: tuple[int, ...]) -> None:
    path = saved(tmp_path / f"print.{suffix}", Image.new("CMYK", (32, 16), ink))
    if suffix == "jpg":
        assert b"Adobe" in path.read_bytes()  # so its inks are stored inverted, as Photoshop's are
    assert_close(open_image(path).pixels, np.full((16, 32, 3), INKS[ink]), 3)


def test_lab_is_converted(tmp_path: Path) -> None:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(Image.new("RGB", (8, 8), (200, 90, 40)), to_lab)
    # The profile a Lab file may carry belongs to the program's RGB; it must not be applied.
    path = saved(tmp_path / "lab.tiff", lab, icc_profile=matrix_profile("bgr"))
    assert_close(open_image(path).pixels, np.full((8, 8, 3), (200, 90, 40)), 4)


# Depths

RAMP = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)


def gray3(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.rint(values)[..., None], 3, axis=2)


@pytest.mark.parametrize(("suffix", "order"), [("png", "<"), ("tiff", "<"), ("tiff", ">")])
def test_16_bit_gray_is_scaled_and_not_clipped(tmp_path: Path, suffix: str, order: str) -> None:
    path = saved(tmp_path / f"deep.{suffix}", RAMP.astype(f"{order}u2"))
    with Image.open(path) as stored:
        assert stored.mode == ("I;16B" if order == ">" else "I;16")
    np.testing.assert_array_equal(open_image(path).pixels, gray3(RAMP / 257))


def test_a_transparent_value_in_16_bit_gray_is_white(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in RAMP)
    path = tmp_path / "key.png"
    path.write_bytes(png((64, 48, 16, 0), rows, (b"tRNS", struct.pack(">H", int(RAMP[3, 4])))))
    expected = gray3(RAMP / 257)
    expected[3, 4] = 255
    np.testing.assert_array_equal(open_image(path).pixels, expected)


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour_is_scaled(tmp_path: Path, channels: int) -> None:
    deep = np.dstack([RAMP, RAMP[::-1], RAMP.T.reshape(48, 64), RAMP[:, ::-1]][:channels])
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    path = tmp_path / "deep.png"
    path.write_bytes(png((64, 48, 16, 2 if channels == 3 else 6), rows))
    expected = deep[..., :3] / 257
    if channels == 4:
        expected = over_white(expected, deep[..., 3] / 257)
    assert_close(open_image(path).pixels, expected, 3)  # Pillow itself drops the lower 8 bits


def test_12_bit_gray_is_scaled_by_its_own_white(tmp_path: Path) -> None:
    values = np.linspace(0, 4095, 64).astype(np.uint16).reshape(4, 16)
    first, second = values.reshape(-1, 2).T.astype(int)
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1).astype(np.uint8)
    path = tmp_path / "deep.tiff"
    path.write_bytes(tiff((4, 16), 12, packed.tobytes()))
    np.testing.assert_array_equal(open_image(path).pixels, gray3(values * (255 / 4095)))


def test_16_bit_gray_whose_white_is_zero_is_no_negative(tmp_path: Path) -> None:
    path = tmp_path / "scan.tiff"
    path.write_bytes(tiff(RAMP.shape, 16, RAMP.astype("<u2").tobytes(), photometric=0))
    np.testing.assert_array_equal(open_image(path).pixels, 255 - gray3(RAMP / 257))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[0, 25700, 65535]], np.int32), [0, 100, 255]),
        (np.array([[-1000, 0, 1000]], np.int32), [0, 128, 255]),
        (np.array([[0, 500_000, 1_000_000]], np.int32), [0, 128, 255]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 0, 1]], np.float32), [0, 0, 255]),
        (np.array([[0, 99.6, 254]], np.float32), [0, 100, 254]),
        (np.array([[-2, 0, 2]], np.float32), [0, 128, 255]),
        (np.array([[7, 7, 7]], np.float32), [7, 7, 7]),
        (np.array([[-7, -7, -7]], np.float32), [0, 0, 0]),
        (np.array([[np.nan, 0.5, np.inf]], np.float32), [0, 128, 255]),
        (np.array([[np.nan, np.nan, np.nan]], np.float32), [0, 0, 0]),
    ],
)
def test_numbers_without_a_stated_range_are_scaled_to_8_bits(
    tmp_path: Path, values: np.ndarray, expected: list[int]
) -> None:
    photo = open_image(saved(tmp_path / "numbers.tiff", values))
    assert photo.pixels[0, :, 0].tolist() == expected
    assert np.ptp(photo.pixels, axis=2).max() == 0


# Colour profiles


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_a_colour_profile_is_converted_to_srgb(tmp_path: Path, suffix: str) -> None:
    linear = saved(tmp_path / f"linear.{suffix}", scene(), icc_profile=matrix_profile(), **LOSSLESS[suffix])
    assert_close(open_image(linear).pixels, srgb_of_linear(scene()), 2)
    swapped = saved(
        tmp_path / f"swapped.{suffix}", scene(), icc_profile=matrix_profile("bgr"), **LOSSLESS[suffix]
    )
    assert_close(open_image(swapped).pixels, srgb_of_linear(scene()[..., ::-1]), 2)


def test_a_tall_photo_is_converted_to_its_last_row(tmp_path: Path) -> None:
    tall = scene(1300, 9)
    path = saved(tmp_path / "tall.png", tall, icc_profile=matrix_profile())
    assert_close(open_image(path).pixels, srgb_of_linear(tall), 2)


def test_jpegs_and_avifs_with_a_profile_are_converted(tmp_path: Path) -> None:
    for suffix in ("jpg", "avif"):
        path = saved(
            tmp_path / f"photo.{suffix}", scene(), icc_profile=matrix_profile("bgr", 2.2), **LOSSY[suffix]
        )
        assert np.abs(open_image(path).pixels.astype(float) - scene()[..., ::-1]).mean() < 4


def test_an_srgb_profile_leaves_every_pixel_as_it_is_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[tuple[int, int]] = []
    apply = ImageCms.applyTransform

    def spy(image: Image.Image, *options: object) -> object:
        converted.append(image.size)
        return apply(image, *options)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageCms, "applyTransform", spy)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(tmp_path / "srgb.png", scene(), icc_profile=srgb)
    np.testing.assert_array_equal(open_image(path).pixels, scene())
    assert (64, 48) not in converted
    open_image(saved(tmp_path / "linear.png", scene(), icc_profile=matrix_profile()))
    assert (64, 48) in converted


def test_profiles_apply_to_gray_palettes_and_the_colours_under_alpha(tmp_path: Path) -> None:
    gray = scene()[..., 0]
    path = saved(tmp_path / "gray.png", gray, icc_profile=gray_profile(1.8))
    assert_close(open_image(path).pixels, srgb_of_linear(255 * (gray3(gray) / 255) ** 1.8), 2)

    deep = saved(tmp_path / "deep.png", RAMP, icc_profile=gray_profile(1.8))
    assert_close(open_image(deep).pixels, srgb_of_linear(255 * (gray3(RAMP / 257) / 255) ** 1.8), 2)

    palette = saved(tmp_path / "palette.png", paletted(), icc_profile=matrix_profile())
    assert_close(open_image(palette).pixels, srgb_of_linear(PALETTE[np.arange(64) % 4].reshape(8, 8, 3)), 2)

    alpha = scene()[..., 1]
    rgba = saved(tmp_path / "alpha.png", np.dstack([scene(), alpha]), icc_profile=matrix_profile())
    assert_close(open_image(rgba).pixels, over_white(srgb_of_linear(scene()), alpha), 3)


@pytest.mark.parametrize("suffix", ["tiff", "jpg"])
def test_cmyk_is_converted_by_its_profile(tmp_path: Path, suffix: str) -> None:
    def printed(ink: tuple[int, ...]) -> list[int]:
        path = saved(
            tmp_path / f"print.{suffix}", Image.new("CMYK", (32, 16), ink), icc_profile=cmyk_profile()
        )
        return [int(value) for value in open_image(path).pixels[8, 16]]

    assert printed((0, 0, 0, 0)) == pytest.approx([255, 255, 255], abs=3)
    assert printed((255, 0, 0, 0)) == pytest.approx([255, 0, 0], abs=12)


@pytest.mark.parametrize("broken", [b"nonsense", matrix_profile()[:200], gray_profile(1.0), cmyk_profile()])
def test_a_broken_or_foreign_profile_is_ignored(tmp_path: Path, broken: bytes) -> None:
    path = saved(tmp_path / "photo.png", scene(), icc_profile=broken)
    np.testing.assert_array_equal(open_image(path).pixels, scene())


# What is no photo


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path / "absent.jpg")
    assert "it is a folder" in refusal(tmp_path)
    file = saved(tmp_path / "photo.png", scene())
    assert "there is no such file" in refusal(file / "inside.png")
    assert "its name is too long" in refusal(tmp_path / ("x" * 300))
    assert "cannot be the name of a file" in refusal("nul\0.png")


def test_links(tmp_path: Path) -> None:
    photo = saved(tmp_path / "photo.png", scene())
    good, broken, loop = tmp_path / "good", tmp_path / "broken", tmp_path / "loop"
    good.symlink_to(photo)
    broken.symlink_to(tmp_path / "gone.png")
    loop.symlink_to(loop)
    assert open_image(good).name == "good"
    assert "gone.png, which does not exist" in refusal(broken)
    assert "leads back to itself" in refusal(loop)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    answers: list[str] = []
    worker = threading.Thread(target=lambda: answers.append(refusal(pipe)), daemon=True)
    worker.start()
    worker.join(10)
    assert not worker.is_alive(), "opening a pipe waits for ever"
    assert "it is a pipe or a device" in answers[0]
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert "it is a pipe or a device" in refusal(os.devnull)


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """As somebody whom permissions bind; root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX permissions")
def test_what_may_not_be_read_is_refused() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        photo = saved(folder / "photo.png", scene())
        photo.chmod(0)
        (folder / "closed").mkdir(0o700 if os.geteuid() == 0 else 0)
        with without_privileges():
            assert "no permission to read it" in refusal(photo)
            assert "no permission to read it" in refusal(folder / "closed" / "photo.png")
        (folder / "closed").chmod(0o700)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"Dear diary, no picture today.\n" * 50, "not a picture that vitviz reads"),
        (bytes(range(256)) * 20, "not a picture that vitviz reads"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\n", "not a picture that vitviz reads"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "a HEIC photo"),
        (b"\xff\xd8\xff", "damaged or cut short"),
        (b"\x89PNG\r\n\x1a\n", "damaged or cut short"),
        (b"RIFF\x24\0\0\0WEBPVP8 " + bytes(20), "damaged or cut short"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "file.jpg"
    path.write_bytes(content)
    assert reason in refusal(path)


def noisy_file(suffix: str) -> bytes:
    """A picture that takes some thousand bytes in every format."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    kind = Image.registered_extensions()[f".{suffix}"]
    Image.fromarray(noise).save(buffer, kind, **{**LOSSLESS, **LOSSY}[suffix])
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [*LOSSLESS, *LOSSY])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    whole = noisy_file(suffix)
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole)
    open_image(path)
    path.write_bytes(whole[: max(12, int(len(whole) * kept))])
    assert "damaged or cut short" in refusal(path)


@pytest.mark.parametrize("suffix", [*LOSSLESS, *LOSSY])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_gives_a_photo_or_a_sentence_and_nothing_else(
    tmp_path: Path, suffix: str, data: st.DataObject
) -> None:
    content = bytearray(noisy_file(suffix))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / f"damaged.{suffix}"
    path.write_bytes(content)
    with contextlib.suppress(PhotoError):
        assert open_image(path).pixels.dtype == np.uint8


@pytest.mark.parametrize(("width", "height"), [(12_650, 12_650), (PIXEL_LIMIT + 1, 1), (60_000, 60_000)])
def test_decompression_bombs_are_refused_before_they_unpack(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png((width, height, 8, 2), bytes(100)))
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        message = refusal(path)
    assert "160 million" in message
    if width * height < 170_000_000:
        assert f"{width} × {height} pixels" in message
    assert before == Image.MAX_IMAGE_PIXELS


def test_large_photos_within_the_limit_are_opened_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Image, "MAX_IMAGE_PIXELS", 2000
    )  # the scene has 3072: Pillow warns from 2000, refuses from 4000
    path = saved(tmp_path / "photo.png", scene())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_image(path).size == (48, 64)


@pytest.mark.parametrize(
    ("failing", "reason"), [(MemoryError(), "not enough memory"), (OSError(5, "I/O"), "the system says")]
)
def test_faults_of_the_machine_are_told_from_faults_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: Exception, reason: str
) -> None:
    path = saved(tmp_path / "photo.png", scene())

    def fail(self: ImageFile.ImageFile) -> None:
        raise failing

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert reason in refusal(path)


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
