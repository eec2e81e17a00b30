"""Every way in: menu, drop, paste, folder, recent photos and bundled scenes."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QMimeData
from PySide6.QtGui import QGuiApplication, QImage

from vitviz.app.dialogs import files
from vitviz.app.sources import mime
from vitviz.app.sources.folder import Walk
from vitviz.app.sources.samples import models

if TYPE_CHECKING:
    from vitviz.app.window.main_window import Window

Open = Callable[..., None]
"""`Session.open` of the first side, or a comparison's `open` of the second."""

_ADDRESS = "vitviz opens nothing from the internet by itself; save the picture or copy it, and drop or paste it here."
_NOTHING = "The clipboard holds no picture; copy one, or a picture file, and paste again."


def path(window: "Window", where: Path, into: Open | None = None) -> None:
    """Open a photo, the first photo of a folder, or a weights file by its ending; `into` a side, else the active one."""
    into = into or window.stage.into
    if where.is_dir():
        window.settings.put("folder", str(where.absolute()))
        into(photo=Walk(where.absolute()))
    elif where.suffix.lower() in mime.WEIGHTS:
        into(model=str(where))
    else:
        into(photo=where)


def ask(window: "Window") -> None:
    """Ask for a photo."""
    into = window.stage.into
    chosen = files.ask_photo(window, window.settings.text("folder"))
    if chosen is not None:
        into(photo=chosen)


def ask_folder(window: "Window") -> None:
    """Ask for a folder."""
    chosen = files.ask_folder(window, window.settings.text("folder"))
    if chosen is not None:
        path(window, chosen)


def ask_weights(window: "Window") -> None:
    """Ask for a weights file."""
    into = window.stage.into
    chosen = files.ask_weights(window, window.settings.text("weights_folder"))
    if chosen is not None:
        window.settings.put("weights_folder", str(chosen.parent))
        into(model=str(chosen))


def scene(window: "Window", where: Path) -> None:
    """Open a bundled scene, with a bundled model where there is none yet."""
    known = models()
    if known and window.session.model is None:
        window.stage.into(photo=where, model=known[0])
    else:
        window.stage.into(photo=where)


def paste(window: "Window") -> None:
    """Open what was copied."""
    data = QGuiApplication.clipboard().mimeData()
    if data is None or not mime.takes(data):
        window.notice.tell(_NOTHING)
    else:
        receive(window, data)


def receive(window: "Window", data: QMimeData, into: Open | None = None) -> None:
    """Open what was dropped or pasted, or say why not; `into` a side, else the active one."""
    found = mime.what(data)
    if isinstance(found, Path):
        path(window, found, into)
    elif isinstance(found, QImage):
        (into or window.stage.into)(photo=found)
    else:
        window.notice.tell(_ADDRESS if isinstance(found, str) else _NOTHING)
