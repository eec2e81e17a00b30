"""The controls of the panels, used by mouse and keyboard; results are checked in the drawn pixels."""

import numpy as np
import pytest
import timm
import torch
from PySide6.QtCore import QPoint, QPointF, QRect, Qt
from PySide6.QtGui import QImage, QWheelEvent
from PySide6.QtWidgets import QApplication, QComboBox, QMenu, QSlider, QWhatsThis, QWidget
from steps import picture, show
from test_heads import middle

from vitviz.app.main import make_window
from vitviz.app.settings import Settings
from vitviz.app.ui import number_format
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.app.widgets.mosaic.layout import Target
from vitviz.app.window.docks import PanelDock
from vitviz.app.window.main_window import Window
from vitviz.explain.measures.statistics import statistics
from vitviz.models.loading import load_model

LEFT = Qt.MouseButton.LeftButton
LEFT_AREA = Qt.DockWidgetArea.LeftDockWidgetArea


def pictured(widget: QWidget, part: QRect | None = None) -> QImage:
    """What is drawn."""
    return widget.grab(part or widget.rect()).toImage()


def press(qtbot, choice: Segmented, key: str) -> None:
    """Click one of several choices."""
    qtbot.mouseClick(choice, LEFT, pos=choice.cell(key).center().toPoint())


def pick(qtbot, box: QComboBox, text: str) -> None:
    """Go to an entry with the arrow keys."""
    box.setFocus()
    steps = box.findText(text) - box.currentIndex()
    for _ in range(abs(steps)):
        qtbot.keyClick(box, Qt.Key.Key_Down if steps > 0 else Qt.Key.Key_Up)
    assert box.currentText() == text


def turn(canvas: QWidget, at: QPoint, steps: int) -> None:
    """Turn the wheel."""
    place = QPointF(at)
    event = QWheelEvent(
        place,
        canvas.mapToGlobal(place),
        QPoint(),
        QPoint(0, 120 * steps),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(canvas, event)


def dock_of(window: Window, name: str) -> PanelDock:
    """A panel's dock by its name."""
    return next(dock for dock in window.docks if dock.kind.name == name)


# The photo.


def test_the_slider_makes_the_heat_fainter(shown, qtbot):
    slider: QSlider = shown.photo.controls.opacity
    before, strong = pictured(shown.photo.canvas), shown.session.view.opacity
    slider.setFocus()
    for _ in range(4):
        qtbot.keyClick(slider, Qt.Key.Key_PageDown)
    assert shown.session.view.opacity == pytest.approx(strong - 0.4)
    assert pictured(shown.photo.canvas) != before
    qtbot.keyClick(slider, Qt.Key.Key_Home)
    assert shown.session.view.opacity == 0


def test_a_colour_map_is_put_on_in_every_panel(shown, qtbot):
    tokens = dock_of(shown, "tokens")
    tokens.show()
    tokens.raise_()
    qtbot.waitUntil(lambda: tokens.built and tokens.panel.shown().picture is not None, timeout=20_000)
    places = {
        "photo": shown.photo.canvas,
        "bar": shown.photo.bar,
        "strip": shown.panel("layers").strip,
        "tokens": tokens.panel.view,
    }
    before = {name: pictured(widget) for name, widget in places.items()}
    pick(qtbot, shown.photo.controls.colormap, "magma")
    assert shown.session.view.colormap == "magma"
    for name, widget in places.items():
        qtbot.waitUntil(lambda name=name, widget=widget: pictured(widget) != before[name])
    dock_of(shown, "heads").raise_()
    qtbot.waitUntil(shown.panel("heads").isVisible)
    first = pictured(shown.panel("heads").view)
    pick(qtbot, shown.photo.controls.colormap, "viridis")
    assert pictured(shown.panel("heads").view) != first


def test_patches_are_flat_until_they_are_smoothed(shown, qtbot, at):
    shown.session.change(style="tint", opacity=1.0)
    canvas, corner = shown.photo.canvas, at(shown, 3, 3)
    step = round(canvas.grid.cell(3, 3).width() * canvas.viewport.scale / 2) - 3

    def colors() -> set[str]:
        image = pictured(canvas)
        return {image.pixelColor(corner + QPoint(x, 0)).name() for x in (-step, 0, step)}

    assert len(colors()) == 1
    press(qtbot, shown.photo.controls.smooth, "smooth")
    assert shown.session.view.smooth
    assert len(colors()) == 3
    press(qtbot, shown.photo.controls.smooth, "patches")
    assert len(colors()) == 1


def test_the_grid_has_lines_and_numbers_also_where_the_photo_fills_the_panel(shown, qtbot, at):
    canvas = shown.photo.canvas

    def numbered(column: int, top: int) -> bool:
        """Whether pressing G writes above a column."""
        x = at(shown, 0, column).x()
        strip = QRect(x - 6, top, 12, 18)
        before = pictured(canvas, strip)
        qtbot.keyClick(canvas, Qt.Key.Key_G)
        return pictured(canvas, strip) != before

    line = round(canvas.grid.cell(0, 3).left() * canvas.viewport.scale + canvas.viewport.left)
    middle_of_row = at(shown, 4, 3).y()
    bare = pictured(canvas).pixelColor(line, middle_of_row)
    above = round(canvas.viewport.top) - 18
    assert numbered(3, above)
    assert shown.session.view.grid
    assert pictured(canvas).pixelColor(line, middle_of_row) != bare
    assert numbered(3, above)  # away again
    assert not shown.session.view.grid
    turn(canvas, at(shown, 4, 4), 6)
    assert canvas.viewport.top < 0
    assert numbered(4, 0)


def test_what_attends_to_a_patch_is_shown_by_a_click(shown, qtbot, at):
    qtbot.mouseClick(shown.photo.canvas, LEFT, pos=at(shown, 2, 5))
    press(qtbot, shown.tools.direction, "by")
    layer = shown.session.trace.layers[2]
    column = np.mean([layer.attention()[head][1:, 1 + 2 * 8 + 5] for head in range(3)], axis=0)
    np.testing.assert_allclose(shown.session.heatmap.values.ravel(), column, rtol=1e-4)
    assert "attended by" in shown.photo.title.whole


def test_the_pinned_query_is_outlined_in_the_accent(shown, qtbot, at):
    canvas = shown.photo.canvas
    qtbot.mouseClick(canvas, LEFT, pos=at(shown, 2, 5))
    cell, view = canvas.grid.cell(2, 5), canvas.viewport
    edge = QPoint(round(view.left + cell.left() * view.scale), at(shown, 2, 5).y())
    assert pictured(canvas).pixelColor(edge) == canvas.palette().highlight().color()


@pytest.mark.parametrize(
    "keys", [(Qt.Key.Key_Plus,), (Qt.Key.Key_Plus, Qt.Key.Key_Minus), (Qt.Key.Key_Minus,)]
)
def test_plus_and_minus_zoom_and_zero_fits(shown, qtbot, keys):
    canvas = shown.photo.canvas
    fitted = canvas.viewport
    for key in keys:
        qtbot.keyClick(canvas, key)
    expected = fitted.scale * np.prod([1.25 if key == Qt.Key.Key_Plus else 0.8 for key in keys])
    assert canvas.viewport.scale == pytest.approx(expected)
    qtbot.keyClick(canvas, Qt.Key.Key_0)
    assert canvas.viewport == fitted


# The heads.


def test_marks_and_order_of_heads_are_chosen_by_keys(shown, qtbot):
    panel = shown.panel("heads")
    pick(qtbot, panel.marks, "sort by entropy")
    qtbot.waitUntil(lambda: panel.view.labels.order is not None, timeout=20_000)
    assert (panel.choices.now.mark, panel.choices.now.ordered) == ("entropy", True)
    measured = [layer.entropy for layer in statistics(shown.session.trace).layers]
    assert panel.view.labels.order == tuple(tuple(np.argsort(one, kind="stable")) for one in measured)
    pick(qtbot, panel.marks, "by number")
    assert panel.view.labels.order is None


@pytest.fixture(scope="session")
def giant():
    """40 layers of 20 heads."""
    torch.manual_seed(3)
    options = {"img_size": 64, "patch_size": 8, "embed_dim": 40, "depth": 40, "num_heads": 20}
    module = timm.create_model("vit_tiny_patch16_224", num_classes=5, mlp_ratio=1, **options)
    return load_model(module, device="cpu")


def test_forty_layers_of_twenty_heads_can_be_distinguished(window, qtbot, photo, giant):
    window.resize(1440, 900)
    show(window, qtbot, photo, giant)
    view = window.panel("heads").view
    assert min(view.plan.tile) >= 8
    for layer, head in ((0, 0), (17, 11), (39, 19)):
        qtbot.mouseMove(view, middle(view, Target(layer, head)))
        assert f"blocks.{layer}.attn, head {head}" in window.photo.title.whole
        qtbot.mouseClick(view, LEFT, pos=middle(view, Target(layer, head)))
        assert (window.session.view.layer, window.session.view.head) == (layer, head)
    # All layers of the strip are in sight too.
    strip = window.panel("layers").strip
    assert len(strip.frames) == 40


# The layers.


def test_the_speed_of_playing_is_chosen_by_keys_also_while_it_plays(shown, qtbot):
    panel = shown.panel("layers")
    shown.session.change(layer=0)
    qtbot.mouseClick(panel.loop, LEFT)
    qtbot.mouseClick(panel.play, LEFT)
    paces = {}
    for text in ("½×", "1×", "2×", "4×"):
        pick(qtbot, panel.speed, text)
        assert panel.playing
        paces[text] = panel.pace
    assert paces == {"½×": 1000, "1×": 500, "2×": 250, "4×": 125}
    shown.photo.canvas.setFocus()
    qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_Space)
    assert not panel.playing


# The tokens.


def test_a_window_of_a_swin_is_chosen_by_keys(window, qtbot, swin, tmp_path):
    show(window, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    dock = dock_of(window, "tokens")
    dock.show()
    dock.raise_()
    qtbot.waitUntil(lambda: dock.built and bool(dock.panel.says.whole), timeout=20_000)
    panel = dock.panel
    pick(qtbot, panel.windows, "window 2")
    qtbot.waitUntil(lambda: "window 2" in panel.says.whole, timeout=20_000)


@pytest.fixture(scope="session")
def registers():
    """A class token and four registers."""
    torch.manual_seed(5)
    options = {"img_size": 64, "patch_size": 8, "depth": 2, "reg_tokens": 4}
    return load_model(timm.create_model("vit_tiny_patch16_224", num_classes=5, **options), device="cpu")


def test_registers_are_queries_in_the_margin_of_the_photo_and_in_the_matrix(
    window, qtbot, photo, registers, at
):
    window.resize(1440, 900)
    show(window, qtbot, photo, registers)
    session = window.session
    names = ["class", "register 1", "register 2", "register 3", "register 4"]
    chips = window.photo.chips.buttons
    assert list(chips) == names
    qtbot.mouseClick(window.photo.canvas, LEFT, pos=at(window, 2, 5))
    row = session.trace.layers[1].row(5 + 2 * 8 + 5).mean(0)
    for place, name in enumerate(names):
        assert chips[name].text() == f"{name} {number_format.number(float(row[place]))}"
    # Five of them leave room for the sentence on the scale, in two lines if need be.
    window.resizeDocks([dock_of(window, "heads")], [600], Qt.Orientation.Horizontal)
    qtbot.waitUntil(lambda: window.photo.width() < 880)
    qtbot.waitUntil(lambda: not window.photo.scale.lines()[-1].endswith("…"))
    qtbot.mouseClick(chips["register 2"], LEFT)
    assert session.view.query == "register 2"
    attends = session.trace.layers[1].row(2).mean(0)
    np.testing.assert_allclose(session.heatmap.values.ravel(), attends[5:], rtol=1e-4)
    dock = dock_of(window, "tokens")
    dock.show()
    dock.raise_()
    qtbot.waitUntil(lambda: dock.built and bool(dock.panel.says.whole), timeout=20_000)
    view = dock.panel.view
    qtbot.mouseClick(view, LEFT, pos=view.cell_rect(4, 40).center().toPoint())
    assert session.view.query == "register 4"
    assert chips["register 4"].isChecked()
    dock.setFloating(True)
    dock.resize(620, 900)  # high enough for a line of each
    qtbot.waitUntil(lambda: list(dock.panel.numbers.buttons) == names)
    qtbot.mouseClick(dock.panel.numbers.buttons["register 1"], LEFT)
    assert session.view.query == "register 1"


# The status line.


def test_the_sum_that_is_shown_is_written_beside_the_prefix_tokens(shown, qtbot, at):
    qtbot.mouseClick(shown.photo.canvas, LEFT, pos=at(shown, 2, 5))
    row = shown.session.trace.layers[2].row(1 + 2 * 8 + 5).mean(0)
    assert shown.photo.sums.text() == f"Σ patches {number_format.number(float(row[1:].sum()))}"
    assert shown.photo.chips.buttons["class"].text() == f"class {number_format.number(float(row[0]))}"


def test_token_row_column_layer_device_and_time_are_in_the_status_line(shown, qtbot, at):
    qtbot.mouseClick(shown.photo.canvas, LEFT, pos=at(shown, 2, 5))
    status, trace = shown.status, shown.session.trace
    assert status.query.text() == "Patch (2, 5) · pinned"
    assert status.where.whole == "layer 2 (blocks.2.attn), mean of 3 heads"
    assert dict(trace.model.module.named_modules())["blocks.2.attn"]
    assert status.about.whole == f"65 tokens: class + 8×8 patches · CPU · {trace.milliseconds:.0f} ms"


def test_a_click_on_the_badge_shows_the_error(shown, qtbot, monkeypatch):
    said = []
    qtbot.waitUntil(lambda: shown.session.check.proved, timeout=20_000)
    monkeypatch.setattr(QWhatsThis, "showText", lambda _place, text, _widget: said.append(text))
    qtbot.mouseClick(shown.status.badge, LEFT)
    check = shown.session.check
    assert f"Largest relative error {check.worst:.0e}".replace("e-0", "e-") in said[0]
    assert f"allowed {check.tolerance:.0e}".replace("e-0", "e-") in said[0]
    assert check.proved
    for claim in check.claims:
        assert f"<b>{claim.name}</b>" in said[0]
        assert f"{claim.when:%H:%M:%S}" in said[0]


# The docks.


def test_the_panels_menu_opens_and_closes_a_panel_by_mouse(shown, qtbot):
    dock = dock_of(shown, "patches")
    entry = next(action for action in shown.menu_bar.actions() if action.text() == "&Panels")
    menu: QMenu = entry.menu()
    for opened in (True, False):
        qtbot.mouseClick(shown.menu_bar, LEFT, pos=shown.menu_bar.actionGeometry(entry).center())
        qtbot.waitUntil(menu.isVisible)
        qtbot.mouseClick(menu, LEFT, pos=menu.actionGeometry(dock.toggleViewAction()).center())
        qtbot.waitUntil(lambda opened=opened: dock.isVisible() == opened)


def drag(qtbot, dock: PanelDock, to: QPoint) -> None:
    """Drag a panel by its name to a place of the screen."""
    bar = dock.titleBarWidget()
    start = QPoint(40, bar.height() // 2)
    qtbot.mousePress(bar, LEFT, pos=start)
    here = bar.mapToGlobal(start)
    for part in (0.1, 0.3, 0.6, 0.9, 1.0):
        qtbot.mouseMove(bar, bar.mapFromGlobal(here + (to - here) * part))
        qtbot.wait(10)
    qtbot.mouseRelease(bar, LEFT, pos=bar.mapFromGlobal(to))


def test_a_panel_is_dragged_to_another_side_and_reset_brings_it_back(shown, qtbot):
    dock = dock_of(shown, "heads")
    assert shown.dockWidgetArea(dock) == Qt.DockWidgetArea.RightDockWidgetArea
    drag(qtbot, dock, shown.mapToGlobal(QPoint(4, shown.height() // 2)))
    qtbot.waitUntil(lambda: shown.dockWidgetArea(dock) == LEFT_AREA)
    qtbot.waitUntil(lambda: not dock.isFloating())
    assert dock.mapTo(shown, QPoint()).x() < shown.photo.mapTo(shown, QPoint()).x()
    shown.commands["reset_layout"].trigger()
    qtbot.waitUntil(lambda: shown.dockWidgetArea(dock) == Qt.DockWidgetArea.RightDockWidgetArea)
    assert dock.isVisible()


def test_where_a_panel_was_dragged_to_is_remembered(shown, qtbot, tmp_path):
    dock = dock_of(shown, "heads")
    drag(qtbot, dock, shown.mapToGlobal(QPoint(4, shown.height() // 2)))
    qtbot.waitUntil(lambda: not dock.isFloating() and shown.dockWidgetArea(dock) == LEFT_AREA)
    shown.close()
    again = make_window(Settings(tmp_path / "settings" / "window.ini"), "cpu")
    again.show()
    qtbot.waitExposed(again)
    assert again.dockWidgetArea(dock_of(again, "heads")) == LEFT_AREA
    assert again.dockWidgetArea(dock_of(again, "predictions")) == Qt.DockWidgetArea.RightDockWidgetArea
    again.close()
    again.deleteLater()
