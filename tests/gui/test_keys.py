"""Every key of the table gives its command, and no other, when it is pressed on the photo."""

import pytest
import user_input
from PySide6.QtWidgets import QApplication

from vitviz.app.commands import commands
from vitviz.explain.registry import METHODS

KEYS = [(command.name, key) for command in commands() for key in (*command.keys, *command.stage_keys)]


@pytest.fixture
def given(shown):
    """The names of the commands that are given, instead of what they do."""
    names: list[str] = []
    for command in commands():
        action = shown.commands[command.name]
        action.triggered.disconnect()
        action.triggered.connect(lambda _=False, name=command.name: names.append(name))
        action.setEnabled(True)
    shown.activateWindow()
    shown.photo.canvas.setFocus()
    return names


def test_every_key_of_the_table_gives_its_command_on_the_photo(shown, given):
    wrong = {}
    for name, key in KEYS:
        given.clear()
        user_input.press(shown, key)
        if given != [name]:
            wrong[key] = (name, list(given))
    assert not wrong
    assert len(KEYS) > 50


@pytest.mark.parametrize(
    ("number", "method"), list(enumerate(METHODS, start=1)), ids=lambda one: str(one)[:2]
)
def test_a_number_chooses_its_method(shown, qtbot, number, method):
    if number == 1:
        shown.session.change(method="rollout")
    user_input.press(shown, str(number))
    qtbot.waitUntil(lambda: shown.session.heatmap.method == method.name, timeout=20_000)
    assert shown.tools.method.text() == method.label


def test_a_question_mark_opens_the_list_of_shortcuts_and_escape_closes_it(shown):
    user_input.press(shown, "?")
    assert shown.shortcuts.isVisible()
    user_input.press(shown, "Esc")
    assert QApplication.activeModalWidget() is None


def test_an_open_menu_has_the_keys_and_the_photo_behind_it_has_none(shown):
    canvas, bar = shown.photo.canvas, shown.menu_bar
    user_input.click(canvas)
    shown.session.unpin()
    before = shown.session.view
    file, model = bar.actions()[0], bar.actions()[1]
    user_input.click(bar, bar.actionGeometry(file).center())
    assert QApplication.activePopupWidget() is file.menu()
    assert QApplication.focusWidget() is canvas
    for key in ("Right", "Down", "Up", "Space", "PgDown", "G"):
        user_input.press(shown, key)
        assert shown.session.view == before, key
        if key == "Right":
            assert QApplication.activePopupWidget() is model.menu()
    while QApplication.activePopupWidget() is not None:
        user_input.press(shown, "Esc")
    user_input.press(shown, "Right")
    assert shown.session.view.pinned


def test_a_key_that_closes_an_explanation_does_nothing_else(shown):
    user_input.click(shown.photo.canvas)
    shown.session.unpin()
    user_input.click(shown.status.badge)
    assert QApplication.activePopupWidget() is not None
    user_input.press(shown, "Right")
    assert not shown.session.view.pinned
    assert QApplication.activePopupWidget() is None
