"""What dropped or pasted data contains: files, images or addresses."""

from pathlib import Path

from PySide6.QtCore import QMimeData
from PySide6.QtGui import QImage, QPixmap

# A copy of `vitviz.models.checkpoint.SUFFIXES`, whose import would import torch; a test compares them.
WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar", ".npz")


def local_file(data: QMimeData) -> Path | None:
    """The first local file or folder of dropped or pasted data."""
    return next((Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()), None)


def accepts(data: QMimeData) -> bool:
    """Whether the window accepts a drop: it holds an image, a file, or an address, for which a message is shown."""
    return data.hasImage() or data.hasUrls()


def content(data: QMimeData) -> Path | QImage | str | None:
    """The content of dropped or pasted data: an existing file or folder, otherwise an image, otherwise an address.

    Browsers provide an image and its address; the image is used then. An address is never opened.
    """
    path = local_file(data)
    if path is not None and path.exists():
        return path
    address = next((url.toString() for url in data.urls() if not url.isLocalFile()), None)
    return image_of(data) or path or address


def image_of(data: QMimeData) -> QImage | None:
    """The image, if the data holds pixels, such as a drag from a browser or a screenshot in the clipboard."""
    image = data.imageData() if data.hasImage() else None
    if isinstance(image, QPixmap):  # copied by vitviz itself
        image = image.toImage()
    return image if isinstance(image, QImage) and not image.isNull() else None
