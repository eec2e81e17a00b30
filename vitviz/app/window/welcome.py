"""What a newcomer can start with: bundled scenes, and models that are ready."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vitviz.app.sources.samples import is_bundled, models, samples
from vitviz.app.widgets.messages.first_start import Greeting
from vitviz.app.widgets.messages.welcome import Offer, Welcome

if TYPE_CHECKING:
    from vitviz.app.window.main_window import Window
from vitviz.app.stage.opening import scene

_TIP = (
    "Tip: point at a patch of the photo, and every panel shows what that patch attends to. A click keeps it."
)


_BUNDLED = "Comes with vitviz: knows shapes and colours, and nothing else"


_LAST = "The model that was used last"


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
