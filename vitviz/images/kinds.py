"""What a file is that is no picture vitviz opens, told from its first bytes, and what to do with it."""

_SAVE = "save it as JPEG or PNG first"
_DEVELOP = "save it as JPEG or PNG in a photo program"

# What a file begins with (or has at a place), and what it is.
_BEGINS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\x0a", f"a JPEG XL picture, which vitviz does not read; {_SAVE}"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", f"a JPEG XL picture, which vitviz does not read; {_SAVE}"),
    (0, b"8BPS", f"a Photoshop document, which vitviz does not read; {_SAVE}"),
    (0, b"8BPB", f"a Photoshop document, which vitviz does not read; {_SAVE}"),
    (0, b"gimp xcf", f"a GIMP document, which vitviz does not read; {_SAVE}"),
    (0, b"%PDF", "a PDF document; save the page or its picture as PNG first"),
    (0, b"%!PS", "a PostScript document; save it as PNG first"),
    (128, b"DICM", "a DICOM file; save the slice as PNG with a DICOM viewer first"),
    (0, b"SIMPLE  =", "a FITS file; save it as PNG or 16-bit TIFF first"),
    (0, b"\x76\x2f\x31\x01", f"an OpenEXR picture, which vitviz does not read; {_SAVE}"),
    (0, b"#?RADIANCE", f"a Radiance picture, which vitviz does not read; {_SAVE}"),
    (0, b"\x93NUMPY", "a NumPy array; save it as PNG or TIFF first"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, which may hold anything; save the picture in it as PNG first"),
    (0, b"FUJIFILMCCD-RAW", f"a camera's raw file (RAF), which vitviz does not develop; {_DEVELOP}"),
    (0, b"IIRO", f"a camera's raw file (ORF), which vitviz does not develop; {_DEVELOP}"),
    (0, b"IIRS", f"a camera's raw file (ORF), which vitviz does not develop; {_DEVELOP}"),
    (0, b"IIU\0", f"a camera's raw file (RW2), which vitviz does not develop; {_DEVELOP}"),
    (8, b"CR\x02", f"a camera's raw file (CR2), which vitviz does not develop; {_DEVELOP}"),
    (0, b"FOVb", f"a camera's raw file (X3F), which vitviz does not develop; {_DEVELOP}"),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska or WebM); save one of its frames as PNG first"),
    (8, b"AVI ", "a video (AVI); save one of its frames as PNG first"),
    (0, b"\0\0\x01\xba", "a video (MPEG); save one of its frames as PNG first"),
    (0, b"PK\x03\x04", "a zip archive or an office document; unpack it, or save its picture as PNG"),
    (0, b"\x1f\x8b", "a gzip archive; unpack it first"),
    (0, b"\0\0\x01\0", "an icon (ICO); save it as PNG first"),
    (
        0,
        b"version https://git-lfs",
        "only a Git LFS pointer to the file; get the file itself with `git lfs pull`",
    ),
)
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")


def other_kind(head: bytes) -> str | None:
    """What a file with these first bytes (some hundred) is, and what to do, after "it is"; None for no known kind."""
    for place, sign, what in _BEGINS:
        if head[place : place + len(sign)] == sign:
            return what
    if head[4:8] == b"ftyp" and head[8:12] not in _AVIF:
        if head[8:12] in _HEIC:
            return "a HEIC photo, which vitviz does not read; save it as JPEG or PNG first"
        if head[8:11] == b"crx":
            return f"a camera's raw file (CR3), which vitviz does not develop; {_DEVELOP}"
        return "a video (MP4 or MOV); save one of its frames as PNG first"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg",)) or (
        text.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text
    ):
        return "an SVG drawing, which has no pixels; save it as PNG at the size you need"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page, not a picture; save the picture itself from it"
    return None
