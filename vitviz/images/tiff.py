"""TIFF files that Pillow reads wrongly or not at all: read here where they are plain, otherwise named.

Pillow takes 16-bit planes for 8-bit ones, wraps unsigned 32-bit numbers, and knows neither 16- and 64-bit floats nor
floats in colour. These are read here if they are stored in strips, uncompressed or deflated.
"""

import ctypes
import warnings
import zlib
from collections.abc import Mapping
from functools import cache
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin, _imaging

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _ROWS, _COUNTS, _PLANAR, _PREDICTOR, _FORMAT = 273, 277, 278, 279, 284, 317, 339
_SUBFILE, _SUB_IFDS, _MAKE, _DNG_VERSION, _ORIENTATION = 254, 330, 271, 50706, 274
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _COLOUR_FILTER, _LINEAR_RAW = 0, 1, 2, 32803, 34892
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_NONE, _DEFLATE = 1, (8, 32946)
_COMPRESSIONS = {
    2: "CCITT", 3: "CCITT G3", 4: "CCITT G4", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "Deflate", 32773: "PackBits",
    32946: "Deflate", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA",
    50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
_SAVE = "save it as PNG"
_SAVE_PLAIN = f"{_SAVE} or as a TIFF without compression"

Tags = Mapping[int, Any]


class UnreadTiffError(Exception):
    """What a TIFF is, where it is whole and not read, as a part of a sentence."""


def read_tags(file: IO[bytes]) -> Tags:
    """The tags of the first picture in a TIFF file; none where they cannot be read."""
    try:
        file.seek(0)
        head = file.read(8)
        if head[2:3] == b"+" or head[3:4] == b"+":
            head += file.read(8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            directory = TiffImagePlugin.ImageFileDirectory_v2(head)
            file.seek(directory.next)
            directory.load(file)
            return {tag: directory[tag] for tag in directory}
    # Damaged tags make Pillow's reader fail in many ways.
    except Exception:
        return {}


def require_no_raw(tags: Tags) -> None:
    """Raise UnreadTiffError for a camera's raw file, whose first picture is a small preview, or no picture at all."""
    preview = tags.get(_SUBFILE) == 1 and _SUB_IFDS in tags
    if _DNG_VERSION in tags or preview or tags.get(_PHOTOMETRIC) in (_COLOUR_FILTER, _LINEAR_RAW):
        maker = str(tags.get(_MAKE, "")).strip("\0 ")
        what = "DNG" if _DNG_VERSION in tags else maker or "NEF, CR2 and the like"
        raise UnreadTiffError(
            f"it is a camera's raw file ({what}), which vitviz does not develop; save it as JPEG or PNG in a photo program"
        )


def is_misread(tags: Tags) -> bool:
    """Whether Pillow reads the pixels wrongly or not at all, though they may be whole."""
    bits, kinds = _each(tags, _BITS, 1), _each(tags, _FORMAT, _UNSIGNED)
    samples = int(tags.get(_SAMPLES, 1))
    deep = max(bits) > 16
    planes = tags.get(_PLANAR) == 2 and samples > 1 and max(bits) > 8
    single = samples == 1 and bits == (32,) and kinds[0] in (_SIGNED, _FLOAT)
    return planes or (_FLOAT in kinds and not single) or (deep and not single)


def read_plain(file: IO[bytes], tags: Tags) -> NDArray[Any]:
    """The numbers of a TIFF that `is_misread`: (height, width) or (height, width, 3), of their own type, black being low.

    Raises UnreadTiffError where they are not plain, and ValueError where the file is damaged.
    """
    bits, kinds = _each(tags, _BITS, 1), _each(tags, _FORMAT, _UNSIGNED)
    samples, height, width = (int(tags.get(tag, 1)) for tag in (_SAMPLES, _HEIGHT, _WIDTH))
    photometric = tags.get(_PHOTOMETRIC)
    wanted = 3 if photometric == _RGB else 1
    if samples != wanted or photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        many = refusal_of(tags) if samples > 4 else None
        raise UnreadTiffError(many or f"it has {samples} bands of {_numbers(tags)}; {_SAVE}")
    compression = int(tags.get(_COMPRESSION, _NONE))
    plain = compression in (_NONE, *_DEFLATE) and tags.get(_PREDICTOR, 1) == 1 and _OFFSETS in tags
    letter = {_UNSIGNED: "u", _SIGNED: "i", _FLOAT: "f"}.get(kinds[0])
    sound = len(set(bits)) == len(set(kinds)) == 1 and bits[0] in (8, 16, 32, 64) and letter is not None
    if not plain or not sound or (letter == "f" and bits[0] == 8):
        packed = (
            ""
            if compression == _NONE
            else f", compressed with {_COMPRESSIONS.get(compression, 'another method')}"
        )
        apart = " in separate planes" if tags.get(_PLANAR) == 2 and samples > 1 else ""
        raise UnreadTiffError(
            f"its pixels are {_numbers(tags)}{apart}{packed}, which vitviz does not read; {_SAVE_PLAIN}"
        )
    file.seek(0)
    order = "<" if file.read(2) == b"II" else ">"
    kind = np.dtype(f"{order}{letter}{bits[0] // 8}")
    planes = samples if tags.get(_PLANAR) == 2 else 1
    content = _strips(file, tags, compression, planes, height * width * (samples // planes) * kind.itemsize)
    values = np.frombuffer(content, kind).reshape(planes, height, width, samples // planes)
    together = values.transpose(1, 2, 0, 3).reshape(height, width, samples)
    together = together.astype(kind.newbyteorder("="))
    if photometric == _WHITE_IS_ZERO:
        together = np.iinfo(together.dtype).max - together if letter == "u" else -together
    return together[..., 0] if samples == 1 else together


def size_of(tags: Tags) -> tuple[int, int]:
    """(width, height) as the tags state it."""
    return int(tags.get(_WIDTH, 0)), int(tags.get(_HEIGHT, 0))


def orientation_of(tags: Tags) -> int:
    """The EXIF orientation, 1 (upright) where there is none."""
    value = tags.get(_ORIENTATION, 1)
    return value if isinstance(value, int) else 1


def refusal_of(tags: Tags) -> str | None:
    """Why a TIFF that is not read is not damaged, as a part of a sentence; None where nothing tells so."""
    samples, compression = int(tags.get(_SAMPLES, 1)), int(tags.get(_COMPRESSION, _NONE))
    if samples > 4 or (samples > 2 and tags.get(_PHOTOMETRIC) in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)):
        return f"it has {samples} bands, and vitviz shows gray or colour; save one or three of them as TIFF or PNG"
    if compression in _COMPRESSIONS and not _is_configured(compression):
        name = _COMPRESSIONS[compression]
        return f"its pixels are compressed with {name} inside the TIFF, which vitviz does not read; {_SAVE_PLAIN}"
    if compression != _NONE and compression not in _COMPRESSIONS:
        return f"its pixels are compressed by a method (number {compression}) that vitviz does not read; {_SAVE_PLAIN}"
    if max(_each(tags, _BITS, 1)) not in (1, 2, 4, 8, 16):
        return f"its pixels are {_numbers(tags)}, which vitviz does not read; {_SAVE}"
    return None


@cache
def silence_libtiff() -> None:
    """Keep libtiff from writing its own lines on the terminal; what it finds is raised by Pillow as well."""
    try:
        library = ctypes.CDLL(_imaging.__file__)
        for handler in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            getattr(library, handler)(None)
    except (OSError, AttributeError):
        return  # built into Pillow without its names: its lines stay


def _is_configured(compression: int) -> bool:
    """Whether Pillow's libtiff has the codec of a compression."""
    if compression not in TiffImagePlugin.COMPRESSION_INFO:
        return False
    try:
        return bool(ctypes.CDLL(_imaging.__file__).TIFFIsCODECConfigured(ctypes.c_uint16(compression)))
    except (OSError, AttributeError):
        return True  # built into Pillow without its names: a failure is taken for damage


def _strips(file: IO[bytes], tags: Tags, compression: int, planes: int, plane_bytes: int) -> bytes:
    """The bytes of all strips, plane after plane. Raises ValueError where some are missing."""
    offsets, counts = tags[_OFFSETS], tags.get(_COUNTS, ())
    per_plane = len(offsets) // planes
    if len(offsets) != len(counts) or per_plane * planes != len(offsets):
        raise ValueError("strips without their lengths")
    rows, height = int(tags.get(_ROWS, tags[_HEIGHT])), int(tags[_HEIGHT])
    found = []
    for index, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        first = index % per_plane * rows
        size = plane_bytes // height * (min(first + rows, height) - first)
        if size <= 0 or count < 0:
            raise ValueError("more strips than rows")
        file.seek(offset)
        content = file.read(min(count, size * 2 + 1024))
        if compression != _NONE:
            content = zlib.decompressobj().decompress(content, size)
        if len(content) < size:
            raise ValueError("a strip is cut short")
        found.append(content[:size])
    whole = b"".join(found)
    if len(whole) != plane_bytes * planes:
        raise ValueError("strips are missing")
    return whole


def _each(tags: Tags, tag: int, default: int) -> tuple[int, ...]:
    value = tags.get(tag, default)
    return (
        tuple(int(one) for one in value) if isinstance(value, tuple) and value else (int(value or default),)
    )


def _numbers(tags: Tags) -> str:
    """What kind of numbers the pixels are: "32-bit floats"."""
    kind = {_SIGNED: "signed numbers", _FLOAT: "floats"}.get(_each(tags, _FORMAT, _UNSIGNED)[0], "numbers")
    return f"{max(_each(tags, _BITS, 1))}-bit {kind}"
