"""The matrix of tokens: where its cells lie, what they hold, and how it is linked with the photo and the selection."""

import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication
from steps import picture, show

from vitviz.app.panels.tokens import matrix
from vitviz.app.session.view_state import Hover
from vitviz.app.ui import number_format
from vitviz.app.widgets.matrix.axis import fitted, shrunk
from vitviz.models.loading import load_model
from vitviz.render.colors import lookup_table

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def panel(shown, qtbot):
    return opened(shown, qtbot)


def opened(window, qtbot):
    """The panel with its dock open and its first matrix there."""
    dock = next(dock for dock in window.docks if dock.kind.name == "tokens")
    dock.show()
    dock.raise_()
    panel = dock.panel
    qtbot.waitUntil(panel.isVisible)
    settle(panel, qtbot)
    return panel


def settle(panel, qtbot) -> None:
    qtbot.waitUntil(lambda: panel.shown().picture is not None and not panel.busy, timeout=20_000)
    QApplication.processEvents()  # a caption of two lines has its room


def choose(panel, qtbot, entry: int) -> None:
    """Choose a window by keys: entry 0 is the query's own, 1 is window 0."""
    panel.windows.setFocus()  # elsewhere the arrow keys move the query
    qtbot.keyClick(panel.windows, Qt.Key.Key_Home)
    for _ in range(entry):
        qtbot.keyClick(panel.windows, Qt.Key.Key_Down)
    settle(panel, qtbot)


def middle(panel, row: int, column: int) -> QPoint:
    box = panel.view.cell_rect(row, column)
    assert box is not None
    return box.center().toPoint()


@given(
    first=st.integers(0, 6),
    others=st.integers(1, 1500),
    room=st.integers(120, 900),
    zooms=st.lists(st.tuples(st.floats(0.5, 4), st.integers(0, 900)), max_size=4),
    ratio=st.sampled_from([1.0, 1.25, 2.0]),
)
@example(first=0, others=38, room=900, zooms=[], ratio=1.25)
def test_cells_are_found_where_they_lie(first, others, room, zooms, ratio):
    axis = fitted(first + others, first, 30, 14, 4, room, room / others)
    for factor, place in zooms:
        axis = axis.zoomed(min(max(axis.scale * factor, room / others), 48), place)
    for cell in {0, first, first + others // 2, first + others - 1}:
        span = axis.span(cell)
        if span is not None and span[1] - span[0] > 1e-3:
            assert axis.at((span[0] + span[1]) / 2) == cell
    assert axis.at(axis.end + 0.01) is None
    cells, after = axis.pixels(ratio)
    assert np.all(np.diff(cells) >= 0)
    assert first <= cells[0]
    assert cells[-1] < after <= first + others
    # A pixel shows the cell that is found at its middle, where cells are at least as large as pixels.
    if axis.scale * ratio >= 1 and len(cells) > 3:
        for pixel in (0, len(cells) // 2, len(cells) - 2):
            assert cells[pixel] == axis.at(axis.begin + (pixel + 0.5) / ratio)


@given(count=st.integers(2, 60), wide=st.integers(1, 90), seed=st.integers(0, 99))
def test_what_is_shrunk_keeps_its_largest(count, wide, seed):
    values = np.random.default_rng(seed).integers(0, 256, (count, count), dtype=np.uint8)
    cells, after = fitted(count, 0, 0, 14, 4, wide, wide / count).pixels(1)
    made = shrunk(values, cells, cells, (after, after))
    bounds = [*cells.tolist(), after]
    for row in range(len(cells)):
        for column in range(len(cells)):
            rows = slice(bounds[row], max(bounds[row + 1], bounds[row] + 1))
            columns = slice(bounds[column], max(bounds[column + 1], bounds[column] + 1))
            assert made[row, column] == values[rows, columns].max()


def test_cells_are_the_layers_weights_in_the_colours_of_the_view(shown, panel, qtbot):
    shown.session.change(layer=1, head=2, colormap="magma")
    shown.session.change_panel("tokens", log=False)
    settle(panel, qtbot)
    weights = shown.session.trace.layers[1].attention()[2]
    np.testing.assert_allclose(panel.shown().picture.matrix.values, weights, rtol=1e-5)
    table, image = lookup_table("magma"), panel.view.grab().toImage()
    for row, column in ((0, 0), (0, 30), (17, 0), (20, 40), (64, 64)):
        at = image.pixelColor(middle(panel, row, column))
        expected = table[int(weights[row, column] / weights.max() * 255 + 0.5)]
        assert (at.red(), at.green(), at.blue()) == tuple(expected), (row, column)


def test_a_logarithmic_scale_covers_up_to_four_decades(shown, panel, qtbot):
    assert panel.scale.current == "log"
    weights = panel.shown().picture.matrix.values
    least = max(weights.max() / 1e4, weights.min())
    unit = np.log(np.maximum(weights, least) / least) / np.log(weights.max() / least)
    np.testing.assert_allclose(panel.shown().picture.cells, np.round(unit * 255), atol=1)
    qtbot.mouseClick(panel.scale, LEFT, pos=panel.scale.cell("linear").center().toPoint())
    qtbot.waitUntil(lambda: not panel.shown().picture.log)
    assert shown.session.view.panels["tokens"] == {"log": False}


def test_pointing_at_a_cell_shows_query_and_key_on_the_photo(shown, panel, qtbot):
    shown.session.pin((7, 7))
    row, column = 1 + 2 * 8 + 5, 1 + 6 * 8 + 3
    qtbot.mouseMove(panel.view, middle(panel, row, column))
    assert shown.session.hover == Hover(query=(2, 5), patch=(6, 3))
    assert "patch (2, 5)" in shown.photo.title.whole
    assert shown.session.view.query == (7, 7)
    assert panel.shown().selected == (64, 64)  # what is pinned stays marked
    weights = shown.session.trace.layers[2].attention().mean(0)
    expected = number_format.compared(float(weights[row, column]), 1 / 65)
    assert panel.reading.whole.startswith(f"patch (2, 5) → patch (6, 3): {expected} · back ")
    assert expected.split(",")[0] in shown.status.weight.text()
    qtbot.mouseMove(panel.view, middle(panel, 0, column))
    assert shown.session.hover == Hover(query="class", patch=(6, 3))
    qtbot.mouseMove(panel.view, middle(panel, row, 0))
    assert shown.session.hover == Hover(query=(2, 5), patch=None)
    assert panel.reading.whole.startswith("patch (2, 5) → class token")
    qtbot.mouseMove(panel.view, QPoint(1, 1))
    assert shown.session.hover == Hover()
    assert "patch (7, 7)" in shown.photo.title.whole


def test_pointing_at_the_photo_marks_the_patchs_row(shown, panel, qtbot, at):
    row = 1 + 3 * 8 + 6
    qtbot.mouseMove(shown.photo.canvas, at(shown, 3, 6))
    assert panel.shown().selected == (row, row)  # without a pinned query it is the query
    shown.session.pin((1, 1))
    qtbot.mouseMove(shown.photo.canvas, at(shown, 3, 5))
    assert panel.shown().selected == (10, 10)
    assert panel.shown().marked == (row - 1, row - 1)
    assert panel.reading.whole.startswith("patch (1, 1) → patch (3, 5)")


def test_a_click_on_a_row_makes_its_token_the_query_prefix_tokens_too(shown, panel, qtbot):
    qtbot.mouseClick(panel.view, LEFT, pos=middle(panel, 1 + 4 * 8 + 2, 9))
    assert (shown.session.view.query, shown.session.view.pinned) == ((4, 2), True)
    qtbot.mouseClick(panel.view, LEFT, pos=middle(panel, 0, 9))
    assert shown.session.view.query == "class"
    assert panel.numbers.buttons["class"].isChecked()
    qtbot.mouseClick(panel.view, LEFT, pos=middle(panel, 0, 9))
    assert not shown.session.view.pinned
    qtbot.mouseClick(panel.numbers.buttons["class"], LEFT)
    assert shown.session.view.query == "class"


def test_what_prefix_tokens_receive_and_give(shown, panel, qtbot):
    shown.session.change(layer=0, head=1)
    settle(panel, qtbot)
    weights = shown.session.trace.layers[0].attention()[1]
    received = number_format.compared(float(weights[:, 0].mean()), 1 / 65)
    gives = tuple(number_format.number(float(part)) for part in (weights[0, 0], weights[0, 1:].sum(), 0.0))
    assert panel.numbers.texts() == [(received, *gives)]


def test_zoom_holds_the_cell_under_the_pointer_and_dragging_moves(shown, panel, qtbot):
    view = panel.view
    place = middle(panel, 30, 40)
    for _ in range(8):
        at = QPointF(place)
        event = QWheelEvent(
            at,
            view.mapToGlobal(at),
            QPoint(),
            QPoint(0, 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(view, event)
    assert view.zoomed_in
    assert view.at(QPointF(place)) == (30, 40)
    assert view.cell_rect(30, 40).width() > 15
    shown.session.unpin()
    qtbot.mousePress(view, LEFT, pos=place)
    qtbot.mouseMove(view, place + QPoint(30, 20))
    qtbot.mouseMove(view, place + QPoint(60, 40))
    qtbot.mouseRelease(view, LEFT, pos=place + QPoint(60, 40))
    assert not shown.session.view.pinned  # a drag is no click
    assert view.at(QPointF(place + QPoint(60, 40))) == (30, 40)
    qtbot.mouseClick(panel.whole, LEFT)
    assert not view.zoomed_in
    qtbot.mouseClick(panel.into, LEFT)
    assert view.zoomed_in


def test_a_window_of_swin_is_the_querys_or_a_chosen_one(window, qtbot, swin, tmp_path):
    show(window, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    panel = opened(window, qtbot)
    session = window.session
    layer = session.trace.layers[1]
    session.pin((9, 6))
    session.change(layer=1, head=1)
    settle(panel, qtbot)
    number, slot = layer.layout.windows.slot(session.trace.token(layer, 9, 6))
    np.testing.assert_allclose(panel.shown().picture.matrix.values, layer.attention()[number, 1], rtol=1e-5)
    assert f"head 1, window {number} · 16 × 16 tokens" in panel.says.whole
    assert panel.shown().selected == (slot, slot)
    assert panel.windows.isVisible()
    choose(panel, qtbot, 3)
    np.testing.assert_allclose(panel.shown().picture.matrix.values, layer.attention()[2, 1], rtol=1e-5)
    assert panel.shown().selected == (None, None)
    # A cell of a later stage is a token in which patches were merged; pointing at it asks for one of them.
    session.change(layer=3, head=0)
    settle(panel, qtbot)
    assert panel.windows.currentText() == "window 2"
    choose(panel, qtbot, 0)
    made = panel.shown().picture.matrix
    qtbot.mouseMove(panel.view, middle(panel, 7, 2))
    qtbot.waitUntil(lambda: panel.reading.whole.startswith("token of 8×8 ("))
    assert panel.reading.whole.count("8×8") == 1
    qtbot.mouseMove(panel.view, QPoint(1, 1))
    for row in (0, 7, 15):
        query = matrix.query_of(session.trace, made, made.rows[row])
        assert matrix.rows_of(session.trace, made, query) == [row]


def test_passing_over_heads_computes_nothing_and_resting_does(shown, panel, qtbot, monkeypatch):
    made = []
    real = matrix.make
    monkeypatch.setattr(
        matrix, "make", lambda trace, asked, ticket: made.append(asked) or real(trace, asked, ticket)
    )
    for tile in ((0, 0), (0, 1), (1, 1)):
        shown.session.point(Hover(tile=tile))
    assert made == []
    settle(panel, qtbot)
    assert [(asked.layer, asked.head) for asked in made] == [(1, 1)]
    shown.session.point(Hover())
    assert panel.shown().picture.matrix.asked.head is None  # the selected one was kept
    assert not panel.busy


def test_a_closed_panel_computes_nothing_and_is_updated_when_opened(shown, panel, qtbot):
    dock = panel.parentWidget()
    dock.close()
    before = panel.shown().picture
    shown.session.change(layer=0, head=0)
    assert panel.shown().picture is before
    assert not panel.busy
    dock.show()
    dock.raise_()
    settle(panel, qtbot)
    assert panel.shown().picture.matrix.asked.layer == 0


def test_what_cannot_be_shown_is_reported(shown, panel, qtbot, monkeypatch):
    monkeypatch.setattr(sys.modules["vitviz.explain.internals.matrix"], "MOST_BYTES", 10)
    shown.session.change(layer=0, head=1)
    qtbot.waitUntil(panel.empty.isVisible)
    assert "more than can be shown" in panel.empty.hint.text()
    monkeypatch.undo()
    shown.session.change(layer=0, head=2)
    settle(panel, qtbot)
    assert not panel.empty.isVisible()


def test_class_attention_has_one_row_and_a_pool_has_its_own(window, qtbot, photo):
    import timm

    options = {"img_size": 64, "embed_dim": 48, "depth": 1, "num_heads": 3, "num_classes": 5}
    show(window, qtbot, photo, load_model(timm.create_model("cait_xxs24_224", **options), device="cpu"))
    panel = opened(window, qtbot)
    assert panel.shown().picture.matrix.values.shape == (1, 17)
    assert panel.view.names == ("class",)
    window.session.pin("class")
    assert panel.shown().selected == (0, 0)
    options = {
        "img_size": 64,
        "patch_size": 16,
        "embed_dim": 48,
        "depth": 1,
        "num_heads": 3,
        "num_classes": 5,
    }
    module = timm.create_model("vit_base_patch16_siglip_224", **options)
    show(window, qtbot, photo, load_model(module, device="cpu"))
    settle(panel, qtbot)
    assert panel.shown().picture.matrix.rows == (matrix.POOL,)
    qtbot.mouseMove(panel.view, middle(panel, 0, 5))
    assert panel.reading.whole.startswith("the pool → patch (1, 1)")
    assert window.session.hover == Hover()
    qtbot.mouseClick(panel.view, LEFT, pos=middle(panel, 0, 5))
    assert not window.session.view.pinned


def test_many_tokens_are_shrunk_to_the_largest_and_it_says_so(window, qtbot, photo):
    import timm

    options = {
        "img_size": 256,
        "patch_size": 8,
        "embed_dim": 24,
        "depth": 1,
        "num_heads": 2,
        "num_classes": 3,
    }
    module = timm.create_model("vit_tiny_patch16_224", **options)
    show(window, qtbot, photo, load_model(module, device="cpu"))
    panel = opened(window, qtbot)
    assert panel.shown().picture.matrix.values.shape == (1025, 1025)
    merged = panel.view.merged
    assert merged > 1
    assert f"each pixel the largest of {merged}×{merged}" in panel.says.whole
    panel.view.zoom(20)
    assert panel.view.merged == 1
    assert "each pixel" not in panel.says.whole


def test_without_a_trace_it_says_how_to_fill_it(window, qtbot):
    dock = next(dock for dock in window.docks if dock.kind.name == "tokens")
    dock.show()
    dock.raise_()
    qtbot.waitUntil(lambda: dock.built and dock.panel.empty.isVisible())  # built after the first paint
