"""The menu of the photo and of each panel: copy, save, export the numbers, pin, close, explain."""

import csv

import numpy as np
import pytest
import user_input
from PIL import Image
from PySide6.QtCore import QPoint
from PySide6.QtGui import QContextMenuEvent, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QMenu
from steps import dock_of, settled

from vitviz.app.panels import catalog
from vitviz.app.panels.windows.panel import WindowsPanel
from vitviz.app.session.numbers import numbers_of
from vitviz.explain.internals import patches, positions
from vitviz.explain.internals.matrix import matrix as attention_matrix

NAMES = [kind.name for kind in catalog.PANELS]


def right_click(widget, at=None):
    """A context menu event where the pointer is, as the system sends it: Qt passes it up to who takes it."""
    at = widget.rect().center() if at is None else at
    QApplication.sendEvent(
        widget, QContextMenuEvent(QContextMenuEvent.Reason.Mouse, at, widget.mapToGlobal(at))
    )
    return QApplication.activePopupWidget()


def entries(menu):
    return {action.text().replace("&", ""): action for action in menu.actions() if action.text()}


def choose(menu, text):
    assert isinstance(menu, QMenu)
    action = entries(menu)[text]
    assert action.isEnabled()
    for _ in menu.actions():
        user_input.press(menu, "Down")
        if menu.activeAction() is action:
            break
    user_input.press(menu, "Return")


def close_popups():
    while QApplication.activePopupWidget() is not None:
        QApplication.activePopupWidget().close()


@pytest.fixture
def answer(monkeypatch, tmp_path):
    """Answer the next dialogs for a file with a name."""

    def named(name):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / name), ""))
        return tmp_path / name

    return named


def opened(window, qtbot, name):
    dock = dock_of(window, name)
    window.docks.go_to(dock.kind.name)
    qtbot.waitUntil(lambda: dock.panel.isVisible() and settled(dock.panel), timeout=20_000)
    return dock


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["Shift+F10", "Menu"])
def test_each_panel_has_its_menu_by_keys_and_it_closes_the_panel(shown, qtbot, name, key):
    dock = opened(shown, qtbot, name)
    assert shown.docks.focused() is dock
    user_input.press(shown, key)
    menu = QApplication.activePopupWidget()
    wanted = [
        "Copy picture",
        "Save picture…",
        "Export numbers…",
        "Float",
        "Close panel",
        "What the terms mean",
    ]
    assert [text for text in wanted if text not in entries(menu)] == []
    user_input.press(shown, "Esc")
    assert QApplication.activePopupWidget() is None
    choose(right_click(dock.panel), "Close panel")
    qtbot.waitUntil(dock.isHidden)
    assert dock.isHidden()


def test_the_photo_has_its_menu_by_keys_and_by_the_right_button(shown, qtbot, at):
    canvas = shown.photo.canvas
    user_input.click(canvas, at(shown, 2, 5))
    assert shown.session.view.pinned
    user_input.press(shown, "Shift+F10")
    choose(QApplication.activePopupWidget(), "Unpin the query")
    assert not shown.session.view.pinned
    user_input.point(canvas, at(shown, 6, 1))
    menu = right_click(canvas, at(shown, 6, 1))
    user_input.point(menu, QPoint(4, 4))
    choose(menu, "Pin patch (6, 1)")
    assert shown.session.view.query == (6, 1)
    assert shown.session.view.pinned
    QGuiApplication.clipboard().clear()
    choose(right_click(canvas), "Copy picture")
    assert not QGuiApplication.clipboard().image().isNull()


def test_a_panel_is_copied_and_saved_with_what_it_is_of(shown, qtbot, answer):
    dock = opened(shown, qtbot, "predictions")
    expected = dock.panel.grab().toImage()
    choose(right_click(dock.panel), "Copy picture")
    assert QGuiApplication.clipboard().image().size() == expected.size()
    target = answer("panel.png")
    choose(right_click(dock.panel), "Save picture…")
    qtbot.waitUntil(lambda: "Saved panel.png" in shown.toast.words.text())
    image = Image.open(target)
    assert image.size == (expected.width(), expected.height())
    assert image.text["Title"] == dock.panel.shown().caption
    assert image.text["Model"] == shown.session.model.full_name
    assert image.text["Of photo"] == "wide.png"


def test_the_numbers_of_the_photo_are_the_maps(shown, qtbot, answer):
    shown.session.pin((2, 5))
    qtbot.waitUntil(lambda: shown.session.maps.shown.selection == shown.session.selection)
    heat = shown.session.heatmap
    target = answer("map.npz")
    choose(right_click(shown.photo.canvas), "Export numbers…")
    qtbot.waitUntil(lambda: "Saved map.npz" in shown.toast.words.text())
    with np.load(target) as found:
        np.testing.assert_array_equal(found["heatmap.values"], heat.values)
        assert found["heatmap.prefix.class"] == heat.prefix["class"]
        assert str(found["fact: query"]) == "(2, 5)"
        assert str(found["caption"]) == heat.title
    target = answer("map.csv")
    choose(right_click(shown.photo.canvas), "Export numbers…")
    qtbot.waitUntil(lambda: "Saved map.csv" in shown.toast.words.text())
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    values = {
        (int(row["index 0"]), int(row["index 1"])): float(row["value"])
        for row in rows
        if row["name"] == "heatmap.values"
    }
    assert values == {place: pytest.approx(float(heat.values[place]), abs=1e-8) for place in np.ndindex(8, 8)}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "windows"])
def test_each_panel_exports_the_numbers_that_it_shows(shown, qtbot, answer, name):
    dock = opened(shown, qtbot, name)
    qtbot.waitUntil(
        lambda: dock.panel.shown().facts is not None and not dock.panel.shown().dimmed, timeout=20_000
    )
    expected = numbers_of(dock.panel.shown())
    target = answer(f"{name}.npz")
    choose(right_click(dock.panel), "Export numbers…")
    qtbot.waitUntil(lambda: f"Saved {name}.npz" in shown.toast.words.text())
    with np.load(target) as found:
        assert set(found) == set(expected)
        for key, array in expected.items():
            np.testing.assert_array_equal(found[key], array)
        assert str(found["fact: model"]) == shown.session.model.full_name
        assert str(found["fact: of photo"]) == "wide.png"
        assert any(array.dtype.kind in "uif" and array.size > 3 for array in found.values()), name


def test_heads_predictions_and_layers_export_the_values_of_the_api(shown, qtbot):
    trace = shown.session.trace
    heads = numbers_of(opened(shown, qtbot, "heads").panel.shown())
    for layer in range(3):
        row = trace.layers[layer].row(0)[:, 1:].reshape(3, 8, 8)
        np.testing.assert_allclose(heads["tiles.stacks"].reshape(3, 3, 8, 8)[layer], row, rtol=1e-5)
    predictions = opened(shown, qtbot, "predictions").panel.shown()
    found = trace.predictions(len(predictions.bars))
    numbers = numbers_of(predictions)
    assert [float(numbers[f"bars.{place}.share"]) for place in range(3)] == [
        one.probability for one in found[:3]
    ]
    layers = numbers_of(opened(shown, qtbot, "layers").panel.shown())
    assert layers["maps"].shape == (3, 8, 8)


def test_what_shows_nothing_has_nothing_to_export(shown, qtbot):
    dock = dock_of(shown, "windows")
    shown.docks.go_to(dock.kind.name)
    qtbot.waitUntil(lambda: dock.panel.empty.isVisible())
    menu = right_click(dock.panel)
    assert isinstance(dock.panel, WindowsPanel)
    assert not entries(menu)["Export numbers…"].isEnabled()
    assert not entries(menu)["Save picture…"].isEnabled()
    close_popups()


def test_a_plate_is_saved_as_it_is_composed_for_files(shown, qtbot, answer):
    dock = opened(shown, qtbot, "patches")
    target = answer("plate.png")
    choose(right_click(dock.panel), "Save picture…")
    qtbot.waitUntil(lambda: "Saved plate.png" in shown.toast.words.text())
    assert Image.open(target).text["Plate"] == "patches"


def test_a_right_click_makes_a_side_the_current_one(shown, qtbot, swin):
    second = shown.stage.compare(model=swin).second
    qtbot.waitUntil(lambda: second.trace is not None and second.busy is None, timeout=20_000)
    menu = right_click(shown.stage.second.photo.canvas)
    assert shown.stage.session is second
    assert isinstance(menu, QMenu)
    close_popups()


def test_the_help_is_reached_by_keys_and_closed_by_escape(shown, qtbot):
    dock = opened(shown, qtbot, "heads")
    dock.help.setFocus()
    QTest.keyClick(dock.help, " ")
    popover = QApplication.activePopupWidget()
    qtbot.waitUntil(popover.content.hasFocus)
    assert popover.content.accessibleName() == "Heads: what the terms mean"
    assert "entropy: " in popover.content.accessibleDescription()
    user_input.press(shown, "Esc")
    qtbot.waitUntil(lambda: QApplication.activePopupWidget() is None)


@pytest.mark.parametrize(
    "way", ["menu of the photo", "menu of a panel", "help of the photo", "help of a panel"]
)
def test_keys_go_to_an_open_menu_or_help_and_not_to_what_lies_below(shown, qtbot, at, way):
    dock = opened(shown, qtbot, "heads")
    user_input.click(shown.photo.canvas, at(shown, 2, 5))
    before = shown.session.view
    if way == "menu of the photo":
        right_click(shown.photo.canvas)
    elif way == "menu of a panel":
        right_click(dock.panel)
    else:
        (shown.photo.help if way == "help of the photo" else dock.help).click()
    assert QApplication.activePopupWidget() is not None
    for key in ("Right", "Left", "2", "G", "M", "Ctrl+Right", "Ctrl+E"):
        user_input.press(shown, key)
        assert shown.session.view == before, key
    user_input.press(shown, "Esc")
    qtbot.waitUntil(lambda: QApplication.activePopupWidget() is None)
    assert shown.session.view == before, "Esc closes the menu and leaves the pinned query"
    user_input.press(shown, "2")
    assert shown.session.view.method == "rollout"


def test_positions_patches_and_tokens_export_the_values_of_the_api(shown, qtbot):
    trace = shown.session.trace

    def exported(name, mode=""):
        panel = opened(shown, qtbot, name).panel
        if mode:
            user_input.choose(panel.mode, mode)
        qtbot.waitUntil(lambda: panel.shown().facts is not None and not panel.busy, timeout=20_000)
        numbers = numbers_of(panel.shown())
        assert not any(array.dtype == np.uint8 for array in numbers.values()), "colours"
        return numbers

    for mode, quantity, expected in (
        ("similarity", "cosine", positions.similarity(trace)),
        ("components", "components", positions.components(trace).colors),
        ("norm", "length", positions.norm(trace)),
    ):
        numbers = exported("positions", mode)
        np.testing.assert_array_equal(numbers[f"values.as used: {quantity}"], expected)
    split = exported("positions", "split")
    if "split.content" in split:
        parts = split["split.content"] + split["split.position"] + split["split.mask"]
        np.testing.assert_allclose(parts, split["split.logits"], atol=1e-5)
    for mode, quantity, expected in (
        ("patches", "normalised pixels", patches.pictures(trace)),
        ("filters", "filters", patches.filters(trace.model).images),
        ("embedding", "length", patches.embedding(trace).norms),
    ):
        np.testing.assert_array_equal(exported("patches", mode)[f"values.{quantity}"], expected)
    chosen = shown.session.selection
    whole = attention_matrix(trace.layers[chosen.layer], chosen.head, chosen.fusion)
    np.testing.assert_array_equal(exported("tokens")["picture.matrix.values"], whole)
