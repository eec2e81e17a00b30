"""The table of all commands and their shortcuts; menus, actions and the list of shortcuts are built from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QAction, QKeySequence

from vitviz.explain.registry import METHODS


@dataclass(frozen=True)
class Command:
    """One command of the menus.

    The keys of a command of scope "stage" work only where the photo or a panel's picture has the focus, because other
    widgets use the same keys. `stage_keys` are additional keys that work there only.
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
        "Open an image file; it can also be dropped on the window",
    ),
    Command("open_folder", "&File", "Open f&older…", (), "Look through the photos of a folder"),
    Command(
        "next_photo",
        "&File",
        "&Next photo of the folder",
        ("Alt+Right",),
        "Show the next photo of the folder; the selection is kept",
        stage_keys=("PgDown",),
    ),
    Command(
        "previous_photo",
        "&File",
        "Pre&vious photo of the folder",
        ("Alt+Left",),
        "Show the previous photo of the folder; the selection is kept",
        stage_keys=("PgUp",),
    ),
    Command("paste", "&File", "&Paste photo", ("Ctrl+V",), "Open the image or file from the clipboard"),
    Command(
        "copy", "&File", "&Copy this panel", ("Ctrl+C",), "Copy the panel that has the focus as an image"
    ),
    Command(
        "save", "&File", "&Save PNG…", ("Ctrl+S",), "Save the photo with its heatmap, at the photo's own size"
    ),
    Command("close_photo", "&File", "C&lose photo", ("Ctrl+W",), "Return to the welcome screen"),
    Command(
        "restore",
        "&File",
        "S&tart with the last photo",
        (),
        "At the next start, show the photo, model and selection of the last session; if off, start empty",
        check=True,
    ),
    Command("quit", "&File", "&Quit", ("Ctrl+Q",)),
    Command(
        "choose_model", "&Model", "&Choose model…", ("Ctrl+M",), "Choose a model by name, or a weights file"
    ),
    Command(
        "open_weights",
        "&Model",
        "Open &weights file…",
        ("Ctrl+Shift+O",),
        "Load a weights file, such as .safetensors or .pth",
    ),
    Command(
        "model_settings",
        "&Model",
        "Model &settings…",
        ("Ctrl+,",),
        "Input size, framing, precision, device and class names of the loaded model",
    ),
    Command("cancel", "&Model", "C&ancel the running task", ("Ctrl+.",)),
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
        "Show a second photo beside this one, with the same model",
    ),
    Command(
        "compare_model",
        "&Compare",
        "With another &model…",
        ("Ctrl+Shift+M",),
        "Show the same photo with a second model beside this one",
    ),
    Command(
        "switch_side",
        "&Compare",
        "&Switch to the other side",
        ("Ctrl+E",),
        "Make the other side the current one, which panels, tool bar and status line show",
    ),
    Command("compare_end", "&Compare", "&End the comparison", ("Ctrl+Shift+E",)),
    Command("undo", "&Selection", "&Undo selection", ("Ctrl+Z",), "Return to the previous selection"),
    Command("redo", "&Selection", "&Redo selection", ("Ctrl+Shift+Z", "Ctrl+Y")),
    Command("direction", "&Selection", "Swap attends to / attended by", ("D",)),
    Command("free", "&Selection", "U&npin the query", ("Esc",), "Let the query follow the pointer again"),
    Command("up", "&Selection", "Query patch up", ("Up",), scope="stage"),
    Command("down", "&Selection", "Query patch down", ("Down",), scope="stage"),
    Command("left", "&Selection", "Query patch left", ("Left",), scope="stage"),
    Command("right", "&Selection", "Query patch right", ("Right",), scope="stage"),
    Command("next_layer", "&Selection", "Next layer", ("Ctrl+Right",)),
    Command("previous_layer", "&Selection", "Previous layer", ("Ctrl+Left",)),
    Command("next_head", "&Selection", "Next head", ("Ctrl+Down",)),
    Command(
        "previous_head",
        "&Selection",
        "Previous head",
        ("Ctrl+Up",),
        "Select the previous head; before head 0, all heads",
    ),
    Command(
        "play",
        "&Selection",
        "&Play through the layers",
        ("Space",),
        "Start or stop playing through the layers",
        scope="stage",
    ),
    Command(
        "grid", "&View", "Patch &grid", ("G",), "Show the patches with row and column numbers", check=True
    ),
    Command(
        "smooth",
        "&View",
        "S&mooth map",
        ("M",),
        "Interpolate between patches; if off, each patch has one colour",
        check=True,
    ),
    Command(
        "thumbnails",
        "&View",
        "Folder t&humbnails",
        ("T",),
        "Show the photos of the folder below the photo",
        check=True,
    ),
    Command("fainter", "&View", "Decrease heatmap opacity", ("[",)),
    Command("stronger", "&View", "Increase heatmap opacity", ("]",)),
    Command("fit", "&View", "&Fit photo", ("0",), "Show the whole photo"),
    Command("zoom_in", "&View", "Zoom in", ("+", "=")),
    Command("zoom_out", "&View", "Zoom out", ("-",)),
    Command(
        "present",
        "&View",
        "&Presentation",
        ("F11",),
        "Full screen with large text, without menus and controls; Esc or F11 ends it",
        check=True,
    ),
    Command("next_panel", "&Panels", "&Next panel", ("F6",), "Move the keyboard focus to the next panel"),
    Command("previous_panel", "&Panels", "&Previous panel", ("Shift+F6",)),
    Command(
        "float_panel",
        "&Panels",
        "&Float or dock this panel",
        ("Ctrl+Shift+F",),
        "Move the panel that has the focus to its own window, or back into the main window",
    ),
    Command(
        "panel_menu",
        "&Panels",
        "&Menu of this panel",
        ("Shift+F10", "Menu"),
        "Copy, save or export what the panel that has the focus shows; also by the right mouse button",
    ),
    Command("close_panel", "&Panels", "&Close this panel", ("Ctrl+Shift+W",)),
    Command("reset_layout", "&Panels", "&Reset layout"),
    Command("keys", "&Help", "&Keyboard shortcuts", ("?", "F1"), "List all keyboard shortcuts"),
)

POINTER: tuple[tuple[str, str], ...] = (
    ("Show what a patch attends to", "Move"),
    ("Pin a patch as the query, or unpin it", "Click"),
    ("Add a patch to the query, or remove it", "Shift+Click"),
    ("Add a rectangle of patches", "Shift+Drag"),
    ("Add a rectangle with the keyboard", "Shift+Arrows"),
    ("Zoom photo or matrix", "Wheel"),
    ("Pan the photo", "Drag"),
)
"""Mouse actions on a photo: (effect, action)."""


def commands() -> tuple[Command, ...]:
    """All commands in the order of the menus, including one for each method."""
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
    """The key of method `number`, counted from 1: the digit for 1 to 9, otherwise empty."""
    return str(number) if number <= 9 else ""


def key_of(method: str) -> str:
    """The key of a method by its name; empty if it has none."""
    return method_key(1 + [one.name for one in METHODS].index(method))


def build(owner: QObject) -> dict[str, QAction]:
    """One QAction per command, by name, with `owner` as parent."""
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
    """The actions of scope "stage", for `addActions` of the widgets in which their keys work."""
    chosen = [actions[command.name] for command in commands() if command.scope == "stage"]
    return chosen + [action for name, action in actions.items() if name.endswith(_STAGE)]


def shortcut_list() -> list[tuple[str, str, str]]:
    """The list of shortcuts: (menu, command, keys) of each command with keys, in menu order; mouse actions come last."""
    rows = []
    for command in commands():
        if command.keys:
            keys = " or ".join(
                QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)
                for key in (*command.keys, *command.stage_keys)
            )
            rows.append((command.menu.replace("&", ""), command.text.replace("&", "").rstrip("…"), keys))
    return rows + [("Mouse on a photo", effect, action) for effect, action in POINTER]
