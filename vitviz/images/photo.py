"""The user's picture, whole and upright, from a file, an array or a Pillow image."""

import errno
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vitviz.errors import PhotoError
from vitviz.images.colors import to_upright_rgb

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
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"BM")


def open_image(path: str | os.PathLike[str]) -> "Photo":
    """Open a picture file: JPEG, PNG, WebP, AVIF, TIFF, BMP, GIF (first frame).

    Returns a `Photo`: upright by its EXIF orientation, in sRGB by its colour profile, over white where
    transparent, more than 8 bits scaled to 8. Raises `PhotoError` with one sentence naming the file and the
    reason.
    """
    where = Path(path)
    shown = str(where)
    _refuse_unless_file(where)
    try:
        with where.open("rb") as file:
            head = file.read(32)
            if not head:
                raise _refusal(shown, "the file is empty")
            with _decoding(shown, head):
                image = Image.open(file, formats=FORMATS)
            _refuse_size(shown, image)
            with _decoding(shown, head):
                image.load()
    except OSError as error:
        raise _refusal(shown, _reason(error), error) from error
    return Photo(_pixels(image, shown), where, where.name)


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
            upright = to_upright_rgb(image)
    except MemoryError as error:
        raise _refusal(name, _NO_MEMORY, error) from error
    except ValueError as error:
        reason = f"its colours are stored in a way vitviz does not read ({image.mode})"
        raise _refusal(name, reason, error) from error
    return np.asarray(upright)


def _refuse_unless_file(where: Path) -> None:
    """Check what kind of file it is before opening it: opening a pipe would wait for a writer."""
    try:
        status = where.stat()
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and where.is_symlink():
            raise _refusal(
                str(where), f"it is a link to {os.readlink(where)}, which does not exist"
            ) from error
        raise _refusal(str(where), _reason(error), error) from error
    if stat.S_ISDIR(status.st_mode):
        raise _refusal(str(where), "it is a folder, not a photo")
    if not stat.S_ISREG(status.st_mode):
        raise _refusal(str(where), "it is a pipe or a device, not a file")


def _refuse_size(shown: str, image: Image.Image) -> None:
    if 0 in image.size:
        raise _refusal(shown, "it has no pixels")
    if image.width * image.height > PIXEL_LIMIT:
        raise _refusal(
            shown,
            f"it has {image.width} × {image.height} pixels, more than the {PIXEL_LIMIT // 1_000_000} million "
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
        raise _refusal(shown, _reason(error) if from_disk else _DAMAGED, error) from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence Pillow's warnings of large photos and broken EXIF data, which are both handled here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _unidentified(head: bytes) -> str:
    boxed = head[4:8] == b"ftyp"
    if boxed and head[8:12] in _HEIC_BRANDS:
        return "it is a HEIC photo, which vitviz does not read; save it as JPEG or PNG first"
    riff = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    if riff or (boxed and head[8:12] in (b"avif", b"avis")) or head.startswith(_SIGNATURES):
        return _DAMAGED
    return f"it is not a picture that vitviz reads ({_KNOWN})"


def _reason(error: Exception) -> str:
    code = error.errno if isinstance(error, OSError) else None
    known = {
        errno.ENOENT: "there is no such file",
        errno.ENOTDIR: "there is no such file",
        errno.EACCES: "you have no permission to read it",
        errno.EPERM: "you have no permission to read it",
        errno.ELOOP: "it is a link that leads back to itself",
        errno.ENAMETOOLONG: "its name is too long",
    }
    if code is None:
        return "this cannot be the name of a file"
    return known.get(code, f"the system says “{os.strerror(code)}”")


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
