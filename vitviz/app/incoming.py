"""Pictures that come from outside: dropped, pasted or chosen in a file dialog."""

from pathlib import Path

from PySide6.QtCore import QMimeData
from PySide6.QtGui import QImage, QPixmap
from PySide6.QtWidgets import QFileDialog, QWidget

from vitviz.images.photo import SUFFIXES

# Those of `vitviz.models.checkpoint.SUFFIXES`, which only can be had with torch; a test compares them.
WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")


def _filter(name: str, suffixes: tuple[str, ...]) -> str:
    return f"{name} ({' '.join(f'*{suffix}' for suffix in suffixes)});;All files (*)"


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


def ask_photo(parent: QWidget, folder: str) -> Path | None:
    """Ask for a photo; None where the user thought better of it."""
    name, _ = QFileDialog.getOpenFileName(parent, "Open photo", folder, _filter("Pictures", SUFFIXES))
    return Path(name) if name else None


def ask_folder(parent: QWidget, folder: str, title: str = "Open folder") -> Path | None:
    """Ask for a folder of photos."""
    name = QFileDialog.getExistingDirectory(parent, title, folder)
    return Path(name) if name else None


def ask_weights(parent: QWidget, folder: str) -> Path | None:
    """Ask for a weights file."""
    name, _ = QFileDialog.getOpenFileName(parent, "Open weights file", folder, _filter("Weights", WEIGHTS))
    return Path(name) if name else None


def ask_target(parent: QWidget, suggestion: Path) -> Path | None:
    """Ask where to save a PNG; the ending is added where it is missing."""
    name, _ = QFileDialog.getSaveFileName(parent, "Save PNG", str(suggestion), "PNG picture (*.png)")
    if not name:
        return None
    path = Path(name)
    return path if path.suffix else path.with_suffix(".png")


def ask_curves(parent: QWidget, proposed: str) -> Path | None:
    """Ask where curves are to be saved, as a picture or as a table."""
    filters = "PNG picture (*.png);;CSV table (*.csv)"
    name, chosen = QFileDialog.getSaveFileName(parent, "Save curves", proposed, filters)
    path = Path(name)
    if name and not path.suffix:
        path = path.with_suffix(".csv" if "csv" in chosen else ".png")
    return path if name else None


def ask_table(parent: QWidget, proposed: str) -> Path | None:
    """Ask where a table is to be saved."""
    name, _ = QFileDialog.getSaveFileName(parent, "Export statistics", proposed, "Tables (*.csv)")
    return Path(name if name.lower().endswith(".csv") else f"{name}.csv") if name else None
