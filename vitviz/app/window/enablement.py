"""Which commands are enabled: computed when something that decides it has changed, never when the pointer moves."""

from collections.abc import Callable, Mapping

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction

from vitviz.app.session.session import Session
from vitviz.app.stage.stage import Stage
from vitviz.app.window.presentation import Presentation
from vitviz.explain.registry import METHODS, find


class Enablement(QObject):
    """Enables and checks the commands according to the state of the session, the stage and the presentation.

    `changed` is called after each update, to update other controls that show this state.
    """

    def __init__(
        self,
        stage: Stage,
        presentation: Presentation,
        commands: Mapping[str, QAction],
        changed: Callable[[], object],
    ) -> None:
        super().__init__(stage)
        self._stage = stage
        self._presentation = presentation
        self._commands = commands
        self._changed = changed
        self._has_map = False
        self._watched: list[Session] = []
        stage.changed.connect(self._on_stage_changed)
        presentation.changed.connect(self.update)
        for action in commands.values():
            if action.isCheckable():
                action.triggered.connect(self.update)  # Qt has toggled its check mark
        self._on_stage_changed()

    def _on_stage_changed(self) -> None:
        """Follow the sessions of all sides."""
        for session in self._stage.sessions:
            if session not in self._watched:
                self._watch(session)
        self._watched = self._stage.sessions
        self.update()

    def _watch(self, session: Session) -> None:
        for signal in (
            session.busy_changed,
            session.trace_changed,
            session.photo_changed,
            session.model_changed,
            session.view_changed,
            session.maps.late_changed,
            session.jobs.changed,
        ):
            signal.connect(self.update)
        session.heatmap_changed.connect(self._on_heatmap_changed)

    def update(self, *_: object) -> None:
        """Enable and check every command as the current side has it."""
        session, view = self._stage.session, self._stage.session.view
        self._has_map = session.heatmap is not None
        for name, possible in self._allowed().items():
            self._commands[name].setEnabled(possible)
        known = session.methods()
        for method in METHODS:
            action = self._commands[f"method_{method.name}"]
            action.setEnabled(method.name in known and known[method.name] is None)
            action.setChecked(method.name == view.method)
        self._commands["present"].setChecked(self._presentation.on)
        self._commands["grid"].setChecked(view.grid)
        self._commands["smooth"].setChecked(view.smooth)
        self._changed()

    def _allowed(self) -> dict[str, bool]:
        stage, session = self._stage, self._stage.session
        photo, traced = session.photo is not None, session.trace is not None
        in_folder = session.photo is not None and session.photo.path is not None
        compared = stage.sessions[0].photo is not None
        jobs = any(one.jobs.busy for one in stage.sessions)
        return {
            "save": self._has_map,
            "model_settings": bool(session.model_source),
            "cancel": stage.working or jobs,
            "close_photo": photo,
            "compare_photo": compared,
            "compare_model": compared,
            "compare_end": stage.comparison is not None,
            "switch_side": stage.comparison is not None,
            "next_photo": in_folder,
            "previous_photo": in_folder,
            "direction": traced and find(session.view.method).reversible,
            "free": traced or self._presentation.on,
            "choose_target": traced,
            "undo": traced and session.history.can_undo,
            "redo": traced and session.history.can_redo,
        } | dict.fromkeys(("next_layer", "previous_layer", "next_head", "previous_head", "play"), traced)

    def _on_heatmap_changed(self) -> None:
        """Update only if there was no heatmap before: each move of the pointer changes the heatmap."""
        has_map = self._stage.session.heatmap is not None
        if has_map != self._has_map:
            self.update()
