"""Working with the window as a whole: folders, past selections, keys, presentation, copying, docks."""

import pytest
from PySide6.QtCore import QEvent, QMimeData, QSize, Qt, QUrl
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QComboBox, QFileDialog
from steps import picture
from test_open import drop, files

from vitviz.app.sources import mime
from vitviz.app.sources.folder import FolderEnd, Walk, natural, photos_in, walk
from vitviz.app.ui import theme
from vitviz.app.window import panel_actions
from vitviz.errors import PhotoError

ALT, CONTROL, SHIFT = (
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
)


@pytest.fixture
def folder(tmp_path):
    """Photos 1, 2 and 10, of which 2 cannot be read, and a file that is no photo."""
    place = tmp_path / "folder"
    place.mkdir()
    for number in (1, 10):
        picture(place / f"img{number}.png", (60 + number, 50), seed=number)
    (place / "img2.png").write_bytes(b"no picture")
    (place / "notes.txt").write_text("no photo")
    return place


def test_photos_are_in_natural_order(folder):
    assert photos_in(folder) == ["img1.png", "img2.png", "img10.png"]
    assert sorted(["b²", "a10", "A9", "a"], key=natural) == ["a", "A9", "a10", "b²"]


def test_a_walk_passes_over_what_cannot_be_read_and_ends_at_the_ends(folder):
    first = walk(Walk(folder))
    assert (first.photo.name, first.skipped) == ("img1.png", ())
    on = walk(Walk(folder, "img1.png"))
    assert (on.photo.name, on.skipped) == ("img10.png", ("img2.png",))
    assert walk(Walk(folder, "img10.png", -1)).photo.name == "img1.png"
    assert walk(Walk(folder, "img5.png", -1)).photo.name == "img1.png"
    assert walk(Walk(folder, "img5.png", 1)).photo.name == "img10.png"
    assert walk(Walk(folder, "img1.png", 7)).photo.name == "img10.png"
    with pytest.raises(FolderEnd, match=r"img10\.png is the last photo of the folder folder"):
        walk(Walk(folder, "img10.png"))
    (folder / "img1.png").unlink()
    (folder / "img10.png").unlink()
    with pytest.raises(PhotoError, match="None of the 1 pictures in the folder folder can be read"):
        walk(Walk(folder))
    (folder / "img2.png").unlink()
    with pytest.raises(PhotoError, match="There is no picture in the folder folder"):
        walk(Walk(folder))


def test_a_dropped_folder_is_walked_with_the_selection_kept(shown, qtbot, folder):
    session, canvas = shown.session, shown.photo.canvas
    with qtbot.waitSignal(session.trace_changed, timeout=20_000):
        drop(shown, files(folder))
    assert session.photo.name == "img1.png"
    session.pin((2, 5))
    session.change(layer=1, head=2)
    with qtbot.waitSignal(session.trace_changed, timeout=20_000):
        qtbot.keyClick(canvas, Qt.Key.Key_PageDown)
    assert session.photo.name == "img10.png"
    assert (session.view.query, session.view.layer, session.view.head) == ((2, 5), 1, 2)
    assert "img2.png" in shown.toast.words.text()
    with qtbot.waitSignal(session.message, timeout=20_000):
        qtbot.keyClick(canvas, Qt.Key.Key_Right, ALT)
    assert "last photo" in shown.toast.words.text()
    assert not shown.notice.isVisible()
    assert session.busy is None
    with qtbot.waitSignal(session.trace_changed, timeout=20_000):
        qtbot.keyClick(canvas, Qt.Key.Key_Left, ALT)
    assert session.photo.name == "img1.png"
    assert str(folder / "img1.png") == shown.settings.names("photos")[0]
    assert shown.settings.text("folder") == str(folder)


def test_quick_presses_add_up(shown, qtbot, tmp_path):
    for number in range(5):
        picture(tmp_path / f"p{number}.png", (40 + number, 40))
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        shown.open_path(tmp_path / "p0.png")
    for _ in range(3):
        qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_PageDown)
    qtbot.waitUntil(lambda: shown.session.busy is None, timeout=20_000)
    assert shown.session.photo.name == "p3.png"


def test_the_menu_opens_a_folder(shown, qtbot, folder, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        shown.commands["open_folder"].trigger()
    assert shown.session.photo.name == "img1.png"


def test_an_address_is_refused_in_a_sentence_and_a_browsers_picture_is_taken(shown, qtbot):
    data = QMimeData()
    data.setUrls([QUrl("https://example.org/cat.jpg")])
    drop(shown, data)
    assert "does not open internet addresses" in shown.notice.sentence.text()
    assert shown.session.busy is None
    image = QImage(32, 24, QImage.Format.Format_RGB32)
    image.fill(0xFF336699)
    data.setImageData(image)
    assert isinstance(mime.content(data), QImage)
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        drop(shown, data)
    assert shown.session.photo.size == (24, 32)
    assert not shown.notice.isVisible()


def test_keys_undo_and_redo_selections(shown, qtbot):
    canvas, session = shown.photo.canvas, shown.session
    assert not shown.commands["undo"].isEnabled()
    session.pin((2, 5))
    qtbot.keyClick(canvas, Qt.Key.Key_Left, CONTROL)
    qtbot.keyClick(canvas, Qt.Key.Key_G)
    assert (session.view.layer, session.view.grid) == (1, True)
    qtbot.keyClick(canvas, Qt.Key.Key_Z, CONTROL)
    assert (session.view.layer, session.view.query, session.view.grid) == (2, (2, 5), True)
    qtbot.keyClick(canvas, Qt.Key.Key_Z, CONTROL)
    assert session.view.query is None
    qtbot.keyClick(canvas, Qt.Key.Key_Z, CONTROL | SHIFT)
    qtbot.keyClick(canvas, Qt.Key.Key_Z, CONTROL | SHIFT)
    assert (session.view.layer, session.view.query) == (1, (2, 5))
    assert not shown.commands["redo"].isEnabled()


def test_numbers_choose_methods_that_apply(shown, qtbot):
    session, canvas = shown.session, shown.photo.canvas
    for number, (name, reason) in enumerate(session.methods().items(), start=1):
        before = session.view.method
        qtbot.keyClick(canvas, str(number))
        assert session.view.method == (name if reason is None else before)
        assert shown.commands[f"method_{session.view.method}"].isChecked()
    qtbot.keyClick(canvas, "1")
    assert session.view.method == "attention"
    qtbot.keyClick(canvas, "1")
    assert shown.commands["method_attention"].isChecked()


def test_space_asks_to_play_on_the_stage_only(shown, qtbot):
    with qtbot.waitSignal(shown.session.play_asked):
        qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_Space)
    with qtbot.assertNotEmitted(shown.session.play_asked):
        shown.tools.save.setFocus()
        qtbot.keyPress(shown.tools.save, Qt.Key.Key_Space)


def test_presentation_hides_bars_enlarges_text_and_is_undone(shown, qtbot):
    canvas, weight = shown.photo.canvas, shown.status.weight
    before = weight.font().pointSizeF()
    others = shown.panel("heads").says.font().pointSizeF()
    shown.resize(1280, 720)
    qtbot.keyClick(canvas, Qt.Key.Key_F11)
    assert shown.isFullScreen()
    for chrome in (shown.menu_bar, shown.tools, shown.photo.controls, shown.docks[0].titleBarWidget()):
        assert not chrome.isVisible()
    choices = shown.panel("heads").findChildren(QComboBox)
    shown.session.trace_changed.emit()  # as the next photo does
    assert not any(choice.isVisible() for choice in choices)
    # 1/30 of 720 lines is what signs are made for at eight times the picture's height; the numbers are above.
    assert weight.fontMetrics().height() >= 24
    assert weight.isVisible()
    qtbot.keyClick(canvas, Qt.Key.Key_G)
    assert shown.session.view.grid
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert not shown.isFullScreen()
    assert shown.menu_bar.isVisible()
    assert shown.tools.isVisible()
    assert all(choice.isVisible() for choice in choices)
    assert weight.font().pointSizeF() == pytest.approx(before)
    assert shown.panel("heads").says.font().pointSizeF() == pytest.approx(others)
    shown.session.pin((1, 1))
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert not shown.session.view.pinned


def test_panels_are_as_large_after_a_presentation_as_before(shown, qtbot):
    def heights() -> dict[str, int]:
        return {dock.kind.name: dock.height() for dock in shown.docks if dock.isVisible()}

    shown.resize(1280, 720)
    qtbot.waitUntil(lambda: shown.size() == QSize(1280, 720))
    first = heights()
    shown.resizeDocks(shown.docks[:2], [360, 258], Qt.Orientation.Vertical)
    qtbot.waitUntil(lambda: heights() != first)
    before = heights()
    for _ in range(3):
        qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_F11)
        qtbot.waitUntil(shown.isFullScreen)
        shown.resize(1600, 1000)  # as a larger screen has it
        qtbot.waitUntil(lambda: shown.height() == 1000)
        qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_F11)
        qtbot.wait(20)
        shown.resize(1280, 720)  # which a window manager does later
        qtbot.waitUntil(lambda: heights() == pytest.approx(before, abs=4))


def test_presentation_gives_names_of_classes_the_room_of_larger_type(shown):
    rows = shown.panel("predictions").list.rows
    before = rows.widest
    shown.commands["present"].trigger()
    assert theme.scale() > 1.2
    assert rows.widest == pytest.approx(before * theme.scale(), rel=0.1)
    shown.commands["present"].trigger()
    assert rows.widest == pytest.approx(before)


def test_closing_while_presenting_keeps_the_layout_of_before(shown, qtbot):
    qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_F11)
    shown.close()
    assert not shown.presentation.on
    assert shown.font().pointSizeF() == QApplication.font().pointSizeF()


def test_copy_takes_the_panel_that_has_the_focus(shown, qtbot):
    qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_C, CONTROL)
    assert "the photo" in shown.toast.words.text()
    whole = QGuiApplication.clipboard().image()
    assert (whole.width(), whole.height()) == (
        shown.photo.width(),
        shown.photo.canvas.geometry().bottom() + 1 + shown.photo.bar.height(),
    )
    heads = shown.panel("heads")
    heads.view.setFocus()
    expected = panel_actions.picture_of(heads).toImage()
    qtbot.keyClick(heads.view, Qt.Key.Key_C, CONTROL)
    copied = QGuiApplication.clipboard().image()
    assert "Heads" in shown.toast.words.text()
    assert copied.size() == expected.size()
    assert copied.convertToFormat(expected.format()) == expected
    assert copied.size() != whole.size()


def test_closing_the_photo_leads_to_the_welcome_and_the_model_stays(shown, qtbot, photo):
    model = shown.session.model
    qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_W, CONTROL)
    assert shown.photo.welcome.isVisible()
    assert shown.session.heatmap is None
    assert shown.photo.canvas.viewport is None
    assert shown.panel("heads").empty.isVisible()
    assert shown.windowTitle() == "vitviz"
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        shown.open_path(photo)
    assert shown.session.trace.model is model


def test_the_keyboard_reaches_floats_and_closes_panels(shown, qtbot):
    canvas = shown.photo.canvas
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_F6)
    dock = shown.docks.focused()
    assert dock is shown.docks[0]
    qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_F, CONTROL | SHIFT)
    assert dock.isFloating()
    qtbot.waitUntil(lambda: shown.docks.focused() is dock)
    qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_F, CONTROL | SHIFT)
    assert not dock.isFloating()
    qtbot.waitUntil(lambda: shown.docks.focused() is dock)
    qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_W, CONTROL | SHIFT)
    assert dock.isHidden()
    assert QApplication.focusWidget() is canvas
    qtbot.keyClick(canvas, Qt.Key.Key_F6, SHIFT)
    assert shown.docks.focused() not in (None, dock)
    qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_F6)
    assert shown.docks.focused() is None


def test_the_buttons_of_a_panel_float_and_close_it_and_the_menu_brings_it_back(shown, qtbot):
    dock = shown.docks[0]
    bar = dock.titleBarWidget()
    qtbot.mouseClick(bar.float_button, Qt.MouseButton.LeftButton)
    assert dock.isFloating()
    qtbot.mouseClick(bar.float_button, Qt.MouseButton.LeftButton)
    assert not dock.isFloating()
    qtbot.mouseClick(bar.close_button, Qt.MouseButton.LeftButton)
    assert dock.isHidden()
    dock.toggleViewAction().trigger()
    assert dock.isVisible()


def test_a_layout_is_remembered(qtbot, tmp_path, qapp):
    from vitviz.app.main import make_window
    from vitviz.app.settings import Settings

    first = make_window(Settings(tmp_path / "w.ini"), "cpu")
    first.show()
    first.docks[0].setFloating(True)
    first.docks[1].close()
    first.resize(700, 740)  # Smaller than the test's screen, which a window is fitted into.
    size = first.size()
    first.close()
    second = make_window(Settings(tmp_path / "w.ini"), "cpu")
    second.show()
    assert second.docks[0].isFloating()
    assert second.docks[1].isHidden()
    restored = second.size()
    second.close()
    assert size.height() == 740
    assert (restored.width(), restored.height()) == pytest.approx((min(size.width(), 800), 740), abs=24)
    for window in (first, second):
        window.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


def test_closing_the_photo_ends_a_comparison_and_what_is_copied_before_has_both_sides(shown, qtbot, tmp_path):
    comparison = shown.stage.compare(photo=picture(tmp_path / "second.png", (90, 60)))
    qtbot.waitUntil(lambda: comparison.second.trace is not None, timeout=20_000)
    qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_C, CONTROL)
    assert QGuiApplication.clipboard().image().width() == shown.stage.width()
    qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_F11)
    qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_F11)
    qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_W, CONTROL)
    assert shown.stage.comparison is None
    assert shown.photo.welcome.isVisible()
    assert shown.session.busy is None
