"""The welcome screen and the first start: offers bundled scenes, and models that need no download."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QVBoxLayout, QWidget

from vitviz.app.session.session import Session
from vitviz.app.settings import Settings
from vitviz.app.sources.samples import is_bundled, models, samples
from vitviz.app.widgets.messages.first_start import FirstStart
from vitviz.app.widgets.messages.welcome import Offer, Welcome

_TIP = "Tip: point at a patch of the photo to see in all panels what it attends to. Click to pin it."
_BUNDLED = "Included in vitviz. Recognises only shapes and colours"
_LAST = "The model that was used last"


class WelcomeController:
    """Fills the welcome screen over an empty stage, and at the first start shows the same offers below the scene.

    `open_scene` opens a bundled scene; `column` is the layout of the stage, to which the offers are added.
    """

    def __init__(
        self,
        parent: QWidget,
        session: Session,
        settings: Settings,
        open_scene: Callable[[Path], object],
        open_photo: QAction,
        column: QVBoxLayout,
    ) -> None:
        self.first_start: FirstStart | None = None
        """What is shown below the scene at a first start; None once it is closed."""
        self._parent = parent
        self._session = session
        self._settings = settings
        self._open_scene = open_scene
        self._open_photo = open_photo
        self._column = column

    def fill(self, welcome: Welcome) -> None:
        """Fill the welcome screen if the stage is empty."""
        if self._session.photo is None:
            welcome.fill(*self._offers(), _TIP)

    def show_first_start(self) -> None:
        """Show the offers below the scene, at the first start only; opening a photo that is not bundled closes them."""
        if self._settings.flag("greeted", False):
            return
        self._settings.put("greeted", True)
        first_start = FirstStart(self._parent, self._open_photo, *self._offers(), _TIP)

        def on_opened(path: Path) -> None:
            if not is_bundled(path):
                first_start.close()

        def on_closed() -> None:
            self._session.photo_opened.disconnect(on_opened)
            self.first_start = None

        first_start.closed.connect(on_closed)
        self._session.photo_opened.connect(on_opened)
        self.first_start = first_start
        self._column.addWidget(first_start)

    def close(self) -> None:
        """Close the offers of the first start, if they are shown."""
        if self.first_start is not None:
            self.first_start.close()

    def _offers(self) -> tuple[list[Offer], list[Offer]]:
        last = self._settings.text("model")
        ready = [*((last,) if last else ()), *models()]
        scenes = [
            Offer(
                one.title,
                f"{one.about[0].upper()}{one.about[1:]}",
                partial(self._open_scene, one.path),
                one.path,
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
