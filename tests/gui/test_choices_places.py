"""What the user chooses in the panels of windows, positions and patches is a part of the view: undone, kept, restored."""

from collections.abc import Callable
from dataclasses import fields

import hands
import pytest
from PySide6.QtCore import QPoint, QRectF, Qt
from PySide6.QtWidgets import QWidget
from steps import dock_of, picture, show

from vitviz.app.main import make_window
from vitviz.app.panels.patches.panel import PatchesView
from vitviz.app.panels.positions.panel import PositionsView
from vitviz.app.panels.windows.panel import WindowsView
from vitviz.app.settings import Settings
from vitviz.app.window.main_window import Window

KINDS = {"windows": WindowsView, "positions": PositionsView, "patches": PatchesView}


def click_token(panel: QWidget) -> None:
    """Click on the token (0, 0) of the selected layer, and leave it."""
    place = panel.view.carried(QRectF(0.4, 0.4, 0.2, 0.2))[0]
    hands.click(panel.view, panel.view.box(place).center().toPoint())
    hands.point(panel.view, QPoint(1, 1))


def press(control: QWidget, keys: str) -> None:
    """Press keys on a control that Tab has come to."""
    control.window().activateWindow()
    control.setFocus(Qt.FocusReason.TabFocusReason)
    hands.press(control.window(), keys)


CASES = {
    "windows, by pointer": ("windows", lambda panel: hands.choose(panel.mode, "merge"), {"mode": "merge"}),
    "regions are closed": (
        "windows", lambda panel: hands.choose(panel.mode, "regions"), {"mode": "regions", "progress": 2.0}
    ),
    "the slider": ("windows", lambda panel: press(panel.slider, "End"), {"progress": 2.0}),
    "the next layer": ("windows", lambda panel: hands.click(panel.both), {"both": True}),
    "a window's matrices": ("windows", click_token, {"window": (1, 15)}),
    "positions, by pointer": ("positions", lambda panel: hands.choose(panel.mode, "norm"), {"mode": "norm"}),
    "positions, by key": (
        "positions", lambda panel: press(panel.mode, "Right"), {"mode": "components"}
    ),
    "the stored table": ("positions", lambda panel: hands.choose(panel.which, "stored"), {"table": "stored"}),
    "patches, by pointer": ("patches", lambda panel: hands.choose(panel.mode, "filters"), {"mode": "filters"}),
}  # fmt: skip


def drawn(panel: QWidget) -> dict[str, object]:
    """What a panel has drawn, comparable between windows."""
    shown = panel.shown()
    values = {one.name: getattr(shown, one.name) for one in fields(shown)}
    plain = {name: value for name, value in values.items() if isinstance(value, str | float | bool)}
    plain["pictures"] = [(one.caption, one.pixels.tobytes()) for one in values["pictures"]]
    plain["scenes"] = [scene.caption for scene in values.get("scenes", ())]
    return plain


@pytest.fixture
def made(qtbot, tmp_path, model, swin):
    """Opens the window of one settings file on a photo, with a panel on top; closes it at the end."""
    photo = picture(tmp_path / "tall.png", (60, 120))
    windows: list[Window] = []

    def open_window(name: str) -> tuple[Window, QWidget]:
        window = make_window(Settings(tmp_path / "settings" / "window.ini"), "cpu")
        windows.append(window)
        window.resize(1280, 800)
        window.show()
        qtbot.waitExposed(window)
        window.session.open(framing="crop" if name == "windows" else "fit")
        show(window, qtbot, photo, swin if name == "windows" else model)
        window.session.change(layer=1)
        dock = dock_of(window, name)
        dock.show()
        dock.raise_()
        qtbot.waitUntil(lambda: dock.built and dock.panel.isVisible() and rests(dock.panel))
        return window, dock.panel

    yield open_window
    for window in windows:
        if window.isVisible():
            window.close()
        window.deleteLater()


def rests(panel: QWidget) -> bool:
    """Whether a panel has drawn what is asked for."""
    return panel.shown().caption != "" and not panel.busy and not panel.shown().dimmed


@pytest.mark.parametrize("case", CASES)
def test_a_choice_is_undone_by_one_key_and_shown_again_after_a_restart(made, qtbot, case):
    name, choose, chosen = CASES[case]
    choose: Callable[[QWidget], None]
    window, panel = made(name)
    before, fresh = drawn(panel), window.session.view
    choose(panel)
    assert {field: getattr(panel.choices.now, field) for field in chosen} == chosen
    assert window.session.view.panels[name].items() >= chosen.items()
    qtbot.waitUntil(lambda: rests(panel) and drawn(panel) != before)
    after = drawn(panel)
    hands.press(window, "Ctrl+Z")
    assert window.session.view == fresh
    assert panel.choices.now == KINDS[name]()
    qtbot.waitUntil(lambda: rests(panel) and drawn(panel) == before)
    choose(panel)
    qtbot.waitUntil(lambda: rests(panel) and drawn(panel) == after)
    selected = window.session.view.query, window.session.view.pinned
    window.close()
    window, panel = made(name)
    window.session.change(query=selected[0], pinned=selected[1])
    qtbot.waitUntil(lambda: rests(panel) and drawn(panel) == after)


def test_playing_the_shift_is_one_choice(made, qtbot):
    window, panel = made("windows")
    fresh = window.session.view
    panel.animation.setDuration(120)
    hands.click(panel.play)
    qtbot.waitUntil(lambda: panel.shown().progress == 2)
    qtbot.waitUntil(lambda: panel.choices.now.progress == 2)
    hands.click(panel.play)
    assert (panel.playing, panel.choices.now.progress) == (True, 2)  # chosen is where it ends
    qtbot.waitUntil(lambda: panel.choices.now.progress == 0)
    hands.press(window, "Ctrl+Z")
    assert (panel.choices.now.progress, panel.shown().progress) == (2, 2)
    hands.press(window, "Ctrl+Z")
    assert window.session.view == fresh
    assert panel.shown().progress == 0


def test_undo_while_the_shift_is_played_stops_it(made, qtbot):
    window, panel = made("windows")
    press(panel.slider, "End")
    panel.animation.setDuration(20_000)
    hands.click(panel.play)
    qtbot.waitUntil(lambda: panel.shown().progress < 2)
    hands.press(window, "Ctrl+Z")
    assert not panel.playing
    assert (panel.choices.now.progress, panel.shown().progress) == (0, 0)


def test_a_choice_that_a_model_does_not_have_comes_back_with_one_that_has_it(made, qtbot, tmp_path, swin):
    window, panel = made("positions")
    hands.choose(panel.mode, "norm")
    qtbot.waitUntil(lambda: panel.shown().mode == "norm")
    photo, session, vit = window.session.photo.path, window.session, window.session.model
    show(window, qtbot, photo, swin)  # has no table of positions
    qtbot.waitUntil(lambda: rests(panel) and panel.shown().mode == "split")
    assert panel.choices.now.mode == "norm"
    show(window, qtbot, photo, vit)
    qtbot.waitUntil(lambda: rests(panel) and panel.shown().mode == "norm")
    assert session.view.panels["positions"] == {"mode": "norm"}


def test_a_windows_matrices_are_shown_with_its_layer(made, qtbot):
    window, panel = made("windows")
    click_token(panel)
    qtbot.waitUntil(lambda: panel.shown().matrices is not None)
    window.session.change(layer=0)
    assert panel.shown().matrices is None
    assert not panel.matrix.view.isVisible()
    window.session.change(layer=1)
    qtbot.waitUntil(lambda: panel.shown().matrices is not None)
    assert (panel.shown().matrices.window, panel.matrix.view.isVisible()) == (15, True)
    hands.click(panel.matrix.close)
    assert panel.choices.now.window is None
    assert panel.shown().matrices is None


def test_choices_that_are_none_of_the_panels_are_its_defaults(made, qtbot):
    window, panel = made("windows")
    for nonsense in (
        {"mode": "spin"},
        {"window": (1, 99)},
        {"window": (7, 0)},
        {"progress": "far"},
        {"both": 3},
    ):
        window.session.change(panels={"windows": nonsense})
        assert drawn(panel)["mode"] == "shift"
        assert panel.shown().matrices is None
        assert not panel.busy
    assert panel.choices.now == WindowsView()
