"""The photo panel through real events."""

import numpy as np
import pytest
import timm
import torch
from PySide6.QtCore import QEvent, QObject, QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QFocusEvent, QWheelEvent
from PySide6.QtWidgets import QApplication
from steps import show

from vitviz.app.ui.number_format import number
from vitviz.app.ui.pixels import levels
from vitviz.app.widgets.photo.canvas import Canvas
from vitviz.explain import explain
from vitviz.models.loading import load_model


def test_hovering_a_patch_makes_it_the_query_of_every_panel(shown, qtbot, at):
    drawn = shown.panel("heads").view.grab().toImage()
    for patch in ((2, 5), (6, 1)):
        qtbot.mouseMove(shown.photo.canvas, at(shown, *patch))
        assert shown.session.selection.query == patch
        assert f"patch {patch}" in shown.photo.title.whole
        assert f"Patch {patch}" in shown.status.query.text()
        assert f"patch {patch}" in shown.panel("heads").says.whole
        now = shown.panel("heads").view.grab().toImage()
        assert now != drawn
        drawn = now
    expected = explain(shown.session.trace, "attention", layer=2, query=(6, 1))
    np.testing.assert_allclose(shown.session.heatmap.values, expected.values, rtol=1e-5, atol=1e-8)


def test_every_patch_is_found_where_it_is_drawn(shown, qtbot, at):
    grid = shown.session.trace.patches
    for row in range(0, grid.rows, 3):
        for column in range(0, grid.cols, 2):
            qtbot.mouseMove(shown.photo.canvas, at(shown, row, column))
            assert shown.session.hover.patch == (row, column)


def test_outside_what_the_model_saw_there_is_no_query(shown, qtbot, at):
    qtbot.mouseMove(shown.photo.canvas, at(shown, 3, 3))
    view = shown.photo.canvas.viewport
    qtbot.mouseMove(shown.photo.canvas, QPoint(round(view.left + 2), round(view.top + 50)))
    assert shown.session.hover.patch is None
    assert shown.session.selection.query is None


def test_a_pixel_within_the_patch_does_nothing(shown, qtbot, at):
    qtbot.mouseMove(shown.photo.canvas, at(shown, 3, 3))
    heat = shown.session.heatmap
    qtbot.mouseMove(shown.photo.canvas, at(shown, 3, 3) + QPoint(3, 2))
    assert shown.session.heatmap is heat


def test_click_pins_and_escape_frees(shown, qtbot, at):
    canvas = shown.photo.canvas
    qtbot.mouseMove(canvas, at(shown, 2, 5))
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=at(shown, 2, 5))
    qtbot.mouseMove(canvas, at(shown, 4, 4))
    assert shown.session.selection.query == (2, 5)
    assert "pinned" in shown.status.query.text()
    assert shown.status.weight.text().startswith("patch (4, 4) ")
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert shown.session.selection.query == (4, 4)


def test_a_second_click_on_the_pinned_patch_frees_it(shown, qtbot, at):
    for pinned in (True, False):
        qtbot.mouseClick(shown.photo.canvas, Qt.MouseButton.LeftButton, pos=at(shown, 2, 5))
        assert shown.session.view.pinned is pinned


def test_arrows_move_the_query_and_control_arrows_layer_and_head(shown, qtbot, at):
    canvas = shown.photo.canvas
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=at(shown, 2, 5))
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Left):
        qtbot.keyClick(canvas, key)
    assert shown.session.view.query == (4, 4)
    qtbot.keyClick(canvas, Qt.Key.Key_Left, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(canvas, Qt.Key.Key_Down, Qt.KeyboardModifier.ControlModifier)
    assert (shown.session.view.layer, shown.session.view.head) == (1, 0)
    assert "blocks.1.attn" in shown.status.where.whole


def test_arrows_work_in_the_mosaic_too(shown, qtbot, at):
    qtbot.mouseClick(shown.photo.canvas, Qt.MouseButton.LeftButton, pos=at(shown, 2, 5))
    shown.panel("heads").view.setFocus()
    qtbot.keyClick(shown.panel("heads").view, Qt.Key.Key_Right)
    assert shown.session.view.query == (2, 6)


def test_letters_switch_direction_grid_and_opacity(shown, qtbot):
    canvas, session = shown.photo.canvas, shown.session
    qtbot.keyClick(canvas, Qt.Key.Key_D)
    assert session.view.direction == "by"
    assert shown.tools.direction.current == "by"
    assert "attended by" in shown.photo.title.whole
    qtbot.keyClick(canvas, Qt.Key.Key_G)
    assert session.view.grid
    assert shown.photo.controls.grid.isChecked()
    before = session.view.opacity
    qtbot.keyClick(canvas, Qt.Key.Key_BracketLeft)
    assert session.view.opacity < before
    assert shown.photo.controls.opacity.value() == round(session.view.opacity * 100)


def test_the_keyboards_focus_is_visible(shown, qtbot):
    canvas = shown.photo.canvas
    canvas.clearFocus()
    bare = canvas.grab().toImage()
    canvas.setFocus(Qt.FocusReason.TabFocusReason)
    assert canvas.grab().toImage() != bare


def test_a_window_that_comes_to_the_front_draws_no_ring(shown):
    canvas = shown.photo.canvas
    canvas.clearFocus()
    canvas.setFocus(Qt.FocusReason.MouseFocusReason)
    bare = canvas.grab().toImage()
    for kind in (QEvent.Type.FocusOut, QEvent.Type.FocusIn):
        QApplication.sendEvent(canvas, QFocusEvent(kind, Qt.FocusReason.ActiveWindowFocusReason))
    assert canvas.grab().toImage() == bare


def test_the_prefix_token_is_a_query_with_its_weight(shown, qtbot):
    chip = shown.photo.chips.buttons["class"]
    weight = shown.session.heatmap.prefix["class"]
    assert chip.text() == f"class {number(weight)}"
    qtbot.mouseClick(chip, Qt.MouseButton.LeftButton)
    assert shown.session.selection.query == "class"
    assert chip.isChecked()


def test_rollout_is_computed_off_the_gui_thread_and_shown(shown, qtbot):
    with qtbot.waitSignal(shown.session.heatmap_changed, timeout=20_000):
        qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_2)
    assert shown.tools.method.current == "rollout"
    assert shown.session.heatmap.method == "rollout"
    expected = explain(shown.session.trace, "rollout")
    np.testing.assert_allclose(shown.session.heatmap.values, expected.values, rtol=1e-6)


def test_the_wheel_zooms_about_the_pointer_and_zero_fits(shown, qtbot, at):
    canvas = shown.photo.canvas
    fitted = canvas.viewport
    place = QPointF(at(shown, 3, 3))
    under = fitted.to_photo(place)
    wheel = QWheelEvent(
        place,
        canvas.mapToGlobal(place),
        QPoint(),
        QPoint(0, 360),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(canvas, wheel)
    assert canvas.viewport.scale > 1.5 * fitted.scale
    assert canvas.viewport.to_photo(place) == pytest.approx(under)
    assert shown.session.hover.patch == (3, 3)
    qtbot.keyClick(canvas, Qt.Key.Key_0)
    assert canvas.viewport == fitted


def test_dragging_pans_and_pins_nothing(shown, qtbot, at):
    canvas = shown.photo.canvas
    before, start = canvas.viewport, at(shown, 3, 3)
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(canvas, start + QPoint(30, 10))
    qtbot.mouseMove(canvas, start + QPoint(60, 20))
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=start + QPoint(60, 20))
    assert canvas.viewport.left == pytest.approx(before.left + 60)
    assert not shown.session.view.pinned


def test_the_heat_lies_on_its_rectangle_pixel_for_pixel(qtbot):
    canvas = Canvas()
    qtbot.addWidget(canvas)
    canvas.resize(448, 248)
    canvas.set_photo(levels(np.zeros((100, 200, 3), np.uint8)))
    heat = np.zeros((2, 4, 4), np.uint8)
    heat[1, 2] = (255, 0, 0, 255)
    canvas.set_heat(heat, QRectF(20, 10, 160, 80), False)
    image = canvas.grab().toImage()
    view = canvas.viewport
    assert view.scale == 2.0
    for row in range(2):
        for column in range(4):
            left, top = view.left + 2 * (20 + 40 * column), view.top + 2 * (10 + 40 * row)
            for x, y in ((left + 1, top + 1), (left + 78, top + 78)):
                red = image.pixelColor(round(x), round(y)).red()
                assert red == (255 if (row, column) == (1, 2) else 0), (row, column)


@pytest.mark.parametrize("style", ["glow", "tint", "contour", "dim"])
def test_every_style_draws_something_else(shown, qtbot, style):
    canvas = shown.photo.canvas
    shown.session.change(opacity=0.0)
    bare = canvas.grab().toImage()
    shown.session.change(opacity=0.9, style=style)
    assert canvas.grab().toImage() != bare


def test_what_the_model_did_not_see_is_dimmed(shown):
    canvas = shown.photo.canvas
    shown.session.change(opacity=0.0, style="tint")
    image, view = canvas.grab().toImage(), canvas.viewport
    pixels = shown.session.photo.pixels

    def ratio(x: int) -> float:
        strip = [
            image.pixelColor(
                round(view.left + (x + 0.5) * view.scale), round(view.top + (y + 0.5) * view.scale)
            )
            for y in range(100)
        ]
        return np.mean([color.red() for color in strip]) / pixels[:, x, 0].mean()

    assert ratio(2) < 0.5
    assert ratio(80) > 0.85


def test_a_token_that_reaches_beyond_what_the_model_saw_is_painted_on_what_it_saw(window, qtbot, photo):
    torch.manual_seed(2)
    options = {"img_size": 60, "window_size": 4, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
    module = timm.create_model("swin_tiny_patch4_window7_224", num_classes=5, **options)
    show(window, qtbot, photo, load_model(module, device="cpu"))
    session, canvas = window.session, window.photo.canvas
    session.change(style="tint", opacity=0.0)
    bare = canvas.grab().toImage()
    session.change(opacity=1.0)
    image, view = canvas.grab().toImage(), canvas.viewport
    _, _, right, _ = session.trace.framing.seen()
    heat = session.heatmap
    # 8 × 8 tokens, merged from 15 × 15 patches: the last ones are half padding.
    assert heat.patches.rows * heat.patches.cell[0] > 60

    def painted(x: float, y: float) -> bool:
        place = QPoint(round(view.left + x * view.scale), round(view.top + y * view.scale))
        return image.pixelColor(place) != bare.pixelColor(place)

    assert painted(right - 2, 50)
    assert not painted(right + 2, 50)


def test_the_map_is_painted_again_under_the_pointer_and_the_margin_is_not(shown, qtbot, at):
    canvas, painted = shown.photo.canvas, []

    class Notes(QObject):
        def eventFilter(self, _, event):  # noqa: N802
            if event.type() == QEvent.Type.Paint:
                painted.append(event.region())
            return False

    qtbot.mouseMove(canvas, at(shown, 2, 5))
    QApplication.processEvents()
    notes = Notes()
    canvas.installEventFilter(notes)
    qtbot.mouseMove(canvas, at(shown, 6, 1))
    qtbot.waitUntil(lambda: bool(painted))
    canvas.removeEventFilter(notes)
    area = canvas.viewport.rect(canvas.grid.area).toRect()
    assert any(region.contains(area.adjusted(1, 1, -1, -1)) for region in painted)
    corners = (area.topLeft(), area.bottomRight(), area.center())
    assert all(any(region.contains(corner) for region in painted) for corner in corners)
    assert not any(region.contains(QPoint(2, 2)) for region in painted)
