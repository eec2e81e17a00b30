# ruff: noqa: E501 (a case, a line)
"""Odd but valid picture files: opened rightly, or named with what to do; writes the table of picture files."""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from photo_files import png, scene
from PIL import Image

from vitviz.errors import PhotoError
from vitviz.images import photo as photos
from vitviz.images.photo import open_image

pytestmark = pytest.mark.forms
BUILD = Path(__file__).resolve().parents[2] / "build" / "forms"
CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "images"

GRAY = scene()[..., 1]
COLOUR = scene()


@pytest.fixture(scope="module")
def table() -> Iterator[list[str]]:
    rows: list[str] = []
    yield rows
    BUILD.mkdir(parents=True, exist_ok=True)
    head = ["| picture | what happens |", "|---|---|"]
    (BUILD / "pictures.md").write_text("\n".join(head + rows) + "\n")


def tiff(
    values: np.ndarray,
    order: str = "<",
    planar: bool = False,
    compression: int = 1,
    rows: int = 10,
    **more: object,
) -> bytes:
    """A TIFF in strips of some rows, from numbers (height, width) or (height, width, bands); `more`: tags by number (t262=0)."""
    height, width = values.shape[:2]
    bands = values.shape[2] if values.ndim == 3 else 1
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    stored = values.reshape(height, width, bands).astype(values.dtype.newbyteorder(order))
    planes = [stored[..., band : band + 1] for band in range(bands)] if planar else [stored]
    strips = [plane[top : top + rows].tobytes() for plane in planes for top in range(0, height, rows)]
    strips = [zlib.compress(strip) for strip in strips] if compression == 8 else strips
    tags: dict[int, tuple[int, ...]] = {
        256: (width,), 257: (height,), 258: (values.dtype.itemsize * 8,) * bands, 259: (compression,),
        262: (2 if bands == 3 else 1,), 277: (bands,), 278: (rows,), 284: (2 if planar else 1,), 339: (kind,) * bands,
    }  # fmt: skip
    tags |= {273: (0,) * len(strips), 279: tuple(len(strip) for strip in strips)}
    start = 8
    tags[273] = tuple(start + sum(map(len, strips[:index])) for index in range(len(strips)))
    body = b"".join(strips)
    tags |= {int(key[1:]): value if isinstance(value, tuple) else (value,) for key, value in more.items()}  # type: ignore[dict-item]
    at = start + len(body)
    entries, extra = b"", b""
    beyond = at + 2 + 12 * len(tags) + 4
    for tag, numbers in sorted(tags.items()):
        content = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(content) > 4:
            field = struct.pack(f"{order}I", beyond + len(extra))
            extra += content
        else:
            field = content
        entries += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + field
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    return head + body + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + extra


def whole_jpeg(progressive: bool = False, noisy: bool = False) -> bytes:
    buffer = io.BytesIO()
    picture = np.random.default_rng(5).integers(0, 256, COLOUR.shape, dtype=np.uint8) if noisy else COLOUR
    Image.fromarray(picture).save(buffer, "JPEG", quality=95, subsampling=0, progressive=progressive)
    return buffer.getvalue()


UNIT = COLOUR / np.float64(255)
OPENED: dict[str, tuple[bytes, np.ndarray]] = {
    "TIFF, 16-bit planes": (tiff(COLOUR.astype(np.uint16) * 257, planar=True), COLOUR),
    "TIFF, 16-bit planes, big-endian": (tiff(COLOUR.astype(np.uint16) * 257, ">", planar=True), COLOUR),
    "TIFF, 16-bit colour": (tiff(COLOUR.astype(np.uint16) * 257), COLOUR),
    "TIFF, 8-bit planes": (tiff(COLOUR, planar=True), COLOUR),
    "TIFF, unsigned 32 bits": (tiff(GRAY.astype(np.uint32) * np.uint32(16843009)), np.round((GRAY - 0.0) / 255 * 255)),
    "TIFF, unsigned 32 bits, colour": (tiff(COLOUR.astype(np.uint32)), COLOUR),
    "TIFF, signed 32 bits": (tiff(GRAY.astype(np.int32)), GRAY),
    "TIFF, 16-bit floats": (tiff((GRAY / 255).astype(np.float16)), GRAY),
    "TIFF, 32-bit floats": (tiff((GRAY / 255).astype(np.float32)), GRAY),
    "TIFF, 64-bit floats": (tiff(GRAY / np.float64(255)), GRAY),
    "TIFF, 32-bit floats, colour": (tiff(UNIT.astype(np.float32)), COLOUR),
    "TIFF, 32-bit floats, colour, planes": (tiff(UNIT.astype(np.float32), planar=True), COLOUR),
    "TIFF, 64-bit floats, colour, deflated": (tiff(UNIT, ">", compression=8), COLOUR),
    "TIFF, 32-bit, white is zero": (tiff((2**32 - 1 - GRAY.astype(np.uint64) * 16843009).astype(np.uint32), t262=0), GRAY),
    "TIFF, 64-bit floats, turned": (tiff(np.rot90(GRAY) / np.float64(255), t274=6), GRAY),
    "JPEG without its last marker": (whole_jpeg()[:-2], COLOUR),
    "JPEG without its last marker, progressive": (whole_jpeg(True)[:-2], COLOUR),
    "JPEG with bytes after its last marker": (whole_jpeg() + b"more" * 9, COLOUR),
}  # fmt: skip


@pytest.mark.parametrize("name", OPENED)
def test_odd_files_open_rightly(tmp_path: Path, name: str, table: list[str]) -> None:
    content, wanted = OPENED[name]
    path = tmp_path / "photo"
    path.write_bytes(content)
    pixels = open_image(path).pixels.astype(float)
    wanted = np.repeat(wanted[..., None], 3, axis=2) if wanted.ndim == 2 else wanted
    difference = np.abs(pixels - wanted)
    table.append(f"| {name} | opened, off by {difference.mean():.1f} of 255 on average |")
    assert pixels.shape == wanted.shape
    assert difference.mean() < (2 if "JPEG" in name else 0.51)
    assert difference.max() <= (40 if "JPEG" in name else 1)


_BOX = b"\0\0\0\x20ftyp"
_RAW = "which vitviz does not develop; save it as JPEG or PNG in a photo program"
NAMED: dict[str, tuple[bytes, str]] = {
    "TIFF, 5 bands": (tiff(np.dstack([COLOUR, GRAY, GRAY])), "it has 5 bands"),
    "TIFF, floats with alpha": (tiff(np.dstack([COLOUR, GRAY]).astype(np.float32), t262=2), "it has 4 bands of 32-bit floats"),
    "TIFF, floats in LZW": (tiff(GRAY.astype(np.float64), compression=5), "64-bit floats, compressed with LZW"),
    "TIFF, 16-bit planes in LZW": (
        tiff(COLOUR.astype(np.uint16), planar=True, compression=5), "16-bit numbers in separate planes, compressed with LZW"),
    "TIFF, WebP inside": (tiff(COLOUR, compression=50001), "compressed with WebP inside the TIFF"),
    "TIFF, JPEG XL inside": (tiff(COLOUR, compression=50002), "compressed with JPEG XL inside the TIFF"),
    "TIFF, LERC inside": (tiff(COLOUR, compression=34887), "compressed with LERC inside the TIFF"),
    "TIFF, unknown method": (tiff(COLOUR, compression=4711), "by a method (number 4711)"),
    "TIFF, strips missing": (tiff(GRAY / np.float64(255))[:-20000], "the file is damaged or cut short"),
    "TIFF, a strip cut short": (tiff(GRAY / np.float64(255), t279=(100,) * 5), "the file is damaged or cut short"),
    "TIFF, more pixels than allowed": (tiff(GRAY / np.float64(255), t256=90_000, t257=90_000), "more than the 160 million"),
    "DNG": (tiff(GRAY.astype(np.uint16), t262=32803, t50706=0x00000401), f"a camera's raw file (DNG), {_RAW}"),
    "DNG with a preview": (tiff(COLOUR, t254=1, t330=8, t50706=0x00000401), f"a camera's raw file (DNG), {_RAW}"),
    "NEF": (tiff(COLOUR, t254=1, t330=8), f"a camera's raw file (NEF, CR2 and the like), {_RAW}"),
    "CR2": (b"II*\0\x10\0\0\0CR\x02\0" + bytes(50), f"a camera's raw file (CR2), {_RAW}"),
    "CR3": (_BOX + b"crx \0\0\0\1crx isom", f"a camera's raw file (CR3), {_RAW}"),
    "RAF": (b"FUJIFILMCCD-RAW 0201" + bytes(50), f"a camera's raw file (RAF), {_RAW}"),
    "ORF": (b"IIRO\x08\0\0\0" + bytes(50), f"a camera's raw file (ORF), {_RAW}"),
    "HEIC": (_BOX + b"heic\0\0\0\0mif1heic", "it is a HEIC photo"),
    "JPEG XL": (b"\xff\x0a\xfa\x1f", "it is a JPEG XL picture"),
    "JPEG XL in boxes": (b"\0\0\0\x0cJXL \r\n\x87\n", "it is a JPEG XL picture"),
    "SVG": (b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg">', "it is an SVG drawing"),
    "PSD": (b"8BPS\0\1" + bytes(30), "it is a Photoshop document"),
    "XCF": (b"gimp xcf v011", "it is a GIMP document"),
    "DICOM": (bytes(128) + b"DICM" + bytes(30), "it is a DICOM file"),
    "PDF": (b"%PDF-1.7\n", "it is a PDF document"),
    "MP4": (_BOX + b"isom\0\0\2\0isomiso2", "it is a video (MP4 or MOV)"),
    "WebM": (b"\x1aE\xdf\xa3" + bytes(40), "it is a video (Matroska or WebM)"),
    "AVI": (b"RIFF\x10\0\0\0AVI LIST", "it is a video (AVI)"),
    "OpenEXR": (b"\x76\x2f\x31\x01" + bytes(40), "it is an OpenEXR picture"),
    "FITS": (b"SIMPLE  =                    T", "it is a FITS file"),
    "NumPy": (b"\x93NUMPY\1\0v\0{", "it is a NumPy array"),
    "zip": (b"PK\x03\x04" + bytes(40), "it is a zip archive"),
    "web page": (b"<!DOCTYPE html><html>", "it is a web page"),
    "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "only a Git LFS pointer"),
    "text": (b"not a picture", "it is not a picture that vitviz reads"),
    "JPEG, half of it": (whole_jpeg(noisy=True)[:4000], "the file is damaged or cut short"),
    "JPEG, last tenth missing": (whole_jpeg(noisy=True)[:-900], "the file is damaged or cut short"),
    "JPEG, progressive, half of it": (whole_jpeg(True, True)[:4000], "the file is damaged or cut short"),
    "JPEG, few bytes for many pixels": (
        whole_jpeg().replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 12_000, 12_000), 1),
        "the file is damaged or cut short",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_what_is_not_opened_is_named(tmp_path: Path, name: str, table: list[str]) -> None:
    content, said = NAMED[name]
    path = tmp_path / "photo.tif"
    path.write_bytes(content)
    with pytest.raises(PhotoError) as caught:
        open_image(path)
    message = caught.value.message
    table.append(f"| {name} | {message.removeprefix(f'Cannot open {path}: ')} |")
    assert said in message
    assert message.startswith(f"Cannot open {path}: ")
    assert message.endswith(".")


def test_no_damaged_tiff_writes_on_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """libtiff writes its errors by itself; a broken LZW strip makes it do so."""
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "TIFF", compression="tiff_lzw")
    content = bytearray(buffer.getvalue())
    content[100:400] = bytes(300)
    for damaged in (
        bytes(content),
        tiff(COLOUR, compression=5),
        tiff(COLOUR, compression=34925),
        tiff(COLOUR, compression=7),
    ):
        (tmp_path / "damaged.tif").write_bytes(damaged)
        with pytest.raises(PhotoError):
            open_image(tmp_path / "damaged.tif")
    told = capfd.readouterr()
    assert told.out + told.err == ""


@pytest.mark.parametrize("step", ["to_upright_rgb", "stretched"])
def test_too_little_memory_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(photos, step, fail)
    path = tmp_path / "photo.tif"
    path.write_bytes(tiff(GRAY / np.float64(255)) if step == "stretched" else png((2, 2, 8, 0), b"\0ab\0cd"))
    with pytest.raises(PhotoError, match="there is not enough memory for its pixels"):
        open_image(path)


def test_a_folder_of_odd_files_of_others(table: list[str]) -> None:
    """Files that other programs wrote, where they are at hand."""
    if not CASES.is_dir():
        pytest.skip(f"needs the files in {CASES}")
    names = {
        "base_noeoi.jpg",
        "u16_rgb_planar.tif",
        "float16_gray.tif",
        "float32_rgb_01.tif",
        "float64_gray.tif",
        "u32_two.tif",
    }
    refused = {
        "5band_u8.tif": "5 bands",
        "raw.dng": "raw file (DNG)",
        "raw.nef": "raw file (NIKON",
        "bomb_3273.jpg": "damaged",
    }
    colours = [
        open_image(CASES / name).pixels
        for name in ("u16_rgb_planar.tif", "float32_rgb_01.tif", "base_noeoi.jpg")
    ]
    for pixels in colours:
        assert np.abs(pixels.astype(float) - colours[0]).mean() < 3  # the same picture
    grays = [
        open_image(CASES / name).pixels.astype(float) for name in ("float16_gray.tif", "float64_gray.tif")
    ]
    assert np.abs(grays[0] - grays[1]).max() <= 1
    assert set(np.unique(open_image(CASES / "u32_two.tif").pixels)) == {0, 255}
    for name in names:
        table.append(f"| {name} | opened |")
    for name, said in refused.items():
        with pytest.raises(PhotoError) as caught:
            open_image(CASES / name)
        assert said in caught.value.message
        table.append(f"| {name} | {caught.value.message.partition(': ')[2]} |")


def test_a_photo_that_is_a_device_is_refused_at_once() -> None:
    for path in ("/dev/zero", os.devnull):
        with pytest.raises(PhotoError, match="it is a pipe or a device, not a file"):
            open_image(path)
