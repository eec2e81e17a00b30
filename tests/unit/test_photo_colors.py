"""Photos of every mode, depth and colour profile."""

import struct
from pathlib import Path

import numpy as np
import pytest
from photo_files import LOSSLESS, LOSSY, assert_close, matrix_profile, over_white, png, profile, saved, scene
from PIL import Image, ImageCms

from vitviz.images.photo import open_image


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

    both = Image.merge("LA", [Image.fromarray(gray), Image.fromarray(scene()[..., 1])])
    path = saved(tmp_path / "la.png", both, icc_profile=gray_profile(1.8))
    expected = over_white(srgb_of_linear(255 * (gray3(gray) / 255) ** 1.8), scene()[..., 1])
    assert_close(open_image(path).pixels, expected, 3)

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
