"""Every command of the window with its keys, in one table: menus, shortcuts and the sheet of keys come from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QAction, QKeySequence

from vitviz.explain.registry import METHODS


@dataclass(frozen=True)
class Command:
    """One command. Scope "stage": its keys work where the photo or a panel's picture has the focus, as others need them too.

    `stage_keys` are further keys that work there only.
    """

    name: str
    menu: str
    text: str
    keys: tuple[str, ...] = ()
    tip: str = ""
    check: bool = False
    scope: Literal["window", "stage"] = "window"
    stage_keys: tuple[str, ...] = ()


_STAGE = "@stage"

_BEFORE_METHODS: tuple[Command, ...] = (
    Command(
        "open",
        "&File",
        "&Open photo…",
        ("Ctrl+O",),
        "Open a picture from disk; dropping one on the window does too",
    ),
    Command("open_folder", "&File", "Open f&older…", (), "Look through the photos of a folder"),
    Command(
        "next_photo",
        "&File",
        "&Next photo of the folder",
        ("Alt+Right",),
        "Show the next photo of the folder; what is selected stays",
        stage_keys=("PgDown",),
    ),
    Command(
        "previous_photo",
        "&File",
        "Pre&vious photo of the folder",
        ("Alt+Left",),
        "Show the photo before; what is selected stays",
        stage_keys=("PgUp",),
    ),
    Command("paste", "&File", "&Paste photo", ("Ctrl+V",), "Show the picture or file that was copied"),
    Command(
        "copy", "&File", "&Copy this panel", ("Ctrl+C",), "Copy the picture of the panel that has the focus"
    ),
    Command(
        "save", "&File", "&Save PNG…", ("Ctrl+S",), "Save the photo with its heatmap, at the photo's own size"
    ),
    Command("close_photo", "&File", "C&lose photo", ("Ctrl+W",), "Go back to the welcome"),
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
)
_AFTER_METHODS: tuple[Command, ...] = (
    Command(
        "choose_target", "M&ethod", "&Class to explain…", ("Ctrl+F",), "Find a class among the predictions"
    ),
    Command(
        "compare_photo",
        "&Compare",
        "With another &photo…",
        ("Ctrl+Shift+P",),
        "Show a second photo beside this one, seen by the same model",
    ),
    Command(
        "compare_model",
        "&Compare",
        "With another &model…",
        ("Ctrl+Shift+M",),
        "Show what a second model attends to in the same photo",
    ),
    Command("compare_end", "&Compare", "&End the comparison", ("Ctrl+Shift+E",)),
    Command("undo", "&Selection", "&Back to the selection before", ("Ctrl+Z",)),
    Command("redo", "&Selection", "For&ward again", ("Ctrl+Shift+Z", "Ctrl+Y")),
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
    Command(
        "play",
        "&Selection",
        "&Play through the layers",
        ("Space",),
        "Play or stop the strip of layers",
        scope="stage",
    ),
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
    Command(
        "present",
        "&View",
        "&Presentation",
        ("F11",),
        "Large type and nothing but pictures and numbers; Esc or F11 leaves",
        check=True,
    ),
    Command("next_panel", "&Panels", "&Next panel", ("F6",), "Go to the next panel with the keyboard"),
    Command("previous_panel", "&Panels", "&Previous panel", ("Shift+F6",)),
    Command(
        "float_panel",
        "&Panels",
        "&Float this panel, or put it back",
        ("Ctrl+Shift+F",),
        "The panel that has the focus becomes a window of its own",
    ),
    Command("close_panel", "&Panels", "&Close this panel", ("Ctrl+Shift+W",)),
    Command("reset_layout", "&Panels", "&Reset layout"),
    Command("keys", "&Help", "&Keys", ("?", "F1"), "All keys"),
)

POINTER: tuple[tuple[str, str], ...] = (
    ("See what a patch attends to", "Move"),
    ("Keep it as the query; again frees it", "Click"),
    ("Add a patch to the query, or take it out", "Shift+Click"),
    ("Add a rectangle of patches", "Shift+Drag"),
    ("The same by keys", "Shift+Arrows"),
    ("Zoom photo or matrix", "Wheel"),
    ("Shift the photo", "Drag"),
)
"""What the pointer does on a photo, and how."""


def commands() -> tuple[Command, ...]:
    """Every command in the order of the menus, one for each method among them."""
    methods = (
        Command(
            f"method_{method.name}",
            "M&ethod",
            method.label,
            tuple(filter(None, (method_key(number),))),
            method.about,
            check=True,
        )
        for number, method in enumerate(METHODS, start=1)
    )
    return (*_BEFORE_METHODS, *methods, *_AFTER_METHODS)


def method_key(number: int) -> str:
    """The key of the `number`-th method, from 1: its number up to 9, empty after that."""
    return str(number) if number <= 9 else ""


def build(owner: QObject) -> dict[str, QAction]:
    """A QAction per command, by name."""
    actions = {}
    for command in commands():
        action = QAction(command.text, owner)
        action.setObjectName(command.name)
        action.setShortcuts([QKeySequence(keys) for keys in command.keys])
        action.setCheckable(command.check)
        if command.scope == "stage":
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        shown = f" ({QKeySequence(command.keys[0]).toString()})" if command.keys else ""
        plain = command.text.replace("&", "").rstrip("…")
        action.setToolTip((command.tip or plain) + shown)
        actions[command.name] = action
        if command.stage_keys:
            extra = QAction(command.text, owner)
            extra.setShortcuts([QKeySequence(keys) for keys in command.stage_keys])
            extra.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
            extra.triggered.connect(action.trigger)
            actions[command.name + _STAGE] = extra
    return actions


def of_stage(actions: Mapping[str, QAction]) -> list[QAction]:
    """The actions whose keys work on the stage only, for `addActions` of what is part of it."""
    chosen = [actions[command.name] for command in commands() if command.scope == "stage"]
    return chosen + [action for name, action in actions.items() if name.endswith(_STAGE)]


def sheet() -> list[tuple[str, str, str]]:
    """The sheet of keys: (menu, what, keys) of every command that has keys, in the tables' order; the pointer last."""
    rows = []
    for command in commands():
        if command.keys:
            keys = " or ".join(
                QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)
                for key in (*command.keys, *command.stage_keys)
            )
            rows.append((command.menu.replace("&", ""), command.text.replace("&", "").rstrip("…"), keys))
    return rows + [("Pointer on a photo", what, how) for what, how in POINTER]
