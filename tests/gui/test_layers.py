"""The strip of layers: what its frames hold, what pointing, picking and playing do, and how it waits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, QRectF, Qt
from steps import picture, show

from vitviz.app.panels.layers.strip import from_tiles, in_strip
from vitviz.app.session import compute
from vitviz.app.session.view_state import Hover, Selection, selection
from vitviz.app.widgets.pictures.filmstrip import places
from vitviz.explain import explain
from vitviz.render.colors import lookup_table

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def panel(shown):
    return shown.panel("layers")


def middle(panel, layer: int) -> QPoint:
    return QRectF(*panel.strip.places.box(layer)).center().toPoint()


def color(panel, layer: int, row: int, column: int, side: int = 8) -> tuple[int, int, int]:
    """The colour of a cell of a frame, as it is painted."""
    left, top, width, height = panel.strip.places.box(layer)
    image = panel.strip.grab().toImage()
    at = image.pixelColor(int(left + (column + 0.5) * width / side), int(top + (row + 0.5) * height / side))
    return at.red(), at.green(), at.blue()


@given(
    count=st.integers(1, 48),
    aspect=st.floats(0.4, 2.5),
    room=st.tuples(st.integers(300, 1600), st.integers(64, 400)),
)
def test_frames_lie_apart(count, aspect, room):
    placed = places(count, aspect, room)
    boxes = [QRectF(*placed.box(number)) for number in range(count)]
    assert all(not one.intersects(other) for n, one in enumerate(boxes) for other in boxes[:n])
    assert max(box.right() for box in boxes) <= max(room[0], 24 + count * 8)


@pytest.mark.parametrize(("count", "least"), [(12, 60), (24, 30), (40, 24)])
def test_frames_fill_a_low_strip(count, least):
    placed = places(count, 1.0, (880, 96))
    assert placed.box(count - 1)[1] + placed.height <= 96
    assert placed.width >= least


@pytest.mark.parametrize(("head", "fusion"), [(None, "mean"), (None, "max"), (None, "min"), (1, "mean")])
def test_frames_of_attention_are_each_layers_attention(shown, head, fusion):
    trace = shown.session.trace
    chosen = in_strip(Selection((2, 5), 1, head, fusion, "to", "attention"))
    strip = from_tiles(compute.stacked(compute.head_maps(trace, (2, 5), "to")), chosen)
    for layer, values in enumerate(strip.maps):
        asked = {"layer": layer, "head": head, "fusion": fusion, "query": (2, 5)}
        np.testing.assert_allclose(values, explain(trace, "attention", **asked).values, rtol=1e-6)


def test_frames_are_drawn_in_the_colours_of_the_view(shown, panel):
    shown.session.pin((2, 5))
    shown.session.change(colormap="magma", scale="zero")
    shown.session.change_panel("layers", photo=False)
    table = lookup_table("magma")
    for layer in range(3):
        values = explain(shown.session.trace, "attention", layer=layer, query=(2, 5)).values
        for row, column in ((0, 0), (2, 5), (7, 3)):
            expected = table[int(values[row, column] / values.max() * 255 + 0.5)]
            assert color(panel, layer, row, column) == tuple(expected), (layer, row, column)
    shown.session.change_panel("layers", scale="common")
    maps = [explain(shown.session.trace, "attention", layer=n, query=(2, 5)).values for n in range(3)]
    most = max(values.max() for values in maps)
    assert color(panel, 0, 2, 5) == tuple(table[int(maps[0][2, 5] / most * 255 + 0.5)])
    assert f"all frames from 0 to {most:.2g}" in panel.says.whole


def test_attention_follows_the_pointer_without_a_thread(shown, panel, qtbot, at):
    before = panel.strip.frames
    qtbot.mouseMove(shown.photo.canvas, at(shown, 3, 6))
    assert panel.strip.frames is not before
    assert not panel.worker.busy
    assert panel.says.whole.startswith("What patch (3, 6) attends to in each layer, mean of heads")


def test_pointing_previews_a_layer_and_a_click_selects_it(shown, panel, qtbot):
    shown.session.change(head=1)
    frames = panel.strip.frames
    qtbot.mouseMove(panel.strip, middle(panel, 0))
    assert shown.session.hover == Hover(tile=(0, 1))
    assert "blocks.0.attn, head 1" in shown.photo.title.whole
    assert shown.session.view.layer == 2
    qtbot.mouseMove(panel.strip, QPoint(1, 1))
    assert "blocks.2.attn" in shown.photo.title.whole
    qtbot.mouseClick(panel.strip, LEFT, pos=middle(panel, 1))
    assert (shown.session.view.layer, shown.session.view.head) == (1, 1)
    assert panel.strip.frames is frames
    assert panel.strip.selected == 1


def test_a_hovered_head_marks_its_layer_and_leaves_the_strip(shown, panel):
    frames = panel.strip.frames
    shown.session.point(Hover(tile=(0, 2)))
    assert panel.strip.marked == 0
    assert panel.strip.frames is frames


def test_keys_go_along_the_strip(shown, panel, qtbot):
    panel.strip.setFocus()
    for key, layer in (
        (Qt.Key.Key_Home, 0),
        (Qt.Key.Key_Right, 1),
        (Qt.Key.Key_End, 2),
        (Qt.Key.Key_Left, 1),
    ):
        qtbot.keyClick(panel.strip, key)
        assert shown.session.view.layer == layer


def test_composed_methods_come_from_a_thread_and_lag_dimmed(shown, panel, qtbot, gate):
    session = shown.session
    session.pin((2, 5))
    before = panel.strip.frames
    session.change(method="rollout")
    assert panel.strip.frames is before
    qtbot.waitUntil(lambda: panel.strip.dimmed)
    assert "computing, 0 of 3 layers" in panel.says.whole
    gate.set()
    qtbot.waitUntil(lambda: panel.strip.frames is not before)
    assert not panel.strip.dimmed
    assert panel.says.whole.startswith("Rollout of patch (2, 5) up to each layer")
    for layer, values in enumerate(panel.shown().maps):
        expected = explain(session.trace, "rollout", layer=layer, query=(2, 5)).values
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-8)


def test_the_newest_query_wins_and_strips_are_kept(shown, panel, qtbot, gate):
    session = shown.session
    session.change(method="rollout")
    for patch in ((0, 0), (1, 1), (2, 2)):
        session.pin(patch)
    gate.set()
    qtbot.waitUntil(lambda: panel.shown().facts is not None and panel.shown().facts.selection.query == (2, 2))
    expected = explain(session.trace, "rollout", layer=1, query=(2, 2)).values
    np.testing.assert_allclose(panel.shown().maps[1], expected, rtol=1e-5, atol=1e-8)
    gate.clear()
    session.pin((3, 3))
    session.pin((2, 2))
    assert panel.shown().facts.selection.query == (2, 2)
    session.change(layer=0, head=None, opacity=0.3)
    assert panel.shown().facts.selection.query == (2, 2)
    assert not panel.strip.dimmed


def test_a_method_without_layers_says_what_is_shown_instead(shown, panel, qtbot):
    shown.session.change(method="input_gradient")
    assert panel.says.whole.startswith(
        "Input gradient has no map per layer; instead: what the class token attends to"
    )
    np.testing.assert_allclose(
        panel.shown().maps[0], explain(shown.session.trace, "attention", layer=0).values, rtol=1e-6
    )
    shown.session.change(method="gradcam")
    qtbot.waitUntil(lambda: panel.shown().facts.selection.method == "gradcam")
    assert panel.says.whole.startswith("Grad-CAM on the input of each layer")


def test_layers_without_the_chosen_head_say_so(window, qtbot, swin, tmp_path):
    show(window, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    panel = window.panel("layers")
    window.session.pin((3, 3))
    window.session.change(layer=3, head=3)
    assert [frame.image is None for frame in panel.strip.frames] == [True, True, False, False]
    assert "2 heads" in panel.strip.frames[0].tip
    qtbot.mouseMove(panel.strip, middle(panel, 0))
    assert window.session.hover.tile == (0, None)
    qtbot.mouseClick(panel.strip, LEFT, pos=middle(panel, 0))
    assert (window.session.view.layer, window.session.view.head) == (0, 1)


def test_playing_goes_through_the_layers_once_and_is_one_step_of_undo(shown, panel, qtbot):
    session = shown.session
    session.change(layer=0, head=2)
    panel.speed.setCurrentIndex(panel.speed.findText("4×"))
    seen = []
    session.view_changed.connect(lambda _, now: seen.append(now.layer))
    shown.photo.canvas.setFocus()
    qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_Space)
    assert panel.playing
    qtbot.waitUntil(lambda: not panel.playing, timeout=5000)
    assert seen == [1, 2]
    session.undo()
    assert session.view.layer == 0
    session.change(layer=2)
    seen.clear()
    qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_Space)  # from the last layer it begins with the first
    qtbot.waitUntil(lambda: not panel.playing, timeout=5000)
    assert seen == [0, 1, 2]


def test_playing_loops_waits_for_what_it_shows_and_stops(shown, panel, qtbot, gate):
    session = shown.session
    panel.speed.setCurrentIndex(panel.speed.findText("4×"))
    qtbot.mouseClick(panel.loop, LEFT)
    session.change(method="rollout", layer=0)
    qtbot.mouseClick(panel.play, LEFT)
    qtbot.wait(400)
    assert session.view.layer == 0  # rollout is not there yet
    gate.set()
    seen = set()
    session.heatmap_changed.connect(lambda: seen.add(session.maps.shown.selection.layer))
    qtbot.waitUntil(lambda: seen == {0, 1, 2}, timeout=5000)
    qtbot.waitUntil(lambda: session.view.layer == 0, timeout=5000)
    qtbot.mouseClick(panel.play, LEFT)
    assert not panel.playing
    qtbot.mouseClick(panel.play, LEFT)
    shown.panel("layers").parentWidget().close()
    assert not panel.playing


def test_a_hidden_strip_does_no_work_and_is_updated_when_shown(shown, panel, qtbot):
    dock = panel.parentWidget()
    dock.close()
    frames = panel.strip.frames
    shown.session.pin((6, 1))
    shown.session.change(method="rollout")
    assert panel.strip.frames is frames
    assert not panel.worker.busy
    dock.show()
    qtbot.waitUntil(lambda: panel.shown().facts.selection == in_strip(selection(shown.session.view, Hover())))


def test_without_a_trace_it_says_how_to_fill_it(window):
    panel = window.panel("layers")
    assert panel.empty.isVisible()
    assert not panel.play.isVisible()
    panel.toggle()
    assert not panel.playing
