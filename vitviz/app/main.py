"""`run`: the window from start to end."""

import builtins
import sys
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication

from vitviz.app import PYTHONS_IMPORT, theme
from vitviz.app.errors import catch_the_rest
from vitviz.app.samples import models, samples
from vitviz.app.session import Session
from vitviz.app.settings import Settings
from vitviz.app.state import ViewState
from vitviz.app.window import Window
from vitviz.render.colors import COLORMAPS, DEFAULT_COLORMAP, STYLES
from vitviz.resources_path import resource


def run(photo: str | None, model: str | None, device: str) -> int:
    """Open the window on a photo and a model (a name or a file), each optional; returns the exit status.

    Needs a display. `device` is "auto", "cpu", "cuda" or the like. Without both, a bundled model shows a bundled scene.
    """
    builtins.__import__ = PYTHONS_IMPORT  # PySide6's own makes importing torch slower.
    app = application()
    window = make_window(Settings(), device)
    forget = catch_the_rest(window.tell)
    window.first_painted.connect(lambda: start(window, photo, model))
    window.show()
    try:
        return app.exec()
    finally:
        forget()


def application() -> QApplication:
    """The one QApplication, made with our name and icon where there is none yet."""
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        # Fractional scales (1.25, 1.5) are passed on as they are, so that pixels stay sharp.
        QApplication.setHighDpiScaleFactorRoundingPolicy(Qt.HighDpiScaleFactorRoundingPolicy.PassThrough)
        app = QApplication(sys.argv[:1])
    app.setApplicationName("vitviz")
    app.setApplicationDisplayName("vitviz")
    app.setDesktopFileName("vitviz")
    app.setWindowIcon(QIcon(str(resource("icons/vitviz.svg"))))
    return app


def make_window(settings: Settings, device: str = "auto") -> Window:
    """A window with what was remembered, dressed; nothing is loaded yet."""
    app = application()
    chosen = settings.text("theme", "system")
    theme.apply(app, chosen if chosen in theme.THEMES else "system")
    session = Session(device, remembered_view(settings))
    window = Window(session, settings)
    session.setParent(window)
    app.styleHints().colorSchemeChanged.connect(window.follow_system)
    return window


def remembered_view(settings: Settings) -> ViewState:
    """How heat was drawn last time; what is unknown or out of range is the default."""
    colormap, style = settings.text("colormap"), settings.text("style")
    default = ViewState()
    return ViewState(
        colormap=colormap if colormap in COLORMAPS else DEFAULT_COLORMAP,
        style=style if style in STYLES else default.style,
        opacity=min(1.0, max(0.0, settings.number("opacity", default.opacity))),
        smooth=settings.flag("smooth", default.smooth),
        grid=settings.flag("grid", default.grid),
    )


def start(window: Window, photo: str | None, model: str | None) -> None:
    """Ask for what the command line named, once the window is on the screen; without anything for what is bundled.

    A photo without a model is shown by the model used last.
    """
    if photo or model:
        wanted = model or window.settings.text("model") or None
        window.session.open(photo=Path(photo) if photo else None, model=wanted)
    elif samples() and models():
        # Of a whole model rollout says most at a glance.
        window.session.change(method="rollout")
        window.session.open(photo=samples()[0].path, model=models()[0])
