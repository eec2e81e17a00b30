"""The active side of a comparison: the one that was worked on last, which keys and menus that open something are for."""

import hands
import pytest
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
            hands.answer(dialog, str(path))
        else:
            QTimer.singleShot(10, drive)

    QTimer.singleShot(10, drive)


def marked(window):
    """Which captions say that their side is active, and draw its mark."""
    accent = theme.colors(window.palette()).accent
    found = []
    for side in (window.stage.first, window.stage.second):
        drawn = side.caption.grab().toImage().pixelColor(1, side.caption.height() // 2).name() == accent
        assert drawn == side.caption.active.isVisible()
        assert drawn == side.photo.canvas.accessibleName().endswith("active side")
        found.append(drawn)
    return found


def test_the_next_photo_and_the_one_pasted_and_the_one_opened_are_of_the_side_that_was_clicked(
    pair, qtbot, folders, tmp_path
):
    first, second = pair.stage.first, pair.stage.second
    hands.click(second.photo.canvas)
    hands.press(pair, "Alt+Right")
    shows(pair, qtbot, "left0.png", "right1.png")
    copied = QMimeData()
    copied.setUrls([QUrl.fromLocalFile(str(picture(tmp_path / "copied.png", (90, 90))))])
    QGuiApplication.clipboard().setMimeData(copied)
    hands.press(pair, "Ctrl+V")
    shows(pair, qtbot, "left0.png", "copied.png")
    answer_dialogs(folders["right"][0])
    hands.press(pair, "Ctrl+O")
    shows(pair, qtbot, "left0.png", "right0.png")
    assert str(folders["right"][0]) in pair.settings.names("photos")
    hands.click(first.photo.canvas)
    hands.press(pair, "PgDown")
    shows(pair, qtbot, "left1.png", "right0.png")
    hands.press(pair, "Ctrl+V")
    shows(pair, qtbot, "copied.png", "right0.png")
    answer_dialogs(folders["left"][0])
    hands.press(pair, "Ctrl+O")
    shows(pair, qtbot, "left0.png", "right0.png")


def test_a_recent_photo_and_a_sample_are_opened_on_the_active_side(pair, qtbot, folders, photo):
    hands.click(pair.stage.second.photo.canvas)
    assert hands.pick(pair.menu_bar, ["File", "Open recent", "left0.png"])
    shows(pair, qtbot, "left0.png", "left0.png")
    scene = pair.samples.actions()[1]
    assert hands.pick(pair.menu_bar, ["File", "Samples", scene.text()])
    qtbot.waitUntil(lambda: pair.stage.comparison.second.photo.name.startswith("one-object"), timeout=20_000)
    assert pair.session.photo.name == "left0.png"


def test_the_model_is_chosen_and_named_for_the_active_side(pair, qtbot, model):
    second = pair.stage.comparison.second
    hands.click(pair.stage.second.photo.canvas)
    hands.click(pair.tools.model)
    hands.write(pair, "demo/swin")
    qtbot.waitUntil(lambda: pair.chooser.view.model().rowCount() == 1, timeout=60_000)
    hands.press(pair, "Return")
    qtbot.waitUntil(lambda: ready(second) and second.model.name == "demo/swin", timeout=60_000)
    assert pair.session.model is model
    assert pair.tools.model.text() == "demo/swin"
    hands.click(pair.stage.first.photo.canvas)
    assert pair.tools.model.text() != "demo/swin"


def test_the_first_side_is_active_until_the_other_is_clicked_entered_or_dropped_on(pair, qtbot, folders):
    stage = pair.stage
    assert marked(pair) == [True, False]
    hands.click(stage.second.caption.classes)
    assert marked(pair) == [False, True]
    hands.click(pair.panel("heads").view)  # other panels leave it as it is
    assert marked(pair) == [False, True]
    hands.click(stage.first.photo.canvas)
    assert marked(pair) == [True, False]
    for _ in range(60):
        hands.press(pair, "Tab")
        if stage.second.isAncestorOf(QApplication.focusWidget()):
            break
    assert marked(pair) == [False, True]
    dropped = QMimeData()
    dropped.setUrls([QUrl.fromLocalFile(str(folders["left"][1]))])
    hands.drop(stage.first.photo.canvas, dropped)
    shows(pair, qtbot, "left1.png", "right0.png")
    assert marked(pair) == [True, False]


@pytest.mark.parametrize("scheme", ["Light", "Dark"])
def test_the_mark_is_not_in_the_picture_that_is_copied(pair, scheme):
    assert hands.pick(pair.menu_bar, ["View", "Theme", scheme])
    assert marked(pair) == [True, False]
    accent = theme.colors(pair.palette()).accent
    image: QImage = pair.stage.first.caption.picture().toImage()
    edge = {image.pixelColor(QPoint(1, row)).name() for row in range(image.height())}
    assert accent not in edge
    assert marked(pair) == [True, False]


def test_what_is_dropped_beside_the_photos_is_opened_on_the_active_side(pair, qtbot, folders):
    hands.click(pair.stage.second.photo.canvas)
    dropped = QMimeData()
    dropped.setUrls([QUrl.fromLocalFile(str(folders["right"][1]))])
    hands.drop(pair.panel("heads"), dropped)
    shows(pair, qtbot, "left0.png", "right1.png")


def test_closing_the_photo_of_the_second_side_ends_the_comparison_only(pair):
    hands.click(pair.stage.second.photo.canvas)
    hands.press(pair, "Ctrl+W")
    assert pair.stage.comparison is None
    assert pair.session.photo.name == "left0.png"
    assert pair.stage.session is pair.session
    assert not pair.stage.caption.isVisible()
