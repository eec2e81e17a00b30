"""Opens photos and models on a side of the stage: from file dialogs, drag and drop, the clipboard, folders and scenes."""

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QMimeData
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QWidget

from vitviz.app.dialogs import files
from vitviz.app.settings import Settings
from vitviz.app.sources import mime
from vitviz.app.sources.folder import Walk
from vitviz.app.sources.samples import models

OpenOnSide = Callable[..., None]
"""Opens a photo or a model on a side: `Session.open` for the first side, `Comparison.open` for the second."""

_ADDRESS = "vitviz does not open internet addresses. Save or copy the picture, then drop or paste it here."
_NOTHING = "The clipboard contains no picture. Copy a picture or a picture file, then paste again."


class Opener:
    """Finds out what to open, and opens it on a side.

    `parent` is the parent of the dialogs; `settings` store the folders that they start in; `show_message` shows why
    something cannot be opened.
    """

    def __init__(self, parent: QWidget, settings: Settings, show_message: Callable[[str], object]) -> None:
        self._parent = parent
        self._settings = settings
        self._show_message = show_message

    def open_path(self, path: Path, open_on_side: OpenOnSide) -> None:
        """Open a photo, the first photo of a folder, or a weights file (recognised by its suffix)."""
        if path.is_dir():
            self._settings.put("folder", str(path.absolute()))
            open_on_side(photo=Walk(path.absolute()))
        elif path.suffix.lower() in mime.WEIGHTS:
            open_on_side(model=str(path))
        else:
            open_on_side(photo=path)

    def ask_photo(self, open_on_side: OpenOnSide) -> None:
        """Ask for a photo and open it."""
        chosen = files.ask_photo(self._parent, self._settings.text("folder"))
        if chosen is not None:
            open_on_side(photo=chosen)

    def ask_folder(self, open_on_side: OpenOnSide) -> None:
        """Ask for a folder and open its first photo."""
        chosen = files.ask_folder(self._parent, self._settings.text("folder"))
        if chosen is not None:
            self.open_path(chosen, open_on_side)

    def ask_weights(self, open_on_side: OpenOnSide) -> None:
        """Ask for a weights file and load it."""
        chosen = files.ask_weights(self._parent, self._settings.text("weights_folder"))
        if chosen is not None:
            self._settings.put("weights_folder", str(chosen.parent))
            open_on_side(model=str(chosen))

    def open_scene(self, path: Path, open_on_side: OpenOnSide, has_model: bool) -> None:
        """Open a bundled scene, with a bundled model unless there is a model already."""
        known = models()
        if known and not has_model:
            open_on_side(photo=path, model=known[0])
        else:
            open_on_side(photo=path)

    def paste(self, open_on_side: OpenOnSide) -> None:
        """Open the content of the clipboard, or show why it cannot be opened."""
        data = QGuiApplication.clipboard().mimeData()
        if data is None or not mime.accepts(data):
            self._show_message(_NOTHING)
        else:
            self.open_mime(data, open_on_side)

    def open_mime(self, data: QMimeData, open_on_side: OpenOnSide) -> None:
        """Open dropped or pasted data, or show why it cannot be opened."""
        found = mime.content(data)
        if isinstance(found, Path):
            self.open_path(found, open_on_side)
        elif isinstance(found, QImage):
            open_on_side(photo=found)
        else:
            self._show_message(_ADDRESS if isinstance(found, str) else _NOTHING)
