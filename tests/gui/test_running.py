"""While something runs: the old picture stays, dimmed; it can be stopped; the newest request wins."""

import threading

import pytest
from PySide6.QtCore import Qt
from steps import picture

from vitviz.app.session import load


@pytest.fixture
def gate(monkeypatch):
    """Holds opening a photo until it is let through."""
    through, waiting = threading.Event(), threading.Event()
    real = load.open_image

    def held(path):
        waiting.set()
        assert through.wait(20)
        return real(path)

    monkeypatch.setattr(load, "open_image", held)
    held.through, held.waiting = through, waiting
    yield held
    through.set()


def test_the_old_picture_stays_dimmed_until_the_new_one_is_there(shown, qtbot, gate, tmp_path):
    before = shown.session.trace
    shown.open_path(picture(tmp_path / "next.png", (70, 70)))
    qtbot.waitUntil(gate.waiting.is_set)
    assert not shown.photo.progress.isVisible()
    qtbot.waitUntil(lambda: "next.png" in shown.photo.progress.text.text())
    assert shown.session.trace is before
    assert shown.photo.canvas.dimmed
    qtbot.waitUntil(shown.photo.progress.isVisible)
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        gate.through.set()
    assert shown.session.photo.size == (70, 70)
    assert not shown.photo.canvas.dimmed
    assert not shown.photo.progress.isVisible()


def test_cancel_keeps_what_is_shown(shown, qtbot, gate, tmp_path):
    before = shown.session.trace
    shown.open_path(picture(tmp_path / "next.png", (70, 70)))
    qtbot.waitUntil(shown.photo.progress.isVisible)
    qtbot.mouseClick(shown.photo.progress.cancel, Qt.MouseButton.LeftButton)
    assert shown.session.busy is None
    assert not shown.photo.canvas.dimmed
    gate.through.set()
    qtbot.wait(300)
    assert shown.session.trace is before
    assert shown.session.photo.size == (100, 160)


def test_the_newest_photo_wins(shown, qtbot, gate, tmp_path):
    seen = []
    shown.session.trace_changed.connect(lambda: seen.append(shown.session.photo.name))
    shown.open_path(picture(tmp_path / "first.png", (70, 70)))
    qtbot.waitUntil(gate.waiting.is_set)
    shown.open_path(picture(tmp_path / "second.png", (50, 70)))
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        gate.through.set()
    qtbot.wait(300)
    assert len(seen) == 1
    assert shown.session.photo.size == (70, 50)


def test_a_photo_and_a_model_asked_for_one_after_the_other_both_count(shown, qtbot, gate, swin, tmp_path):
    shown.open_path(picture(tmp_path / "next.png", (70, 70)))
    qtbot.waitUntil(gate.waiting.is_set)
    shown.session.open(model=swin)
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        gate.through.set()
    assert shown.session.photo.size == (70, 70)
    assert shown.session.model is swin
    assert len(shown.session.trace.layers) == 4


def test_a_running_forward_pass_stops_at_the_next_block(shown, qtbot, model, tmp_path):
    """The last block is never reached after a cancel in the first."""
    reached, cancelled = [], threading.Event()

    def first(*_):
        reached.append(0)
        cancelled.wait(20)

    hooks = [
        model.module.blocks[0].register_forward_pre_hook(first),
        model.module.blocks[2].register_forward_pre_hook(lambda *_: reached.append(2)),
    ]
    try:
        shown.open_path(picture(tmp_path / "next.png", (70, 70)))
        qtbot.waitUntil(lambda: bool(reached), timeout=20_000)
        shown.session.cancel()
        cancelled.set()
        qtbot.wait(500)
        assert reached == [0]
    finally:
        for hook in hooks:
            hook.remove()


def test_the_view_survives_another_photo(shown, qtbot, tmp_path):
    shown.session.pin((2, 5))
    shown.session.change(layer=1, head=2)
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        shown.open_path(picture(tmp_path / "next.png", (70, 70)))
    view = shown.session.view
    assert (view.query, view.pinned, view.layer, view.head) == ((2, 5), True, 1, 2)
    assert "patch (2, 5)" in shown.photo.title.whole


def test_another_framing_runs_again(shown, qtbot):
    squash = next(action for action in shown.framings.actions() if action.data() == "squash")
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        squash.trigger()
    assert shown.session.trace.framing.seen() == pytest.approx((0, 0, 160, 100))
    assert squash.isChecked()


def test_closing_while_running_ends_the_thread(shown, qtbot, gate, tmp_path):
    shown.open_path(picture(tmp_path / "next.png", (70, 70)))
    qtbot.waitUntil(gate.waiting.is_set)
    threading.Timer(0.2, gate.through.set).start()
    shown.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vitviz")]
