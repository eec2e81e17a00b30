"""The mosaic of heads: where its tiles lie, what they hold, and what pointing and clicking do."""

import numpy as np
import pytest
from conftest import picture, show
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, QRectF, Qt

from vitviz.app import readings
from vitviz.app.widgets.mosaic import MosaicView
from vitviz.app.widgets.mosaic_plan import Target, plan
from vitviz.explain import explain
from vitviz.render.colors import lookup_table


def middle(view: MosaicView, target: Target) -> QPoint:
    """The middle of a tile, or of a layer's number."""
    placed = view.plan
    box = placed.header(target.layer) if target.head is None else placed.box(target.layer, target.head)
    return (QRectF(*box).center() + view._origin(placed)).toPoint()


HEADS = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 24)).map(lambda pair: (pair[1],) * pair[0]),
    st.lists(st.sampled_from([2, 3, 4, 6, 12, 24]), min_size=1, max_size=24).map(tuple),
)


@settings(max_examples=60, deadline=None)
@given(heads=HEADS, aspect=st.floats(0.5, 2), width=st.integers(200, 1200), height=st.integers(200, 1000))
def test_tiles_lie_apart_and_are_found_where_they_lie(heads, aspect, width, height):
    placed = plan(heads, aspect, width, height)
    covered = np.zeros((placed.size[0] + 1, placed.size[1] + 1), dtype=int)
    for layer, count in enumerate(heads):
        for head in range(count):
            left, top, across, down = placed.box(layer, head)
            covered[top : top + down, left : left + across] += 1
            assert placed.at(left + across / 2, top + down / 2) == Target(layer, head)
        left, top, across, down = placed.header(layer)
        assert placed.at(left + across / 2, top + down / 2) == Target(layer, None)
    assert covered.max() == 1
    assert placed.at(-1, -1) is None


@pytest.mark.parametrize(
    ("heads", "room"),
    [((12,) * 12, (500, 560)), ((3,) * 12, (500, 460)), ((3, 3, 6, 6, 12, 12, 24, 24), (700, 500))],
)
def test_the_panel_is_filled(heads, room):
    placed = plan(heads, 1.0, *room)
    assert placed.size[0] <= room[1]
    assert placed.size[1] <= room[0]
    rows = -(-room[1] // placed.tile[0])
    assert placed.tile[0] >= min(room[0] // max(heads), room[1] // len(heads), rows * 8) - 4


def test_three_heads_fill_twice_as_much_as_one_row_would():
    assert plan((3,) * 12, 1.0, 480, 460).tile[0] >= 1.6 * (456 / 12)


def test_tiles_show_the_maps_of_the_query(shown, qtbot):
    shown.session.pin((2, 5))
    view = shown.heads.view
    image, placed, origin = view.grab().toImage(), view.plan, view._origin(view.plan)
    table = lookup_table(shown.session.view.colormap)
    for layer, head in ((0, 0), (1, 2), (2, 1)):
        values = explain(shown.session.trace, "attention", layer=layer, head=head, query=(2, 5)).values
        left, top, width, height = placed.box(layer, head)
        for row, column in ((0, 0), (2, 5), (7, 3)):
            color = image.pixelColor(
                int(origin.x() + left + (column + 0.5) * width / 8),
                int(origin.y() + top + (row + 0.5) * height / 8),
            )
            expected = table[int(values[row, column] / values.max() * 254 + 0.5)]
            assert (color.red(), color.green(), color.blue()) == tuple(expected), (layer, head, row, column)


def test_pointing_at_a_tile_previews_it_on_the_photo_and_leaving_ends_it(shown, qtbot):
    view = shown.heads.view
    qtbot.mouseMove(view, middle(view, Target(0, 1)))
    assert "blocks.0.attn, head 1" in shown.photo.title.whole
    assert "layer 0 (blocks.0.attn), head 1" in shown.heads.says.whole
    assert (shown.session.view.layer, shown.session.view.head) == (2, None)
    qtbot.mouseMove(view, view.rect().bottomRight())
    assert "blocks.2.attn" in shown.photo.title.whole


def test_a_click_selects_the_head_and_a_layers_number_all_its_heads(shown, qtbot):
    view = shown.heads.view
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=middle(view, Target(1, 2)))
    assert (shown.session.view.layer, shown.session.view.head) == (1, 2)
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=middle(view, Target(0, None)))
    assert (shown.session.view.layer, shown.session.view.head) == (0, None)
    assert shown.session.heatmap.options["head"] is None


def test_the_scale_of_the_tiles_is_a_choice(shown):
    before = shown.heads.view.grab().toImage()
    shown.heads.scale.setCurrentIndex(shown.heads.scale.findData("all"))
    assert shown.session.view.tile_scale == "all"
    assert shown.heads.view.grab().toImage() != before


def test_swins_stages_of_other_grids_are_laid_out_and_hit(window, qtbot, swin, tmp_path, at):
    show(window, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    assert window.heads.view.plan.heads == (2, 2, 4, 4)
    qtbot.mouseMove(window.photo.canvas, at(window, 9, 6))
    assert window.session.hover.patch == (9, 6)
    heat = window.session.heatmap
    assert heat.values.shape == (8, 8)
    # The outline is the coarse stage's token that holds the patch.
    cell, _ = window.photo.canvas._query
    x0, y0, x1, y1 = cell.left(), cell.top(), cell.right(), cell.bottom()
    assert (x0, y0, x1, y1) == pytest.approx((24, 32, 32, 40), abs=2)
    view = window.heads.view
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=middle(view, Target(0, 1)))
    assert window.session.heatmap.values.shape == (16, 16)


def test_a_closed_panel_does_no_work_and_catches_up(shown, qtbot):
    shown.docks[0].close()
    shown.session.pin((1, 1))
    assert shown.heads._behind
    shown.docks[0].toggleViewAction().trigger()
    qtbot.waitUntil(lambda: not shown.heads._behind)
    assert "patch (1, 1)" in shown.heads.says.whole


def test_uniform_counts_what_the_query_may_see(shown, window, qtbot, swin, tmp_path, monkeypatch):
    session = shown.session

    def uniform() -> float | None:
        return readings.uniform(session.trace, session.heatmap, session.maps.shown.selection)

    assert uniform() == 1 / 65
    show(window, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    # The readout is the mean of the last stage's 8×8 patches, which together see all windows.
    assert uniform() == 1 / 64
    session.pin((2, 2))
    assert uniform() == 1 / 16
    with qtbot.waitSignal(session.heatmap_changed):
        session.change(method="rollout", layer=3)
    # Rolled out to the first stage, whose 16×16 patches share what there is.
    assert uniform() == 1 / 256
    session.change(method="attention")
    monkeypatch.setattr(type(session.trace.layers[0]), "is_distribution", False)
    assert uniform() is None
