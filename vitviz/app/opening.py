"""Every way in: menu, drop, paste, folder, recent photos and bundled scenes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QMimeData
from PySide6.QtGui import QGuiApplication, QImage

from vitviz.app.dialogs import files
from vitviz.app.sources import mime
from vitviz.app.sources.folder import Walk
from vitviz.app.sources.samples import is_bundled, models, samples
from vitviz.app.widgets.messages.first_start import Greeting
from vitviz.app.widgets.messages.welcome import Offer, Welcome

if TYPE_CHECKING:
    from vitviz.app.window import Window

Open = Callable[..., None]
"""`Session.open` of the first side, or a comparison's `open` of the second."""

_ADDRESS = "vitviz opens nothing from the internet by itself; save the picture or copy it, and drop or paste it here."
_NOTHING = "The clipboard holds no picture; copy one, or a picture file, and paste again."
_TIP = (
    "Tip: point at a patch of the photo, and every panel shows what that patch attends to. A click keeps it."
)
_BUNDLED = "Comes with vitviz: knows shapes and colours, and nothing else"
_LAST = "The model that was used last"


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


def fill_welcome(window: "Window", welcome: Welcome) -> None:
    """What a newcomer can start with: scenes, and models that need no download."""
    welcome.offer(*_offers(window), _TIP)


def greet(window: "Window") -> None:
    """The same below the scene of a first start; it goes when it is closed or a photo of one's own is opened."""
    if window.settings.flag("greeted", False):
        return
    window.settings.put("greeted", True)
    greeting = Greeting(window, window.commands["open"], *_offers(window), _TIP)

    def opened(path: Path) -> None:
        if not is_bundled(path):
            greeting.close()

    def end() -> None:
        window.session.photo_opened.disconnect(opened)
        window.greeting = None

    greeting.closed.connect(end)
    window.session.photo_opened.connect(opened)
    window.greeting = greeting
    window.center.addWidget(greeting)


def _offers(window: "Window") -> tuple[list[Offer], list[Offer]]:
    last = window.settings.text("model")
    ready = [*((last,) if last else ()), *models()]
    scenes = [
        Offer(one.title, f"{one.about[0].upper()}{one.about[1:]}", partial(scene, window, one.path), one.path)
        for one in samples()
    ]
    known = [
        Offer(
            Path(name).name if name == last else name,
            _LAST if name == last else _BUNDLED,
            partial(window.session.open, model=name),
        )
        for name in ready
    ]
    return scenes, known


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
