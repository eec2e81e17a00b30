"""File dialogs: photos, folders and weights to open, images and tables to save. Each returns None if it is cancelled."""

from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QWidget

from vitviz.app.sources.mime import WEIGHTS
from vitviz.images.photo import SUFFIXES


def name_filter(name: str, suffixes: tuple[str, ...]) -> str:
    """The name filter of a file dialog: files with these suffixes, or all files."""
    return f"{name} ({' '.join(f'*{suffix}' for suffix in suffixes)});;All files (*)"


def ask_photo(parent: QWidget, folder: str) -> Path | None:
    """Ask for a photo to open."""
    name, _ = QFileDialog.getOpenFileName(parent, "Open photo", folder, name_filter("Pictures", SUFFIXES))
    return Path(name) if name else None


def ask_folder(parent: QWidget, folder: str, title: str = "Open folder") -> Path | None:
    """Ask for a folder: one of photos, unless the title says otherwise."""
    name = QFileDialog.getExistingDirectory(parent, title, folder)
    return Path(name) if name else None


def ask_weights(parent: QWidget, folder: str) -> Path | None:
    """Ask for a weights file."""
    name, _ = QFileDialog.getOpenFileName(
        parent, "Open weights file", folder, name_filter("Weights", WEIGHTS)
    )
    return Path(name) if name else None


def ask_target(parent: QWidget, suggestion: Path) -> Path | None:
    """Ask where to save a PNG; ".png" is added to a name without an ending."""
    name, _ = QFileDialog.getSaveFileName(parent, "Save PNG", str(suggestion), "PNG picture (*.png)")
    if not name:
        return None
    path = Path(name)
    return path if path.suffix else path.with_suffix(".png")


def ask_curves(parent: QWidget, proposed: str) -> Path | None:
    """Ask where to save curves, as a picture or as a table; a name without an ending gets that of the chosen filter."""
    filters = "PNG picture (*.png);;CSV table (*.csv)"
    name, chosen = QFileDialog.getSaveFileName(parent, "Save curves", proposed, filters)
    path = Path(name)
    if name and not path.suffix:
        path = path.with_suffix(".csv" if "csv" in chosen else ".png")
    return path if name else None


def ask_numbers(parent: QWidget, proposed: str) -> Path | None:
    """Ask where to save numbers; a name without an ending gets that of the chosen filter."""
    filters = "NumPy arrays (*.npz);;CSV table (*.csv)"
    name, chosen = QFileDialog.getSaveFileName(parent, "Export numbers", proposed, filters)
    path = Path(name)
    if name and path.suffix.lower() not in (".npz", ".csv"):
        path = path.with_name(f"{path.name}.csv" if "csv" in chosen else f"{path.name}.npz")
    return path if name else None


def ask_table(parent: QWidget, proposed: str) -> Path | None:
    """Ask where to save a table; ".csv" is added where it is missing."""
    name, _ = QFileDialog.getSaveFileName(parent, "Export statistics", proposed, "Tables (*.csv)")
    return Path(name if name.lower().endswith(".csv") else f"{name}.csv") if name else None
