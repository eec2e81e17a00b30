"""What the colours stand for: scales, logarithm, temperature, the bar, and that a saved picture is the same."""

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QFileDialog
from steps import include, picture, show

from vitviz.app.session import colour_scale
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import ViewState
from vitviz.app.stage.photo_view import PhotoView
from vitviz.app.widgets.photo.colour_bar import ColorBar
from vitviz.explain import explain
from vitviz.render.colors import bar, lookup_table, to_unit


def color(widget, x: float, y: float) -> tuple[int, int, int]:
    ratio = widget.devicePixelRatioF()
    found = widget.grab().toImage().pixelColor(round(x * ratio), round(y * ratio))
    return found.red(), found.green(), found.blue()


def patch_color(window, at, patch) -> tuple[int, int, int]:
    place = at(window, *patch)
    return color(window.photo.canvas, place.x() + 3, place.y() + 3)


@pytest.fixture
def tinted(shown):
    """Nothing of the photo shows through, so that a patch has the colour of its value."""
    shown.session.pin((2, 5))
    shown.session.change(style="tint", opacity=1.0, layer=1)
    return shown


SCALES = [
    {"scale": "auto"},
    {"scale": "zero"},
    {"scale": "range"},
    {"scale": "fixed", "fixed": (0.01, 0.03)},
    {"scale": "shared"},
    {"scale": "zero", "temperature": 3.0},
    {"scale": "zero", "log": True},
    {"scale": "range", "log": True, "temperature": 3.0},
]


@pytest.mark.parametrize("options", SCALES)
def test_patches_have_the_colours_that_the_bar_gives_their_values(tinted, at, options):
    tinted.session.change(**options)
    values, view = tinted.session.heatmap.values, tinted.session.view
    low, high = {"range": (values.min(), values.max()), "fixed": (0.01, 0.03)}.get(
        view.scale, (0, values.max())
    )
    if view.scale == "auto":
        low = values.min() if values.min() > 0.1 * values.max() else 0
    if view.scale == "shared":
        every = [
            explain(tinted.session.trace, "attention", layer=layer, head=head, query=(2, 5)).values
            for layer in range(3)
            for head in range(3)
        ]
        low, high = 0, max(one.max() for one in every)
    table = lookup_table(view.colormap)
    for patch in ((0, 0), (3, 4), (7, 7), tuple(np.unravel_index(values.argmax(), values.shape))):
        if patch == (2, 5):
            continue
        value = values[patch]
        if view.log:
            bottom = low if low > 0 else high / 1e4
            unit = np.log(max(value, bottom) / bottom) / np.log(high / bottom)
        else:
            power = 1 / view.temperature
            unit = (value**power - low**power) / (high**power - low**power)
        expected = table[int(np.clip(unit, 0, 1) * 255 + 0.5)].astype(int)
        assert np.abs(np.array(patch_color(tinted, at, patch)) - expected).max() <= 3, patch


@pytest.mark.parametrize("options", SCALES)
def test_a_saved_picture_is_what_is_drawn(tinted, qtbot, monkeypatch, tmp_path, options):
    target = tmp_path / "out.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
    include(tinted)
    tinted.session.change(**options)
    tinted.commands["save"].trigger()
    qtbot.waitUntil(target.exists)
    saved = np.asarray(Image.open(target).convert("RGB")).astype(int)
    canvas = tinted.photo.canvas
    image, view, trace = canvas.grab().toImage(), canvas.viewport, tinted.session.trace
    for row in range(8):
        for column in range(8):
            if abs(row - 2) <= 1 and abs(column - 5) <= 1:
                continue  # the outline
            x, y = trace.framing.polygon(trace.patches, row, column).mean(0)
            here = image.pixelColor(round(view.left + x * view.scale), round(view.top + y * view.scale))
            there = saved[int(y), int(x)]
            assert np.abs(np.array([here.red(), here.green(), here.blue()]) - there).max() <= 3, (row, column)


def test_shared_keeps_its_ends_when_another_head_is_selected(tinted, qtbot):
    own = []
    for scale in ("auto", "shared"):
        ends = set()
        for head in range(3):
            tinted.session.change(scale=scale, head=head)
            ends.add(tinted.photo.bar.texts)
        own.append(len(ends))
    assert own == [3, 1]
    assert "one colour scale for all layers and heads" in tinted.photo.scale.whole


def test_a_scale_from_outside_holds_until_it_is_taken_away(tinted):
    before = tinted.photo.bar.texts
    tinted.session.share_range((0.0, 0.5))
    assert tinted.photo.bar.texts[::2] == ("0", "0.5")
    assert "both sides" in tinted.photo.scale.whole
    tinted.session.share_range(None)
    assert tinted.photo.bar.texts == before


def test_the_marker_lies_at_the_value_of_the_patch_under_the_pointer(tinted, qtbot, at):
    tinted.session.change(scale="range", temperature=2.0)
    values = tinted.session.heatmap.values
    for patch in ((3, 4), (6, 1)):
        qtbot.mouseMove(tinted.photo.canvas, at(tinted, *patch))
        unit = (values[patch] ** 0.5 - values.min() ** 0.5) / (values.max() ** 0.5 - values.min() ** 0.5)
        assert tinted.photo.bar.marker == pytest.approx(unit, abs=1e-5)
    with_marker = tinted.photo.bar.grab().toImage()
    tinted.photo.canvas.left.emit()
    assert tinted.photo.bar.marker is None
    assert tinted.photo.bar.grab().toImage() != with_marker


@pytest.mark.parametrize(
    ("scale", "place"),
    [(bar(0, 1), 0.5), (bar(0.001, 1, log=True), 0.5), (bar(-0.25, 1), 0.2)],
)
def test_the_bar_shows_the_part_of_the_colours_that_the_scale_uses(qtbot, scale, place):
    widget = ColorBar()
    qtbot.addWidget(widget)
    widget.resize(300, 40)
    table = lookup_table("viridis")
    widget.set_colors(table)
    widget.set_bar(scale, ("low", "mid", "high"))
    strip = widget.strip()
    for share in (0.02, 0.3, 0.5, 0.9):
        expected = table[round((scale.first + share * (scale.last - scale.first)) * 255)].astype(int)
        found = color(widget, strip.left() + share * strip.width(), strip.center().y())
        assert np.abs(np.array(found) - expected).max() <= 6, share
    assert scale.place == pytest.approx(place)
    x = strip.left() + place * strip.width()
    bare = widget.palette().window().color()
    assert color(widget, x, strip.bottom() + 1) != (bare.red(), bare.green(), bare.blue()), "a tick"


def test_numbers_at_the_ends_of_the_bar_are_whole_in_large_type_too(qtbot):
    shown = ColorBar()
    qtbot.addWidget(shown)
    font = shown.font()
    font.setPointSizeF(24)
    shown.setFont(font)
    shown.resize(700, shown.sizeHint().height())
    shown.set_colors(lookup_table("viridis"))
    shown.set_bar(bar(0.0024, 0.0079), ("0.0024", "0.0051", "0.0079"))
    image = shown.grab().toImage()
    ground = image.pixelColor(0, 0)
    below = range(int(shown.strip().bottom()) + 6, image.height())
    inked = [x for x in range(image.width()) if any(image.pixelColor(x, y) != ground for y in below)]
    wide = shown.fontMetrics().horizontalAdvance("0.0024")
    first = [x for x in inked if x < wide + 4]
    # A digit has a little air on both sides; a number that is cut off begins at the very edge.
    assert min(inked) > 0
    assert max(inked) < image.width() - 1
    assert max(first) - min(first) > 0.85 * wide


def test_the_card_sets_scale_logarithm_and_temperature_by_mouse_and_keys(shown, qtbot):
    controls, session = shown.photo.controls, shown.session
    qtbot.mouseClick(controls.scale, Qt.MouseButton.LeftButton)
    card = controls.scale.card
    assert card.isVisible()
    qtbot.mouseClick(card.kinds["range"], Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert session.view.scale == "range"
    ends = colour_scale.own_scale(session.view, colour_scale.extent(session.heatmap.values))
    qtbot.mouseClick(card.kinds["fixed"], Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert session.view.fixed == pytest.approx(ends), "nothing jumps"
    for field, text in ((card.high, "0.5"), (card.low, "0.02")):
        field.selectAll()
        qtbot.keyClicks(field, text)
        qtbot.keyClick(field, Qt.Key.Key_Return)
    assert session.view.fixed == (0.02, 0.5)
    card.low.selectAll()
    qtbot.keyClicks(card.low, "0.9")
    qtbot.keyClick(card.low, Qt.Key.Key_Return)
    assert session.view.fixed == (0.02, 0.5)
    assert "lower to a higher" in card.note.text()
    qtbot.keyClick(card.temperature, Qt.Key.Key_Right)
    assert session.view.temperature == 1.5
    assert shown.photo.bar.caption == "T = 1.5"
    qtbot.mouseClick(card.bend, Qt.MouseButton.LeftButton, pos=card.bend.cell("log").center().toPoint())
    assert session.view.log
    assert not card.temperature.isEnabled()
    assert shown.photo.bar.caption == "log"
    qtbot.keyClick(card, Qt.Key.Key_Escape)
    assert not card.isVisible()
    assert "fixed" in controls.scale.text()


def test_temperature_changes_no_number(tinted, qtbot, at):
    qtbot.mouseMove(tinted.photo.canvas, at(tinted, 6, 1))
    said, heat = tinted.status.weight.text(), tinted.session.heatmap
    tinted.session.change(temperature=4.0)
    assert tinted.session.heatmap is heat
    assert tinted.status.weight.text() == said


def test_pixels_are_offered_and_drawn_where_a_map_has_them(shown, qtbot):
    controls, session = shown.photo.controls, shown.session
    assert controls.fine.isHidden()
    with qtbot.waitSignal(session.heatmap_changed, timeout=20_000):
        session.change(method="input_gradient")
    assert not controls.fine.isHidden()
    assert controls.smooth.isHidden()
    assert shown.photo.canvas.heat.size().toTuple() == (64, 64)
    assert "each pixel" in shown.photo.scale.whole
    assert "summed" not in shown.photo.title.whole
    qtbot.mouseClick(
        controls.fine, Qt.MouseButton.LeftButton, pos=controls.fine.cell("patches").center().toPoint()
    )
    assert shown.photo.canvas.heat.size().toTuple() == (8, 8)


def test_a_map_with_both_signs_is_blue_and_red_about_zero(shown, qtbot, at):
    session = shown.session
    session.change(style="tint", opacity=1.0, pixels=False)
    session.change(method="input_gradient")
    with qtbot.waitSignal(session.heatmap_changed, timeout=20_000):
        session.set_option("times_input", True)
    values = session.heatmap.values
    assert values.min() < 0 < values.max()
    low, high = (
        tuple(map(int, np.unravel_index(one(values), values.shape))) for one in (np.argmin, np.argmax)
    )
    red, _, blue = patch_color(shown, at, high)
    assert (red > blue) == (values.max() > 0.05 * -values.min())
    red, _, blue = patch_color(shown, at, low)
    assert blue > red
    assert shown.photo.bar.texts[1] == "0"
    assert not shown.photo.controls.colormap.isEnabled()
    unit = to_unit(values, float(values.min()), float(values.max()))
    assert unit[low] < 0.5 < unit[high]


def test_two_photo_panels_in_one_window_share_nothing_but_the_actions(shown, qtbot, model, tmp_path):
    other = Session("cpu", ViewState(colormap="magma"))
    panel = PhotoView(other, shown.commands, name="Second photo")
    qtbot.addWidget(panel)
    names = {one.canvas.accessibleName() for one in (shown.photo, panel)}
    assert names == {"Photo", "Second photo"}
    assert panel.bar.accessibleName() != shown.photo.bar.accessibleName()
    with qtbot.waitSignal(other.trace_changed, timeout=60_000):
        other.open(photo=picture(tmp_path / "other.png", (80, 80), seed=3), model=model)
    other.pin((1, 1))
    assert shown.session.view.query is None
    assert shown.photo.title.whole != panel.title.whole
    panel.folder.end()
    other.close()


def test_a_shared_scale_that_has_to_be_computed_comes_when_it_is_there(
    window, qtbot, swin, tmp_path, monkeypatch
):
    from vitviz.app.session import compute

    monkeypatch.setattr(compute, "INSTANT", 0)
    window.docks[0].close()
    show(window, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    session = window.session
    qtbot.waitUntil(lambda: not session.maps.preparing, timeout=20_000)
    session.change(scale="shared")
    expected = max(
        explain(session.trace, "attention", layer=layer, head=head).values.max()
        for layer, count in enumerate((2, 2, 4, 4))
        for head in range(count)
    )
    qtbot.waitUntil(lambda: session.shared_range is not None)
    assert session.shared_range == (0.0, pytest.approx(float(expected)))
    assert "one colour scale" in window.photo.scale.whole


def test_a_map_of_zeros_says_so(shown, qtbot):
    # A patch of the last layer speaks for no class: only the class token is read there.
    shown.session.change(method="gradient_attention", layer=2, query=(3, 3), pinned=True)
    qtbot.waitUntil(
        lambda: shown.session.heatmap.method == "gradient_attention" and shown.session.heatmap.total == 0
    )
    assert shown.photo.scale.whole.endswith("0 on every patch, so nothing is coloured")
    shown.session.change(query=None, pinned=False)
    qtbot.waitUntil(lambda: shown.session.heatmap.total > 0)
    assert "every patch" not in shown.photo.scale.whole


def test_ranges_of_several_maps_are_those_of_each_and_leave_out_what_is_no_number():
    maps = np.random.default_rng(1).random((4, 3, 5), np.float32)
    expected = [(float(one.min()), float(one.max())) for one in maps]
    assert colour_scale.extents(maps) == expected
    assert [colour_scale.extent(one) for one in maps] == expected
    assert colour_scale.united(expected) == (float(maps.min()), float(maps.max()))
    maps[1, 0, 0], maps[2, 1, 1], maps[3] = np.nan, np.inf, np.nan
    known = [one[np.isfinite(one)] for one in maps[:3]]
    expected = [(float(one.min()), float(one.max())) for one in known]
    assert colour_scale.extents(maps) == [*expected, (0.0, 0.0)]
    assert colour_scale.united([]) is None
