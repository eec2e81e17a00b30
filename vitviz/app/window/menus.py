"""The menu bar, filled from the table of commands."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QDockWidget, QMenu, QMenuBar

from vitviz.app.commands import commands
from vitviz.app.sources.samples import Sample


def fill(bar: QMenuBar, actions: Mapping[str, QAction], docks: Sequence[QDockWidget]) -> dict[str, QMenu]:
    """One menu per name in the table, in its order; the Panels menu also opens and closes each dock."""
    menus: dict[str, QMenu] = {}
    for command in commands():
        if command.menu not in menus:
            menus[command.menu] = bar.addMenu(command.menu)
        menus[command.menu].addAction(actions[command.name])
    panels, reset = menus["&Panels"], actions["reset_layout"]
    panels.insertSeparator(reset)
    for dock in docks:
        panels.insertAction(reset, dock.toggleViewAction())
    panels.insertSeparator(reset)
    return menus


def choice(
    menu: QMenu, title: str, choices: Mapping[str, str], current: str, act: Callable[[str], object]
) -> QActionGroup:
    """A submenu of which one entry holds; `act` is called with the key of the one that is picked."""
    submenu = menu.addMenu(title)
    group = QActionGroup(submenu)
    for key, text in choices.items():
        action = QAction(text, group)
        action.setCheckable(True)
        action.setChecked(key == current)
        action.setData(key)
        action.triggered.connect(lambda _=False, key=key: act(key))
        submenu.addAction(action)
    return group


def check(group: QActionGroup, key: str) -> None:
    """Show which entry of a choice holds, without acting."""
    for action in group.actions():
        action.setChecked(action.data() == key)


def scenes(menu: QMenu, samples: Sequence[Sample], act: Callable[[Path], object]) -> None:
    """Fill a menu with the bundled scenes by title."""
    menu.setToolTipsVisible(True)
    for sample in samples:
        action = menu.addAction(sample.title)
        action.setToolTip(f"{sample.about[0].upper()}{sample.about[1:]}")
        action.triggered.connect(lambda _=False, path=sample.path: act(path))
    menu.setEnabled(bool(samples))


def recent(menu: QMenu, paths: list[str], act: Callable[[Path], object]) -> None:
    """Fill a menu with files; those that are gone are left out."""
    menu.clear()
    for text in paths:
        path = Path(text)
        if path.is_file():
            # An ampersand in a file's name would become an underlined letter.
            menu.addAction(path.name.replace("&", "&&")).triggered.connect(
                lambda _=False, path=path: act(path)
            )
    if menu.isEmpty():
        menu.addAction("No photo was opened yet").setEnabled(False)
