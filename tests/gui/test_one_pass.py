"""The next photo while a class is explained: one forward pass; and where memory is short, the photo at least."""

import torch
from PySide6.QtCore import Qt
from steps import picture, show

from vitviz.attention import forward_pass


def relevance(window, qtbot) -> None:
    """Choose relevance by its number key, and wait for its map."""
    qtbot.keyClick(window.photo.canvas, Qt.Key.Key_4)
    assert window.session.selection.method == "relevance"
    qtbot.waitUntil(lambda: (heat := window.session.maps.shown.heatmap) and heat.method == "relevance")


def next_photo(window, qtbot, folder) -> None:
    picture(folder / "zz.png", (70, 70), 1)
    with qtbot.waitSignal(window.session.trace_changed, timeout=20_000):
        qtbot.keyClick(window.photo.canvas, Qt.Key.Key_PageDown)
    qtbot.waitUntil(lambda: window.session.busy is None)


def test_the_next_photo_of_a_class_costs_one_forward_pass(window, qtbot, model, photo):
    passes = []
    # Before the first trace, as a hook that comes later is noticed and the model proved again.
    handle = model.module.register_forward_pre_hook(lambda *_: passes.append(1))
    try:
        show(window, qtbot, photo, model)
        relevance(window, qtbot)
        passes.clear()
        next_photo(window, qtbot, photo.parent)
        qtbot.waitUntil(lambda: window.session.maps.shown.heatmap.photo is window.session.photo)
    finally:
        handle.remove()
    assert window.session.maps.shown.heatmap.method == "relevance"
    assert passes == [1]


def test_where_memory_is_short_the_photo_opens_at_least(window, qtbot, model, photo, monkeypatch):
    show(window, qtbot, photo, model)
    relevance(window, qtbot)

    def too_much(*_):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(forward_pass, "record", too_much)
    next_photo(window, qtbot, photo.parent)
    assert window.session.photo.size == (70, 70)
    qtbot.waitUntil(lambda: window.session.maps.shown.heatmap.photo is window.session.photo)
