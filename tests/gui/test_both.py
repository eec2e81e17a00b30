"""A photo and a model asked for together, of which one cannot be opened; files that change; what does not wait."""

import sys
import threading
import time

import numpy as np
import pytest
from PySide6.QtCore import QMimeData
from PySide6.QtGui import QImage
from steps import picture, show

from vitviz.app.dialogs import files
from vitviz.app.session import load, model_list
from vitviz.app.session.model_list import ModelLists
from vitviz.app.sources import mime
from vitviz.app.ui.pixels import levels
from vitviz.errors import RefusedError
from vitviz.images.photo import SUFFIXES
from vitviz.models import checkpoint


def weights(path, seed):
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    save_file(timm.create_model("test_vit", num_classes=7).state_dict(), path)
    return path


def test_a_missing_photo_does_not_lose_the_model(window, qtbot, model, photo, tmp_path):
    with qtbot.waitSignal(window.session.failed, timeout=20_000):
        window.session.open(photo=tmp_path / "missing.png", model=model)
    assert "missing.png" in window.notice.sentence.text()
    assert window.session.model is model
    assert "is ready" in window.photo.welcome.hint.text()
    with qtbot.waitSignal(window.session.trace_changed, timeout=20_000):
        window.open_path(photo)
    assert window.session.trace.model is model


def test_a_missing_model_does_not_lose_the_photo(window, qtbot, photo):
    with qtbot.waitSignal(window.session.failed, timeout=60_000):
        window.session.open(photo=photo, model="no_such_model_at_all")
    assert "no_such_model_at_all" in window.notice.sentence.text()
    assert window.session.photo.width == 160
    assert window.settings.names("photos") == [str(photo)]
    assert window.photo.no_model.isVisible()


def test_with_something_on_the_stage_the_one_that_opens_is_shown(shown, qtbot, swin, model, tmp_path):
    with qtbot.waitSignal(shown.session.failed, timeout=20_000):
        shown.session.open(photo=tmp_path / "missing.png", model=swin)
    assert shown.session.trace.model is shown.session.model is swin
    assert shown.session.trace.photo.width == 160
    assert shown.notice.isVisible()
    with qtbot.waitSignal(shown.session.failed, timeout=20_000):
        shown.session.open(photo=picture(tmp_path / "next.png", (70, 60)), model="no_such_model_at_all")
    assert shown.session.trace.model is shown.session.model is swin
    assert shown.session.trace.photo.size == (60, 70)


def test_neither_can_be_opened_and_both_are_reported(window, qtbot, tmp_path):
    with qtbot.waitSignal(window.session.failed, timeout=60_000):
        window.session.open(photo=tmp_path / "missing.png", model="no_such_model_at_all")
    told = window.notice.sentence.text()
    assert "missing.png" in told
    assert "no_such_model_at_all" in told


def test_a_weights_file_that_changed_is_read_again_and_else_not(window, qtbot, photo, tmp_path):
    path = str(weights(tmp_path / "small.safetensors", 1))
    show(window, qtbot, photo, path)
    first = window.session.model
    show(window, qtbot, photo, path)
    assert window.session.model is first
    time.sleep(0.01)
    weights(tmp_path / "small.safetensors", 2)
    before = window.session.trace.logits
    show(window, qtbot, photo, path)
    assert window.session.model is not first
    assert not np.array_equal(window.session.trace.logits, before)


def test_a_model_that_is_not_exact_is_refused_in_a_sentence(window, qtbot, photo, model, monkeypatch):
    def refusing(*_, **__):
        raise RefusedError("small cannot be shown: its recomputed attention is NOT exact.")

    monkeypatch.setattr(sys.modules["vitviz.attention.trace"], "trace", refusing)
    with qtbot.waitSignal(window.session.failed, timeout=60_000):
        window.session.open(photo=photo, model=model)
    assert window.notice.sentence.text().startswith("small cannot be shown")
    assert window.session.trace is None


def test_another_framing_shows_its_own_check(shown, qtbot):
    first = shown.session.check
    squash = next(action for action in shown.framings.actions() if action.data() == "fit")
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        squash.trigger()
    assert shown.session.check is shown.session.trace.check
    assert shown.session.check is not first
    assert shown.session.check.exact


def test_the_images_of_a_large_photo_are_made_off_the_gui_thread(window, qtbot, photo, monkeypatch):
    here = []

    def noted(pixels):
        here.append(threading.current_thread() is threading.main_thread())
        return levels(pixels)

    monkeypatch.setattr(load, "levels", noted)
    with qtbot.waitSignal(window.session.photo_opened):
        window.open_path(photo)
    data = QMimeData()
    data.setImageData(QImage(30, 20, QImage.Format.Format_RGB32))
    with qtbot.waitSignal(window.session.photo_changed):
        window.opener.open_mime(data, window.stage.open_on_side)
    assert here == [False, False]
    found = levels(np.zeros((3400, 4000, 3), np.uint8))
    assert [(one.width(), one.height()) for one in found] == [(4000, 3400), (2000, 1700), (1000, 850)]


def test_the_chooser_closes_without_waiting_for_its_list(window, qtbot, monkeypatch):
    go, begun = threading.Event(), threading.Event()

    def slow(*_):
        begun.set()
        go.wait(20)
        return ModelLists((), (), ())

    monkeypatch.setattr(model_list, "catalog", slow)
    window.commands["choose_model"].trigger()
    assert begun.wait(5)
    start = time.perf_counter()
    window.chooser.reject()
    assert time.perf_counter() - start < 2
    go.set()


def test_every_ending_that_can_be_opened_is_offered():
    assert set(mime.WEIGHTS) == set(checkpoint.SUFFIXES)
    for suffix in SUFFIXES:
        assert f"*{suffix}" in files.name_filter("Pictures", SUFFIXES)


@pytest.mark.parametrize("ending", mime.WEIGHTS)
def test_a_weights_file_is_known_by_its_ending(window, monkeypatch, tmp_path, ending):
    asked = []
    monkeypatch.setattr(window.session, "open", lambda **request: asked.append(request))
    window.open_path(tmp_path / f"small{ending}")
    assert asked == [{"model": str(tmp_path / f"small{ending}")}]
