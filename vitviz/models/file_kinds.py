"""What a file is that is no weight file vitviz reads, told from its first bytes: what to say of it, and what to do."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

_HEAD = 512
_BROKEN_DOWNLOAD = "download it again"
_WEIGHTS = "the model's state_dict() as .pth or .safetensors"

# What a file of another kind begins with, and what it is.
_BEGINS = (
    (b"GGUF", "a GGUF file (llama.cpp), which vitviz does not read; use the original weights (.safetensors, .pth)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes; vitviz reads PyTorch weights: use the PyTorch version"),
    (b"\x1f\x8b", "a gzip archive; unpack it and open the weight file inside"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it and open the weight file inside"),
    (b"\xfd7zXZ\0", "an xz archive; unpack it and open the weight file inside"),
    (b"BZh", "a bzip2 archive; unpack it and open the weight file inside"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive; unpack it and open the weight file inside"),
    (b"Rar!", "a rar archive; unpack it and open the weight file inside"),
    (b"\xff\xd8\xff", "a JPEG picture, not weights; open it as a photo"),
    (b"\x89PNG", "a PNG picture, not weights; open it as a photo"),
    (b"%PDF", "a PDF document, not weights"),
    (b"\x93NUMPY", "a single NumPy array, not the weights of a model"),
)  # fmt: skip
_SUFFIXES = {
    ".onnx": f"an ONNX model, a graph without PyTorch modules; save {_WEIGHTS} instead",
    ".pb": "a TensorFlow graph; vitviz reads PyTorch weights: convert it, or use the PyTorch version",
    ".tflite": "a TensorFlow Lite model; vitviz reads PyTorch weights: use the PyTorch version",
    ".h5": "a Keras file; vitviz reads PyTorch weights: convert it, or use the PyTorch version",
    ".msgpack": "a Flax file; vitviz reads PyTorch weights: convert it, or use the PyTorch version",
    ".index": "a part of a TensorFlow checkpoint; vitviz reads PyTorch weights: convert it, or use the PyTorch version",
    ".meta": "a part of a TensorFlow checkpoint; vitviz reads PyTorch weights: convert it, or use the PyTorch version",
    ".pdparams": "a PaddlePaddle file; vitviz reads PyTorch weights: convert it, or use the PyTorch version",
    ".mlmodel": f"a Core ML model; save {_WEIGHTS} instead",
    ".engine": f"a TensorRT engine; save {_WEIGHTS} instead",
}


@dataclass(frozen=True)
class Kind:
    """`sentence` follows the file's name ("is …"); `damaged`: whether a new download of the same file can help."""

    sentence: str
    damaged: bool = False


def other_kind(path: Path) -> Kind | None:
    """What a file is if it is of a kind that holds no weights vitviz reads; None if it may hold some.

    The file must be a regular one. Reads its first bytes, and of a zip archive the list of its files.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return Kind(f"is empty; perhaps its download was not completed: {_BROKEN_DOWNLOAD}", True)
    if head.startswith(b"version https://git-lfs"):
        return Kind("is only a Git LFS pointer to the weights; get the file itself with `git lfs pull`", True)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return Kind("is a web page, not weights; use the page's download link to get the file itself", True)
    if text.startswith((b"<?xml", b"<")) and path.suffix.lower() not in (".safetensors",):
        return Kind("is an XML text, perhaps a server's error page, not weights", True)
    for sign, what in _BEGINS:
        if head.startswith(sign):
            return Kind(f"is {what}")
    if head[257:262] == b"ustar":
        return Kind("is a tar archive; unpack it and open the weight file inside")
    if head[4:8] == b"TFL3":
        return Kind(f"is {_SUFFIXES['.tflite']}")
    if head.startswith(b"PK"):
        return _zip_kind(path)
    if path.suffix.lower() == ".onnx" or _looks_like_onnx(head):
        return Kind(f"is {_SUFFIXES['.onnx']}")
    if ".data-00000-of-" in path.name:
        return Kind(f"is {_SUFFIXES['.index']}")
    # What torch and safetensors write has signs of its own, whatever its name.
    if head[:1] == b"\x80" or head[8:9] == b"{":
        return None
    what_by_name = _SUFFIXES.get(path.suffix.lower())
    return Kind(f"is {what_by_name}") if what_by_name else None


def _zip_kind(path: Path) -> Kind | None:
    """torch's own files are zip archives, and so are several that hold programs instead of weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return Kind(f"is cut off or damaged: {_BROKEN_DOWNLOAD}, or save it again", True)
    ends = {name.partition("/")[2] or name for name in names}
    if any("/code/" in f"/{name}" for name in names) and "constants.pkl" in ends:
        return Kind(f"is a TorchScript program, not weights; save {_WEIGHTS} instead")
    if any("exported_program" in name or name.endswith("archive_format") for name in names):
        return Kind(f"is an exported program (torch.export), not weights; save {_WEIGHTS} instead")
    if "data.pkl" in ends or (names and all(name.endswith(".npy") for name in names)):
        return None
    if any(name.endswith(".weights.h5") for name in names):
        return Kind("is a Keras file; vitviz reads PyTorch weights: convert it, or use the PyTorch version")
    return Kind("is a zip archive; unpack it and open the weight file inside")


def _looks_like_onnx(head: bytes) -> bool:
    """ONNX has no signature; its writers begin with the version (field 1) and the producer's name (field 2)."""
    return head[0] == 0x08 and 0 < head[1] < 32 and head[2:3] == b"\x12" and 0 < head[3] < 64
