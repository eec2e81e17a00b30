"""One side of the stage: a photo with its caption, and the second side's own buttons."""

from collections.abc import Callable, Mapping
from functools import partial

from PySide6.QtCore import QEvent, QMimeData, QRect, QSize, Qt, Signal
from PySide6.QtGui import (
    QAction,
    QColor,
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
from vitviz.app.dialogs.model_chooser import ModelChooser, choose_model
from vitviz.app.session.comparison import Comparison
from vitviz.app.session.session import Session
from vitviz.app.sources import mime
from vitviz.app.stage.photo_view import PhotoView
from vitviz.app.ui import icons, theme
from vitviz.app.widgets.base.title_bar import ElidedLabel, Quiet
from vitviz.images.photo import Photo

ACTIVE = "active side"
_FOLLOWED = "the panels show this side"
_ACTIVE_TIP = "Opening, pasting, the next photo, the model and zooming by keys are of this side. Click the other to change."
_MARK = 3  # pixels


def said_of(session: Session) -> tuple[str, str]:
    """What a side shows: photo and model; and what the model takes it for."""
    names = [session.photo.name if session.photo else "", session.model.full_name if session.model else ""]
    trace = session.trace
    found = trace.predictions(2) if trace is not None else []
    return " · ".join(name for name in names if name), ", ".join(
        f"{one.label} {one.probability:.1%}" for one in found
    )


class Caption(QWidget):
    """Over a photo: which photo, which model, what it is taken for, and whether panels show it and keys are for it."""

    def __init__(self, session: Session, followed: bool = False) -> None:
        super().__init__()
        self._session = session
        self._followed = followed
        self.name = ElidedLabel()
        self.name.setFont(theme.body(strong=True))
        self.classes = Quiet(lines=1)
        self.active = QLabel(ACTIVE)
        self.active.setFont(theme.small())
        self.active.setForegroundRole(QPalette.ColorRole.Link)
        self.active.setToolTip(_ACTIVE_TIP)
        self.active.setAccessibleDescription(_ACTIVE_TIP)
        self.active.hide()
        self._marked = False
        self._words = words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(self.name)
        words.addWidget(self.classes)
        self.line = QHBoxLayout(self)
        self.line.setContentsMargins(12, 8, 8, 4)
        self.line.setSpacing(4)
        self.line.addLayout(words, 1)
        self.line.addWidget(self.active)
        for changed in (session.photo_changed, session.model_changed, session.trace_changed):
            changed.connect(self._show)
        self._show()

    def picture(self) -> QPixmap:
        """The words, without what is beside them."""
        marked, self._marked = self._marked, False
        made = self.grab(QRect(0, 0, self._words.geometry().right() + 1, self.height()))
        self._marked = marked
        return made

    def mark(self, active: bool) -> None:
        """Show whether keys are meant for this side."""
        self._marked = active
        self.active.setVisible(active)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """The mark of the active side."""
        super().paintEvent(event)
        if self._marked:
            accent = QColor(theme.colors(self.palette()).accent)
            QPainter(self).fillRect(QRect(0, 8, _MARK, self.height() - 12), accent)

    def _show(self) -> None:
        name, classes = said_of(self._session)
        self.name.set_text(name)
        self.classes.set_text(" · ".join(part for part in (_FOLLOWED * self._followed, classes) if part))


class Side(QWidget):
    """One side of the stage: a caption over a photo. Photos and models dropped here are opened here."""

    entered = Signal()  # by a click, or by something dropped

    def __init__(self, caption: Caption, photo: PhotoView, receive: Callable[[QMimeData], None]) -> None:
        super().__init__()
        self.caption, self.photo, self._receive = caption, photo, receive
        self.setAcceptDrops(True)
        column = column_of(self)
        column.addWidget(caption)
        column.addWidget(photo, 1)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """A click beside the photo is meant for this side too."""
        self.entered.emit()
        super().mousePressEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Take files and pictures."""
        if mime.takes(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Open what was dropped on this side."""
        event.acceptProposedAction()
        self.entered.emit()
        self._receive(event.mimeData())


class ComparedPhoto(Side):
    """The photo panel of a comparison's second session, with buttons of its own."""

    def __init__(
        self, comparison: Comparison, actions: Mapping[str, QAction], receive: Callable[[QMimeData], None]
    ) -> None:
        own: dict[str, Callable[[], object]] = {
            "open": lambda: ask_photo(
                self, comparison.second.photo or comparison.first.photo, comparison.open
            ),
            "choose_model": partial(ask_model, self, comparison.second, comparison.open),
            "open_weights": partial(ask_weights, self, comparison.open),
        }
        # What an empty side invites to is done on this side; without keys, which are the active side's.
        ways = {name: _way(actions[name], act) for name, act in own.items()}
        photo = PhotoView(comparison.second, {**actions, **ways}, name="Second photo")
        super().__init__(Caption(comparison.second), photo, receive)
        for way in ways.values():
            way.setParent(self)
        self.photo.controls.hide()  # how heat is drawn is chosen once, for both
        self.buttons = {
            "open": self._button("Open another photo on this side"),
            "model": self._button("Choose another model for this side"),
            "close": self._button("End the comparison"),
        }
        self.buttons["open"].clicked.connect(own["open"])
        self.buttons["model"].clicked.connect(own["choose_model"])
        self.buttons["close"].clicked.connect(comparison.end)
        self._dress()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint the icons again."""
        if event.type() == QEvent.Type.PaletteChange:
            self._dress()
        super().changeEvent(event)

    def _button(self, what: str) -> QToolButton:
        button = QToolButton()
        button.setAutoRaise(True)
        button.setIconSize(QSize(14, 14))
        button.setToolTip(what)
        button.setAccessibleName(what)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.caption.line.addWidget(button)
        return button

    def _dress(self) -> None:
        for name, button in self.buttons.items():
            button.setIcon(icons.icon(name, self.palette()))


def _way(like: QAction, act: Callable[[], object]) -> QAction:
    made = QAction(like.text())
    made.triggered.connect(lambda: act())
    return made


def ask_photo(parent: QWidget, beside: Photo | None, into: Callable[..., object]) -> None:
    """Ask for a side's photo, in the folder of the one beside it."""
    path = files.ask_photo(parent, str(beside.path.parent) if beside and beside.path else "")
    if path is not None:
        into(photo=path)


def ask_model(parent: QWidget, session: Session, into: Callable[..., object]) -> ModelChooser:
    """Ask for a side's model, by name or as a file; `session` says which one is at hand."""
    return choose_model(session, parent, lambda name: into(model=name), lambda: ask_weights(parent, into))


def ask_weights(parent: QWidget, into: Callable[..., object]) -> None:
    """Ask for a side's weights file."""
    path = files.ask_weights(parent, "")
    if path is not None:
        into(model=str(path))


def column_of(widget: QWidget) -> QVBoxLayout:
    """A column without gaps."""
    column = QVBoxLayout(widget)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    return column
