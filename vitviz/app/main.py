"""`run`: the window from start to end."""

import builtins
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from PySide6.QtCore import Qt
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication

from vitviz.app import PYTHONS_IMPORT
from vitviz.app.session.load import Picture
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import ClassHead, ViewState
from vitviz.app.settings import Settings
from vitviz.app.sources.folder import Walk
from vitviz.app.sources.samples import models, samples
from vitviz.app.ui import theme
from vitviz.app.ui.pixels import levels
from vitviz.app.window.main_window import Window
from vitviz.app.work.failure import catch_the_rest
from vitviz.errors import VitvizError
from vitviz.explain.heatmap import read_raw
from vitviz.explain.registry import METHODS
from vitviz.images.photo import open_image
from vitviz.render.colors import COLORMAPS, DEFAULT_COLORMAP, STYLES
from vitviz.resources_path import resource


def run(photo: str | None, model: str | None, device: str, reset: bool = False) -> int:
    """Open the window on a photo and a model (a name or a file), each optional; returns the exit status.

    Needs a display. `device` is "auto", "cpu", "cuda" or the like. Without both, a bundled model shows a bundled scene.
    `reset` forgets what was remembered.
    """
    builtins.__import__ = PYTHONS_IMPORT  # PySide6's own makes importing torch slower.
    app = application()
    settings = Settings()
    if reset:
        settings.reset()
    window = make_window(settings, device)
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
    default = ViewState()

    def one_of(key: str, known: Collection[str], otherwise: str) -> Any:
        found = settings.text(key)
        return found if found in known else otherwise

    return replace(
        default,
        colormap=one_of("colormap", COLORMAPS, DEFAULT_COLORMAP),
        style=one_of("style", STYLES, default.style),
        opacity=min(1.0, max(0.0, settings.number("opacity", default.opacity))),
        smooth=settings.flag("smooth", default.smooth),
        grid=settings.flag("grid", default.grid),
        log=settings.flag("log", default.log),
        temperature=min(16.0, max(1.0, settings.number("temperature", default.temperature))),
        method=one_of("method", [method.name for method in METHODS], default.method),
        fusion=one_of("fusion", ("mean", "max", "min"), default.fusion),
        class_head=one_of("class_head", get_args(ClassHead), default.class_head),
        panels=settings.choices("panels"),
    )


def start(window: Window, photo: str | None, model: str | None) -> None:
    """Ask for what the command line named, once the window is on the screen; without anything for what is bundled.

    A photo without a model is shown by the model used last.
    """
    if photo or model:
        wanted = model or window.settings.text("model") or None
        asked = None if not photo else Walk(Path(photo).absolute()) if Path(photo).is_dir() else Path(photo)
        window.session.open(photo=asked, model=wanted)
    elif samples() and models():
        # Of a whole model rollout says most at a glance.
        if not window.settings.text("method"):
            window.session.change(method="rollout")
        window.first_start.greet()
        show_first(window, samples()[0].path)
        window.session.open(photo=samples()[0].path, model=models()[0])


def show_first(window: Window, path: Path) -> None:
    """Show what the first model makes of the first scene, as stored with the program, until torch is there to answer.

    `vitviz export --sample` wrote it; without it the photo waits alone.
    """
    with suppress(VitvizError):
        photo = open_image(path)
        window.session.show_still(
            Picture(photo, levels(photo.pixels)), read_raw(resource("scenes/first.npz"), photo)
        )
