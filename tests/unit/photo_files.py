"""Pictures and picture files that the tests of photos share, with what to expect of them."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

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


def noisy_file(suffix: str) -> bytes:
    """A picture that takes some thousand bytes in every format."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    kind = Image.registered_extensions()[f".{suffix}"]
    Image.fromarray(noise).save(buffer, kind, **{**LOSSLESS, **LOSSY}[suffix])
    return buffer.getvalue()


# The EXIF standard says which side of the picture the stored row 0 and column 0 are.
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
