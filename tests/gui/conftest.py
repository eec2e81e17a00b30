"""A real window with a small real model; a check that no test leaves a thread or a window."""

import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from huggingface_hub import constants
from PySide6.QtCore import QEvent, QPoint
from PySide6.QtWidgets import QApplication, QMainWindow, QWidget
from steps import picture, show

from vitviz.app.main import make_window
from vitviz.app.session import compute
from vitviz.app.session.session import Session
from vitviz.app.settings import Settings
from vitviz.app.window.main_window import Window
from vitviz.models.model import Model


@pytest.fixture(autouse=True)
def _nothing_left(qapp: QApplication) -> Iterator[None]:
    """Fails a test after which a thread is still running or a window is still open."""
    # After this collection only modules and shared fixtures are left. Frozen, they are left out of the next ones, which
    # are then twenty times as fast.
    gc.collect()
    gc.freeze()
    yield
    # Qt cannot free what Python put on the clipboard after Python has ended.
    qapp.clipboard().clear()
    # Deferred deletions first: they delete closed dialogs.
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    qapp.processEvents()
    gc.collect()
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("vitviz")]
    assert not threads, f"threads still running: {threads}"
    widgets = [widget for widget in qapp.topLevelWidgets() if widget.isVisible()]
    assert not widgets, f"windows still open: {widgets}"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test of the window reaches the real hub."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="session")
def model() -> Model:
    """A ViT of 64-pixel photos in 8×8 patches, 3 layers of 3 heads, whose random weights attend unevenly."""
    import timm
    import torch

    from vitviz.models.loading import load_model

    torch.set_num_threads(1)
    torch.manual_seed(1)
    module = timm.create_model("vit_tiny_patch16_224", img_size=64, patch_size=8, depth=3, num_classes=12)
    _sharpen(module)
    return load_model(module, device="cpu")


@pytest.fixture(scope="session")
def swin() -> Model:
    """A Swin of two stages, 64 pixels in 4-pixel patches: grids of 16×16 and 8×8, shifted windows of 4×4."""
    import timm
    import torch

    from vitviz.models.loading import load_model

    torch.manual_seed(2)
    options = {"img_size": 64, "window_size": 4, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
    module = timm.create_model("swin_tiny_patch4_window7_224", num_classes=5, **options)
    _sharpen(module)
    return load_model(module, device="cpu")


def _sharpen(module: object) -> None:
    import torch

    for name, weight in module.named_parameters():  # type: ignore[attr-defined]
        if "qkv.weight" in name:
            with torch.no_grad():
                weight.mul_(4)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A wide photo: the model's crop does not cover all of it."""
    return picture(tmp_path / "wide.png", (160, 100))


@pytest.fixture
def window(qtbot, tmp_path: Path) -> Iterator[Window]:
    """An empty window on the screen."""
    made = make_window(Settings(tmp_path / "settings" / "window.ini"), "cpu")
    made.resize(1280, 800)
    made.show()
    qtbot.waitExposed(made)
    yield made
    made.close()
    made.deleteLater()


@pytest.fixture
def shown(window: Window, qtbot, model: Model, photo: Path) -> Window:
    """The window with the wide photo and the small ViT."""
    show(window, qtbot, photo, model)
    return window


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Rollout waits until this event is set."""
    through = threading.Event()
    real = compute.heatmap

    def held(trace: object, chosen: Any) -> Any:
        if chosen.method == "rollout":
            assert through.wait(20)
        return real(trace, chosen)

    monkeypatch.setattr(compute, "heatmap", held)
    yield through
    through.set()


@pytest.fixture
def at() -> Callable[[Window, int, int], QPoint]:
    """The centre of a patch on the canvas, computed from the framing."""

    def place(window: Window, row: int, column: int) -> QPoint:
        trace = window.session.trace
        assert trace is not None
        x, y = trace.framing.polygon(trace.patches, row, column).mean(axis=0)
        view = window.photo.canvas.viewport
        assert view is not None
        return QPoint(round(view.left + x * view.scale), round(view.top + y * view.scale))

    return place


@pytest.fixture
def opened(qtbot, tmp_path: Path) -> Iterator[Callable[..., QWidget]]:
    """Opens a panel in a plain window, with a photo and a model if one is given."""
    made: list[tuple[QMainWindow, Session]] = []

    def open_panel(kind, model: Model | None = None, size: tuple[int, int] = (64, 64)) -> QWidget:
        session = Session("cpu")
        session.change(colormap="viridis")
        window = QMainWindow()
        panel = kind(session, [])
        window.setCentralWidget(panel)
        window.resize(620, 760)
        window.show()
        qtbot.waitExposed(window)
        made.append((window, session))
        if model is not None:
            with qtbot.waitSignal(session.trace_changed, timeout=60_000):
                session.open(photo=picture(tmp_path / "photo.png", size), model=model)
            qtbot.waitUntil(lambda: session.busy is None)
        return panel

    yield open_panel
    for window, session in made:
        window.centralWidget().end()
        session.close()
        window.close()
        window.deleteLater()
