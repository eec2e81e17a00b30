"""The user's picture, whole and upright, from a file, an array or a Pillow image."""

import io
import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from vitviz import files
from vitviz.errors import PhotoError
from vitviz.images import kinds, tiff
from vitviz.images.colors import stretched, to_upright_rgb

PIXEL_LIMIT = 160_000_000
"""The most pixels a file may unpack to: above any camera's, below where Pillow refuses (178,956,970)."""

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "DIB", "GIF", "JPEG2000", "PPM")
"""Pillow's names of the formats that are opened; the multi-picture files of phones (MPO) come as JPEG."""

SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".avif",
    ".tif",
    ".tiff",
    ".bmp",
    ".gif",
    ".jp2",
    ".ppm",
    ".pgm",
)
"""The usual suffixes of these formats, for file dialogs; `open_image` goes by content."""

_KNOWN = "JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF"
_DAMAGED = "the file is damaged or cut short"
_NO_MEMORY = "there is not enough memory for its pixels"
_HEAD = 512
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", *tiff.SIGNATURES, b"BM")
_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


def open_image(path: str | os.PathLike[str]) -> "Photo":
    """Open a picture file: JPEG, PNG, WebP, AVIF, TIFF, BMP, GIF (first frame).

    Returns a `Photo`: upright by its EXIF orientation, in sRGB by its colour profile, over white where
    transparent, more than 8 bits scaled to 8. Raises `PhotoError` with one sentence naming the file and the
    reason.
    """
    where = Path(path)
    shown = str(where)
    reason = files.refusal(where)
    if reason is not None:
        raise _refusal(shown, "it is a folder, not a photo" if reason == "it is a folder" else reason)
    try:
        with where.open("rb") as file:
            head = file.read(_HEAD)
            if not head:
                raise _refusal(shown, "the file is empty")
            other = kinds.other_kind(head)
            if other is not None:
                raise _refusal(shown, f"it is {other}")
            if head[:4] in tiff.SIGNATURES:
                return Photo(_tiff_pixels(file, shown, head), where, where.name)
            file.seek(0)
            return Photo(_pixels(_decoded(file, shown, head), shown), where, where.name)
    except OSError as error:
        raise _refusal(shown, files.reason_of(error), error) from error
    except MemoryError as error:
        raise _refusal(shown, _NO_MEMORY, error) from error


def _decoded(file: IO[bytes], shown: str, head: bytes) -> Image.Image:
    """The loaded image of a file that Pillow reads; a JPEG may lack its last marker where its pixels are whole."""
    with _decoding(shown, head):
        image = Image.open(file, formats=FORMATS)
    _refuse_size(shown, image)
    # Each block of 8 × 8 pixels takes a bit at least; a few bytes that claim many pixels would be filled with gray.
    blocks = -(-image.width // 8) * -(-image.height // 8)
    if head.startswith(_JPEG) and os.fstat(file.fileno()).st_size * 8 < blocks:
        raise _refusal(shown, _DAMAGED)
    try:
        with _decoding(shown, head):
            image.load()
    except PhotoError:
        if not head.startswith(_JPEG):
            raise
        file.seek(0)
        with _decoding(shown, head):
            whole = _whole_jpeg(file.read())
        if whole is None:
            raise
        return whole
    return image


def _whole_jpeg(content: bytes) -> Image.Image | None:
    """The image of a JPEG without its last marker, if all of its pixels are there.

    Where some were missing, the decoder would take what follows for them: it is tried with two different endings.
    """
    endings = (b"", b"\x5a\xa5\x3c" * 40)
    images = [Image.open(io.BytesIO(content + ending + _JPEG_END), formats=("JPEG",)) for ending in endings]
    for image in images:
        image.load()
    return images[0] if images[0].tobytes() == images[1].tobytes() else None


def _tiff_pixels(file: IO[bytes], shown: str, head: bytes) -> NDArray[np.uint8]:
    """The pixels of a TIFF: by Pillow where it reads them rightly, else by `tiff`."""
    tiff.silence_libtiff()
    tags = tiff.read_tags(file)
    try:
        tiff.require_no_raw(tags)
        if not tiff.is_misread(tags):
            file.seek(0)
            try:
                return _pixels(_decoded(file, shown, head), shown)
            except PhotoError as error:
                reason = tiff.refusal_of(tags) if error.message.endswith(f"{_DAMAGED}.") else None
                raise (error if reason is None else _refusal(shown, reason, error)) from error
        _refuse_area(shown, *tiff.size_of(tags))
        values = tiff.read_plain(file, tags)
    except tiff.UnreadTiffError as error:
        raise _refusal(shown, str(error)) from error
    except (ValueError, TypeError, zlib.error, OverflowError) as error:
        raise _refusal(shown, _DAMAGED, error) from error
    image = Image.fromarray(stretched(values))
    image.getexif()[ExifTags.Base.Orientation] = tiff.orientation_of(tags)
    return _pixels(image, shown)


def photo_from_image(image: Image.Image, name: str) -> "Photo":
    """A photo of a Pillow image of any mode, converted as files are; `name` is what the user sees.

    Raises `PhotoError` if its pixels cannot be read or converted.
    """
    _refuse_size(name, image)
    with _decoding(name, b""):
        image.load()
    return Photo(_pixels(image, name), None, name)


def photo_from_array(array: NDArray[Any], name: str = "array") -> "Photo":
    """A photo of an array: (H, W) gray, (H, W, 3) RGB or (H, W, 4) RGBA; uint8 0…255, or float 0…1.

    The pixels are copied. Raises `PhotoError` for any other shape, type or range.
    """
    values = np.asarray(array)
    channels = values.shape[2] if values.ndim == 3 else 1
    if values.ndim not in (2, 3) or (values.ndim == 3 and channels not in (3, 4)) or 0 in values.shape:
        hint = ""
        if values.ndim == 3 and values.shape[0] in (1, 3, 4):
            hint = "; move the channels last with numpy.moveaxis(array, 0, -1)"
        raise PhotoError(
            f"Cannot make a photo of {name}: its shape is {values.shape}, not (height, width), "
            f"(height, width, 3) or (height, width, 4){hint}."
        )
    if np.issubdtype(values.dtype, np.floating):
        low, high = float(values.min()), float(values.max())
        if not (low >= -1e-4 and high <= 1 + 1e-4):  # a little more than 1 is rounding; nan fails as well
            raise PhotoError(
                f"Cannot make a photo of {name}: its numbers go from {low:.6g} to {high:.6g}; "
                "floats must be from 0 to 1."
            )
        values = np.rint(np.clip(values, 0, 1).astype(np.float32) * 255).astype(np.uint8)
    elif values.dtype != np.uint8:
        raise PhotoError(
            f"Cannot make a photo of {name}: its type is {values.dtype}; "
            "give uint8 from 0 to 255, or floats from 0 to 1."
        )
    if channels == 3:
        pixels = values.copy()
        pixels.flags.writeable = False
        return Photo(pixels, None, name)
    return photo_from_image(Image.fromarray(np.ascontiguousarray(values)), name)


def _pixels(image: Image.Image, name: str) -> NDArray[np.uint8]:
    try:
        with _without_warnings():
            return np.asarray(to_upright_rgb(image))
    except MemoryError as error:
        raise _refusal(name, _NO_MEMORY, error) from error
    except ValueError as error:
        reason = f"its colours are stored in a way vitviz does not read ({image.mode})"
        raise _refusal(name, reason, error) from error


def _refuse_size(shown: str, image: Image.Image) -> None:
    _refuse_area(shown, image.width, image.height)


def _refuse_area(shown: str, width: int, height: int) -> None:
    if width <= 0 or height <= 0:
        raise _refusal(shown, "it has no pixels")
    if width * height > PIXEL_LIMIT:
        raise _refusal(
            shown,
            f"it has {width} × {height} pixels, more than the {PIXEL_LIMIT // 1_000_000} million "
            "vitviz opens; make it smaller first",
        )


@contextmanager
def _decoding(shown: str, head: bytes) -> Iterator[None]:
    """Runs Pillow: what it raises on a damaged file becomes a PhotoError of one sentence."""
    try:
        with _without_warnings():
            yield
    except MemoryError as error:
        raise _refusal(shown, _NO_MEMORY, error) from error
    except Image.DecompressionBombError as error:
        raise _refusal(
            shown, f"it has more than the {PIXEL_LIMIT // 1_000_000} million pixels vitviz opens", error
        ) from error
    except UnidentifiedImageError as error:
        raise _refusal(shown, _unidentified(head), error) from error
    except Exception as error:
        # Decoders raise SyntaxError, ValueError, struct.error, IndexError and more; the disk, numbered OSErrors.
        from_disk = isinstance(error, OSError) and error.errno is not None
        raise _refusal(shown, files.reason_of(error) if from_disk else _DAMAGED, error) from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence Pillow's warnings of large photos and broken EXIF data, which are both handled here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _unidentified(head: bytes) -> str:
    riff = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    boxed = head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis")
    if riff or boxed or head.startswith(_SIGNATURES):
        return _DAMAGED
    return f"it is not a picture that vitviz reads ({_KNOWN})"


def _refusal(shown: str, reason: str, error: Exception | None = None) -> PhotoError:
    details = "" if error is None else f"{type(error).__name__}: {error}"
    return PhotoError(f"Cannot open {shown}: {reason}.", details)


@dataclass(frozen=True, eq=False)
class Photo:
    """The user's picture: the whole of it, upright, in sRGB.

    `pixels`: uint8 (height, width, 3), C-contiguous and read-only (an array given otherwise is copied).
    `path`: the file it came from, or None; `name`: what the user sees. Raises ValueError for other arrays.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    path: Path | None = None
    name: str = "photo"

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ValueError(f"pixels must be uint8 (height, width, 3), not {pixels.dtype} {pixels.shape}")
        if pixels.flags.writeable or not pixels.flags.c_contiguous or isinstance(pixels.base, np.ndarray):
            pixels = pixels.copy(order="C")  # a read-only view may still change through the array behind it
            pixels.flags.writeable = False
            object.__setattr__(self, "pixels", pixels)

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width
