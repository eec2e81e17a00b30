"""From the start of the process to the end, in a process of its own."""

import os
import subprocess
import sys
import threading
import time

import pytest
import user_input
from PySide6.QtCore import Qt

from vitviz.app.main import make_window
from vitviz.app.settings import Settings
from vitviz.app.sources.samples import models, samples

SCRIPT = """
import sys
from PySide6.QtCore import QTimer
from vitviz.app import main

made = []
real = main.make_window
last = sys.argv[1]

def make_window(*arguments):
    window = real(*arguments)
    made.append(window)
    session = window.session
    window.first_painted.connect(lambda: print("painted", sorted({"torch", "timm", "pyqtgraph"} & set(sys.modules))))
    session.photo_opened.connect(lambda path: print("opened", path.name))
    session.trace_changed.connect(lambda: print("shown", session.model.name, session.heatmap.method))
    getattr(session, last).connect(lambda *_: QTimer.singleShot(0, window.close))
    session.failed.connect(lambda told: print("failed", told.message))
    return window

main.make_window = make_window
print("status", main.run(*[argument or None for argument in sys.argv[2:]], "cpu"))
print("photo", made[0].photo.canvas.viewport is not None)
print("charts", [dock.kind.name for dock in made[0].docks if dock.built and "pyqtgraph" in sys.modules])
"""


def start(tmp_path, last: str, photo: str = "", model: str = "") -> list[str]:
    """The output of a window in a process of its own, which is closed after the signal `last`."""
    home = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, last, photo, model],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **home},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


def test_the_window_is_painted_before_torch_is_imported_and_ends_in_order(photo, tmp_path):
    said = start(tmp_path, "photo_opened", str(photo))
    assert said[:4] == ["painted []", "opened wide.png", "status 0", "photo True"]


def test_a_panel_of_charts_that_was_left_open_waits_for_the_first_paint(qtbot, photo, tmp_path):
    left = make_window(Settings(tmp_path / "vitviz" / "window.ini"), "cpu")
    left.show()
    left.docks.reveal("statistics")
    left.close()
    left.deleteLater()
    said = start(tmp_path, "photo_opened", str(photo))
    assert said[0] == "painted []"
    assert "statistics" in said[4]
    assert os.environ["PYQTGRAPH_QT_LIB"] == "PySide6"


def test_without_arguments_a_bundled_model_shows_a_bundled_scene(tmp_path):
    before = time.perf_counter()
    said = start(tmp_path, "trace_changed")
    assert said[:3] == ["painted []", "opened two-objects.png", "shown demo/vit rollout"]
    print(f"start to end in {time.perf_counter() - before:.1f} s")


def test_a_scene_and_a_bundled_model_are_not_remembered_as_the_users_own(window, qtbot):
    with qtbot.waitSignal(window.session.trace_changed, timeout=60_000):
        window.samples.actions()[0].trigger()
    assert window.session.model.name == models()[0] == "demo/vit"
    assert window.session.photo.path == samples()[0].path
    assert window.settings.names("photos") == []
    assert window.settings.text("model") == ""


def test_going_on_from_a_scene_goes_through_the_scenes_and_nothing_else(shown, qtbot):
    assert user_input.pick(shown.menu_bar, ["File", "Samples", samples()[0].title])
    qtbot.waitUntil(lambda: shown.session.photo.name == samples()[0].path.name, timeout=20_000)
    seen = {shown.session.photo.name}
    for key in ("Alt+Left", "Alt+Right"):
        shown.toast.words.setText("")
        while " photo of the folder" not in shown.toast.words.text():
            before = shown.session.photo
            user_input.press(shown, key)
            qtbot.waitUntil(
                lambda before=before: (
                    shown.session.busy is None
                    and (shown.session.photo is not before or " photo of" in shown.toast.words.text())
                ),
                timeout=20_000,
            )
            seen.add(shown.session.photo.name)
    assert seen == {sample.path.name for sample in samples()}


def test_the_scenes_are_listed_by_title_and_shown_by_the_model_at_hand(shown, qtbot):
    titles = [action.text() for action in shown.samples.actions()]
    assert titles == [sample.title for sample in samples()]
    assert titles[0] == "Two objects"
    before = shown.session.model
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        shown.samples.actions()[5].trigger()
    assert shown.session.photo.path.name == "wide.png"
    assert shown.session.model is before


def test_without_weights_and_arguments_the_welcome_screen_is_shown(window, monkeypatch):
    from vitviz.app import main

    monkeypatch.setattr(main, "models", tuple)
    main.start(window, None, None)
    assert window.session.busy is None
    assert window.photo.welcome.isVisible()


def test_a_photo_without_a_model_is_shown_by_the_one_used_last(window, monkeypatch, photo):
    from vitviz.app import main

    asked = []
    monkeypatch.setattr(window.session, "open", lambda **request: asked.append(request))
    main.start(window, str(photo), None)
    window.settings.put("model", "deit_tiny_patch16_224")
    main.start(window, str(photo), None)
    assert [request["model"] for request in asked] == [None, "deit_tiny_patch16_224"]


def test_the_chooser_lists_the_bundled_models_first(window, qtbot):
    window.commands["choose_model"].trigger()
    dialog = window.chooser
    table = dialog.view.model()
    user_input.choose(dialog.sections, "all")
    qtbot.waitUntil(lambda: table.rowCount() > 100, timeout=90_000)
    rows = [[table.index(row, column).data() for column in range(table.columnCount())] for row in range(3)]
    assert [row[0] for row in rows] == ["demo/vit", "demo/deit", "demo/swin"]
    assert [row[7] for row in rows[:2]] == ["145", "146"]
    assert rows[0][2] == "bundled"
    dialog.reject()


def test_the_stored_picture_is_on_the_stage_until_the_model_has_run(window, qtbot):
    from vitviz.app import main

    window.settings.put("greeted", True)  # else the stage becomes lower meanwhile
    main.start(window, None, None)
    assert window.session.trace is None
    assert window.session.heatmap.title == "Rollout of the class token through 6 layers, mean of heads"
    early = window.photo.canvas.grab().toImage()
    assert window.photo.title.whole == window.session.heatmap.title
    qtbot.waitSignal(window.session.trace_changed, timeout=60_000).wait()
    assert window.session.stored is None
    qtbot.waitUntil(lambda: not window.photo.progress.isVisible())
    assert window.photo.canvas.grab().toImage() == early  # what was stored is what the model says


def test_a_stored_picture_is_removed_when_the_model_fails_or_another_photo_is_opened(window, qtbot, photo):
    from vitviz.app import main

    main.show_stored_heatmap(window, samples()[0].path)
    with qtbot.waitSignal(window.session.failed, timeout=60_000):
        window.session.open(photo=samples()[0].path, model="no_such_model")
    assert window.session.heatmap is None
    main.show_stored_heatmap(window, samples()[0].path)
    with qtbot.waitSignal(window.session.photo_opened, timeout=60_000):
        window.session.open(photo=photo, model="")
    assert window.session.heatmap is None


def test_a_first_window_fits_on_its_screen_with_a_title_bar(qtbot, tmp_path):
    made = make_window(Settings(tmp_path / "new.ini"), "cpu")
    room = made.screen().availableSize()
    assert (made.width(), made.height()) == (min(1440, room.width()), min(900, room.height() - 48))
    made.close()
    made.deleteLater()


@pytest.fixture
def started(window, qtbot):
    """A window as at the first start without arguments."""
    from vitviz.app import main

    with qtbot.waitSignal(window.session.trace_changed, timeout=60_000):
        main.start(window, None, None)
    qtbot.waitUntil(lambda: window.session.busy is None)
    return window


def test_the_first_start_shows_offers_below_the_scene_once(started, qtbot):
    from vitviz.app import main

    offers = started.first_start
    assert offers.isVisible()
    assert started.photo.canvas.viewport is not None
    assert [scene.text() for scene in offers.scenes] == [sample.title for sample in samples()]
    assert offers.scenes[0].isVisible()
    assert [model.text() for model in offers.models] == list(models())
    assert offers.tip.text().startswith("Tip: ")
    assert offers.geometry().top() >= started.stage.geometry().bottom()
    qtbot.mouseClick(offers.dismiss, Qt.MouseButton.LeftButton)
    assert not offers.isVisible()
    assert started.first_start is None
    main.start(started, None, None)
    assert started.first_start is None
    qtbot.waitUntil(lambda: started.session.busy is None)


def test_what_the_first_start_offers_is_opened_and_it_stays_until_a_photo_of_ones_own(started, qtbot, photo):
    offers, session = started.first_start, started.session
    with qtbot.waitSignal(session.trace_changed, timeout=60_000):
        qtbot.mouseClick(offers.scenes[1], Qt.MouseButton.LeftButton)
    assert session.photo.path == samples()[1].path
    with qtbot.waitSignal(session.trace_changed, timeout=60_000):
        qtbot.keyClick(offers.models[1], Qt.Key.Key_Space)
    assert session.model.name == models()[1]
    assert offers.isVisible()
    qtbot.waitUntil(lambda: session.busy is None)
    middle = offers.zone.geometry().center()
    with qtbot.waitSignal(session.trace_changed, timeout=60_000):
        user_input.drop(offers, user_input.files(photo), middle)
    assert session.photo.path == photo
    assert started.first_start is None


def test_the_first_start_shows_as_many_scenes_as_fit_and_is_closed_by_a_presentation(started, qtbot):
    offers = started.first_start
    many = sum(scene.isVisible() for scene in offers.scenes)
    started.resize(2200, 900)
    qtbot.waitUntil(lambda: sum(scene.isVisible() for scene in offers.scenes) > many)
    last = [scene for scene in offers.scenes if scene.isVisible()][-1]
    assert (
        last.mapTo(offers, last.rect().topRight()).x()
        < offers.models[0].mapTo(offers, offers.models[0].rect().topLeft()).x()
    )
    qtbot.keyClick(started.photo.canvas, Qt.Key.Key_F11)
    assert started.first_start is None
    qtbot.keyClick(started.photo.canvas, Qt.Key.Key_F11)


def test_panels_say_what_is_being_loaded_and_afterwards_how_to_fill_them(window, qtbot, photo, monkeypatch):
    from vitviz.app.session import load

    through, real = threading.Event(), load.stamp
    monkeypatch.setattr(load, "stamp", lambda source: through.wait(20) and real(source))
    names = ("heads", "predictions", "tokens")

    def hints() -> list[str]:
        return [window.panel(name).empty.hint.text() for name in names]

    window.docks.reveal("tokens")
    assert all(hint.startswith("Open a photo and choose a model") for hint in hints()[:2])
    window.session.open(photo=photo, model="no_such_model")
    qtbot.waitUntil(lambda: window.session.busy.text == "Loading no_such_model")
    window.docks.reveal("heads")
    assert hints() == ["Loading no_such_model …"] * 3
    with qtbot.waitSignal(window.session.failed, timeout=60_000):
        through.set()
    assert all(hint.startswith("Open a photo and choose a model") for hint in hints())
