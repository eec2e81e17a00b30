"""What a panel has drawn and what it says belong together, whatever is clicked in whatever order."""

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QRectF, Qt

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
