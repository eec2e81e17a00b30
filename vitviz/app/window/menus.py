"""The menus of the menu bar, built from the table of commands."""

from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path

from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMenu, QMenuBar

from vitviz.app.commands import commands
from vitviz.app.sources.samples import Sample
from vitviz.app.window.docks import Docks


def fill(bar: QMenuBar, actions: Mapping[str, QAction], docks: Docks) -> dict[str, QMenu]:
    """Add the menus of the table in its order; the Panels menu also has entries for each dock. Returns them by title."""
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
    """Add a submenu in which exactly one entry is checked; `act` is called with the key of the chosen entry."""
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


def switches(
    menu: QMenu,
    title: str,
    choices: Mapping[str, str],
    on: Container[str],
    act: Callable[[str, bool], object],
) -> QMenu:
    """Add a submenu of entries that are checked one by one; `act` is called with the key and whether it is checked."""
    submenu = menu.addMenu(title)
    for key, text in choices.items():
        action = submenu.addAction(text)
        action.setCheckable(True)
        action.setChecked(key in on)
        action.toggled.connect(lambda on, key=key: act(key, on))
    return submenu


def check(group: QActionGroup, key: str) -> None:
    """Check the entry with this key without calling `act`."""
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
    """Fill a menu with recent files; files that no longer exist are left out."""
    menu.clear()
    for text in paths:
        path = Path(text)
        if path.is_file():
            # Escaped, because an ampersand in the text of an action marks its mnemonic.
            menu.addAction(path.name.replace("&", "&&")).triggered.connect(
                lambda _=False, path=path: act(path)
            )
    if menu.isEmpty():
        menu.addAction("No recent photos").setEnabled(False)
