"""The main window: builds the stage, the docks and the bars, and connects them to the session."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QMainWindow, QMenu, QMenuBar, QTabWidget, QVBoxLayout, QWidget

from vitviz.app import commands
from vitviz.app.dialogs.model_browser import ModelBrowser
from vitviz.app.dialogs.model_settings import FRAMINGS, ModelSettingsDialog
from vitviz.app.session.session import Session
from vitviz.app.settings import REMEMBERED, Settings
from vitviz.app.sources import mime
from vitviz.app.sources.samples import MODELS, is_bundled, samples
from vitviz.app.stage.opening import Opener
from vitviz.app.stage.photo_view import PhotoView
from vitviz.app.stage.stage import Stage
from vitviz.app.ui import theme
from vitviz.app.widgets.messages.first_start import FirstStart
from vitviz.app.widgets.messages.notice import Notice
from vitviz.app.widgets.messages.shortcuts_sheet import ShortcutsSheet
from vitviz.app.widgets.messages.toast import Toast
from vitviz.app.window import last_session, menus, panel_keys, save_png
from vitviz.app.window.command_handlers import THUMBNAILS, CommandHandlers
from vitviz.app.window.docks import Docks
from vitviz.app.window.enablement import Enablement
from vitviz.app.window.jobs_bar import JobsBar
from vitviz.app.window.notices import Notices
from vitviz.app.window.panel_actions import PanelActions
from vitviz.app.window.presentation import Presentation
from vitviz.app.window.status_bar import StatusBar
from vitviz.app.window.tool_bar import ToolBar
from vitviz.app.window.welcome import WelcomeController
from vitviz.app.work.failure import Failure

_THEMES = {"system": "System", "light": "Light", "dark": "Dark"}
_LAYOUT = 2  # version of the stored layout; increase it when docks change


class Window(QMainWindow):
    """The main window, which shows one session."""

    first_painted = Signal()
    closed = Signal()

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
        self.notices = Notices(self.notice, session)
        self.opener = Opener(self, settings, self.notices.show_sentence)
        self.tools = ToolBar(session, self.commands)
        self.photo = PhotoView(session, self.commands)
        self.stage = Stage(session, self.photo, self.commands, self.opener)
        self.status = StatusBar(session)
        self.jobs = JobsBar(session.jobs)
        self.toast = Toast(self.photo.canvas)
        self._build()
        self.docks = Docks(self, session, commands.of_stage(self.commands), lambda: self.stage.canvas)
        self.presentation = Presentation(self, self.docks, self.stage, self.status)
        self._top.addWidget(self.presentation.line)
        self.welcome = WelcomeController(
            self, session, settings, self._open_scene, self.commands["open"], self._center
        )
        self.panel_actions = PanelActions(self, settings, self.stage, self.docks, self.toast)
        self.handlers = CommandHandlers(
            self,
            settings,
            self.stage,
            self.docks,
            self.presentation,
            self.opener,
            self.panel_actions,
        )
        self.handlers.connect(self.commands)
        self._build_menus()
        self.commands["restore"].setChecked(settings.flag(last_session.RESTORES, True))
        self.commands["thumbnails"].setChecked(settings.flag(THUMBNAILS, True))
        self.stage.strip.switch(settings.flag(THUMBNAILS, True))
        self.docks.reset_layout()
        self._restore()
        self.enablement = Enablement(self.stage, self.presentation, self.commands, self._check_framing)
        self._connect()
        if settings.message:
            self.notice.show_message(settings.message, lasting=True)
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
        # Not a QToolBar: Fusion draws bright lines around it, and the user could close it by accident.
        top = QWidget()
        self._top = QVBoxLayout(top)
        self._top.setContentsMargins(0, 0, 0, 0)
        self._top.setSpacing(0)
        self._top.addWidget(self.menu_bar)
        self._top.addWidget(self.tools)
        self.setMenuWidget(top)
        self.statusBar().setSizeGripEnabled(False)
        self.statusBar().addPermanentWidget(self.status, 1)
        self.statusBar().addPermanentWidget(self.jobs)

    def _build_menus(self) -> None:
        # Added to the window too: shortcuts of actions in a hidden menu bar do not work.
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
        self.saved_parts = menus.switches(
            made["&File"],
            "Saved pictures &include",
            save_png.PARTS,
            save_png.included(self.settings),
            partial(save_png.include, self.settings),
        )
        made["&File"].insertMenu(self.commands["close_photo"], self.saved_parts)
        self.tools.set_save_menu(self.saved_parts)
        # Stored, because a QActionGroup without a Python reference is deleted together with its actions.
        self.framings = menus.choice(made["&View"], "F&raming", FRAMINGS, "crop", self._set_framing)
        chosen = self.settings.text("theme", "system")
        self.themes = menus.choice(made["&View"], "&Theme", _THEMES, chosen, self._set_theme)
        made["&View"].insertSeparator(self.commands["fit"])
        go_to = QMenu("&Go to", made["&Panels"])
        go_to.setToolTipsVisible(True)
        go_to.addActions(panel_keys.build(self, self.docks, self.presentation))
        made["&Panels"].insertMenu(self.commands["next_panel"], go_to)
        self.addActions(go_to.actions())

    def _connect(self) -> None:
        session, stage = self.session, self.stage
        session.message.connect(self.toast.show_message)
        session.models_asked.connect(self.handlers.choose_model)
        session.model_changed.connect(self._remember_model)
        session.photo_opened.connect(self.remember_photo)
        session.photo_changed.connect(self._update_title)
        session.photo_changed.connect(self._fill_welcome)
        stage.message.connect(self.toast.show_message)
        stage.photo_opened.connect(self.remember_photo)
        stage.changed.connect(self._follow_side)
        stage.strip.closed.connect(self.commands["thumbnails"].trigger)
        self.presentation.entered.connect(self.welcome.close)
        # Later, when the command line's photo is already requested: with a photo the welcome screen is not needed.
        self.first_painted.connect(lambda: QTimer.singleShot(0, self, self._fill_welcome))
        self.first_painted.connect(lambda: QTimer.singleShot(0, self, self.docks.build_deferred))

    # Panels and dialogs.

    def panel(self, name: str) -> QWidget:
        """A panel by its name in `catalog.PANELS`. Raises KeyError for an unknown name."""
        return self.docks.dock(name).panel

    @property
    def chooser(self) -> ModelBrowser | None:
        """The model dialog that was opened last."""
        return self.handlers.chooser

    @property
    def model_settings(self) -> ModelSettingsDialog | None:
        """The dialog of model settings that was opened last."""
        return self.handlers.settings_dialog

    @property
    def shortcuts(self) -> ShortcutsSheet | None:
        """The list of shortcuts that was opened last."""
        return self.handlers.shortcuts

    @property
    def first_start(self) -> FirstStart | None:
        """What is shown below the scene at a first start; None once it is closed."""
        return self.welcome.first_start

    # Opening.

    def open_path(self, path: Path) -> None:
        """Open a photo, the first photo of a folder, or a weights file (recognised by its suffix) on the current side."""
        self.opener.open_path(path, self.stage.open_on_side)

    def _open_scene(self, path: Path) -> None:
        self.opener.open_scene(path, self.stage.open_on_side, has_model=self.session.model is not None)

    def _fill_welcome(self) -> None:
        self.welcome.fill(self.photo.welcome)

    # View.

    def _set_framing(self, key: str) -> None:
        memory, source = self.session.memory, self.session.model_source
        if source:
            memory.remember(source, replace(memory.of(source), framing=key))
        self.session.open(framing=key)  # type: ignore[arg-type]

    def _check_framing(self) -> None:
        menus.check(self.framings, self.session.framing)

    def _set_theme(self, key: str) -> None:
        self.settings.put("theme", key)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            theme.apply(app, key)

    def follow_system(self) -> None:
        """Apply a new colour scheme of the system, unless the user has chosen a theme."""
        if self.settings.text("theme", "system") == "system":
            self._set_theme("system")

    # Settings and messages.

    def _restore(self) -> None:
        if not self.restoreGeometry(self.settings.data("geometry")):
            # 48 pixels for the title bar.
            available = self.screen().availableSize() - QSize(0, 48)
            self.resize(QSize(1440, 900).boundedTo(available))
            self.docks.reset_layout()
        self.restoreState(self.settings.data("layout"), _LAYOUT)

    def _remember_model(self) -> None:
        source = self.session.model_source
        self.session.memory.add_recent(str(Path(source).absolute()) if Path(source).is_file() else source)
        # Bundled models are not remembered: they recognise shapes only, which is of no use for the user's photos.
        if source and source not in MODELS:
            # The absolute path, because the next start may be in another folder.
            self.settings.put("model", str(Path(source).absolute()) if Path(source).exists() else source)

    def remember_photo(self, path: Path) -> None:
        """Add a photo to the recent ones, unless it is a bundled scene."""
        if not is_bundled(path):
            self.settings.remember("photos", str(path.absolute()))
            self.settings.put("folder", str(path.absolute().parent))

    def _follow_side(self) -> None:
        """Show the current side in panels, tool bar, status line and title."""
        current, sessions = self.stage.session, self.stage.sessions
        self.notices.watch(sessions)
        self.tools.set_session(current)
        self.status.set_session(current)
        self.docks.follow(current, sessions)
        self.presentation.follow_side()
        self.jobs.set_queues([session.jobs for session in sessions])
        self._update_title()

    def _update_title(self) -> None:
        photo = self.stage.session.photo
        self.setWindowTitle("vitviz" if photo is None else f"{photo.name} · vitviz")

    def show_failure(self, failure: Failure) -> None:
        """Show an error in the window."""
        self.notices.show_failure(failure)

    # Events.

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Emit `first_painted` when the window is painted for the first time, then remove the filter."""
        if event.type() == QEvent.Type.UpdateRequest and self.isVisible():
            self.removeEventFilter(self)
            QTimer.singleShot(0, self, self.first_painted.emit)
        return False

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Accept files and images."""
        if mime.accepts(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Open data that was dropped beside the photos on the current side."""
        event.acceptProposedAction()
        self.opener.open_mime(event.mimeData(), self.stage.open_on_side)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Store the layout and the settings, and stop all work."""
        self.presentation.leave()
        view = self.session.view
        last_session.store(self.settings, last_session.of_session(self.session))
        self.settings.put("geometry", self.saveGeometry())
        self.settings.put("layout", self.saveState(_LAYOUT))
        for key in REMEMBERED:
            self.settings.put(key, getattr(view, key))
        self.settings.put_choices("panels", view.panels)
        self.settings.save()
        self.hide()
        self.stage.end_work()
        self.docks.end()
        self.session.close()
        super().closeEvent(event)
        self.closed.emit()
