"""What can be done with the photo or a panel as a whole: copy, save, export its numbers; and the menu that offers it."""

from pathlib import Path

from PySide6.QtCore import QPoint
from PySide6.QtGui import QGuiApplication, QPixmap
from PySide6.QtWidgets import QApplication, QMainWindow, QMenu, QWidget

from vitviz.app.dialogs import files
from vitviz.app.panels.base import Panel
from vitviz.app.panels.catalog import Pictured, Saving
from vitviz.app.session import describe
from vitviz.app.session.facts import Shown
from vitviz.app.session.numbers import numbers_of, words_of, write_csv, write_npz
from vitviz.app.session.session import Session
from vitviz.app.settings import Settings
from vitviz.app.stage.stage import Stage
from vitviz.app.widgets.messages.toast import Toast
from vitviz.app.window import save_png
from vitviz.app.window.docks import Docks, PanelDock
from vitviz.explain.registry import find

Place = PanelDock | None
"""A panel; None for the photo, or during a comparison both photos."""


class PanelActions:
    """Copies, saves and exports a panel or the photo, and opens the menu of it."""

    def __init__(
        self,
        window: QMainWindow,
        settings: Settings,
        stage: Stage,
        docks: Docks,
        toast: Toast,
    ) -> None:
        self._window = window
        self._settings = settings
        self._stage = stage
        self._docks = docks
        self._toast = toast
        self.menu: QMenu | None = None
        """The menu that was opened last."""
        stage.menu_asked.connect(lambda at: self.open_menu(None, at))
        for dock in docks:
            dock.menu_asked.connect(lambda at, dock=dock: self.open_menu(dock, at))

    def copy(self, dock: Place) -> None:
        """Copy as a picture."""
        self._toast.hide()  # it lies over the photo
        QGuiApplication.clipboard().setPixmap(picture_of(self._stage if dock is None else dock.panel))
        self._toast.show_message(f"Copied {_name(dock)} as a picture")

    def save(self, dock: Place) -> None:
        """Save as PNG: the map on its photo as it is composed for files, or a panel's picture."""
        session = self._stage.session
        if dock is None:
            comparison = self._stage.comparison
            save_png.save(self._window, session, comparison, self._settings, self._toast.show_message)
        elif isinstance(dock.panel, Saving):
            dock.panel.save()
        else:
            path = files.ask_target(self._window, self._proposed(session, dock, ".png"))
            if path is not None:
                image, fields = picture_of(dock.panel).toImage(), _fields(self._shown(dock))
                self._write(path, session, lambda: save_png.save_image(image, path, fields))

    def export(self, dock: Place) -> None:
        """Write the numbers that are drawn as .npz or .csv."""
        session = self._stage.session
        path = files.ask_numbers(self._window, str(self._proposed(session, dock, ".npz")))
        if path is not None:
            numbers = numbers_of(self._shown(dock))
            write = write_csv if path.suffix.lower() == ".csv" else write_npz
            self._write(path, session, lambda: write(path, numbers))

    def open_focused_menu(self) -> None:
        """Open the menu of the panel that has the focus, or of the photo."""
        if QApplication.activePopupWidget() is not None:
            return  # Qt has opened it already, for the menu key
        dock = self._docks.focused()
        of: QWidget = self._stage.canvas if dock is None else dock
        self.open_menu(dock, of.mapToGlobal(QPoint(24, 24)))

    def open_menu(self, dock: Place, at: QPoint) -> None:
        """Open the menu of a panel or of the photo."""
        session = self._stage.session
        if self.menu is not None:
            self.menu.deleteLater()
        menu = self.menu = QMenu(_name(dock).capitalize(), self._window)
        drawn = self._shown(dock).facts is not None
        menu.addAction("&Copy picture", lambda: self.copy(dock)).setEnabled(session.photo is not None)
        menu.addAction("&Save picture…", lambda: self.save(dock)).setEnabled(
            session.heatmap is not None if dock is None else drawn
        )
        menu.addAction("&Export numbers…", lambda: self.export(dock)).setEnabled(drawn)
        menu.addSeparator()
        self._add_query(menu, session)
        if dock is not None:
            menu.addSeparator()
            menu.addAction("&Dock" if dock.isFloating() else "&Float", dock.toggle_floating)
            if dock.isFloating():
                menu.addAction("Ma&ximize or restore", dock.toggle_maximized)
            menu.addAction("C&lose panel", dock.close)
        menu.addSeparator()
        help_button = self._stage.current.photo.help if dock is None else dock.help
        menu.addAction("What the &terms mean", help_button.open)
        menu.popup(at)

    def _add_query(self, menu: QMenu, session: Session) -> None:
        """Pin what is the query now: with the open menu the pointer leaves the photo."""
        trace, query = session.trace, session.selection.query
        if session.view.pinned:
            menu.addAction("&Unpin the query", session.unpin)
            return
        name = describe.name_of(query) if query is not None else "the query"
        pin = menu.addAction(f"&Pin {name}", lambda: session.pin(query))
        pin.setEnabled(trace is not None and query is not None and find(session.view.method).takes("query"))

    def _shown(self, dock: Place) -> Shown:
        if dock is None:
            return self._stage.current.photo.shown()
        return dock.panel.shown() if isinstance(dock.panel, Panel) else Shown("", False)

    def _proposed(self, session: Session, dock: Place, suffix: str) -> Path:
        photo = session.photo
        stem = "photo" if photo is None else Path(photo.name).stem
        what = session.view.method if dock is None else dock.kind.name
        return Path(self._settings.text("save_folder")) / f"{stem}-{what}{suffix}"

    def _write(self, path: Path, session: Session, write: save_png.Write) -> None:
        self._settings.put("save_folder", str(path.parent))
        session.save(write, lambda: self._toast.show_message(f"Saved {path.name} in {path.parent}"))


def picture_of(panel: QWidget) -> QPixmap:
    """A panel as an image."""
    return panel.picture() if isinstance(panel, Pictured) else panel.grab()


def _name(dock: Place) -> str:
    return "the photo" if dock is None else dock.kind.title


def _fields(shown: Shown) -> dict[str, str]:
    """The text fields of a panel's PNG."""
    words = {} if shown.facts is None else words_of(shown.facts)
    return {
        "Title": shown.caption,
        **{key.removeprefix("fact: ").capitalize(): word for key, word in words.items()},
    }
