"""The main window: builds the stage, the docks and the bars, and connects them to the session."""

from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QMainWindow, QMenu, QMenuBar, QTabWidget, QVBoxLayout, QWidget

from vitviz.app import commands
from vitviz.app.dialogs.model_chooser import ModelChooser
from vitviz.app.session.session import Session
from vitviz.app.settings import REMEMBERED, Settings
from vitviz.app.sources import mime
from vitviz.app.sources.samples import MODELS, is_bundled, samples
from vitviz.app.stage.opening import Opener
from vitviz.app.stage.photo_view import PhotoView
from vitviz.app.stage.stage import Stage
from vitviz.app.ui import theme
from vitviz.app.widgets.messages.first_start import Greeting
from vitviz.app.widgets.messages.notice import Notice
from vitviz.app.widgets.messages.shortcuts_sheet import KeysSheet
from vitviz.app.widgets.messages.toast import Toast
from vitviz.app.window import menus
from vitviz.app.window.command_handlers import CommandHandlers
from vitviz.app.window.docks import Docks
from vitviz.app.window.enablement import Enablement
from vitviz.app.window.jobs_bar import JobsBar
from vitviz.app.window.presentation import Presentation
from vitviz.app.window.status_bar import StatusPanel
from vitviz.app.window.tool_bar import ToolsPanel
from vitviz.app.window.welcome import FirstStart
from vitviz.app.work.failure import Failure

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
        self.setWindowTitle("vitviz")
        self.setAcceptDrops(True)
        self.setDockNestingEnabled(True)
        self.setTabPosition(Qt.DockWidgetArea.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        self.commands = commands.build(self)
        self.menu_bar = QMenuBar()
        self.notice = Notice()
        self.opener = Opener(self, settings, self.notice.tell)
        self.tools = ToolsPanel(session, self.commands)
        self.photo = PhotoView(session, self.commands)
        self.stage = Stage(session, self.photo, self.commands, self.opener)
        self.status = StatusPanel(session)
        self.jobs = JobsBar(session.jobs)
        self.toast = Toast(self.photo.canvas)
        self._build()
        self.docks = Docks(self, session, commands.of_stage(self.commands), self.photo.canvas)
        self.presentation = Presentation(self, self.docks, self.stage, self.status)
        self.first_start = FirstStart(
            self, session, settings, self._open_scene, self.commands["open"], self._center
        )
        self.handlers = CommandHandlers(
            self,
            session,
            settings,
            self.photo,
            self.stage,
            self.docks,
            self.presentation,
            self.opener,
            self.toast,
        )
        self.handlers.connect(self.commands)
        self._build_menus()
        self.docks.arrange()
        self._restore()
        self.enablement = Enablement(
            session, self.stage, self.presentation, self.commands, self._check_framing
        )
        self._connect()
        if settings.told:
            self.notice.tell(settings.told, lasting=True)
        self.photo.canvas.setFocus()
        self.installEventFilter(self)

    # Building.

    def _build(self) -> None:
        center = QWidget()
        self._center = QVBoxLayout(center)
        self._center.setContentsMargins(0, 0, 0, 0)
        self._center.setSpacing(0)
        self._center.addWidget(self.notice)
        self._center.addWidget(self.stage, 1)
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
        self.statusBar().addPermanentWidget(self.jobs)

    def _build_menus(self) -> None:
        # On the window itself too: keys of a menu bar that is hidden would be lost.
        self.addActions(
            [self.commands[command.name] for command in commands.commands() if command.scope == "window"]
        )
        made = menus.fill(self.menu_bar, self.commands, self.docks)
        recent = made["&File"].addMenu("Open &recent")
        recent.aboutToShow.connect(
            lambda: menus.recent(recent, self.settings.names("photos"), self.open_path)
        )
        made["&File"].insertMenu(self.commands["paste"], recent)
        self.samples = QMenu("S&amples", made["&File"])
        menus.scenes(self.samples, samples(), self._open_scene)
        made["&File"].insertMenu(self.commands["paste"], self.samples)
        made["&File"].insertSeparator(self.commands["quit"])
        # Kept: a group whose Python owner is gone is deleted, and its entries with it.
        self.framings = menus.choice(made["&View"], "F&raming", _FRAMINGS, "crop", self._frame)
        chosen = self.settings.text("theme", "system")
        self.themes = menus.choice(made["&View"], "&Theme", _THEMES, chosen, self._dress)
        made["&View"].insertSeparator(self.commands["fit"])

    def _connect(self) -> None:
        session, stage = self.session, self.stage
        session.failed.connect(self.tell)
        session.noted.connect(self.toast.say)
        session.trace_changed.connect(self.notice.answer)
        session.model_changed.connect(self._remember_model)
        session.photo_opened.connect(self.remember_photo)
        session.photo_changed.connect(self._name)
        session.photo_changed.connect(self._welcome)
        stage.failed.connect(self.tell)
        stage.noted.connect(self.toast.say)
        stage.photo_opened.connect(self.remember_photo)
        stage.changed.connect(lambda: self.tools.choose_for(stage.session))
        self.presentation.entered.connect(self.first_start.close)
        # Once what the command line names is asked for: mostly there is a photo, and then no welcome.
        self.first_painted.connect(lambda: QTimer.singleShot(0, self, self._welcome))
        self.first_painted.connect(lambda: QTimer.singleShot(0, self, self.docks.wake))

    # What the window has.

    def panel(self, name: str) -> QWidget:
        """A panel by its name in `catalog.PANELS`. Raises KeyError where there is none."""
        return self.docks.dock(name).panel

    @property
    def chooser(self) -> ModelChooser | None:
        """The dialog for models that was opened last."""
        return self.handlers.chooser

    @property
    def keys(self) -> KeysSheet | None:
        """The sheet of keys that was opened last."""
        return self.handlers.keys

    @property
    def greeting(self) -> Greeting | None:
        """What a first start shows below the scene, until it is closed."""
        return self.first_start.greeting

    # Opening.

    def open_path(self, path: Path) -> None:
        """Open a photo, the first photo of a folder, or a weights file by its ending, on the active side."""
        self.opener.path(path, self.stage.into)

    def _open_scene(self, path: Path) -> None:
        self.opener.scene(path, self.stage.into, has_model=self.session.model is not None)

    def _welcome(self) -> None:
        self.first_start.fill(self.photo.welcome)

    # View.

    def _frame(self, key: str) -> None:
        self.session.open(framing=key)  # type: ignore[arg-type]

    def _check_framing(self) -> None:
        menus.check(self.framings, self.session.framing)

    def _dress(self, key: str) -> None:
        self.settings.put("theme", key)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            theme.apply(app, key)

    def follow_system(self) -> None:
        """The system changed its colour scheme."""
        if self.settings.text("theme", "system") == "system":
            self._dress("system")

    # What is kept and told.

    def _restore(self) -> None:
        if not self.restoreGeometry(self.settings.data("geometry")):
            # The screen may be no larger, and the title bar needs some of it.
            room = self.screen().availableSize() - QSize(0, 48)
            self.resize(QSize(1440, 900).boundedTo(room))
            self.docks.arrange()
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

    # Events.

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Tell once when the window is on the screen; then look at no event any more."""
        if event.type() == QEvent.Type.UpdateRequest and self.isVisible():
            self.removeEventFilter(self)
            QTimer.singleShot(0, self, self.first_painted.emit)
        return False

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Take files and pictures."""
        if mime.takes(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Open what was dropped beside the photos, on the active side."""
        event.acceptProposedAction()
        self.opener.receive(event.mimeData(), self.stage.into)

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
        self.docks.end()
        self.session.close()
        super().closeEvent(event)
