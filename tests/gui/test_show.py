"""`vitviz.show`: it blocks in a script, not inside a running loop nor in a notebook; a second call reuses the window."""

import os
import subprocess
import sys
import threading
import types

import numpy as np
import pytest
import torch
from PIL import Image
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from user_input import wait

import vitviz
from vitviz.app.window.main_window import Window
from vitviz.models.loading import load_model


@pytest.fixture(autouse=True)
def own_settings(tmp_path, monkeypatch, qapp):
    """No settings of this machine; the window is closed after the test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    yield
    for window in windows():
        window.close()
        window.deleteLater()


def windows() -> list[Window]:
    return [one for one in QApplication.topLevelWidgets() if isinstance(one, Window) and one.isVisible()]


def shown(qtbot) -> Window:
    (window,) = windows()
    qtbot.waitUntil(lambda: window.session.trace is not None and window.session.busy is None, timeout=60_000)
    return window


def test_a_module_and_an_array_are_shown_and_a_second_call_reuses_the_window(qtbot, model):
    pixels = np.random.default_rng(0).integers(0, 256, (80, 60, 3), dtype=np.uint8)
    vitviz.show(model.module, pixels, block=False)
    window = shown(qtbot)
    assert window.session.model.module is model.module
    assert np.array_equal(window.session.photo.pixels, pixels)
    vitviz.show("demo/swin", block=False, image_size=(64, 128), framing="squash")
    assert windows() == [window]
    qtbot.waitUntil(
        lambda: window.session.model.name == "demo/swin" and window.session.busy is None, timeout=60_000
    )
    assert window.session.model.input_size == (64, 128)
    assert window.session.framing == "squash"
    assert np.array_equal(window.session.photo.pixels, pixels)


def test_a_loaded_model_and_a_pillow_picture(qtbot):
    loaded = load_model("demo/vit", device="cpu")
    vitviz.show(loaded, Image.new("RGB", (30, 20), (255, 0, 0)), block=False)
    window = shown(qtbot)
    assert window.session.model is loaded
    assert window.session.photo.size == (20, 30)
    with pytest.raises(
        vitviz.VitvizError, match=r"precision: give it to load_model; this model is loaded already"
    ):
        vitviz.show(loaded, precision="bfloat16", block=False)


def test_a_module_stays_on_its_device_and_in_its_precision(qtbot, model):
    before = {parameter.device for parameter in model.module.parameters()}
    vitviz.show(model.module, np.zeros((64, 64, 3), np.uint8), block=False)
    window = shown(qtbot)
    assert window.session.model.dtype == torch.float32
    assert {parameter.device for parameter in model.module.parameters()} == before


def test_a_script_waits_until_the_window_is_closed(qtbot):
    closed = []

    def close() -> None:
        closed.append(len(windows()))
        for window in windows():
            window.close()

    QTimer.singleShot(300, close)
    vitviz.show(block=True)
    assert closed == [1]
    assert windows() == []


def test_inside_a_running_loop_it_returns_at_once(qtbot):
    returned = []
    QTimer.singleShot(0, lambda: (vitviz.show(), returned.append(len(windows()))))
    wait(500)
    assert returned == [1]


def test_in_a_notebook_it_switches_the_loop_on_and_returns(qtbot, monkeypatch):
    asked = []
    shell = types.SimpleNamespace(enable_gui=asked.append, active_eventloop=None)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    vitviz.show()
    assert asked == ["qt"]
    assert len(windows()) == 1


def test_another_thread_is_told_that_it_cannot(qtbot):
    told = []

    def call() -> None:
        try:
            vitviz.show(block=False)
        except vitviz.VitvizError as error:
            told.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert told == ["vitviz.show opens a window, which only the main thread of a program can do."]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="always has a desktop")
def test_without_a_display_it_is_one_sentence():
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    }
    program = "import vitviz\ntry: vitviz.show()\nexcept vitviz.VitvizError as error: print(error)\n"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith(
        "vitviz.show cannot open a window here (there is no display); save pictures"
    )
    assert len(done.stdout.splitlines()) == 1
