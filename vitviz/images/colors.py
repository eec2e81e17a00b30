"""Any picture Pillow can hold → upright 8-bit sRGB: alpha over white, 16 bits scaled, profiles converted."""

import io
import os
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

# EXIF orientation (CIPA DC-008, tag 0x0112) → what turns the stored pixels upright; 1 is upright already.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
_ROWS_PER_STRIP = 512
_THREADS = min(4, os.cpu_count() or 1)


def to_upright_rgb(image: Image.Image) -> Image.Image:
    """The picture as mode "RGB", upright, in sRGB, over white where it is transparent.

    The image must be loaded. Profiles and EXIF data that cannot be read are ignored. Raises ValueError for a
    mode that Pillow cannot convert.
    """
    turn = _UPRIGHT.get(_orientation(image))
    # The profile of a Lab picture does not apply to the RGB that Pillow converts it to.
    profile = image.info.get("icc_profile") if image.mode != "LAB" else None
    base, alpha = _split_alpha(image)
    rgb = _to_srgb(base, profile if isinstance(profile, bytes) else None)
    if alpha is not None:
        white = Image.new("RGB", rgb.size, "white")
        white.paste(rgb, mask=alpha)
        rgb = white
    return rgb if turn is None else rgb.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, KeyError, TypeError, EOFError, OSError, struct.error):
        return 1  # what Pillow raises on broken EXIF data; the pixels are complete nevertheless
    return value if isinstance(value, int) else 1


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours in a mode a profile applies to (L, RGB, CMYK), and the opacity where there is any."""
    if image.mode.startswith("I") or image.mode == "F":
        return _to_8_bit(image)
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        alpha = rgba.getchannel("A")
        gray = image.mode in ("L", "LA", "La", "1")
        opaque = alpha.getextrema() == (255, 255)
        return rgba.convert("L" if gray else "RGB"), None if opaque else alpha
    if image.mode == "1":
        return image.convert("L"), None
    if image.mode in ("L", "RGB", "CMYK"):
        return image, None
    return image.convert("RGB"), None


def _to_8_bit(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Gray of more than 8 bits (modes I;16…, I, F) → L, scaled; its transparent value → opacity."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;"):
        bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
        white = (1 << bits) - 1  # 12-bit TIFFs come in this mode too
        table = (np.minimum(np.arange(65536), white) * 255 + white // 2) // white
        pixels = table.astype(np.uint8)[values]
    else:
        pixels = stretched(values)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        pixels = 255 - pixels  # Pillow inverts these only up to 8 bits
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return Image.fromarray(pixels), None
    alpha = np.where(values == transparent, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels), Image.fromarray(alpha)


def stretched(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Values of unstated range → 0…255: by the smallest of 1, 255, 65535 that holds them, else min to max."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    top = next((top for top in (1.0, 255.0, 65535.0) if low >= 0 and high <= top), None)
    if top is not None:
        low, high = 0.0, top
    span = high - low or 1.0
    pixels = np.empty(values.shape, np.uint8)
    for rows in _strips(len(values)):
        strip = np.nan_to_num(values[rows].astype(np.float64), nan=low, posinf=high, neginf=low)
        pixels[rows] = np.rint((strip - low) / span * 255)
    return pixels


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An L, RGB or CMYK picture → RGB, by its profile where that can be read and differs from sRGB."""
    transform = _transform(profile, image.mode) if profile else None
    if transform is None:
        return image if image.mode == "RGB" else image.convert("RGB")

    def convert(rows: slice) -> Image.Image:
        strip = ImageCms.applyTransform(image.crop((0, rows.start, image.width, rows.stop)), transform)
        assert strip is not None  # None is only returned for a transform in place
        return strip

    converted = Image.new("RGB", image.size)
    with ThreadPoolExecutor(_THREADS) as pool:  # LittleCMS runs without Python's lock
        for rows, strip in zip(strips := _strips(image.height), pool.map(convert, strips), strict=True):
            converted.paste(strip, (0, rows.start))
    return converted


def _strips(height: int) -> list[slice]:
    return [slice(top, min(top + _ROWS_PER_STRIP, height)) for top in range(0, height, _ROWS_PER_STRIP)]


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From `profile` to sRGB; None where it is broken, for another mode, or changes no colour by more than 1."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), mode, "RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if mode == "CMYK":
        return transform
    steps = np.linspace(0, 255, 18).astype(np.uint8)
    if mode == "L":
        probe = Image.fromarray(steps[None])
    else:
        cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
        probe = Image.fromarray(cube.reshape(1, -1, 3))
    result = ImageCms.applyTransform(probe, transform)
    change = np.abs(np.asarray(result, np.int16) - np.asarray(probe.convert("RGB"), np.int16)).max()
    return transform if change > 1 else None
