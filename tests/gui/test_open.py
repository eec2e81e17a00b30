"""Opening photos and models: every way in, and every way it can go wrong."""

from pathlib import Path

import numpy as np
import pytest
import user_input
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QFileDialog
from steps import picture, show


def drop(window, data: QMimeData) -> None:
    actions, button, keys = (
        Qt.DropAction.CopyAction,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    entered = QDragEnterEvent(window.rect().center(), actions, data, button, keys)
    QApplication.sendEvent(window, entered)
    assert entered.isAccepted()
    QApplication.sendEvent(window, QDropEvent(QPointF(50, 50), actions, data, button, keys))


def files(*paths: Path) -> QMimeData:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return data


def test_control_o_opens_a_photo(window, qtbot, photo, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(photo), ""))
    with qtbot.waitSignal(window.session.photo_opened):
        qtbot.keyClick(window, Qt.Key.Key_O, Qt.KeyboardModifier.ControlModifier)
    assert window.session.photo.width == 160
    assert window.windowTitle().startswith("wide")
    assert window.photo.no_model.isVisible()
    assert not window.photo.welcome.isVisible()


def test_the_menu_opens_a_photo_too_and_remembers_it(window, qtbot, photo, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(photo), ""))
    with qtbot.waitSignal(window.session.photo_opened):
        window.commands["open"].trigger()
    assert window.settings.names("photos") == [str(photo)]


def test_a_dropped_file_is_opened(shown, qtbot, tmp_path):
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        drop(shown, files(picture(tmp_path / "dropped.png", (80, 90))))
    assert shown.session.photo.size == (90, 80)
    assert shown.session.trace.photo is shown.session.photo


def test_a_dropped_picture_without_a_file_is_opened(shown, qtbot):
    image = QImage(48, 32, QImage.Format.Format_ARGB32)
    image.fill(0xFF204060)
    image.setPixel(0, 0, 0x00000000)
    data = QMimeData()
    data.setImageData(image)
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        drop(shown, data)
    pixels = shown.session.photo.pixels
    assert pixels.shape == (32, 48, 3)
    assert tuple(pixels[5, 5]) == (0x20, 0x40, 0x60)
    assert tuple(pixels[0, 0]) == (255, 255, 255)


def test_a_copied_picture_is_pasted(shown, qtbot):
    image = QImage(40, 40, QImage.Format.Format_RGB32)
    image.fill(0xFFFF0000)
    QGuiApplication.clipboard().setImage(image)
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        qtbot.keyClick(shown, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(shown.session.photo.pixels[0, 0], (255, 0, 0))


def test_a_panel_that_was_copied_is_pasted(shown, qtbot):
    user_input.press(shown, "Ctrl+C")
    copied = QGuiApplication.clipboard().image()
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        user_input.press(shown, "Ctrl+V")
    assert shown.session.photo.size == (copied.height(), copied.width())
    assert not shown.notice.isVisible()


def test_pasting_nothing_says_so(shown, qtbot):
    QGuiApplication.clipboard().setText("words")
    qtbot.keyClick(shown, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    assert "clipboard contains no picture" in shown.notice.sentence.text()


@pytest.mark.parametrize("content", [b"this is no picture", b""])
def test_a_file_that_is_no_picture_is_reported_and_the_old_picture_stays(shown, qtbot, tmp_path, content):
    broken = tmp_path / "broken.png"
    broken.write_bytes(content)
    before = shown.session.trace
    with qtbot.waitSignal(shown.session.failed):
        drop(shown, files(broken))
    assert shown.notice.isVisible()
    assert "broken.png" in shown.notice.sentence.text()
    assert not shown.notice.details.isVisible()
    assert shown.session.trace is before
    assert shown.session.busy is None
    assert not shown.photo.canvas.dimmed


def test_the_next_success_takes_the_notice_away(shown, qtbot, tmp_path):
    with qtbot.waitSignal(shown.session.failed):
        shown.open_path(tmp_path / "missing.png")
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        shown.open_path(picture(tmp_path / "fine.png", (64, 64)))
    assert not shown.notice.isVisible()


def test_an_unknown_model_is_reported_and_the_old_one_stays(shown, qtbot):
    before = shown.session.model
    with qtbot.waitSignal(shown.session.failed, timeout=60_000):
        shown.session.open(model="no_such_model_at_all")
    assert "no_such_model_at_all" in shown.notice.sentence.text()
    assert shown.session.model is before


def test_a_weights_file_is_opened_by_its_ending_and_remembered(window, qtbot, model, photo, tmp_path):
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(3)
    module = timm.create_model("test_vit", num_classes=7)
    weights = tmp_path / "small.safetensors"
    save_file(module.state_dict(), weights)
    with qtbot.waitSignal(window.session.photo_opened):
        window.open_path(photo)
    with qtbot.waitSignal(window.session.trace_changed, timeout=90_000):
        drop(window, files(weights))
    assert len(window.session.trace.logits) == 7
    assert window.settings.text("model") == str(weights)


def test_an_internal_error_is_shown_with_collapsed_details_and_a_report_to_copy(
    shown, qtbot, monkeypatch, tmp_path
):
    def broken(*_):
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr("vitviz.app.session.load.open_image", broken)
    with qtbot.waitSignal(shown.session.failed):
        shown.open_path(tmp_path / "any.png")
    notice = shown.notice
    assert "internal error of vitviz" in notice.sentence.text()
    qtbot.mouseClick(notice.details_button, Qt.MouseButton.LeftButton)
    assert notice.details.isVisible()
    assert "ZeroDivisionError" in notice.details.toPlainText()
    qtbot.mouseClick(notice.copy, Qt.MouseButton.LeftButton)
    assert "PySide6" in QGuiApplication.clipboard().text()
    qtbot.mouseClick(notice.dismiss, Qt.MouseButton.LeftButton)
    assert not notice.isVisible()


def test_the_real_deit_says_what_timm_says(window, qtbot, real):
    show(
        window,
        qtbot,
        real / "photos" / "n02391049_zebra.JPEG",
        str(real / "deit_tiny_patch16_224.safetensors"),
    )
    assert window.panel("predictions").list.rows.bars[0].name == "zebra"
    assert window.session.check.exact
    qtbot.waitUntil(
        lambda: window.status.badge.text().startswith("exact"), timeout=60_000
    )  # proved behind the map
