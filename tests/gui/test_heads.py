"""The mosaic of heads: where its tiles lie, what they hold, and what pointing and clicking do."""

import numpy as np
import pytest
import user_input
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetrics
from steps import picture, show

from vitviz.app.panels.heads.panel import MARKS
from vitviz.app.session import describe
from vitviz.app.widgets.mosaic import labels
from vitviz.app.widgets.mosaic.layout import Target, plan
from vitviz.app.widgets.mosaic.view import MosaicView
from vitviz.explain import explain
from vitviz.render.colors import lookup_table


def middle(view: MosaicView, target: Target) -> QPoint:
    """The middle of a tile, or of a layer's number."""
    placed = view.plan
    box = placed.header(target.layer) if target.head is None else placed.box(target.layer, target.head)
    return (QRectF(*box).center() + view.origin).toPoint()


HEADS = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 24)).map(lambda pair: (pair[1],) * pair[0]),
    st.lists(st.sampled_from([2, 3, 4, 6, 12, 24]), min_size=1, max_size=24).map(tuple),
)


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
    assert placed.tile[0] >= min(room[0] // max(heads), room[1] // len(heads), rows * 8) - 5


def test_three_heads_fill_twice_as_much_as_one_row_would():
    assert plan((3,) * 12, 1.0, 480, 460).tile[0] >= 1.6 * (456 / 12)


def test_tiles_show_the_maps_of_the_query(shown, qtbot):
    shown.session.pin((2, 5))
    view = shown.panel("heads").view
    image, placed, origin = view.grab().toImage(), view.plan, view.origin
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
    view = shown.panel("heads").view
    qtbot.mouseMove(view, middle(view, Target(0, 1)))
    assert "blocks.0.attn, head 1" in shown.photo.title.whole
    assert "layer 0 (blocks.0.attn), head 1" in shown.panel("heads").says.whole
    assert (shown.session.view.layer, shown.session.view.head) == (2, None)
    qtbot.mouseMove(view, view.rect().bottomRight())
    assert "blocks.2.attn" in shown.photo.title.whole


def test_a_click_selects_the_head_and_a_layers_number_all_its_heads(shown, qtbot):
    view = shown.panel("heads").view
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=middle(view, Target(1, 2)))
    assert (shown.session.view.layer, shown.session.view.head) == (1, 2)
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=middle(view, Target(0, None)))
    assert (shown.session.view.layer, shown.session.view.head) == (0, None)
    assert shown.session.heatmap.options["head"] is None
    shown.session.change(method="gradient_attention")
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=middle(view, Target(1, 2)))
    assert (shown.session.view.head, shown.session.view.method) == (2, "gradient_attention")


def test_a_click_on_a_head_keeps_a_method_without_heads_and_offers_attention_in_place(shown, qtbot):
    panel, session = shown.panel("heads"), shown.session
    user_input.press(shown, "4")
    session.change(layer=1)
    before = session.view
    assert not panel.show_attention.isVisible()
    user_input.click(panel.view, middle(panel.view, Target(0, 2)))
    assert session.view == before
    assert panel.no_map.isVisible()
    assert panel.no_map.whole == "Relevance has no map of a single head."
    assert shown.toast.words.text() == "Relevance has no map of a single head. Press 1 for attention."
    assert panel.show_attention.text() == "Show attention of layer 0, head 2"
    user_input.click(panel.show_attention)
    assert (session.view.method, session.view.layer, session.view.head) == ("attention", 0, 2)
    assert not panel.show_attention.isVisible()
    user_input.press(shown, "4")
    assert (session.view.method, session.view.layer) == ("relevance", 1)


def test_the_keys_of_heads_keep_a_method_without_heads(shown):
    session = shown.session
    user_input.press(shown, "4")
    user_input.press(shown, "Ctrl+Down")
    assert (session.view.method, session.view.head) == ("relevance", None)
    assert (
        shown.panel("heads").show_attention.text() == f"Show attention of layer {session.view.layer}, head 0"
    )
    user_input.press(shown, "1")
    assert not shown.panel("heads").show_attention.isVisible()
    user_input.press(shown, "Ctrl+Down")
    assert (session.view.method, session.view.head) == ("attention", 0)


def test_the_scale_of_the_tiles_is_a_choice(shown):
    before = shown.panel("heads").view.grab().toImage()
    shown.panel("heads").scale.setCurrentIndex(shown.panel("heads").scale.findData("all"))
    assert shown.panel("heads").choices.now.tiles == "all"
    assert shown.panel("heads").view.grab().toImage() != before


def test_swins_stages_of_other_grids_are_laid_out_and_hit(window, qtbot, swin, tmp_path, at):
    show(window, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    assert window.panel("heads").view.plan.heads == (2, 2, 4, 4)
    qtbot.mouseMove(window.photo.canvas, at(window, 9, 6))
    assert window.session.hover.patch == (9, 6)
    heat = window.session.heatmap
    assert heat.values.shape == (8, 8)
    # The outline is the coarse stage's token that holds the patch.
    canvas = window.photo.canvas
    assert canvas.marked == {(4, 3)}
    cell = canvas.grid.cell(4, 3)
    x0, y0, x1, y1 = cell.left(), cell.top(), cell.right(), cell.bottom()
    assert (x0, y0, x1, y1) == pytest.approx((24, 32, 32, 40), abs=2)
    view = window.panel("heads").view
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=middle(view, Target(0, 1)))
    assert window.session.heatmap.values.shape == (16, 16)


def test_a_closed_panel_does_no_work_and_is_updated_when_opened(shown, qtbot):
    shown.docks[0].close()
    before = shown.panel("heads").shown()
    shown.session.pin((1, 1))
    assert shown.panel("heads").shown().tiles is before.tiles
    assert shown.panel("heads").shown().caption == before.caption
    shown.docks[0].toggleViewAction().trigger()
    qtbot.waitUntil(lambda: shown.panel("heads").shown().tiles.query == (1, 1))
    assert "patch (1, 1)" in shown.panel("heads").says.whole


def test_uniform_counts_what_the_query_may_see(shown, window, qtbot, swin, tmp_path, monkeypatch):
    session = shown.session

    def uniform() -> float | None:
        return describe.uniform(session.trace, session.heatmap, session.maps.shown.selection)

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


def place_number(view: MosaicView, place: int) -> QPoint:
    """The middle of the number of a place of the first layer."""
    placed = view.plan
    return (QRectF(*placed.number(placed.bands[0], place)).center() + view.origin).toPoint()


@given(heads=HEADS, width=st.integers(200, 1200), height=st.integers(200, 1000))
def test_numbers_of_heads_lie_beside_their_tiles(heads, width, height):
    placed = plan(heads, 1.0, width, height)
    for band in placed.bands:
        for place in range(band.most):
            left, top, across, down = placed.number(band, place)
            assert placed.place_at(left + across / 2, top + down / 2) == place
            assert placed.at(left + across / 2, top + down / 2) is None
            x, y, _, _ = placed.box(band.first, 0)
            assert (top < y) if placed.turned else (left < x)
    for layer in range(len(heads)):
        left, top, _, _ = placed.header(layer)
        assert left >= 0
        assert top >= 0


def test_a_heads_number_selects_that_head_of_the_selected_layer(shown, qtbot):
    panel = shown.panel("heads")
    shown.session.change(layer=1)
    qtbot.mouseClick(panel.view, Qt.MouseButton.LeftButton, pos=place_number(panel.view, 2))
    assert (shown.session.view.layer, shown.session.view.head) == (1, 2)


def test_in_a_layer_of_fewer_heads_a_number_selects_its_last(window, qtbot, swin, tmp_path):
    show(window, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    view = window.panel("heads").view
    window.session.change(layer=0)
    assert view.plan.fold == 4 or view.plan.fold == 2
    place = view.plan.bands[0].most - 1
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=place_number(view, place))
    assert window.session.view.head == 1


def test_the_mosaic_lies_at_the_top_and_names_its_axes(shown):
    view = shown.panel("heads").view
    view.resize(400, 900)
    assert view.origin.y() == 0
    assert view.plan.tile[0] >= (400 - 50) / 3 - 4
    words = []
    labels.draw_axes(_Painter(view.font(), words), view.plan, view.labels, QColor())
    assert set(words) == {"layers", "heads"}


class _Painter:
    """Notes what is written."""

    def __init__(self, font, words):
        self.metrics, self.words = QFontMetrics(font), words

    def fontMetrics(self):  # noqa: N802
        return self.metrics

    def drawText(self, _box, _flags, text):  # noqa: N802
        self.words.append(text)

    def __getattr__(self, _):
        return lambda *_: None


def test_swins_stages_say_their_grid(window, qtbot, swin, tmp_path):
    show(window, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    view = window.panel("heads").view
    words = []
    labels.draw_axes(_Painter(view.font(), words), view.plan, view.labels, QColor())
    assert {"16×16", "8×8", "heads"} == set(words)


def test_coarse_patches_have_straight_edges(window, qtbot, swin, tmp_path):
    show(window, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    window.session.pin((9, 6))
    view = window.panel("heads").view
    image = view.grab().toImage()
    left, top, width, height = view.plan.box(2, 0)
    origin = view.origin
    values = explain(window.session.trace, "attention", layer=2, head=0, query=(9, 6)).values
    table = lookup_table(window.session.view.colormap)
    for y in range(3, height - 3):
        for x in range(3, width - 3):
            value = values[y * 8 // height, x * 8 // width]
            color = image.pixelColor(int(origin.x()) + left + x, int(origin.y()) + top + y)
            expected = table[int(value / values.max() * 254 + 0.5)]
            assert (color.red(), color.green(), color.blue()) == tuple(expected), (x, y)


def test_where_there_is_less_room_than_patches_the_strongest_of_several_is_shown(qtbot):
    view = MosaicView()
    qtbot.addWidget(view)
    view.resize(200, 160)
    tiles = np.zeros((12, 12, 56, 56), np.uint8)
    rng = np.random.default_rng(0)
    spots = rng.integers(0, 56, (12, 12, 2))
    for layer in range(12):
        for head in range(12):
            tiles[(layer, head, *spots[layer, head])] = 254
    view.set_colors(lookup_table("gray"))
    view.set_tiles(tiles, (12,) * 12, 1.0)
    image, placed, origin = view.grab().toImage(), view.plan, view.origin
    assert placed.tile[0] < 20
    for layer in range(12):
        for head in range(12):
            left, top, width, height = placed.box(layer, head)
            brightest = max(
                image.pixelColor(int(origin.x()) + left + x, int(origin.y()) + top + y).red()
                for x in range(width)
                for y in range(height)
            )
            assert brightest >= 250, (layer, head)


@pytest.mark.parametrize("mark", ["distance", "entropy"])
def test_heads_are_marked_and_sorted_by_what_is_measured_of_them(shown, qtbot, mark):
    from vitviz.explain.measures.statistics import statistics

    panel, session = shown.panel("heads"), shown.session
    bare = panel.view.grab().toImage()
    panel.marks.setCurrentIndex([*MARKS].index((mark, False)))
    qtbot.waitUntil(lambda: panel.shown().measured is not None, timeout=20_000)
    assert panel.view.grab().toImage() != bare
    measured = [getattr(layer, mark) for layer in statistics(session.trace).layers]
    top = max(layer.max() for layer in measured) if mark == "distance" else 1
    np.testing.assert_allclose(panel.view.labels.marks, np.array(measured) / top, rtol=1e-5)
    panel.marks.setCurrentIndex([*MARKS].index((mark, True)))
    for layer in range(3):
        order = sorted(range(3), key=lambda head: measured[layer][head])
        for place, head in enumerate(order):
            qtbot.mouseMove(panel.view, middle(panel.view, Target(layer, place)))
            assert session.hover.tile == (layer, head)
            assert f"head {head}" in panel.says.whole
            qtbot.mouseClick(
                panel.view, Qt.MouseButton.LeftButton, pos=middle(panel.view, Target(layer, place))
            )
            assert (session.view.layer, session.view.head) == (layer, head)
            assert panel.view.selected == Target(layer, place)
    number = measured[1][session.view.head]
    qtbot.mouseMove(
        panel.view, middle(panel.view, Target(1, [*np.argsort(measured[1])].index(session.view.head)))
    )
    said = f"{number:.0f} px" if mark == "distance" else f"entropy {number:.2f}"
    assert said in panel.says.whole
    image, placed, origin = panel.view.grab().toImage(), panel.view.plan, panel.view.origin
    nearest = int(np.argmin(measured[0]))
    values = explain(session.trace, "attention", layer=0, head=nearest).values
    left, top_, width, height = placed.box(0, 0)
    color = image.pixelColor(
        int(origin.x() + left + 4.5 * width / 8), int(origin.y() + top_ + 4.5 * height / 8)
    )
    expected = lookup_table(session.view.colormap)[int(values[4, 4] / values.max() * 254 + 0.5)]
    assert (color.red(), color.green(), color.blue()) == tuple(expected)


def test_marks_go_with_their_trace(shown, window, qtbot, swin, tmp_path):
    panel = shown.panel("heads")
    shown.session.change_panel("heads", mark="distance", ordered=True)
    qtbot.waitUntil(lambda: panel.shown().measured is not None, timeout=20_000)
    show(window, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    qtbot.waitUntil(lambda: panel.shown().measured is not None, timeout=20_000)
    assert panel.shown().measured.trace is window.session.trace
    assert [len(layer) for layer in panel.view.labels.marks] == [2, 2, 4, 4]


def test_tiles_follow_logarithm_and_temperature(shown):
    shown.session.pin((2, 5))
    for options in ({"temperature": 3.0}, {"log": True}):
        shown.session.change(**options)
        view = shown.panel("heads").view
        values = explain(shown.session.trace, "attention", layer=1, head=2, query=(2, 5)).values
        left, top, width, height = view.plan.box(1, 2)
        origin, image = view.origin, view.grab().toImage()
        color = image.pixelColor(
            int(origin.x() + left + 3.5 * width / 8), int(origin.y() + top + 7.5 * height / 8)
        )
        share = values[7, 3] / values.max()
        unit = share ** (1 / 3) if "temperature" in options else 1 + np.log10(max(share, 1e-4)) / 4
        expected = lookup_table(shown.session.view.colormap)[int(unit * 254 + 0.5)].astype(int)
        assert np.abs(np.array([color.red(), color.green(), color.blue()]) - expected).max() <= 3
    assert "logarithmic" in shown.panel("heads").says.whole
