"""The current side of a comparison: the one that panels, tool bar and status line show and that commands act on."""

import pytest
import user_input
from PySide6.QtCore import QMimeData, QPoint, QTimer, QUrl
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QFileDialog
from steps import picture, show
from test_compare_work import ready

from vitviz.app.ui import theme


@pytest.fixture
def folders(tmp_path):
    """Two folders of two photos."""
    made = {}
    for name in ("left", "right"):
        place = tmp_path / name
        place.mkdir()
        made[name] = [picture(place / f"{name}{number}.png", (120, 80), number) for number in range(2)]
    return made


@pytest.fixture
def pair(window, qtbot, model, folders):
    """The window with a photo of one folder beside a photo of the other."""
    show(window, qtbot, folders["left"][0], model)
    second = window.stage.compare(photo=folders["right"][0]).second
    qtbot.waitUntil(lambda: ready(window.session) and ready(second), timeout=20_000)
    return window


def names(window):
    return window.session.photo.name, window.stage.comparison.second.photo.name


def shows(window, qtbot, *expected):
    second = window.stage.comparison.second
    qtbot.waitUntil(
        lambda: names(window) == expected and ready(window.session) and ready(second), timeout=20_000
    )


def answer_dialogs(path):
    """Type a path into the file dialog that opens next."""

    def drive():
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, QFileDialog):
            user_input.enter_path(dialog, str(path))
        else:
            QTimer.singleShot(10, drive)

    QTimer.singleShot(10, drive)


def marked(window):
    """Which captions say that their side is current, and draw its mark."""
    accent = theme.colors(window.palette()).accent
    found = []
    for side in (window.stage.first, window.stage.second):
        drawn = side.caption.grab().toImage().pixelColor(1, side.caption.height() // 2).name() == accent
        assert drawn == side.caption.current.isVisible()
        assert drawn == side.photo.canvas.accessibleName().endswith("current side")
        found.append(drawn)
    return found


def test_the_next_photo_and_the_one_pasted_and_the_one_opened_are_of_the_side_that_was_clicked(
    pair, qtbot, folders, tmp_path
):
    first, second = pair.stage.first, pair.stage.second
    user_input.click(second.photo.canvas)
    user_input.press(pair, "Alt+Right")
    shows(pair, qtbot, "left0.png", "right1.png")
    copied = QMimeData()
    copied.setUrls([QUrl.fromLocalFile(str(picture(tmp_path / "copied.png", (90, 90))))])
    QGuiApplication.clipboard().setMimeData(copied)
    user_input.press(pair, "Ctrl+V")
    shows(pair, qtbot, "left0.png", "copied.png")
    answer_dialogs(folders["right"][0])
    user_input.press(pair, "Ctrl+O")
    shows(pair, qtbot, "left0.png", "right0.png")
    assert str(folders["right"][0]) in pair.settings.names("photos")
    user_input.click(first.photo.canvas)
    user_input.press(pair, "PgDown")
    shows(pair, qtbot, "left1.png", "right0.png")
    user_input.press(pair, "Ctrl+V")
    shows(pair, qtbot, "copied.png", "right0.png")
    answer_dialogs(folders["left"][0])
    user_input.press(pair, "Ctrl+O")
    shows(pair, qtbot, "left0.png", "right0.png")


def test_a_recent_photo_and_a_sample_are_opened_on_the_current_side(pair, qtbot, folders, photo):
    user_input.click(pair.stage.second.photo.canvas)
    assert user_input.pick(pair.menu_bar, ["File", "Open recent", "left0.png"])
    shows(pair, qtbot, "left0.png", "left0.png")
    scene = pair.samples.actions()[1]
    assert user_input.pick(pair.menu_bar, ["File", "Samples", scene.text()])
    qtbot.waitUntil(lambda: pair.stage.comparison.second.photo.name.startswith("one-object"), timeout=20_000)
    assert pair.session.photo.name == "left0.png"


def test_the_model_is_chosen_and_named_for_the_current_side(pair, qtbot, model):
    second = pair.stage.comparison.second
    user_input.click(pair.stage.second.photo.canvas)
    user_input.click(pair.tools.model)
    user_input.write(pair, "demo/swin")
    qtbot.waitUntil(lambda: pair.chooser.view.model().rowCount() == 1, timeout=60_000)
    user_input.press(pair, "Return")
    qtbot.waitUntil(lambda: ready(second) and second.model.name == "demo/swin", timeout=60_000)
    assert pair.session.model is model
    assert pair.tools.model.text() == "demo/swin"
    user_input.click(pair.stage.first.photo.canvas)
    assert pair.tools.model.text() != "demo/swin"


def test_the_first_side_is_current_until_the_other_is_clicked_entered_or_dropped_on(pair, qtbot, folders):
    stage = pair.stage
    assert marked(pair) == [True, False]
    user_input.click(stage.second.caption.classes)
    assert marked(pair) == [False, True]
    user_input.click(pair.panel("heads").view)  # other panels leave it as it is
    assert marked(pair) == [False, True]
    user_input.click(stage.first.photo.canvas)
    assert marked(pair) == [True, False]
    for _ in range(60):
        user_input.press(pair, "Tab")
        if stage.second.isAncestorOf(QApplication.focusWidget()):
            break
    assert marked(pair) == [False, True]
    dropped = QMimeData()
    dropped.setUrls([QUrl.fromLocalFile(str(folders["left"][1]))])
    user_input.drop(stage.first.photo.canvas, dropped)
    shows(pair, qtbot, "left1.png", "right0.png")
    assert marked(pair) == [True, False]


@pytest.mark.parametrize("scheme", ["Light", "Dark"])
def test_the_mark_is_not_in_the_picture_that_is_copied(pair, scheme):
    assert user_input.pick(pair.menu_bar, ["View", "Theme", scheme])
    assert marked(pair) == [True, False]
    accent = theme.colors(pair.palette()).accent
    image: QImage = pair.stage.first.caption.picture().toImage()
    edge = {image.pixelColor(QPoint(1, row)).name() for row in range(image.height())}
    assert accent not in edge
    assert marked(pair) == [True, False]


def test_what_is_dropped_beside_the_photos_is_opened_on_the_current_side(pair, qtbot, folders):
    user_input.click(pair.stage.second.photo.canvas)
    dropped = QMimeData()
    dropped.setUrls([QUrl.fromLocalFile(str(folders["right"][1]))])
    user_input.drop(pair.panel("heads"), dropped)
    shows(pair, qtbot, "left0.png", "right1.png")


def test_closing_the_photo_of_the_second_side_ends_the_comparison_only(pair):
    user_input.click(pair.stage.second.photo.canvas)
    user_input.press(pair, "Ctrl+W")
    assert pair.stage.comparison is None
    assert pair.session.photo.name == "left0.png"
    assert pair.stage.session is pair.session
    assert not pair.stage.caption.isVisible()


@pytest.fixture
def other(window, qtbot, model, swin, folders):
    """The window with a ViT beside a Swin on the same photo, and the Predictions panel as it is at the first start."""
    show(window, qtbot, folders["left"][0], model)
    second = window.stage.compare(model=swin).second
    qtbot.waitUntil(lambda: ready(window.session) and ready(second), timeout=20_000)
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    return window


def shown_traces(window):
    """The traces that the visible panels and the status line show."""
    panels = [dock.panel for dock in window.docks if dock.built and dock.panel.isVisible()]
    shown = [panel.shown() for panel in panels] + [window.status.shown()]
    return {None if one.facts is None else id(one.facts.trace) for one in shown}


def follow(window, qtbot, session):
    qtbot.waitUntil(lambda: shown_traces(window) == {id(session.trace)}, timeout=20_000)


def test_panels_tool_bar_status_line_and_title_show_the_current_side(other, qtbot, model, swin):
    first, second = other.session, other.stage.comparison.second
    follow(other, qtbot, first)
    assert other.status.about.whole.startswith("65 tokens")
    heads = other.panel("heads")
    user_input.click(other.stage.second.photo.canvas)
    follow(other, qtbot, second)
    assert other.panel("heads") is not heads
    assert not heads.isVisible()
    assert other.status.about.whole.startswith("256 tokens")
    assert other.tools.model.text() == swin.full_name
    shown = other.panel("layers").shown()
    assert len(shown.frames) == len(second.trace.layers) != len(first.trace.layers)
    user_input.press(other, "Ctrl+E")
    follow(other, qtbot, first)
    assert other.panel("heads") is heads
    assert heads.isVisible()
    assert other.tools.model.text() == model.full_name


def test_keys_and_controls_act_on_the_current_side(other, qtbot, swin):
    first, second = other.session, other.stage.comparison.second
    first.change(method="attention", layer=0)
    user_input.press(other, "Ctrl+E")
    assert marked(other) == [False, True]
    assert QApplication.focusWidget() is other.stage.second.photo.canvas
    second.change(layer=0)
    last = len(second.trace.layers) - 1
    for _ in range(last):
        user_input.press(other, "Ctrl+Right")
    # One layer of this side at a time: a step of the other side's three layers would skip some.
    assert second.view.layer == last
    assert first.view.layer == len(first.trace.layers) - 1
    user_input.press(other, "D")
    assert second.view.direction == "by"
    assert other.tools.direction.current == "by"
    user_input.press(other, "Ctrl+Z")
    assert second.view.direction == "to"


def test_the_key_that_switches_sides_leaves_the_focus_in_a_panel(other, qtbot):
    user_input.press(other, "F6")
    heads = other.panel("heads")
    assert heads.isAncestorOf(QApplication.focusWidget())
    user_input.press(other, "Ctrl+E")
    assert marked(other) == [False, True]
    assert other.panel("heads") is not heads
    assert other.panel("heads").isAncestorOf(QApplication.focusWidget())
    for _ in range(8):
        user_input.press(other, "F6")
        assert marked(other) == [False, True]  # the photo that F6 goes to is that of this side


def test_the_panels_of_a_comparison_end_with_it(other, qtbot):
    user_input.click(other.stage.second.photo.canvas)
    follow(other, qtbot, other.stage.comparison.second)
    user_input.press(other, "Ctrl+Shift+E")
    follow(other, qtbot, other.session)
    assert not other.commands["switch_side"].isEnabled()
    kind = type(other.panel("heads"))
    qtbot.waitUntil(lambda: len(other.findChildren(kind)) == 1)


def broken(folder, name):
    path = folder / name
    path.write_bytes(b"not a picture")
    return path


def test_an_error_stays_until_its_own_side_shows_something_else(pair, qtbot, folders, tmp_path):
    notice = pair.notice
    user_input.drop(pair.stage.second.photo.canvas, user_input.files(broken(tmp_path, "broken.png")))
    qtbot.waitUntil(lambda: "broken.png" in notice.sentence.text())
    user_input.drop(pair.stage.first.photo.canvas, user_input.files(folders["left"][1]))
    shows(pair, qtbot, "left1.png", "right0.png")
    assert "broken.png" in notice.sentence.text()
    user_input.drop(pair.stage.second.photo.canvas, user_input.files(folders["right"][1]))
    shows(pair, qtbot, "left1.png", "right1.png")
    assert not notice.isVisible()


def test_an_error_of_a_side_goes_with_the_side(pair, qtbot, tmp_path):
    user_input.drop(pair.stage.second.photo.canvas, user_input.files(broken(tmp_path, "broken.png")))
    qtbot.waitUntil(pair.notice.isVisible)
    user_input.press(pair, "Ctrl+Shift+E")
    assert not pair.notice.isVisible()


def test_an_error_goes_when_its_photo_is_closed_and_that_of_saving_with_the_next_file(
    window, qtbot, model, folders, tmp_path
):
    show(window, qtbot, folders["left"][0], model)
    window.session.save(lambda: (tmp_path / "none" / "file").write_text(""), lambda: None)
    qtbot.waitUntil(window.notice.isVisible)
    window.session.save(lambda: (tmp_path / "file").write_text(""), lambda: None)
    qtbot.waitUntil(lambda: not window.notice.isVisible())
    user_input.drop(window.photo.canvas, user_input.files(broken(tmp_path, "broken.png")))
    qtbot.waitUntil(window.notice.isVisible)
    window.session.save(lambda: (tmp_path / "file").write_text(""), lambda: None)
    qtbot.wait(100)
    assert "broken.png" in window.notice.sentence.text()
    user_input.press(window, "Ctrl+W")
    assert not window.notice.isVisible()
