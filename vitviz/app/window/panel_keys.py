"""A key for each panel and one for the photo: they move there, and in a presentation they give it the largest place."""

from functools import partial

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction, QKeySequence

from vitviz.app.panels.catalog import PANELS
from vitviz.app.window.docks import Docks
from vitviz.app.window.presentation import Presentation

PHOTO = "Alt+Home"


def key_of(number: int) -> str:
    """The key of panel `number`, counted from 1: Alt with its digit, 0 for the tenth, none for further ones."""
    return f"Alt+{number % 10}" if number <= 10 else ""


def build(owner: QObject, docks: Docks, presentation: Presentation) -> list[QAction]:
    """The actions of the panels in the order of `PANELS`, and that of the photo as the last."""
    made = []
    for name, title, key in _places():
        action = QAction(title, owner)
        action.setObjectName(f"go_to_{name or 'photo'}")
        action.setShortcut(QKeySequence(key))
        action.setToolTip(f"Go to {title}; in a presentation, show it in the largest place")
        action.triggered.connect(partial(_go, docks, presentation, name))
        made.append(action)
    return made


def shortcut_list() -> list[tuple[str, str, str]]:
    """The rows of these keys for the list of shortcuts: (heading, what they do, key)."""
    native = QKeySequence.SequenceFormat.NativeText
    heading = "Go to, or show large in a presentation"
    return [(heading, title, QKeySequence(key).toString(native)) for _, title, key in _places() if key]


def _places() -> list[tuple[str, str, str]]:
    """Name, title and key of each panel and of the photo, whose name is empty."""
    panels = [(kind.name, kind.title, key_of(number)) for number, kind in enumerate(PANELS, start=1)]
    return [*panels, ("", "Photo", PHOTO)]


def _go(docks: Docks, presentation: Presentation, name: str, _: bool = False) -> None:
    if presentation.on:
        presentation.show_on_stage(name)
    else:
        docks.go_to(name)
