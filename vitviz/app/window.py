"""The main window: builds the panels, docks them, and connects commands to the session."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QGuiApplication
from PySide6.QtWidgets import QApplication, QDockWidget, QMainWindow, QMenu, QMenuBar, QVBoxLayout, QWidget

from vitviz.app import actions, drawing, incoming, menus, theme
from vitviz.app.chooser import ModelChooser
from vitviz.app.errors import Failure
from vitviz.app.panels.heads import HeadsPanel
from vitviz.app.panels.photo import PhotoPanel
from vitviz.app.panels.predictions import PredictionsPanel
from vitviz.app.panels.status import StatusPanel
from vitviz.app.panels.tools import ToolsPanel
from vitviz.app.samples import MODELS, is_bundled, models, samples
from vitviz.app.session import Session
from vitviz.app.settings import Settings
from vitviz.app.state import ViewState, moved_head, moved_layer, moved_query, reversible
from vitviz.app.widgets.keys import KeysSheet
from vitviz.app.widgets.notice import Notice
from vitviz.app.widgets.titlebar import TitleBar

_FRAMINGS = {
    "crop": "As the model was trained (crop)",
    "squash": "Whole photo, squashed",
    "fit": "Whole photo, aspect kept",
}
_THEMES = {"system": "As the system", "light": "Light", "dark": "Dark"}
_LAYOUT = 1  # raise when docks change, so that an old layout is not applied to new ones
_RIGHT = Qt.DockWidgetArea.RightDockWidgetArea


class Window(QMainWindow):
    """One window on one session."""

    first_painted = Signal()

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__()
        self.session = session
        self.settings = settings
        self.chooser: ModelChooser | None = None
        self.keys: KeysSheet | None = None
        self.setWindowTitle("vitviz")
        self.setAcceptDrops(True)
        self.setDockNestingEnabled(True)
        self.commands = actions.build(self, self._handlers())
        stage = [self.commands[command.name] for command in actions.COMMANDS if command.scope == "stage"]
        self.menu_bar = QMenuBar()
        self.notice = Notice()
        self.tools = ToolsPanel(session, self.commands)
        self.photo = PhotoPanel(session, self.commands)
        self.status = StatusPanel(session)
        self.heads = HeadsPanel(session, stage)
        self.predictions = PredictionsPanel(session)
        self._build()
        self.docks = [
            self._dock("heads", "Heads", self.heads),
            self._dock("predictions", "Predictions", self.predictions),
        ]
        self._build_menus()
        self._reset_layout()
        self._restore()
        session.failed.connect(self.tell)
        session.trace_changed.connect(self.notice.clear)
        session.model_changed.connect(self._remember_model)
        session.photo_opened.connect(self._remember_photo)
        session.photo_changed.connect(self._name)
        for changed in (session.busy_changed, session.trace_changed, session.heatmap_changed):
            changed.connect(self._allow)
        session.view_changed.connect(self._follow)
        self._follow(session.view, session.view)
        if settings.told:
            self.notice.tell(settings.told)
        self.photo.canvas.setFocus()
        self.installEventFilter(self)

    # Building.

    def _build(self) -> None:
        center = QWidget()
        column = QVBoxLayout(center)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.notice)
        column.addWidget(self.photo, 1)
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

    def _dock(self, name: str, title: str, panel: QWidget) -> QDockWidget:
        dock = QDockWidget(title, self)
        dock.setObjectName(name)
        dock.setWidget(panel)
        dock.setTitleBarWidget(TitleBar(dock))
        return dock

    def _build_menus(self) -> None:
        made = menus.fill(self.menu_bar, self.commands, self.docks)
        recent = made["&File"].addMenu("Open &recent")
        recent.aboutToShow.connect(
            lambda: menus.recent(recent, self.settings.names("photos"), self.open_path)
        )
        made["&File"].insertMenu(self.commands["paste"], recent)
        self.samples = QMenu("&Samples", made["&File"])
        menus.scenes(self.samples, samples(), self._open_sample)
        made["&File"].insertMenu(self.commands["paste"], self.samples)
        made["&File"].insertSeparator(self.commands["quit"])
        # Kept: a group whose Python owner is gone is deleted, and its entries with it.
        self.framings = menus.choice(made["&View"], "F&raming", _FRAMINGS, "crop", self._frame)
        chosen = self.settings.text("theme", "system")
        self.themes = menus.choice(made["&View"], "&Theme", _THEMES, chosen, self._dress)
        made["&View"].insertSeparator(self.commands["fit"])

    def _handlers(self) -> dict[str, Callable[[], object]]:
        session = self.session
        return {
            "open": self._open,
            "paste": self._paste,
            "save": self._save,
            "quit": self.close,
            "choose_model": self._choose_model,
            "open_weights": self._open_weights,
            "cancel": session.cancel,
            "direction": lambda: session.change(direction="by" if session.view.direction == "to" else "to"),
            "free": session.free,
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
            "fit": lambda: self.photo.canvas.fit(),
            "zoom_in": lambda: self.photo.canvas.zoom(1.25),
            "zoom_out": lambda: self.photo.canvas.zoom(0.8),
            "reset_layout": self._reset_layout,
            "keys": self._show_keys,
        }

    # Commands.

    def open_path(self, path: Path) -> None:
        """Open a photo, or a weights file by its ending."""
        if path.suffix.lower() in incoming.WEIGHTS:
            self.session.open(model=str(path))
        else:
            self.session.open(photo=path)

    def _open(self) -> None:
        last = self.settings.names("photos")
        path = incoming.ask_photo(self, str(Path(last[0]).parent) if last else "")
        if path is not None:
            self.session.open(photo=path)

    def _open_sample(self, path: Path) -> None:
        known = models()
        self.session.open(photo=path, model=known[0] if known and self.session.model is None else None)

    def _open_weights(self) -> None:
        path = incoming.ask_weights(self, self.settings.text("weights_folder"))
        if path is not None:
            self.settings.put("weights_folder", str(path.parent))
            self.session.open(model=str(path))

    def _paste(self) -> None:
        data = QGuiApplication.clipboard().mimeData()
        if data is None or not incoming.takes(data):
            self.notice.tell("The clipboard holds no picture; copy one, or a picture file, and paste again.")
            return
        self._receive(incoming.local_file(data) or incoming.picture(data))

    def _receive(self, what: object) -> None:
        if isinstance(what, Path):
            self.open_path(what)
        elif what is not None:
            self.session.open(photo=what)  # type: ignore[arg-type]

    def _save(self) -> None:
        heat, view, photo = self.session.heatmap, self.session.view, self.session.photo
        if heat is None or photo is None:
            return
        folder = self.settings.text("save_folder") or (
            str(photo.path.parent) if photo.path is not None and not is_bundled(photo.path) else ""
        )
        stem = photo.path.stem if photo.path else photo.name
        path = incoming.ask_target(self, Path(folder) / f"{stem}-{heat.method}.png")
        if path is None:
            return
        self.settings.put("save_folder", str(path.parent))
        style = {**drawing.style(view, heat.values), "grid": view.grid}
        self.session.save(lambda: heat.save(path, **style), lambda: self._say_saved(path))

    def _say_saved(self, path: Path) -> None:
        self.statusBar().showMessage(f"Saved {path.name} in {path.parent}", 5000)

    def _choose_model(self) -> None:
        self.chooser = ModelChooser(self.session, self)
        self.chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.chooser.chosen.connect(lambda name: self.session.open(model=name))
        self.chooser.wants_file.connect(self._open_weights)
        self.chooser.open()

    def _show_keys(self) -> None:
        self.keys = KeysSheet(actions.sheet(), self)
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
        for dock in self.docks:
            dock.setFloating(False)
            self.addDockWidget(_RIGHT, dock)
            dock.show()
        width = max(400, self.width() * 36 // 100)
        self.resizeDocks(self.docks, [width] * len(self.docks), Qt.Orientation.Horizontal)
        self.resizeDocks(self.docks, [560, 300], Qt.Orientation.Vertical)

    def _restore(self) -> None:
        if not self.restoreGeometry(self.settings.data("geometry")):
            self.resize(1440, 900)
            self._reset_layout()
        self.restoreState(self.settings.data("layout"), _LAYOUT)

    def _remember_model(self) -> None:
        source = self.session.model_source
        # Bundled models know shapes and nothing else: they are not what to look at the next photo with.
        if source and source not in MODELS:
            # A file is remembered by where it is, whatever folder the next start happens in.
            self.settings.put("model", str(Path(source).absolute()) if Path(source).exists() else source)

    def _remember_photo(self, path: Path) -> None:
        if not is_bundled(path):
            self.settings.remember("photos", str(path.absolute()))

    def _name(self) -> None:
        photo = self.session.photo
        self.setWindowTitle("vitviz" if photo is None else f"{photo.name} · vitviz")

    def tell(self, told: Failure) -> None:
        """Tell a problem in the window."""
        self.notice.tell(told.message, told.details, told.report)

    def _allow(self) -> None:
        session = self.session
        self.commands["save"].setEnabled(session.heatmap is not None)
        self.commands["cancel"].setEnabled(session.busy is not None)
        menus.check(self.framings, session.framing)
        self.commands["direction"].setEnabled(session.trace is not None and reversible(session.view.method))
        for name in ("free", "next_layer", "previous_layer", "next_head", "previous_head"):
            self.commands[name].setEnabled(session.trace is not None)

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
        if incoming.takes(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Open what was dropped."""
        event.acceptProposedAction()
        data = event.mimeData()
        self._receive(incoming.local_file(data) or incoming.picture(data))

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Remember the window and end all work."""
        view = self.session.view
        self.settings.put("geometry", self.saveGeometry())
        self.settings.put("layout", self.saveState(_LAYOUT))
        for key in ("colormap", "style", "opacity", "smooth", "grid"):
            self.settings.put(key, getattr(view, key))
        self.settings.save()
        self.hide()
        self.session.close()
        super().closeEvent(event)
