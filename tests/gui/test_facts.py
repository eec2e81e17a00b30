"""What a panel has drawn and what it says belong together, whatever is clicked in whatever order."""

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QRectF, Qt
from steps import dock_of, opened, picture, show

from vitviz.explain import explain

LEFT = Qt.MouseButton.LeftButton


def tile(panel, layer: int, head: int) -> QPoint:
    """The middle of a head's tile."""
    view = panel.view
    return (QRectF(*view.plan.box(layer, head)).center() + view.origin).toPoint()


@pytest.mark.parametrize("first", [None, 0])
def test_a_click_that_changes_layer_and_head_at_once_changes_frames_and_caption(shown, qtbot, first):
    shown.session.change(layer=2, head=first)
    heads, layers = shown.panel("heads"), shown.panel("layers")
    place = tile(heads, 0, 1)
    for one in (tile(heads, 1, 2), place):  # a pointer that is there already would not move
        qtbot.mouseMove(heads.view, one)
    qtbot.mouseClick(heads.view, LEFT, pos=place)
    assert (shown.session.view.layer, shown.session.view.head) == (0, 1)
    assert "head 1" in layers.shown().caption
    for layer, values in enumerate(layers.shown().maps):
        expected = explain(shown.session.trace, "attention", layer=layer, head=1).values
        np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_while_a_strip_is_computed_the_old_one_keeps_its_caption(shown, qtbot, gate):
    shown.session.change(head=1)
    panel = shown.panel("layers")
    before = panel.shown()
    shown.session.change(method="rollout")
    qtbot.waitUntil(lambda: panel.shown().dimmed)
    now = panel.shown()
    assert now.frames is before.frames
    assert now.facts == before.facts
    assert now.facts.selection.method == "attention"
    assert now.caption.startswith("What the class token attends to in each layer, head 1 · computing, ")
    gate.set()
    qtbot.waitUntil(lambda: not panel.shown().dimmed)
    assert panel.shown().facts.selection.method == "rollout"
    assert panel.shown().caption.startswith("Rollout of the class token up to each layer")


def test_facts_name_the_model_the_photo_and_the_framing(shown):
    facts = shown.panel("layers").shown().facts
    assert facts.trace is shown.session.trace
    assert (facts.model, facts.photo, facts.framing) == (shown.session.model.full_name, "wide.png", "crop")


def test_a_click_on_a_heads_tile_reaches_the_matrices_of_a_window_at_once(window, qtbot, swin, tmp_path):
    show(window, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    window.session.change(layer=1)
    window.session.change_panel("windows", window=(1, 2))
    dock_of(window, "windows").setFloating(True)
    panel = opened(window, qtbot, "windows")
    assert panel.shown().head is None
    dock_of(window, "heads").raise_()
    heads = window.panel("heads")
    place = tile(heads, 1, 1)
    for one in (tile(heads, 1, 0), place):
        qtbot.mouseMove(heads.view, one)
    qtbot.mouseClick(heads.view, LEFT, pos=place)
    assert window.session.view.head == 1
    assert panel.shown().head == 1
    assert panel.shown().pictures[0].caption == "head 1"


def test_patches_follow_the_pointer_beside_a_pinned_query(shown, qtbot, at):
    panel = opened(shown, qtbot, "patches")
    shown.session.pin((1, 1))
    for patch in ((5, 5), (2, 6)):
        qtbot.mouseMove(shown.photo.canvas, at(shown, *patch))
        assert panel.shown().caption.startswith(f"Patch ({patch[0]}, {patch[1]}): ")
        assert panel.shown().facts.selection.query == patch
        assert panel.shown().pictures[1].caption == f"patch ({patch[0]}, {patch[1]})"


def test_a_hidden_panel_keeps_no_facts_of_a_trace_that_was_closed(shown, qtbot):
    names = ("tokens", "lens", "statistics", "patches", "positions")
    panels = [opened(shown, qtbot, name) for name in names]
    shown.session.close_photo()
    assert [panel.shown().facts for panel in panels] == [None] * len(names)
