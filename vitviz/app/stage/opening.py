"""Every way in: menu, drop, paste, folder, recent photos and bundled scenes."""

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

Into = Callable[..., None]
"""What opens a photo or a model on a side: `Session.open` of the first, `Comparison.open` of the second."""

_ADDRESS = "vitviz opens nothing from the internet by itself; save the picture or copy it, and drop or paste it here."
_NOTHING = "The clipboard holds no picture; copy one, or a picture file, and paste again."


class Opener:
    """Finds out what is to be opened, and opens it on a side.

    `parent` is the window of the dialogs; `settings` keep the folders they start in; `tell` says what cannot be opened.
    """

    def __init__(self, parent: QWidget, settings: Settings, tell: Callable[[str], object]) -> None:
        self._parent = parent
        self._settings = settings
        self._tell = tell

    def path(self, where: Path, into: Into) -> None:
        """Open a photo, the first photo of a folder, or a weights file by its ending."""
        if where.is_dir():
            self._settings.put("folder", str(where.absolute()))
            into(photo=Walk(where.absolute()))
        elif where.suffix.lower() in mime.WEIGHTS:
            into(model=str(where))
        else:
            into(photo=where)

    def ask_photo(self, into: Into) -> None:
        """Ask for a photo."""
        chosen = files.ask_photo(self._parent, self._settings.text("folder"))
        if chosen is not None:
            into(photo=chosen)

    def ask_folder(self, into: Into) -> None:
        """Ask for a folder."""
        chosen = files.ask_folder(self._parent, self._settings.text("folder"))
        if chosen is not None:
            self.path(chosen, into)

    def ask_weights(self, into: Into) -> None:
        """Ask for a weights file."""
        chosen = files.ask_weights(self._parent, self._settings.text("weights_folder"))
        if chosen is not None:
            self._settings.put("weights_folder", str(chosen.parent))
            into(model=str(chosen))

    def scene(self, where: Path, into: Into, has_model: bool) -> None:
        """Open a bundled scene, with a bundled model where there is none yet."""
        known = models()
        if known and not has_model:
            into(photo=where, model=known[0])
        else:
            into(photo=where)

    def paste(self, into: Into) -> None:
        """Open what was copied."""
        data = QGuiApplication.clipboard().mimeData()
        if data is None or not mime.takes(data):
            self._tell(_NOTHING)
        else:
            self.receive(data, into)

    def receive(self, data: QMimeData, into: Into) -> None:
        """Open what was dropped or pasted, or say why not."""
        found = mime.what(data)
        if isinstance(found, Path):
            self.path(found, into)
        elif isinstance(found, QImage):
            into(photo=found)
        else:
            self._tell(_ADDRESS if isinstance(found, str) else _NOTHING)
