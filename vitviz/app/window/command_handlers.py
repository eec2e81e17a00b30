"""The handlers of the window's commands."""

from collections.abc import Callable, Mapping
from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QLineEdit, QMainWindow

from vitviz.app import commands
from vitviz.app.dialogs.model_browser import ModelBrowser, choose_model
from vitviz.app.dialogs.model_settings import ModelSettingsDialog
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import moved_head, moved_layer, moved_query
from vitviz.app.settings import Settings
from vitviz.app.stage.opening import Opener
from vitviz.app.stage.stage import Stage
from vitviz.app.widgets.messages.shortcuts_sheet import ShortcutsSheet
from vitviz.app.window import last_session, panel_keys
from vitviz.app.window.docks import Docks
from vitviz.app.window.panel_actions import PanelActions
from vitviz.app.window.presentation import Presentation
from vitviz.explain.registry import METHODS
from vitviz.models.settings import ModelSettings

THUMBNAILS = "thumbnails"
"""The setting: whether the thumbnails of the folder are shown."""

Handler = Callable[[], object]


class CommandHandlers:
    """The handler of each command in `commands.commands`, and the dialogs that they open."""

    def __init__(
        self,
        window: QMainWindow,
        settings: Settings,
        stage: Stage,
        docks: Docks,
        presentation: Presentation,
        opener: Opener,
        panels: PanelActions,
    ) -> None:
        self.chooser: ModelBrowser | None = None
        """The model dialog that was opened last."""
        self.settings_dialog: ModelSettingsDialog | None = None
        """The dialog of model settings that was opened last."""
        self.shortcuts: ShortcutsSheet | None = None
        """The list of shortcuts that was opened last."""
        self._window = window
        self._settings = settings
        self._stage = stage
        self._docks = docks
        self._presentation = presentation
        self._opener = opener
        self._panels = panels

    @property
    def _session(self) -> Session:
        """The session of the current side."""
        return self._stage.session

    def _change(self, **changes: object) -> None:
        self._session.change(**changes)

    def connect(self, actions: Mapping[str, QAction]) -> None:
        """Connect each action to the handler of its command. Raises KeyError for a command without a handler."""
        handlers = self._handlers()
        for command in commands.commands():
            handler = handlers[command.name]
            actions[command.name].triggered.connect(lambda _=False, handler=handler: handler())

    def _handlers(self) -> dict[str, Handler]:
        return {**self._file_handlers(), **self._selection_handlers(), **self._view_handlers()}

    def _file_handlers(self) -> dict[str, Handler]:
        stage, opener = self._stage, self._opener
        return {
            "open": lambda: opener.ask_photo(stage.open_on_side),
            "open_folder": lambda: opener.ask_folder(stage.open_on_side),
            "next_photo": lambda: stage.walk(1),
            "previous_photo": lambda: stage.walk(-1),
            "paste": lambda: opener.paste(stage.open_on_side),
            "copy": lambda: self._panels.copy(self._docks.focused()),
            "save": lambda: self._panels.save(None),
            "close_photo": self._close_photo,
            "restore": self._switch_restoring,
            "quit": self._window.close,
            "choose_model": self.choose_model,
            "open_weights": lambda: opener.ask_weights(stage.open_on_side),
            "model_settings": self._ask_settings,
            "cancel": self._cancel,
            "compare_photo": stage.with_photo,
            "compare_model": stage.with_model,
            "compare_end": stage.end,
            "switch_side": stage.switch,
        }

    def _selection_handlers(self) -> dict[str, Handler]:
        return {
            **{f"method_{one.name}": partial(self._change, method=one.name) for one in METHODS},
            "choose_target": self._choose_target,
            "undo": lambda: self._session.undo(),
            "redo": lambda: self._session.redo(),
            "direction": lambda: self._change(
                direction="by" if self._session.view.direction == "to" else "to"
            ),
            "free": self._unpin,
            "play": self._play,
            "up": partial(self._move, -1, 0),
            "down": partial(self._move, 1, 0),
            "left": partial(self._move, 0, -1),
            "right": partial(self._move, 0, 1),
            "next_layer": lambda: self._session.step(moved_layer, 1),
            "previous_layer": lambda: self._session.step(moved_layer, -1),
            "next_head": lambda: self._session.step(moved_head, 1),
            "previous_head": lambda: self._session.step(moved_head, -1),
        }

    def _view_handlers(self) -> dict[str, Handler]:
        stage, docks = self._stage, self._docks
        return {
            "grid": lambda: self._change(grid=not self._session.view.grid),
            "smooth": lambda: self._change(smooth=not self._session.view.smooth),
            "fainter": lambda: self._change(opacity=max(0.0, round(self._session.view.opacity - 0.1, 2))),
            "stronger": lambda: self._change(opacity=min(1.0, round(self._session.view.opacity + 0.1, 2))),
            "thumbnails": self._switch_thumbnails,
            "fit": lambda: stage.canvas.fit(),
            "zoom_in": lambda: stage.canvas.zoom(1.25),
            "zoom_out": lambda: stage.canvas.zoom(0.8),
            "present": self._presentation.toggle,
            "next_panel": partial(docks.focus_next, 1),
            "previous_panel": partial(docks.focus_next, -1),
            "float_panel": docks.float_focused,
            "close_panel": docks.close_focused,
            "panel_menu": self._panels.open_focused_menu,
            "reset_layout": docks.reset_layout,
            "keys": self._show_shortcuts,
        }

    def _close_photo(self) -> None:
        session = self._session
        self._stage.end()
        if session is self._session:  # not of the second side, which has ended
            session.close_photo()

    def _switch_restoring(self) -> None:
        self._settings.put(last_session.RESTORES, not self._settings.flag(last_session.RESTORES, True))

    def _switch_thumbnails(self) -> None:
        on = not self._settings.flag(THUMBNAILS, True)
        self._settings.put(THUMBNAILS, on)
        self._stage.strip.switch(on)

    def choose_model(self, section: str = "recommended") -> None:
        """Open the model browser at a section, or for "file" the dialog for weight files; for the current side."""
        open_on_side = self._stage.open_on_side
        if section == "file":
            self._opener.ask_weights(open_on_side)
            return
        self.chooser = choose_model(
            self._stage.session,
            self._window,
            lambda name: open_on_side(model=name),
            lambda: self._opener.ask_weights(self._stage.open_on_side),
            section,
        )

    def _ask_settings(self) -> None:
        session, open_on_side = self._stage.session, self._stage.open_on_side
        source = session.model_source
        if not source:
            return

        def apply(chosen: ModelSettings) -> None:
            session.memory.remember(source, chosen)
            open_on_side(model=source, settings=chosen)

        self.settings_dialog = ModelSettingsDialog(session, apply, self._window)
        self.settings_dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.settings_dialog.open()

    def _cancel(self) -> None:
        """Cancel what the user waits for, or if there is nothing, the running job."""
        if self._stage.working:
            self._stage.cancel()
        else:
            for job in [job for session in self._stage.sessions for job in session.jobs.jobs][:1]:
                job.cancel()

    def _choose_target(self) -> None:
        panel = self._docks.reveal("predictions")
        search = next(iter(panel.findChildren(QLineEdit)), panel)
        search.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _unpin(self) -> None:
        if self._presentation.on and not self._session.view.pinned:
            self._presentation.step_back()
        else:
            self._session.unpin()

    def _play(self) -> None:
        # In a presentation, the photo keeps its size: the layers play without their panel.
        if self._presentation.on:
            self._docks.prepare("layers")
        else:
            self._docks.reveal("layers")
        self._session.play_asked.emit()

    def _move(self, rows: int, columns: int) -> None:
        session, shape = self._session, self._session.shape
        if shape is not None:
            session.show_view(moved_query(session.view, session.hover, shape, rows, columns))

    def _show_shortcuts(self) -> None:
        rows = [*commands.shortcut_list(), *panel_keys.shortcut_list()]
        self.shortcuts = ShortcutsSheet(rows, self._window)
        self.shortcuts.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.shortcuts.open()
