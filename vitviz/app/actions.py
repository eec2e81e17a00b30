"""Every command of the window with its keys, in one table: menus, shortcuts and the sheet of keys come from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QAction, QKeySequence


@dataclass(frozen=True)
class Command:
    """One command. Scope "stage": its keys work where the photo or the mosaic has the focus, as others need them too."""

    name: str
    menu: str
    text: str
    keys: tuple[str, ...] = ()
    tip: str = ""
    check: bool = False
    scope: Literal["window", "stage"] = "window"


COMMANDS: tuple[Command, ...] = (
    Command(
        "open",
        "&File",
        "&Open photo…",
        ("Ctrl+O",),
        "Open a picture from disk; dropping one on the window does too",
    ),
    Command("paste", "&File", "&Paste photo", ("Ctrl+V",), "Show the picture or file that was copied"),
    Command(
        "save", "&File", "&Save PNG…", ("Ctrl+S",), "Save the photo with its heatmap, at the photo's own size"
    ),
    Command("quit", "&File", "&Quit", ("Ctrl+Q",)),
    Command(
        "choose_model", "&Model", "&Choose model…", ("Ctrl+M",), "Choose by name, or what is on this machine"
    ),
    Command(
        "open_weights",
        "&Model",
        "Open &weights file…",
        ("Ctrl+Shift+O",),
        "A .safetensors or .pth file, or the like",
    ),
    Command("cancel", "&Model", "C&ancel what is running", ("Ctrl+.",)),
    Command("direction", "&Selection", "Swap attends to / attended by", ("D",)),
    Command("free", "&Selection", "&Free the query", ("Esc",), "Let the query follow the pointer again"),
    Command("up", "&Selection", "Query patch up", ("Up",), scope="stage"),
    Command("down", "&Selection", "Query patch down", ("Down",), scope="stage"),
    Command("left", "&Selection", "Query patch left", ("Left",), scope="stage"),
    Command("right", "&Selection", "Query patch right", ("Right",), scope="stage"),
    Command("next_layer", "&Selection", "Next layer", ("Ctrl+Right",)),
    Command("previous_layer", "&Selection", "Previous layer", ("Ctrl+Left",)),
    Command("next_head", "&Selection", "Next head", ("Ctrl+Down",)),
    Command("previous_head", "&Selection", "Previous head; before the first are all heads", ("Ctrl+Up",)),
    Command("grid", "&View", "Patch &grid", ("G",), "Show the patches with row and column", check=True),
    Command(
        "smooth",
        "&View",
        "S&mooth map",
        ("M",),
        "Interpolate between patches; off shows one value per patch",
        check=True,
    ),
    Command("fainter", "&View", "Heat fainter", ("[",)),
    Command("stronger", "&View", "Heat stronger", ("]",)),
    Command("fit", "&View", "&Fit photo", ("0",), "Show the whole photo"),
    Command("zoom_in", "&View", "Zoom in", ("+", "=")),
    Command("zoom_out", "&View", "Zoom out", ("-",)),
    Command("reset_layout", "&Panels", "&Reset layout"),
    Command("keys", "&Help", "&Keys", ("?", "F1"), "All keys"),
)


def build(owner: QObject, handlers: Mapping[str, Callable[[], object]]) -> dict[str, QAction]:
    """A QAction per command, triggering the handler of its name; KeyError for a command without one."""
    actions = {}
    for command in COMMANDS:
        action = QAction(command.text, owner)
        action.setObjectName(command.name)
        action.setShortcuts([QKeySequence(keys) for keys in command.keys])
        action.setCheckable(command.check)
        if command.scope == "stage":
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        shown = f" ({QKeySequence(command.keys[0]).toString()})" if command.keys else ""
        plain = command.text.replace("&", "").rstrip("…")
        action.setToolTip((command.tip or plain) + shown)
        handler = handlers[command.name]
        action.triggered.connect(lambda _=False, handler=handler: handler())
        actions[command.name] = action
    return actions


def sheet() -> list[tuple[str, str, str]]:
    """The sheet of keys: (menu, what, keys) of every command that has keys, in the table's order."""
    rows = []
    for command in COMMANDS:
        if command.keys:
            keys = " or ".join(QKeySequence(key).toString() for key in command.keys)
            rows.append((command.menu.replace("&", ""), command.text.replace("&", "").rstrip("…"), keys))
    return rows
