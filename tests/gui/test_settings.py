"""What survives a start, and what a damaged file does not break."""

import random
from dataclasses import replace

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication

from vitviz.app import main
from vitviz.app.main import make_window, remembered_view
from vitviz.app.panels.heads.view import HeadsView
from vitviz.app.session.view_state import panel_view
from vitviz.app.settings import REMEMBERED, Settings
from vitviz.app.ui import theme
from vitviz.cli import main as cli


def end(window, qapp):
    window.close()
    window.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


def test_everything_that_is_promised_survives(shown, qtbot, qapp, photo):
    wanted = {
        "colormap": "magma",
        "style": "tint",
        "opacity": 0.35,
        "smooth": True,
        "grid": True,
        "log": True,
        "temperature": 2.0,
        "method": "rollout",
        "fusion": "max",
        "class_head": "class",
    }
    assert set(wanted) == set(REMEMBERED)
    shown.session.change(**wanted)
    shown.session.change_panel("heads", tiles="all")
    shown.session.loaded = replace(shown.session.loaded, source="deit_tiny_patch16_224")
    shown.session.model_changed.emit()
    next(action for action in shown.themes.actions() if action.data() == "dark").trigger()
    path = shown.settings.path
    shown.close()
    again = Settings(path)
    view = remembered_view(again)
    assert {name: getattr(view, name) for name in wanted} == wanted
    assert panel_view(view, "heads", HeadsView).tiles == "all"
    assert again.names("photos") == [str(photo)]
    assert again.text("folder") == str(photo.parent)
    assert again.text("model") == "deit_tiny_patch16_224"
    second = make_window(again, "cpu")
    assert theme.is_dark(QApplication.palette())
    end(second, qapp)


def test_a_chosen_method_is_kept_instead_of_the_first_starts_rollout(window, monkeypatch):
    monkeypatch.setattr(window.session, "open", lambda **_: None)
    monkeypatch.setattr(main, "show_first", lambda *_: None)
    main.start(window, None, None)
    assert window.session.view.method == "rollout"
    window.settings.put("method", "attention")
    window.session.change(method="attention")
    main.start(window, None, None)
    assert window.session.view.method == "attention"


def test_a_layout_that_is_damaged_is_not_given_to_qt(qtbot, qapp, tmp_path):
    """Qt's own reading of a damaged layout ends the program (6.11)."""
    path = tmp_path / "window.ini"
    settings = Settings(path)
    first = make_window(settings, "cpu")
    whole = first.saveState(2)
    end(first, qapp)
    settings.put("layout", whole)
    assert settings.data("layout") == whole
    stored = settings.text("layout")
    for place in (3, 60, len(stored) // 2):
        settings.put("layout", stored[:place] + ("A" if stored[place] != "A" else "B") + stored[place + 1 :])
        assert settings.data("layout").isEmpty()


@pytest.mark.parametrize("seed", range(12))
def test_no_damage_keeps_the_window_from_opening(qtbot, qapp, tmp_path, seed):
    path = tmp_path / "window.ini"
    first = make_window(Settings(path), "cpu")
    first.session.change(colormap="cividis")
    end(first, qapp)
    chance = random.Random(seed)
    damaged = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 5, 40])):
        place = chance.randrange(len(damaged))
        damaged[place : place + chance.choice([0, 1, 9])] = chance.randbytes(chance.choice([0, 1, 7]))
    path.write_bytes(damaged)
    second = make_window(Settings(path), "cpu")
    second.show()
    qtbot.waitExposed(second)
    assert second.photo.isVisible()
    assert second.width() >= 100
    end(second, qapp)


def test_a_file_that_cannot_be_written_is_no_crash(qtbot, qapp, tmp_path):
    place = tmp_path / "file"
    place.write_text("a file where a folder should be")
    window = make_window(Settings(place / "window.ini"), "cpu")
    window.show()
    end(window, qapp)


def test_reset_settings_forgets_all_and_says_so(qtbot, qapp, tmp_path, monkeypatch, capsys):
    path = tmp_path / "window.ini"
    old = Settings(path)
    old.put("theme", "dark")
    old.remember("photos", "/somewhere/cat.png")
    old.save()
    made = []

    monkeypatch.setattr(main, "Settings", lambda: Settings(path))
    monkeypatch.setattr(main, "application", lambda: qapp)
    monkeypatch.setattr(qapp, "exec", lambda: 0, raising=False)
    real = main.make_window

    def noted(*arguments):
        made.append(real(*arguments))
        return made[0]

    monkeypatch.setattr(main, "make_window", noted)
    assert cli(["--reset-settings", "--device", "cpu"]) == 0
    assert "first start" in made[0].notice.sentence.text()
    assert made[0].settings.text("theme") == ""
    assert Settings(path).names("photos") == []
    end(made[0], qapp)


def test_help_names_the_reset(capsys):
    with pytest.raises(SystemExit):
        cli(["--help"])
    assert "--reset-settings" in capsys.readouterr().out
