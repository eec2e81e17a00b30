"""Pictures that come from outside: dropped, pasted or chosen in a file dialog."""

from pathlib import Path

import numpy as np
from PySide6.QtCore import QMimeData
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QFileDialog, QWidget

from vitviz.images.photo import Photo, photo_from_array

WEIGHTS = (".safetensors", ".pth", ".pt", ".bin")
_PICTURES = "Pictures (*.jpg *.jpeg *.png *.webp *.avif *.tif *.tiff *.bmp *.gif);;All files (*)"
_WEIGHTS = "Weights (*.safetensors *.pth *.pt *.bin);;All files (*)"


def local_file(data: QMimeData) -> Path | None:
    """The first local file among what is dropped or pasted."""
    return next((Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()), None)


def takes(data: QMimeData) -> bool:
    """Whether a drop holds something the window can show."""
    return local_file(data) is not None or data.hasImage()


def picture(data: QMimeData) -> Photo | None:
    """The picture itself, where the data holds pixels (a drag from a browser, a screenshot in the clipboard)."""
    image = data.imageData() if data.hasImage() else None
    if not isinstance(image, QImage) or image.isNull():
        return None
    plain = image.convertToFormat(QImage.Format.Format_RGBA8888)
    rows = np.frombuffer(plain.constBits(), np.uint8).reshape(plain.height(), plain.bytesPerLine())
    pixels = rows[:, : 4 * plain.width()].reshape(plain.height(), plain.width(), 4).astype(np.uint16)
    alpha = pixels[..., 3:]
    # Over white, as files with transparency are opened.
    flat = (pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return photo_from_array(flat.astype(np.uint8), "pasted picture")


def ask_photo(parent: QWidget, folder: str) -> Path | None:
    """Ask for a photo; None where the user thought better of it."""
    name, _ = QFileDialog.getOpenFileName(parent, "Open photo", folder, _PICTURES)
    return Path(name) if name else None


def ask_weights(parent: QWidget, folder: str) -> Path | None:
    """Ask for a weights file."""
    name, _ = QFileDialog.getOpenFileName(parent, "Open weights file", folder, _WEIGHTS)
    return Path(name) if name else None


def ask_target(parent: QWidget, suggestion: Path) -> Path | None:
    """Ask where to save a PNG; the ending is added where it is missing."""
    name, _ = QFileDialog.getSaveFileName(parent, "Save PNG", str(suggestion), "PNG picture (*.png)")
    if not name:
        return None
    path = Path(name)
    return path if path.suffix else path.with_suffix(".png")
