"""A panel is dimmed while something newer is awaited, and only then: where nothing is computed, nothing is dimmed."""

from threading import Event

import pytest
import user_input
from audit import settled, visible
from steps import dock_of, opened, picture

from vitviz.app.panels.patches import panel as patches_panel
from vitviz.app.session import compute

COMPUTING = ("lens", "statistics", "tokens", "positions", "patches", "faithfulness", "layers")


def assert_bright(window, qtbot):
    for _ in range(2):
        qtbot.waitUntil(lambda: settled(window), timeout=20_000)
        qtbot.wait(150)  # longer than a panel is patient before it is dimmed
    assert [panel.name for panel in visible(window) if panel.shown().dimmed] == []


def test_a_strip_that_is_asked_for_again_is_not_left_dimmed(shown, qtbot, monkeypatch):
    """Its head maps come from a thread, while a strip that was asked for in between has not been computed yet."""
    monkeypatch.setattr(compute, "INSTANT", 0)
    layers, through = shown.panel("layers"), Event()
    shown.session.pin(tuple((row, column) for row in range(3) for column in range(4)))
    qtbot.waitUntil(lambda: settled(shown), timeout=20_000)
    layers.worker.submit(lambda _: through.wait(20), lambda _: None, lambda _: None)
    shown.session.change(method="rollout", query=None, pinned=False)
    qtbot.waitUntil(lambda: layers.shown().dimmed)
    user_input.press(shown, "Ctrl+Z")  # the head maps of the readout have replaced those of the patches
    through.set()
    assert_bright(shown, qtbot)
    facts = layers.shown().facts
    assert (facts.selection.method, facts.selection.query) == ("attention", shown.session.view.query)
    assert "computing" not in layers.shown().caption


@pytest.mark.parametrize("name", COMPUTING)
def test_a_panel_whose_photo_is_closed_while_it_computes_is_not_left_dimmed(shown, qtbot, tmp_path, name):
    panel = opened(shown, qtbot, name)
    dock_of(shown, name).raise_()
    shown.session.change(method="rollout")
    qtbot.waitUntil(lambda: settled(shown), timeout=20_000)
    through = Event()
    panel.worker.submit(lambda _: through.wait(20), lambda _: None, lambda _: None)
    user_input.drop(shown.photo.canvas, user_input.files(picture(tmp_path / "other.png", (90, 120), 3)))
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        pass
    qtbot.waitUntil(lambda: panel.shown().dimmed)  # what it asks for waits behind the other work
    user_input.press(shown, "Ctrl+W")
    assert shown.session.trace is None
    through.set()
    assert_bright(shown, qtbot)


def test_a_panel_whose_work_fails_is_not_left_dimmed(shown, qtbot, tmp_path, monkeypatch):
    def broken(trace):
        raise ValueError("no patches")

    panel = opened(shown, qtbot, "patches")
    qtbot.waitUntil(lambda: settled(shown), timeout=20_000)
    monkeypatch.setattr(patches_panel, "patch_data", broken)
    user_input.drop(shown.photo.canvas, user_input.files(picture(tmp_path / "other.png", (90, 120), 3)))
    with qtbot.waitSignal(shown.session.failed, timeout=20_000):
        pass
    assert_bright(shown, qtbot)
    assert panel.isVisible()
