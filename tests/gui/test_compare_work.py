"""Work during a comparison: what follows, what is refused, what keys reach, and what is left at its end."""

import gc
import weakref

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QColor, QDragEnterEvent, QDropEvent, QImage
from PySide6.QtWidgets import QApplication, QFileDialog
from steps import picture, show

from vitviz.app.dialogs.model_browser import ModelBrowser
from vitviz.explain import explain

LEFT = Qt.MouseButton.LeftButton


def ready(session):
    """Whether a session shows what is asked for."""
    maps = session.maps
    return (
        session.busy is None
        and session.trace is not None
        and not maps.busy
        and maps.shown is not None
        and maps.shown.selection == session.selection
    )


@pytest.fixture
def sides(shown, qtbot, swin):
    """The window with the small Swin beside the small ViT, both at rest, and its two sessions."""
    second = shown.stage.compare(model=swin).second
    qtbot.waitUntil(lambda: ready(shown.session) and ready(second), timeout=20_000)
    return shown, shown.session, second


@pytest.fixture(scope="module")
def headless():
    """The small ViT without a classifier: it has no class to explain."""
    import timm
    import torch

    from vitviz.models.loading import load_model

    torch.manual_seed(3)
    module = timm.create_model("vit_tiny_patch16_224", img_size=64, patch_size=8, depth=3, num_classes=0)
    return load_model(module, device="cpu")


@pytest.fixture
def folder(tmp_path):
    """A folder of two photos."""
    place = tmp_path / "album"
    place.mkdir()
    return [picture(place / f"p{number}.png", (120, 80), number) for number in range(2)]


def middle(panel, trace, row, column):
    """The point of a panel's canvas over the middle of a patch, from the framing alone."""
    x, y = trace.framing.polygon(trace.patches, row, column).mean(axis=0)
    view = panel.canvas.viewport
    return QPointF(view.left + x * view.scale, view.top + y * view.scale).toPoint()


def drop(side, data):
    copy, none = Qt.DropAction.CopyAction, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(side, QDragEnterEvent(side.rect().center(), copy, data, LEFT, none))
    QApplication.sendEvent(side, QDropEvent(QPointF(20, 200), copy, data, LEFT, none))


def test_a_method_that_one_model_lacks_is_reported_and_stays_with_the_other(shown, qtbot, headless):
    first, second = shown.session, shown.stage.compare(model=headless).second
    qtbot.waitUntil(lambda: ready(first) and ready(second), timeout=20_000)
    shown.commands["method_relevance"].trigger()
    assert (first.view.method, second.view.method) == ("relevance", "attention")
    told = shown.toast.words.text()
    assert told.startswith(f"{headless.name} shows attention: Relevance does not apply, because it gives")
    # A click on the side that lacks it selects a place there, and takes nothing from the other.
    panel = shown.stage.second.photo
    qtbot.mouseClick(panel.canvas, LEFT, pos=middle(panel, second.trace, 6, 1))
    assert first.view.query == second.view.query == (6, 1)
    assert (first.view.method, second.view.method) == ("relevance", "attention")
    qtbot.waitUntil(lambda: ready(first) and ready(second), timeout=20_000)
    shown.commands["method_rollout"].trigger()
    assert first.view.method == second.view.method == "rollout"


def test_a_model_that_lacks_the_method_does_not_take_it_from_the_first(shown, qtbot, headless):
    shown.commands["method_relevance"].trigger()
    second = shown.stage.compare(model=headless).second
    qtbot.waitUntil(lambda: ready(second) and ready(shown.session), timeout=20_000)
    assert (shown.session.view.method, second.view.method) == ("relevance", "attention")


def test_places_selected_on_the_other_side_leave_the_layer_and_the_class(sides, qtbot):
    window, first, second = sides
    first.change(target=11)  # the Swin has five classes
    second.change(layer=2)
    first.change(layer=1)
    assert second.view.target is None
    panel = window.stage.second.photo
    for _ in range(2):
        qtbot.mouseClick(panel.canvas, LEFT, pos=middle(panel, second.trace, 3, 4))
    assert (first.view.target, first.view.layer) == (11, 1)


def test_a_class_specific_method_explains_the_class_of_the_same_name_on_both_sides(
    shown, qtbot, folder, model
):
    second = shown.stage.compare(photo=folder[1]).second
    qtbot.waitUntil(lambda: ready(second), timeout=20_000)
    shown.session.change(target=7)
    shown.commands["method_gradient_attention"].trigger()
    qtbot.waitUntil(lambda: ready(second) and ready(shown.session), timeout=20_000)
    assert second.heatmap.options["target"] == shown.session.heatmap.options["target"] == 7
    expected = explain(second.trace, "gradient_attention", layer=2, target=7)
    np.testing.assert_allclose(second.heatmap.values, expected.values, rtol=1e-4, atol=1e-7)


def test_undo_acts_on_both_sides(sides, qtbot):
    window, first, second = sides
    panel = window.stage.second.photo
    qtbot.mouseClick(panel.canvas, LEFT, pos=middle(panel, second.trace, 13, 0))
    qtbot.mouseClick(window.photo.canvas, LEFT, pos=middle(window.photo, first.trace, 2, 5))
    qtbot.keyClick(panel.canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert (first.view.query, second.view.query) == ((6, 0), (13, 1))
    window.commands["undo"].trigger()
    assert (first.view.query, second.view.query) == (None, None)
    window.commands["redo"].trigger()
    window.commands["redo"].trigger()
    assert first.view.query == (2, 5)


def test_two_models_go_through_a_folder_together(window, qtbot, model, swin, folder):
    show(window, qtbot, folder[0], model)
    second = window.stage.compare(model=swin).second
    qtbot.waitUntil(lambda: ready(second), timeout=20_000)
    for canvas, name in ((window.photo.canvas, "p1.png"), (window.stage.second.photo.canvas, "p0.png")):
        key = Qt.Key.Key_PageDown if name == "p1.png" else Qt.Key.Key_PageUp
        window.activateWindow()
        canvas.setFocus()
        qtbot.keyClick(canvas, key)
        qtbot.waitUntil(
            lambda name=name: window.session.photo.name == second.photo.name == name and ready(second),
            timeout=20_000,
        )
        assert second.trace.photo is second.photo
        assert second.model is swin
    window.framings.actions()[1].trigger()
    qtbot.waitUntil(
        lambda: ready(second) and second.framing == window.session.framing == "squash", timeout=20_000
    )


def test_two_photos_are_seen_by_another_model_together_and_gone_through_apart(
    window, qtbot, model, swin, folder, photo
):
    show(window, qtbot, photo, model)
    second = window.stage.compare(photo=folder[0]).second
    qtbot.waitUntil(lambda: ready(second), timeout=20_000)
    window.session.open(model=swin)
    qtbot.waitUntil(lambda: second.model is swin and ready(second) and ready(window.session), timeout=20_000)
    assert (window.session.photo.name, second.photo.name) == ("wide.png", "p0.png")
    canvas = window.stage.second.photo.canvas
    window.activateWindow()
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_PageDown)
    qtbot.waitUntil(lambda: second.photo.name == "p1.png" and ready(second), timeout=20_000)
    assert window.session.photo.name == "wide.png"


def test_zooming_by_keys_is_of_the_photo_that_has_the_focus(sides, qtbot):
    window, _, _ = sides
    second = window.stage.second.photo.canvas
    before = window.photo.canvas.viewport, second.viewport
    window.activateWindow()
    second.setFocus()
    qtbot.keyClick(second, Qt.Key.Key_Plus)
    assert window.photo.canvas.viewport == before[0]
    assert second.viewport.scale == pytest.approx(before[1].scale * 1.25)
    qtbot.keyClick(second, Qt.Key.Key_0)
    assert second.viewport == before[1]


def test_a_folder_and_a_picture_from_a_browser_are_dropped_on_a_side_and_an_address_is_told(
    sides, qtbot, folder
):
    window, first, second = sides
    side, shown_before = window.stage.second, first.photo
    files, browser, address = QMimeData(), QMimeData(), QMimeData()
    files.setUrls([QUrl.fromLocalFile(str(folder[0].parent))])
    drop(side, files)
    qtbot.waitUntil(lambda: second.photo.name == "p0.png" and ready(second), timeout=20_000)
    image = QImage(50, 40, QImage.Format.Format_RGB32)
    image.fill(QColor("teal"))
    browser.setImageData(image)
    browser.setUrls([QUrl("https://example.org/teal.png")])
    drop(side, browser)
    qtbot.waitUntil(lambda: second.photo.width == 50 and ready(second), timeout=20_000)
    address.setUrls([QUrl("https://example.org/teal.png")])
    drop(side, address)
    assert "does not open internet addresses" in window.notice.sentence.text()
    assert first.photo is shown_before


def test_a_comparison_ended_in_a_presentation_leaves_no_controls_there(shown, qtbot, swin):
    shown.commands["present"].trigger()
    second = shown.stage.compare(model=swin).second
    qtbot.waitUntil(lambda: ready(second), timeout=20_000)
    qtbot.waitUntil(lambda: shown.stage.second.isVisible())
    assert not shown.photo.controls.isVisible()
    shown.commands["compare_end"].trigger()
    assert shown.presentation.on
    qtbot.wait(20)
    assert not shown.photo.controls.isVisible()
    shown.commands["present"].trigger()
    assert shown.photo.controls.isVisible()


def test_a_comparison_that_has_ended_is_forgotten_with_its_trace(shown, qtbot, swin):
    shown.stage.compare(model=swin)
    qtbot.waitUntil(lambda: ready(shown.stage.comparison.second), timeout=20_000)
    kept = weakref.ref(shown.stage.comparison.second.trace)
    shown.commands["compare_end"].trigger()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    gc.collect()
    assert kept() is None
    shown.session.change(layer=0)
    assert shown.session.shared_range is None


def test_commands_of_a_comparison_are_there_when_they_do_something(window, qtbot, model, photo):
    names = ("compare_photo", "compare_model", "compare_end")
    assert [window.commands[name].isEnabled() for name in names] == [False, False, False]
    show(window, qtbot, photo, model)
    assert [window.commands[name].isEnabled() for name in names] == [True, True, False]
    window.stage.compare(model=model)
    assert window.commands["compare_end"].isEnabled()
    qtbot.waitUntil(lambda: ready(window.stage.comparison.second), timeout=20_000)
    window.commands["close_photo"].trigger()
    assert [window.commands[name].isEnabled() for name in names] == [False, False, False]


def test_cancel_and_closing_stop_the_second_sides_work(shown, qtbot, swin, folder):
    second = shown.stage.compare(photo=folder[0], model=swin).second
    assert shown.commands["cancel"].isEnabled()
    shown.commands["cancel"].trigger()
    assert second.busy is None
    assert not shown.commands["cancel"].isEnabled()
    shown.stage.compare(photo=folder[1], model=swin)
    shown.close()  # the check after each test finds threads that are left
    assert shown.stage.comparison is None


def test_buttons_of_an_empty_second_side_act_on_that_side(shown, qtbot, tmp_path, monkeypatch, folder):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    comparison = shown.stage.compare(photo=broken)
    first, second = shown.session, comparison.second
    before = first.trace
    side = shown.stage.second
    welcome = side.photo.welcome
    qtbot.waitUntil(welcome.isVisible, timeout=20_000)
    assert "broken.png" in shown.notice.sentence.text()
    assert "Ctrl" not in welcome.hint.text()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(folder[1]), ""))
    qtbot.mouseClick(welcome.buttons[0], LEFT)
    qtbot.waitUntil(lambda: ready(second), timeout=20_000)
    assert (second.photo.path, first.photo.name) == (folder[1], "wide.png")
    assert first.trace is before


def test_a_model_that_the_second_side_lacks_is_chosen_for_that_side(shown, qtbot, monkeypatch, tmp_path):
    first, model = shown.session, shown.session.model
    second = shown.stage.compare(model=str(tmp_path / "missing.safetensors")).second
    side = shown.stage.second
    qtbot.waitUntil(side.photo.no_model.isVisible, timeout=60_000)
    choose, weights = side.photo.no_model.buttons
    asked = []
    monkeypatch.setattr(second, "open", lambda **what: asked.append(what["model"]))
    qtbot.mouseClick(choose, LEFT)
    chooser = side.findChild(ModelBrowser)
    chooser.search.setFocus()
    qtbot.keyClicks(chooser.search, "no such name at all")
    qtbot.keyClick(chooser.search, Qt.Key.Key_Return)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("/some/weights.pth", ""))
    qtbot.mouseClick(weights, LEFT)
    assert asked == ["no such name at all", "/some/weights.pth"]
    assert first.model is model
    assert first.busy is None
