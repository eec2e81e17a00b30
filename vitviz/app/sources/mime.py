"""Pictures that come from outside: dropped, pasted or chosen in a file dialog."""

from pathlib import Path

from PySide6.QtCore import QMimeData
from PySide6.QtGui import QImage, QPixmap

# Those of `vitviz.models.checkpoint.SUFFIXES`, which only can be had with torch; a test compares them.
WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")


def local_file(data: QMimeData) -> Path | None:
    """The first local file or folder among what is dropped or pasted."""
    return next((Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()), None)


def takes(data: QMimeData) -> bool:
    """Whether a drop holds something the window can show, or say a sentence about."""
    return data.hasImage() or data.hasUrls()


def what(data: QMimeData) -> Path | QImage | str | None:
    """What is dropped or pasted: a file or folder, else the picture itself, else an address, which is not opened.

    Browsers give the picture and its address; the picture is what was meant.
    """
    path = local_file(data)
    if path is not None and path.exists():
        return path
    address = next((url.toString() for url in data.urls() if not url.isLocalFile()), None)
    return picture(data) or path or address


def picture(data: QMimeData) -> QImage | None:
    """The picture itself, where the data holds pixels (a drag from a browser, a screenshot in the clipboard)."""
    image = data.imageData() if data.hasImage() else None
    if isinstance(image, QPixmap):  # what this program copied itself
        image = image.toImage()
    return image if isinstance(image, QImage) and not image.isNull() else None
