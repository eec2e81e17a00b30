"""The place of a photo in its folder, and the strip of thumbnails below it."""

import os
import time

import numpy as np
import pytest
import user_input
from PIL import Image
from PySide6.QtCore import QSize, Qt, QTimer
from steps import picture, show
from test_compare_work import ready

from vitviz.app.main import make_window
from vitviz.app.settings import Settings
from vitviz.app.sources.folder import thumbnail
from vitviz.app.ui import theme
from vitviz.errors import PhotoError
from vitviz.images.photo import open_image

MANY = 2000


@pytest.fixture
def folder(tmp_path):
    """Five photos of which the third cannot be read."""
    place = tmp_path / "photos"
    place.mkdir()
    for number in range(1, 6):
        picture(place / f"img{number}.png", (120, 80), number)
    (place / "img3.png").write_bytes(b"not a picture")
    return place


@pytest.fixture
def in_folder(window, qtbot, model, folder):
    show(window, qtbot, folder / "img2.png", model)
    qtbot.waitUntil(lambda: loaded(window) == 5, timeout=20_000)
    return window


def loaded(window):
    return len(window.stage.strip.list.rows.pictures)


def told(window, row):
    """What a screen reader says of a thumbnail."""
    rows = window.stage.strip.list.rows
    return rows.data(rows.index(row), Qt.ItemDataRole.AccessibleTextRole)


def shows(window, qtbot, name, place):
    qtbot.waitUntil(
        lambda: window.session.photo.name == name and window.photo.place.text() == place, timeout=20_000
    )
    qtbot.waitUntil(lambda: ready(window.session), timeout=20_000)


def click(window, row):
    strip = window.stage.strip.list
    user_input.click(strip.viewport(), strip.visualRect(strip.rows.index(row)).center())


def test_the_place_is_said_and_a_click_opens_and_the_open_one_is_marked(in_folder, qtbot):
    shows(in_folder, qtbot, "img2.png", "2 of 5")
    assert in_folder.stage.strip.isVisible()
    assert told(in_folder, 1) == "img2.png, 2 of 5, shown"
    click(in_folder, 3)
    shows(in_folder, qtbot, "img4.png", "4 of 5")
    assert told(in_folder, 3) == "img4.png, 4 of 5, shown"
    assert told(in_folder, 1) == "img2.png, 2 of 5"
    strip, accent = in_folder.stage.strip.list, theme.colors(in_folder.palette()).accent
    image = strip.viewport().grab().toImage()
    framed = []
    for row in range(5):
        box = strip.visualRect(strip.rows.index(row))
        colors = {image.pixelColor(x, box.center().y()).name() for x in range(box.left(), box.right() + 1)}
        framed.append(accent in colors)
    assert framed == [False, False, False, True, False]
    user_input.press(in_folder, "Alt+Right")
    shows(in_folder, qtbot, "img5.png", "5 of 5")
    user_input.press(in_folder, "Alt+Left")
    shows(in_folder, qtbot, "img4.png", "4 of 5")


def test_a_photo_that_cannot_be_read_has_a_mark_and_its_click_says_why(in_folder, qtbot):
    assert told(in_folder, 2) == "img3.png, 3 of 5, cannot be read"
    strip = in_folder.stage.strip.list
    image = strip.viewport().grab().toImage()
    boxes = [strip.visualRect(strip.rows.index(row)).adjusted(6, 6, -6, -6) for row in range(5)]
    colors = [
        {image.pixelColor(x, box.center().y()).name() for x in range(box.left(), box.right())}
        for box in boxes
    ]
    assert len(colors[2]) < 20 < min(len(colors[row]) for row in (0, 1, 3, 4)), "a sign, not noise"
    assert len(colors[2]) > 1
    click(in_folder, 2)
    qtbot.waitUntil(in_folder.notice.isVisible)
    assert "img3.png" in in_folder.notice.sentence.text()
    click(in_folder, 0)
    shows(in_folder, qtbot, "img1.png", "1 of 5")
    assert not in_folder.notice.isVisible()


def test_a_photo_that_was_deleted_is_said_and_leaves_the_strip(in_folder, qtbot, folder):
    (folder / "img4.png").unlink()
    click(in_folder, 3)
    qtbot.waitUntil(in_folder.notice.isVisible)
    assert in_folder.notice.sentence.text().endswith("img4.png: there is no such file.")
    shows(in_folder, qtbot, "img2.png", "2 of 4")
    assert in_folder.stage.strip.list.rows.names == ("img1.png", "img2.png", "img3.png", "img5.png")
    (folder / "img2.png").unlink()
    click(in_folder, 2)
    qtbot.waitUntil(lambda: in_folder.photo.place.text() == "deleted from its folder")


def test_the_strip_is_used_by_keyboard(in_folder, qtbot):
    strip = in_folder.stage.strip.list
    in_folder.activateWindow()
    in_folder.photo.canvas.setFocus()
    for _ in range(40):
        user_input.press(in_folder, "Tab")
        if strip.hasFocus():
            break
    assert strip.hasFocus()
    method = in_folder.session.view.method
    user_input.press(in_folder, "Right")
    user_input.press(in_folder, "Right")
    user_input.press(in_folder, "Return")
    shows(in_folder, qtbot, "img4.png", "4 of 5")
    assert strip.hasFocus()
    user_input.press(in_folder, "Home")
    user_input.press(in_folder, "Space")
    shows(in_folder, qtbot, "img1.png", "1 of 5")
    assert in_folder.session.view.method == method
    assert in_folder.session.view.query is None, "arrow keys in the strip do not move the query"


def test_the_strip_can_be_closed_and_this_is_remembered(in_folder, qtbot, qapp):
    strip = in_folder.stage.strip
    user_input.click(strip.close_button)
    assert not strip.isVisible()
    assert not in_folder.commands["thumbnails"].isChecked()
    again = make_window(Settings(in_folder.settings.path), "cpu")
    assert not again.commands["thumbnails"].isChecked()
    again.close()
    again.deleteLater()
    user_input.press(in_folder, "T")
    assert strip.isVisible()
    user_input.press(in_folder, "F11")
    assert not strip.isVisible()
    user_input.press(in_folder, "F11")
    assert strip.isVisible()


def test_a_bundled_scene_and_a_single_photo_have_no_strip(shown, qtbot):
    qtbot.waitUntil(lambda: shown.photo.place.text() == "1 of 1")
    assert not shown.stage.strip.isVisible()
    scene = shown.samples.actions()[0]
    assert user_input.pick(shown.menu_bar, ["File", "Samples", scene.text()])
    qtbot.waitUntil(lambda: shown.photo.place.text() == "", timeout=20_000)
    assert not shown.stage.strip.isVisible()


def test_in_a_comparison_the_strip_is_of_the_current_side(in_folder, qtbot, folder, tmp_path):
    other = tmp_path / "others"
    other.mkdir()
    for number in range(3):
        picture(other / f"other{number}.png", (90, 90), number)
    second = in_folder.stage.compare(photo=other / "other0.png").second
    qtbot.waitUntil(lambda: ready(second), timeout=20_000)
    user_input.click(in_folder.stage.second.caption.classes)
    strip = in_folder.stage.strip.list
    qtbot.waitUntil(lambda: strip.rows.names == ("other0.png", "other1.png", "other2.png"))
    click(in_folder, 2)
    qtbot.waitUntil(lambda: second.photo.name == "other2.png" and ready(second), timeout=20_000)
    assert in_folder.session.photo.name == "img2.png"
    qtbot.waitUntil(lambda: in_folder.stage.second.photo.place.text() == "3 of 3")
    user_input.press(in_folder, "Ctrl+Shift+E")
    assert strip.rows.names[0] == "img1.png"


def test_thumbnails_are_small_on_a_small_screen_and_the_wheel_scrolls_them(in_folder, qtbot, folder):
    strip = in_folder.stage.strip.list
    in_folder.resize(1280, 1100)
    qtbot.waitUntil(lambda: in_folder.stage.height() > 600)
    assert strip.visualRect(strip.rows.index(0)).height() > 50
    in_folder.resize(1024, 700)
    qtbot.waitUntil(lambda: strip.visualRect(strip.rows.index(0)).height() < 40)
    assert strip.height() < 40
    for number in range(6, 60):
        os.link(folder / "img1.png", folder / f"img{number}.png")
    click(in_folder, 0)
    shows(in_folder, qtbot, "img1.png", "1 of 59")
    assert strip.visible_rows()[0] == 0
    user_input.turn(strip.viewport(), strip.viewport().rect().center(), -1200)
    assert strip.visible_rows()[0] == 10


def test_on_a_short_screen_the_strip_gives_way_and_the_window_keeps_its_size(in_folder, qtbot, folder):
    strip = in_folder.stage.strip
    in_folder.resize(960, 504)
    qtbot.waitUntil(lambda: not strip.isVisible())
    in_folder.stage.compare(photo=folder / "img1.png")
    qtbot.waitUntil(lambda: not in_folder.stage.working, timeout=20_000)
    qtbot.wait(50)
    assert in_folder.size() == QSize(960, 504)
    in_folder.resize(1280, 900)
    qtbot.waitUntil(lambda: strip.isVisible() and strip.list.height() >= 36)


def test_a_folder_of_thousands_is_quick_and_only_what_is_seen_is_read(window, qtbot, model, tmp_path):
    place = tmp_path / "many"
    place.mkdir()
    first = picture(place / "photo1.png", (300, 200), 1)
    for number in range(2, MANY + 1):
        os.link(first, place / f"photo{number}.png")
    gaps, last = [], time.perf_counter()

    def tick():
        nonlocal last
        now = time.perf_counter()
        gaps.append(now - last)
        last = now

    show(window, qtbot, place / "photo1500.png", model)
    timer = QTimer(window, interval=0)
    timer.timeout.connect(tick)
    last = time.perf_counter()
    timer.start()
    user_input.press(window, "Alt+Right")
    strip = window.stage.strip.list
    qtbot.waitUntil(lambda: window.photo.place.text() == "1,501 of 2,000", timeout=20_000)
    qtbot.waitUntil(lambda: loaded(window) > 3 and strip.wanted() is None, timeout=20_000)
    timer.stop()
    assert 1500 in strip.visible_rows(), "scrolled into view"
    assert len(strip.visible_rows()) < 40
    assert loaded(window) <= 2 * len(strip.visible_rows())
    seen = loaded(window)
    strip.horizontalScrollBar().setValue(0)
    qtbot.waitUntil(lambda: "photo1.png" in strip.rows.pictures and strip.wanted() is None, timeout=20_000)
    assert loaded(window) <= seen + len(strip.visible_rows())
    assert np.percentile(gaps, 99) < 0.1, "the window keeps answering"


def test_a_thumbnail_is_upright_and_none_where_the_photo_cannot_be_opened(tmp_path):
    left_to_right = np.zeros((400, 800, 3), np.uint8)
    left_to_right[:, 400:] = 255
    for name, turn in (("plain.jpg", 1), ("turned.jpg", 6)):
        image = Image.fromarray(left_to_right)
        exif = image.getexif()
        exif[0x0112] = turn
        image.save(tmp_path / name, exif=exif)
    plain, turned = (np.asarray(thumbnail(tmp_path / name, (64, 48))) for name in ("plain.jpg", "turned.jpg"))
    assert plain.shape == (32, 64, 3)
    assert turned.shape == (48, 24, 3)
    assert plain[:, :30].mean() < 10 < 245 < plain[:, 34:].mean()
    assert turned[:22].mean() < 10 < 245 < turned[26:].mean()
    whole = (tmp_path / "plain.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("cut.jpg", "empty.png", "missing.png"):
        with pytest.raises(PhotoError):
            open_image(tmp_path / name)
        assert thumbnail(tmp_path / name, (64, 48)) is None
