"""First steps of many tests: make a picture, open a photo and a model, open a panel."""

from pathlib import Path

import numpy as np
import user_input
from PIL import Image
from PySide6.QtWidgets import QApplication

from vitviz.app.window.main_window import Window
from vitviz.models.model import Model


def picture(path: Path, size: tuple[int, int], seed: int = 0) -> Path:
    """A PNG of coloured noise of (width, height)."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def show(window: Window, qtbot, photo: Path, model: Model | str) -> None:
    """Open a photo and a model and wait for the trace."""
    with qtbot.waitSignal(window.session.trace_changed, timeout=60_000):
        window.session.open(photo=photo, model=model)
    qtbot.waitUntil(lambda: window.session.busy is None)


def include(window: Window, *parts: str) -> None:
    """Choose by the menu what saved pictures include: of "Legend…", "…photo", "…model" and "…outline" those named."""
    for action in window.saved_parts.actions():
        words = action.text().replace("&", "")
        if action.isChecked() != any(part in words.lower() for part in parts):
            assert user_input.pick(window.menu_bar, ["File", "Saved pictures include", words])


def opened(window: Window, qtbot, name: str):
    """A panel that is visible and has its numbers."""
    dock = dock_of(window, name)
    dock.show()
    dock.raise_()
    panel = window.panel(name)
    panel.resize(520, 520)
    qtbot.waitUntil(lambda: panel.isVisible())
    qtbot.waitUntil(lambda: settled(panel), timeout=20_000)
    QApplication.processEvents()  # a caption of two lines has its room
    return panel


def dock_of(window: Window, name: str):
    """The dock of a panel."""
    return next(dock for dock in window.docks if dock.kind.name == name)


def settled(panel) -> bool:
    """Whether nothing is loaded and nothing is computed for a panel: it shows what is asked for."""
    return not panel.busy and panel.session.busy is None
