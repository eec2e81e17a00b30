"""Several patches as one query: with Shift and the mouse, with Shift and the arrow keys."""

import numpy as np
from PySide6.QtCore import QPoint, QRectF, Qt
from steps import picture, show

from vitviz.app.session.view_state import rectangle
from vitviz.app.widgets.photo.grid import Grid
from vitviz.explain import explain

SHIFT = Qt.KeyboardModifier.ShiftModifier
LEFT = Qt.MouseButton.LeftButton


def click(qtbot, window, place: QPoint) -> None:
    qtbot.mouseClick(window.photo.canvas, LEFT, SHIFT, place)


def sweep(qtbot, window, start: QPoint, *ways: QPoint) -> None:
    canvas = window.photo.canvas
    qtbot.mousePress(canvas, LEFT, SHIFT, start)
    for way in ways:
        qtbot.mouseMove(canvas, way)
    qtbot.mouseRelease(canvas, LEFT, SHIFT, ways[-1])


def test_shift_click_adds_and_takes_out_and_the_map_is_the_mean(shown, qtbot, at):
    session = shown.session
    click(qtbot, shown, at(shown, 2, 5))
    click(qtbot, shown, at(shown, 6, 1))
    assert session.view.query == ((2, 5), (6, 1))
    assert session.view.pinned
    rows = [
        shown.session.trace.layers[2].row(1 + 8 * row + column).mean(0)[1:]
        for row, column in ((2, 5), (6, 1))
    ]
    np.testing.assert_allclose(session.heatmap.values.reshape(-1), np.mean(rows, 0), rtol=1e-5)
    assert shown.photo.canvas.marked == {(2, 5), (6, 1)}
    assert "mean of 2 patches" in shown.photo.title.whole
    assert "The mean of 2 patches" in shown.status.query.text()
    click(qtbot, shown, at(shown, 2, 5))
    assert session.view.query == (6, 1)
    click(qtbot, shown, at(shown, 6, 1))
    assert not session.view.pinned


def test_shift_drag_takes_a_rectangle_and_adds_to_what_is_pinned(shown, qtbot, at):
    session, canvas = shown.session, shown.photo.canvas
    before = canvas.viewport
    sweep(qtbot, shown, at(shown, 3, 2), at(shown, 4, 3), at(shown, 1, 4))
    assert set(session.view.query) == rectangle((1, 2), (3, 4))
    assert canvas.viewport == before, "it does not pan"
    sweep(qtbot, shown, at(shown, 7, 7), at(shown, 7, 6))
    assert set(session.view.query) == rectangle((1, 2), (3, 4)) | {(7, 6), (7, 7)}
    expected = explain(session.trace, "attention", layer=2, query=session.view.query)
    qtbot.waitUntil(lambda: session.heatmap.options["query"] == session.view.query)
    np.testing.assert_allclose(session.heatmap.values, expected.values, rtol=1e-6)


def test_while_a_rectangle_is_drawn_its_patches_are_outlined_and_nothing_else_happens(shown, qtbot, at):
    canvas, session = shown.photo.canvas, shown.session
    qtbot.mousePress(canvas, LEFT, SHIFT, at(shown, 2, 2))
    qtbot.mouseMove(canvas, at(shown, 4, 3))
    assert canvas.marked == rectangle((2, 2), (4, 3))
    assert session.view.query is None
    qtbot.mouseMove(canvas, at(shown, 2, 3))
    assert canvas.marked == rectangle((2, 2), (2, 3))
    qtbot.mouseRelease(canvas, LEFT, SHIFT, at(shown, 2, 3))
    assert session.view.query == ((2, 2), (2, 3))
    assert session.history.can_undo
    session.undo()
    assert session.view.query is None


def test_attended_by_of_several_patches_is_the_mean_of_their_columns(shown, qtbot, at):
    session = shown.session
    click(qtbot, shown, at(shown, 2, 5))
    click(qtbot, shown, at(shown, 6, 1))
    qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_D)
    layer = session.trace.layers[2]
    qtbot.waitUntil(lambda: session.heatmap.options["direction"] == "by")
    columns = [layer.column(1 + 8 * row + column).mean(0)[1:] for row, column in ((2, 5), (6, 1))]
    np.testing.assert_allclose(session.heatmap.values.reshape(-1), np.mean(columns, 0), rtol=1e-5)


def test_shift_and_arrows_grow_and_shrink_a_rectangle(shown, qtbot, at):
    session, canvas = shown.session, shown.photo.canvas
    qtbot.mouseClick(canvas, LEFT, pos=at(shown, 2, 5))
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Left):
        qtbot.keyClick(canvas, key, SHIFT)
    assert set(session.view.query) == rectangle((2, 4), (4, 5))
    qtbot.keyClick(canvas, Qt.Key.Key_Up, SHIFT)
    assert set(session.view.query) == rectangle((2, 4), (3, 5))
    qtbot.keyClick(canvas, Qt.Key.Key_Right)
    assert set(session.view.query) == rectangle((2, 5), (3, 6)), "plain arrows move all of them"
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert not session.view.pinned


def test_arrows_with_shift_begin_in_the_middle_where_nothing_is_selected(shown, qtbot):
    qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_Right, SHIFT)
    assert set(shown.session.view.query) == {(4, 4), (4, 5)}


def test_many_patches_are_computed_off_the_gui_thread(shown, qtbot, at, monkeypatch):
    from vitviz.app.session import compute

    monkeypatch.setattr(compute, "INSTANT", 0)
    assert compute.quick(shown.session.trace, shown.session.trace.layers, (2, 5), "to", True)
    many = tuple(sorted(rectangle((0, 0), (3, 3))))
    assert not compute.quick(shown.session.trace, shown.session.trace.layers, many, "to", True)
    with qtbot.waitSignal(shown.session.heatmap_changed, timeout=20_000):
        shown.session.pin(many)
    expected = explain(shown.session.trace, "attention", layer=2, query=many)
    np.testing.assert_allclose(shown.session.heatmap.values, expected.values, rtol=1e-6)


def test_on_a_coarser_grid_the_tokens_that_hold_the_patches_are_outlined(window, qtbot, swin, tmp_path, at):
    show(window, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    sweep(qtbot, window, at(window, 4, 4), at(window, 7, 6))
    assert set(window.session.view.query) == rectangle((4, 4), (7, 6))
    qtbot.waitUntil(lambda: window.session.heatmap.values.shape == (8, 8))
    assert window.photo.canvas.marked == rectangle((2, 2), (3, 3))


def test_the_border_of_cells_is_the_lines_to_all_others():
    grid = Grid(QRectF(10, 20, 80, 40), 4, 8)
    square = {(1, 2), (1, 3), (2, 2), (2, 3)}
    lines = grid.border(square)
    assert len(lines) == 8
    assert sum(line.length() for line in lines) == 80
    assert len(grid.border(square - {(1, 3)})) == 8
    assert grid.cells(QRectF(31, 31, 18, 8)) == {(1, 2), (1, 3)}
    assert grid.cells(QRectF(200, 31, 18, 8)) == set()
    assert grid.cells(QRectF(0, 0, 500, 500)) == rectangle((0, 0), (3, 7))
