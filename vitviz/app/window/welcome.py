"""What a newcomer can start with: bundled scenes, and models that are ready."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QVBoxLayout, QWidget

from vitviz.app.session.session import Session
from vitviz.app.settings import Settings
from vitviz.app.sources.samples import is_bundled, models, samples
from vitviz.app.widgets.messages.first_start import Greeting
from vitviz.app.widgets.messages.welcome import Offer, Welcome

_TIP = (
    "Tip: point at a patch of the photo, and every panel shows what that patch attends to. A click keeps it."
)
_BUNDLED = "Comes with vitviz: knows shapes and colours, and nothing else"
_LAST = "The model that was used last"


class FirstStart:
    """The welcome over an empty stage, and at the first start the same below the scene that is shown.

    `scene` opens a bundled scene; `room` is the column of the stage, in which the greeting is put last.
    """

    def __init__(
        self,
        parent: QWidget,
        session: Session,
        settings: Settings,
        scene: Callable[[Path], object],
        open_photo: QAction,
        room: QVBoxLayout,
    ) -> None:
        self.greeting: Greeting | None = None
        """What is shown below the scene of a first start; None once it is closed."""
        self._parent = parent
        self._session = session
        self._settings = settings
        self._scene = scene
        self._open_photo = open_photo
        self._room = room

    def fill(self, welcome: Welcome) -> None:
        """Offer scenes, and models that need no download, over an empty stage."""
        if self._session.photo is None:
            welcome.offer(*self._offers(), _TIP)

    def greet(self) -> None:
        """The same below the scene, once; it goes when it is closed or a photo of the user's own is opened."""
        if self._settings.flag("greeted", False):
            return
        self._settings.put("greeted", True)
        greeting = Greeting(self._parent, self._open_photo, *self._offers(), _TIP)

        def opened(path: Path) -> None:
            if not is_bundled(path):
                greeting.close()

        def end() -> None:
            self._session.photo_opened.disconnect(opened)
            self.greeting = None

        greeting.closed.connect(end)
        self._session.photo_opened.connect(opened)
        self.greeting = greeting
        self._room.addWidget(greeting)

    def close(self) -> None:
        """Close the greeting, if it is there."""
        if self.greeting is not None:
            self.greeting.close()

    def _offers(self) -> tuple[list[Offer], list[Offer]]:
        last = self._settings.text("model")
        ready = [*((last,) if last else ()), *models()]
        scenes = [
            Offer(
                one.title, f"{one.about[0].upper()}{one.about[1:]}", partial(self._scene, one.path), one.path
            )
            for one in samples()
        ]
        known = [
            Offer(
                Path(name).name if name == last else name,
                _LAST if name == last else _BUNDLED,
                partial(self._session.open, model=name),
            )
            for name in ready
        ]
        return scenes, known
