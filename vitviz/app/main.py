"""Starts the application: `run` opens the window and returns when it is closed."""

import builtins
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication

from vitviz.app import PYTHONS_IMPORT
from vitviz.app.session.load import OpenedPhoto
from vitviz.app.session.model_memory import ModelMemory
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import ClassHead, Framing, ViewState, fitted, same_selection
from vitviz.app.settings import Settings
from vitviz.app.sources.folder import Walk
from vitviz.app.sources.samples import models, samples
from vitviz.app.ui import theme
from vitviz.app.ui.pixels import levels
from vitviz.app.window import last_session
from vitviz.app.window.last_session import LastSession
from vitviz.app.window.main_window import Window
from vitviz.app.work.failure import catch_uncaught
from vitviz.errors import VitvizError
from vitviz.explain.heatmap import read_raw
from vitviz.explain.registry import METHODS
from vitviz.images.photo import open_image
from vitviz.models.settings import ModelSettings
from vitviz.render.colors import COLORMAPS, DEFAULT_COLORMAP, STYLES
from vitviz.resources_path import resource


def run(
    photo: str | None,
    model: str | None,
    device: str,
    reset: bool = False,
    chosen: ModelSettings | None = None,
) -> int:
    """Open the window with a photo and a model (a name or a file), each optional; returns the exit status.

    Needs a display. `device` is "auto", "cpu", "cuda" or another torch device. Without photo and model, the first bundled
    scene and model are shown. `reset` deletes all stored settings. `chosen`: how the model is loaded.
    """
    builtins.__import__ = PYTHONS_IMPORT  # PySide6's replacement makes importing torch slower.
    app = application()
    settings = Settings()
    if reset:
        settings.reset()
    window = make_window(settings, device)
    restore_excepthook = catch_uncaught(window.show_failure)
    window.first_painted.connect(lambda: start(window, photo, model, chosen))
    window.show()
    try:
        return app.exec()
    finally:
        restore_excepthook()


def application() -> QApplication:
    """The QApplication, created if there is none yet, with the name and icon of vitviz."""
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        # Fractional scale factors (1.25, 1.5) are not rounded, so that pixels stay sharp.
        QApplication.setHighDpiScaleFactorRoundingPolicy(Qt.HighDpiScaleFactorRoundingPolicy.PassThrough)
        app = QApplication(sys.argv[:1])
    app.setApplicationName("vitviz")
    app.setApplicationDisplayName("vitviz")
    app.setDesktopFileName("vitviz")
    app.setWindowIcon(QIcon(str(resource("icons/vitviz.svg"))))
    return app


def make_window(settings: Settings, device: str = "auto") -> Window:
    """A window with the stored settings and theme; no photo or model is loaded yet."""
    app = application()
    chosen = settings.text("theme", "system")
    theme.apply(app, chosen if chosen in theme.THEMES else "system")
    session = Session(device, remembered_view(settings), memory=ModelMemory(settings))
    window = Window(session, settings)
    session.setParent(window)
    app.styleHints().colorSchemeChanged.connect(window.follow_system)
    return window


def remembered_view(settings: Settings) -> ViewState:
    """The stored view settings; a value that is unknown or out of range is replaced by its default."""
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


def start(window: Window, photo: str | None, model: str | None, chosen: ModelSettings | None = None) -> None:
    """Open the photo and the model of the command line, or without both what the last session showed.

    Call it once the window is on the screen. A photo without a model is shown with the model that was used last. A first
    start shows a bundled scene and model. If the user has switched restoring off, the window stays empty.
    """
    last = last_session.read(window.settings)
    if photo or model:
        wanted = model or window.settings.text("model") or None
        asked = None if not photo else Walk(Path(photo).absolute()) if Path(photo).is_dir() else Path(photo)
        settings = chosen if wanted and chosen != ModelSettings() else None
        framing = chosen.framing if chosen is not None and chosen.framing else None
        window.session.open(
            photo=asked, model=wanted, framing=cast(Framing | None, framing), settings=settings
        )
    elif not window.settings.flag(last_session.RESTORES, True):
        return
    elif last.photo or last.model or window.settings.text("model"):
        restore(window, last)
    elif samples() and models():
        # Rollout summarises all layers in one map.
        if not window.settings.text("method"):
            window.session.change(method="rollout")
        window.welcome.show_first_start()
        show_stored_heatmap(window, samples()[0].path)
        window.session.open(photo=samples()[0].path, model=models()[0])


def restore(window: Window, last: LastSession) -> None:
    """Open what the last session showed, with its selection."""
    session, model = window.session, last.model or window.settings.text("model") or None
    target = last.selection.target

    def choose_target() -> None:
        if session.model_source == model and session.shape is not None:
            view = replace(session.view, target=target)
            session.show_view(fitted(view, session.shape), remembered=False)

    def on_trace() -> None:
        session.trace_changed.disconnect(on_trace)
        QTimer.singleShot(0, window, choose_target)

    # The class that was explained is chosen later, because classes are numbered by the model.
    session.show_view(replace(session.view, **{**vars(last.selection), "target": None}), remembered=False)
    if target is not None:
        session.trace_changed.connect(on_trace)
    if _is_first_scene(last, session.view):
        show_stored_heatmap(window, Path(last.photo))
    session.open(photo=Path(last.photo) if last.photo else None, model=model, framing=last.framing)


def _is_first_scene(last: LastSession, view: ViewState) -> bool:
    """Whether the last session showed what the first start shows, of which the heatmap is stored."""
    scenes, known = samples(), models()
    return (
        bool(scenes and known)
        and (last.photo, last.model) == (str(scenes[0].path.absolute()), known[0])
        and same_selection(view, replace(ViewState(method="rollout"), panels=view.panels))
    )


def show_stored_heatmap(window: Window, path: Path) -> None:
    """Show the stored heatmap of the first model on the first scene until torch is imported and the model has run.

    The file was written by `vitviz export --sample`. If it cannot be read, nothing is shown until then.
    """
    with suppress(VitvizError):
        photo = open_image(path)
        window.session.show_stored(
            OpenedPhoto(photo, levels(photo.pixels)), read_raw(resource("scenes/first.npz"), photo)
        )
