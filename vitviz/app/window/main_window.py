"""The main window: builds the panels, docks them, and connects commands to the session."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QGuiApplication
from PySide6.QtWidgets import (
    QApplication,
    QLineEdit,
    QMainWindow,
    QMenu,
    QMenuBar,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from vitviz.app import commands
from vitviz.app.dialogs.model_chooser import ModelChooser
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import ViewState, moved_head, moved_layer, moved_query, reversible
from vitviz.app.settings import REMEMBERED, Settings
from vitviz.app.sources import mime
from vitviz.app.sources.samples import MODELS, is_bundled, samples
from vitviz.app.stage import opening
from vitviz.app.stage.photo_view import PhotoView
from vitviz.app.stage.stage import SplitStage
from vitviz.app.ui import theme
from vitviz.app.widgets.messages.first_start import Greeting
from vitviz.app.widgets.messages.notice import Notice
from vitviz.app.widgets.messages.shortcuts_sheet import KeysSheet
from vitviz.app.widgets.messages.toast import Toast
from vitviz.app.window import docks, menus, save_png, welcome
from vitviz.app.window.presentation import Presentation
from vitviz.app.window.status_bar import StatusPanel
from vitviz.app.window.tool_bar import ToolsPanel
from vitviz.app.work.failure import Failure
from vitviz.explain.registry import METHODS

_FRAMINGS = {
    "crop": "As the model was trained (crop)",
    "squash": "Whole photo, squashed",
    "fit": "Whole photo, aspect kept",
}
_THEMES = {"system": "As the system", "light": "Light", "dark": "Dark"}
_LAYOUT = 2  # raise when docks change, so that an old layout is not applied to new ones


class Window(QMainWindow):
    """One window on one session."""

    first_painted = Signal()

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__()
        self.session = session
        self.settings = settings
        self.chooser: ModelChooser | None = None
        self.keys: KeysSheet | None = None
        self.greeting: Greeting | None = None
        self.setWindowTitle("vitviz")
        self.setAcceptDrops(True)
        self.setDockNestingEnabled(True)
        self.setTabPosition(Qt.DockWidgetArea.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        self.presentation = Presentation(self)
        self.commands = commands.build(self, self._handlers())
        self.menu_bar = QMenuBar()
        self.notice = Notice()
        self.tools = ToolsPanel(session, self.commands)
        self.photo = PhotoView(session, self.commands)
        self.stage = SplitStage(self, self.photo)
        self.status = StatusPanel(session)
        self.toast = Toast(self.photo.canvas)
        self._build()
        self.docks = docks.build(self, session, self.commands)
        self._build_menus()
        self._reset_layout()
        self._restore()
        session.failed.connect(self.tell)
        session.noted.connect(self.toast.say)
        session.trace_changed.connect(self.notice.answer)
        session.model_changed.connect(self._remember_model)
        session.photo_opened.connect(self.remember_photo)
        session.photo_changed.connect(self._name)
        for changed in (
            session.busy_changed,
            session.trace_changed,
            session.heatmap_changed,
            session.photo_changed,
            self.stage.changed,
        ):
            changed.connect(self._allow)
        self.stage.changed.connect(lambda: self.tools.choose_for(self.stage.session))
        session.view_changed.connect(self._follow)
        self._follow(session.view, session.view)
        if settings.told:
            self.notice.tell(settings.told, lasting=True)
        self.photo.canvas.setFocus()
        self.installEventFilter(self)
        session.photo_changed.connect(self._welcome)
        # Once what the command line names is asked for: mostly there is a photo, and then no welcome.
        self.first_painted.connect(lambda: QTimer.singleShot(0, self._welcome))

    # Building.

    def _build(self) -> None:
        center = QWidget()
        self.center = QVBoxLayout(center)
        self.center.setContentsMargins(0, 0, 0, 0)
        self.center.setSpacing(0)
        self.center.addWidget(self.notice)
        self.center.addWidget(self.stage, 1)
        self.setCentralWidget(center)
        # No QToolBar: Fusion draws bright lines round it, and one that is closed by accident takes the model with it.
        top = QWidget()
        head = QVBoxLayout(top)
        head.setContentsMargins(0, 0, 0, 0)
        head.setSpacing(0)
        head.addWidget(self.menu_bar)
        head.addWidget(self.tools)
        self.setMenuWidget(top)
        self.statusBar().setSizeGripEnabled(False)
        self.statusBar().addPermanentWidget(self.status, 1)

    def panel(self, name: str) -> QWidget:
        """A panel by its name in `docks.PANELS`."""
        return next(dock.panel for dock in self.docks if dock.kind.name == name)

    def _build_menus(self) -> None:
        # On the window itself too: keys of a menu bar that is hidden would be lost.
        self.addActions(
            [self.commands[command.name] for command in commands.COMMANDS if command.scope == "window"]
        )
        made = menus.fill(self.menu_bar, self.commands, [*self.docks])
        recent = made["&File"].addMenu("Open &recent")
        recent.aboutToShow.connect(
            lambda: menus.recent(recent, self.settings.names("photos"), self.open_path)
        )
        made["&File"].insertMenu(self.commands["paste"], recent)
        self.samples = QMenu("S&amples", made["&File"])
        menus.scenes(self.samples, samples(), partial(opening.scene, self))
        made["&File"].insertMenu(self.commands["paste"], self.samples)
        made["&File"].insertSeparator(self.commands["quit"])
        # Kept: a group whose Python owner is gone is deleted, and its entries with it.
        self.framings = menus.choice(made["&View"], "F&raming", _FRAMINGS, "crop", self._frame)
        chosen = self.settings.text("theme", "system")
        self.themes = menus.choice(made["&View"], "&Theme", _THEMES, chosen, self._dress)
        made["&View"].insertSeparator(self.commands["fit"])

    def _handlers(self) -> dict[str, Callable[[], object]]:
        session = self.session
        handlers: dict[str, Callable[[], object]] = {
            f"method_{method.name}": partial(self._choose_method, method.name) for method in METHODS
        }
        return handlers | {
            "open": partial(opening.ask, self),
            "open_folder": partial(opening.ask_folder, self),
            "next_photo": lambda: self.stage.walk(1),
            "previous_photo": lambda: self.stage.walk(-1),
            "paste": partial(opening.paste, self),
            "copy": self._copy,
            "save": partial(save_png.save, self),
            "close_photo": self._close_photo,
            "quit": self.close,
            "choose_model": self._choose_model,
            "open_weights": partial(opening.ask_weights, self),
            "cancel": lambda: self.stage.cancel(),
            "compare_photo": lambda: self.stage.with_photo(),
            "compare_model": lambda: self.stage.with_model(),
            "compare_end": lambda: self.stage.end(),
            "choose_target": self._choose_target,
            "undo": session.undo,
            "redo": session.redo,
            "direction": lambda: session.change(direction="by" if session.view.direction == "to" else "to"),
            "play": self._play,
            "free": self._free,
            "up": partial(self._move, -1, 0),
            "down": partial(self._move, 1, 0),
            "left": partial(self._move, 0, -1),
            "right": partial(self._move, 0, 1),
            "next_layer": partial(self._step, moved_layer, 1),
            "previous_layer": partial(self._step, moved_layer, -1),
            "next_head": partial(self._step, moved_head, 1),
            "previous_head": partial(self._step, moved_head, -1),
            "grid": lambda: session.change(grid=not session.view.grid),
            "smooth": lambda: session.change(smooth=not session.view.smooth),
            "fainter": lambda: session.change(opacity=max(0.0, round(session.view.opacity - 0.1, 2))),
            "stronger": lambda: session.change(opacity=min(1.0, round(session.view.opacity + 0.1, 2))),
            "fit": lambda: self.stage.canvas.fit(),
            "zoom_in": lambda: self.stage.canvas.zoom(1.25),
            "zoom_out": lambda: self.stage.canvas.zoom(0.8),
            "present": self._present,
            "next_panel": partial(docks.go, self, 1),
            "previous_panel": partial(docks.go, self, -1),
            "float_panel": partial(docks.float_focused, self),
            "close_panel": partial(docks.close_focused, self),
            "reset_layout": self._reset_layout,
            "keys": self._show_keys,
        }

    def _welcome(self) -> None:
        if self.session.photo is None:
            welcome.fill_welcome(self, self.photo.welcome)

    # Commands.

    def open_path(self, path: Path) -> None:
        """Open a photo, the first photo of a folder, or a weights file by its ending."""
        opening.path(self, path)

    def _copy(self) -> None:
        dock = docks.focused(self)
        stage = self.stage if self.stage.comparison is not None else self.photo
        panel = stage if dock is None else dock.panel
        self.toast.hide()  # it lies over the photo
        QGuiApplication.clipboard().setPixmap(docks.picture_of(panel))
        self.toast.say(f"Copied the picture of {'the photo' if dock is None else dock.kind.title}")

    def _play(self) -> None:
        docks.reveal(self, "layers")
        self.session.play_asked.emit()

    def _close_photo(self) -> None:
        second = self.stage.session is not self.session
        self.stage.end()
        if not second:
            self.session.close_photo()

    def _choose_target(self) -> None:
        panel = docks.reveal(self, "predictions")
        if panel is not None:
            search = next(iter(panel.findChildren(QLineEdit)), panel)
            search.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _choose_method(self, name: str) -> None:
        self.session.change(method=name)
        self._allow()  # A checkable action has changed its mark by itself.

    def _free(self) -> None:
        if self.presentation.on:
            self._present()
        else:
            self.session.free()

    def _present(self) -> None:
        self.presentation.toggle()
        self._allow()

    def _choose_model(self) -> None:
        into = self.stage.into
        self.chooser = ModelChooser(self.stage.session, self)
        self.chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.chooser.chosen.connect(lambda name: into(model=name))
        self.chooser.wants_file.connect(partial(opening.ask_weights, self))
        self.chooser.open()

    def _show_keys(self) -> None:
        self.keys = KeysSheet(commands.sheet(), self)
        self.keys.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.keys.open()

    def _frame(self, key: str) -> None:
        self.session.open(framing=key)  # type: ignore[arg-type]

    def _dress(self, key: str) -> None:
        self.settings.put("theme", key)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            theme.apply(app, key)

    def follow_system(self) -> None:
        """The system changed its colour scheme."""
        if self.settings.text("theme", "system") == "system":
            self._dress("system")

    def _move(self, rows: int, columns: int) -> None:
        shape = self.session.shape
        if shape is not None:
            self.session.show_view(moved_query(self.session.view, self.session.hover, shape, rows, columns))

    def _step(self, moved: Callable[..., ViewState], by: int) -> None:
        shape = self.session.shape
        if shape is not None:
            self.session.show_view(moved(self.session.view, shape, by))

    # What is kept, told and allowed.

    def _reset_layout(self) -> None:
        docks.arrange(self, self.docks)

    def _restore(self) -> None:
        if not self.restoreGeometry(self.settings.data("geometry")):
            # The screen may be no larger, and the title bar needs some of it.
            room = self.screen().availableSize() - QSize(0, 48)
            self.resize(QSize(1440, 900).boundedTo(room))
            self._reset_layout()
        self.restoreState(self.settings.data("layout"), _LAYOUT)

    def _remember_model(self) -> None:
        source = self.session.model_source
        # Bundled models know shapes and nothing else: they are not what to look at the next photo with.
        if source and source not in MODELS:
            # A file is remembered by where it is, whatever folder the next start happens in.
            self.settings.put("model", str(Path(source).absolute()) if Path(source).exists() else source)

    def remember_photo(self, path: Path) -> None:
        """Put a photo among the recent ones."""
        if not is_bundled(path):
            self.settings.remember("photos", str(path.absolute()))
            self.settings.put("folder", str(path.absolute().parent))

    def _name(self) -> None:
        photo = self.session.photo
        self.setWindowTitle("vitviz" if photo is None else f"{photo.name} · vitviz")

    def tell(self, told: Failure) -> None:
        """Tell a problem in the window."""
        self.notice.tell(told.message, told.details, told.report)

    def _allow(self) -> None:
        session, known = self.session, self.session.methods()
        traced, active = session.trace is not None, self.stage.session
        allowed = {
            "save": session.heatmap is not None,
            "cancel": self.stage.working,
            "close_photo": session.photo is not None,
            "compare_photo": session.photo is not None,
            "compare_model": session.photo is not None,
            "compare_end": self.stage.comparison is not None,
            "next_photo": active.photo is not None and active.photo.path is not None,
            "previous_photo": active.photo is not None and active.photo.path is not None,
            "direction": traced and reversible(session.view.method),
            "free": traced or self.presentation.on,
            "choose_target": traced,
            "undo": traced and session.history.can_undo,
            "redo": traced and session.history.can_redo,
        } | dict.fromkeys(("next_layer", "previous_layer", "next_head", "previous_head", "play"), traced)
        for name, possible in allowed.items():
            self.commands[name].setEnabled(possible)
        for method in METHODS:
            action = self.commands[f"method_{method.name}"]
            action.setEnabled(method.name in known and known[method.name] is None)
            action.setChecked(method.name == session.view.method)
        self.commands["present"].setChecked(self.presentation.on)
        menus.check(self.framings, session.framing)

    def _follow(self, _: ViewState, now: ViewState) -> None:
        self.commands["grid"].setChecked(now.grid)
        self.commands["smooth"].setChecked(now.smooth)
        self._allow()

    # Events.

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Tell once when the window is on the screen; then look at no event any more."""
        if event.type() == QEvent.Type.UpdateRequest and self.isVisible():
            self.removeEventFilter(self)
            QTimer.singleShot(0, self.first_painted.emit)
        return False

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Take files and pictures."""
        if mime.takes(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Open what was dropped beside the photos, on the active side."""
        event.acceptProposedAction()
        opening.receive(self, event.mimeData())

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Remember the window and end all work."""
        self.presentation.leave()
        view = self.session.view
        self.settings.put("geometry", self.saveGeometry())
        self.settings.put("layout", self.saveState(_LAYOUT))
        for key in REMEMBERED:
            self.settings.put(key, getattr(view, key))
        self.settings.put_choices("panels", view.panels)
        self.settings.save()
        self.hide()
        self.stage.end()
        for dock in self.docks:
            dock.end()
        self.session.close()
        super().closeEvent(event)
