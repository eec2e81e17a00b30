"""One side of the stage: a photo with its caption. The second side also has buttons of its own."""

from collections.abc import Callable, Mapping
from functools import partial

from PySide6.QtCore import QEvent, QMimeData, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import (
    QAction,
    QColor,
    QContextMenuEvent,
    QDragEnterEvent,
    QDropEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPixmap,
)
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from vitviz.app.dialogs import files
from vitviz.app.dialogs.model_browser import ModelBrowser, choose_model
from vitviz.app.session.comparison import Comparison
from vitviz.app.session.session import Session
from vitviz.app.sources import mime
from vitviz.app.stage.photo_view import PhotoView
from vitviz.app.ui import icons, theme
from vitviz.app.widgets.base.title_bar import ElidedLabel, MutedLabel
from vitviz.images.photo import Photo

CURRENT = "current side"
_CURRENT_TIP = (
    "Panels, tool bar and status line show this side, and commands act on it. "
    "Click the other side to make it the current one, or press Ctrl+E."
)
_MARK = 3  # width in pixels


def caption_of(session: Session) -> tuple[str, str]:
    """The two texts of a side's caption: photo and model, and the model's two top predictions."""
    names = [session.photo.name if session.photo else "", session.model.full_name if session.model else ""]
    return " · ".join(name for name in names if name), classes_of(session)


def classes_of(session: Session) -> str:
    """The model's two top predictions; empty without a trace."""
    found = session.trace.predictions(2) if session.trace is not None else []
    return ", ".join(f"{one.label} {one.said}" for one in found)


class Caption(QWidget):
    """The caption above a photo: photo, model, predictions, and whether this side is the current one."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.name = ElidedLabel()
        self.name.setFont(theme.body(strong=True))
        self.classes = MutedLabel(lines=1)
        self.current = QLabel(CURRENT)
        self.current.setFont(theme.small())
        self.current.setForegroundRole(QPalette.ColorRole.Link)
        self.current.setToolTip(_CURRENT_TIP)
        self.current.setAccessibleDescription(_CURRENT_TIP)
        self.current.hide()
        self._marked = self._bare = False
        self._words = words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(self.name)
        words.addWidget(self.classes)
        self.line = QHBoxLayout(self)
        self.line.setContentsMargins(12, 8, 8, 4)
        self.line.setSpacing(4)
        self.line.addLayout(words, 1)
        self.line.addWidget(self.current)
        for changed in (session.photo_changed, session.model_changed, session.trace_changed):
            changed.connect(self._show)
        self._show()

    def picture(self) -> QPixmap:
        """The text as an image, without the buttons and the mark of the current side."""
        marked, self._marked = self._marked, False
        made = self.grab(QRect(0, 0, self._words.geometry().right() + 1, self.height()))
        self._marked = marked
        return made

    def mark(self, current: bool) -> None:
        """Show whether this side is the current one."""
        self._marked = current
        self.current.setVisible(current and not self._bare)
        self.update()

    def set_bare(self, bare: bool) -> None:
        """Leave the room of the words "current side" to the names, as in a presentation; the mark stays."""
        self._bare = bare
        self.mark(self._marked)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the mark of the current side."""
        super().paintEvent(event)
        if self._marked:
            accent = QColor(theme.colors(self.palette()).accent)
            QPainter(self).fillRect(QRect(0, 8, _MARK, self.height() - 12), accent)

    def _show(self) -> None:
        name, classes = caption_of(self._session)
        self.name.set_text(name)
        self.classes.set_text(classes)


class Side(QWidget):
    """One side of the stage: a caption above a photo. Photos and models that are dropped on it are opened on this side."""

    clicked = Signal()  # also if something was dropped
    menu_asked = Signal(QPoint)  # on the screen

    def __init__(self, caption: Caption, photo: PhotoView, open_mime: Callable[[QMimeData], None]) -> None:
        super().__init__()
        self.caption, self.photo, self._open_mime = caption, photo, open_mime
        self.setAcceptDrops(True)
        column = column_of(self)
        column.addWidget(caption)
        column.addWidget(photo, 1)

    def set_bare(self, bare: bool) -> None:
        """Hide the buttons of this side, as in a presentation, or show them again."""
        self.caption.set_bare(bare)
        self.photo.help.setVisible(not bare)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Emit `clicked` for a click beside the photo."""
        self.clicked.emit()
        super().mousePressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802
        """Emit `menu_asked`, for this side."""
        self.clicked.emit()
        self.menu_asked.emit(event.globalPos())
        event.accept()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Accept files and images."""
        if mime.accepts(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Open the dropped data on this side."""
        event.acceptProposedAction()
        self.clicked.emit()
        self._open_mime(event.mimeData())


class SecondSide(Side):
    """The side of a comparison's second session, with buttons of its own."""

    def __init__(
        self, comparison: Comparison, actions: Mapping[str, QAction], open_mime: Callable[[QMimeData], None]
    ) -> None:
        own: dict[str, Callable[[], object]] = {
            "open": lambda: ask_photo(
                self, comparison.second.photo or comparison.first.photo, comparison.open
            ),
            "choose_model": partial(ask_model, self, comparison.second, comparison.open),
            "open_weights": partial(ask_weights, self, comparison.open),
        }
        # The buttons of this side's empty state act on this side. Their actions have no shortcuts: those of the menu
        # act on the current side.
        own_actions = {name: _action(actions[name].text(), act) for name, act in own.items()}
        photo = PhotoView(comparison.second, {**actions, **own_actions}, name="Second photo")
        super().__init__(Caption(comparison.second), photo, open_mime)
        for action in own_actions.values():
            action.setParent(self)
        self.photo.controls.hide()  # the display settings are chosen once, for both sides
        self.buttons = {
            "open": self._button("Open another photo on this side"),
            "model": self._button("Choose another model for this side"),
            "close": self._button("End the comparison"),
        }
        self.buttons["open"].clicked.connect(own["open"])
        self.buttons["model"].clicked.connect(own["choose_model"])
        self.buttons["close"].clicked.connect(comparison.end)
        self._tint_icons()

    def set_bare(self, bare: bool) -> None:
        """Hide the buttons of this side, as in a presentation, or show them again."""
        super().set_bare(bare)
        for button in self.buttons.values():
            button.setVisible(not bare)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint the icons in the new palette."""
        if event.type() == QEvent.Type.PaletteChange:
            self._tint_icons()
        super().changeEvent(event)

    def _button(self, name: str) -> QToolButton:
        button = QToolButton()
        button.setAutoRaise(True)
        button.setIconSize(QSize(14, 14))
        button.setToolTip(name)
        button.setAccessibleName(name)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.caption.line.addWidget(button)
        return button

    def _tint_icons(self) -> None:
        for name, button in self.buttons.items():
            button.setIcon(icons.icon(name, self.palette()))


def _action(text: str, act: Callable[[], object]) -> QAction:
    action = QAction(text)
    action.triggered.connect(lambda: act())
    return action


def ask_photo(parent: QWidget, beside: Photo | None, open_on_side: Callable[..., object]) -> None:
    """Ask for a photo and open it; the dialog starts in the folder of the photo `beside` it."""
    path = files.ask_photo(parent, str(beside.path.parent) if beside and beside.path else "")
    if path is not None:
        open_on_side(photo=path)


def ask_model(parent: QWidget, session: Session, open_on_side: Callable[..., object]) -> ModelBrowser:
    """Ask for a model, by name or as a file, and load it; the dialog selects the model of `session`."""
    return choose_model(
        session, parent, lambda name: open_on_side(model=name), lambda: ask_weights(parent, open_on_side)
    )


def ask_weights(parent: QWidget, open_on_side: Callable[..., object]) -> None:
    """Ask for a weights file and load it."""
    path = files.ask_weights(parent, "")
    if path is not None:
        open_on_side(model=str(path))


def column_of(widget: QWidget) -> QVBoxLayout:
    """A vertical layout without margins and spacing."""
    column = QVBoxLayout(widget)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    return column
