"""Every key of the table gives its command, and no other, when it is pressed on the photo."""

import hands
import pytest
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
        hands.press(shown, key)
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
    hands.press(shown, str(number))
    qtbot.waitUntil(lambda: shown.session.heatmap.method == method.name, timeout=20_000)
    assert shown.tools.method.text() == method.label


def test_a_question_mark_opens_the_sheet_and_escape_closes_it(shown):
    hands.press(shown, "?")
    assert shown.keys.isVisible()
    hands.press(shown, "Esc")
    assert QApplication.activeModalWidget() is None
