"""The second photo beside the first: its name and model, its own buttons, the same panel."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QMimeData, QPointF, QRect, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QDragEnterEvent, QDropEvent, QPainter, QPalette, QPixmap
from PySide6.QtWidgets import QApplication, QHBoxLayout, QSplitter, QToolButton, QVBoxLayout, QWidget

from vitviz.app import icons, incoming, opening, theme
from vitviz.app.chooser import ModelChooser
from vitviz.app.comparison import Comparison
from vitviz.app.panels.photo import PhotoPanel
from vitviz.app.session import Session
from vitviz.app.widgets.canvas import Canvas
from vitviz.app.widgets.titlebar import ElidedLabel, Quiet

if TYPE_CHECKING:
    from vitviz.app.window import Window


_FOLLOWED = "the panels show this side"


def said_of(session: Session) -> tuple[str, str]:
    """What a side shows: photo and model; and what the model takes it for."""
    names = [session.photo.name if session.photo else "", session.model.full_name if session.model else ""]
    trace = session.trace
    found = trace.predictions(2) if trace is not None else []
    return " · ".join(name for name in names if name), ", ".join(
        f"{one.label} {one.probability:.1%}" for one in found
    )


class Caption(QWidget):
    """One line over a photo: which photo, which model, what it is taken for, and whether panels show it."""

    def __init__(self, session: Session, followed: bool = False) -> None:
        super().__init__()
        self._session = session
        self._followed = followed
        self.name = ElidedLabel()
        self.name.setFont(theme.body(strong=True))
        self.classes = Quiet(lines=1)
        self._words = words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(self.name)
        words.addWidget(self.classes)
        self.line = QHBoxLayout(self)
        self.line.setContentsMargins(12, 8, 8, 4)
        self.line.setSpacing(4)
        self.line.addLayout(words, 1)
        for changed in (session.photo_changed, session.model_changed, session.trace_changed):
            changed.connect(self._show)
        self._show()

    def picture(self) -> QPixmap:
        """The words, without the buttons beside them."""
        return self.grab(QRect(0, 0, self._words.geometry().right() + 1, self.height()))

    def _show(self) -> None:
        name, classes = said_of(self._session)
        self.name.set_text(name)
        self.classes.set_text(" · ".join(part for part in (_FOLLOWED * self._followed, classes) if part))


class ComparedPhoto(QWidget):
    """The photo panel of a comparison's second session. Photos and models dropped here are opened here."""

    def __init__(
        self, comparison: Comparison, actions: Mapping[str, QAction], receive: Callable[[QMimeData], None]
    ) -> None:
        super().__init__()
        self._receive = receive
        self.setAcceptDrops(True)
        self.caption = Caption(comparison.second)
        own: dict[str, Callable[[], object]] = {
            "open": partial(ask_photo, self, comparison),
            "choose_model": partial(ask_model, self, comparison),
            "open_weights": partial(ask_weights, self, comparison),
        }
        # What an empty side invites to is done on this side; without keys, which are the first side's.
        ways = {name: self._way(actions[name], act) for name, act in own.items()}
        self.photo = PhotoPanel(comparison.second, {**actions, **ways}, name="Second photo")
        self.photo.controls.hide()  # how heat is drawn is chosen once, for both
        self.buttons = {
            "open": self._button("Open another photo on this side"),
            "model": self._button("Choose another model for this side"),
            "close": self._button("End the comparison"),
        }
        column = _column(self)
        column.addWidget(self.caption)
        column.addWidget(self.photo, 1)
        self.buttons["open"].clicked.connect(own["open"])
        self.buttons["model"].clicked.connect(own["choose_model"])
        self.buttons["close"].clicked.connect(comparison.end)
        self._dress()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint the icons again."""
        if event.type() == QEvent.Type.PaletteChange:
            self._dress()
        super().changeEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Take files and pictures."""
        if incoming.takes(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Open what was dropped on this side."""
        event.acceptProposedAction()
        self._receive(event.mimeData())

    def _way(self, like: QAction, act: Callable[[], object]) -> QAction:
        made = QAction(like.text(), self)
        made.triggered.connect(lambda: act())
        return made

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


def ask_photo(parent: QWidget, comparison: Comparison) -> None:
    """Ask for the second side's photo."""
    shown = comparison.second.photo or comparison.first.photo
    path = incoming.ask_photo(parent, str(shown.path.parent) if shown and shown.path else "")
    if path is not None:
        comparison.open(photo=path)


def ask_model(parent: QWidget, comparison: Comparison) -> ModelChooser:
    """Ask for the second side's model."""
    chooser = ModelChooser(comparison.second, parent)
    chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    chooser.chosen.connect(lambda name: comparison.open(model=name))
    chooser.wants_file.connect(lambda: ask_weights(parent, comparison))
    chooser.open()
    return chooser


def ask_weights(parent: QWidget, comparison: Comparison) -> None:
    """Ask for the second side's weights file."""
    path = incoming.ask_weights(parent, "")
    if path is not None:
        comparison.open(model=str(path))


class SplitStage(QWidget):
    """The stage: one photo, or two side by side while a comparison lasts, with one set of controls for both."""

    changed = Signal()  # a comparison began or ended, or its second side began or ended to work

    def __init__(self, window: "Window", photo: PhotoPanel) -> None:
        super().__init__()
        self._window = window
        self._photo = photo
        self.comparison: Comparison | None = None
        self.second: ComparedPhoto | None = None
        self.caption = Caption(window.session, followed=True)
        self.caption.hide()
        first = QWidget()
        within = _column(first)
        within.addWidget(self.caption)
        within.addWidget(photo, 1)
        self.sides = QSplitter(Qt.Orientation.Horizontal)
        self.sides.setChildrenCollapsible(False)
        self.sides.addWidget(first)
        self._foot = QHBoxLayout()
        self._foot.setContentsMargins(12, 0, 12, 4)
        column = _column(self)
        column.addWidget(self.sides, 1)
        column.addLayout(self._foot)

    def compare(self, **what: object) -> Comparison:
        """Open a photo (a path) or a model (a name or file) beside what is shown; in the second side if there is one."""
        if self.comparison is None:
            self.comparison = Comparison(self._window.session)
            receive = partial(opening.receive, self._window, into=self.comparison.open)
            self.second = ComparedPhoto(self.comparison, self._window.commands, receive)
            self.comparison.ended.connect(self._end)
            second = self.comparison.second
            second.failed.connect(self._window.tell)
            second.noted.connect(self._window.toast.say)
            second.busy_changed.connect(self.changed)
            second.maps.late_changed.connect(self.changed)
            self.sides.addWidget(self.second)
            self._foot.addWidget(self._photo.controls)
            self._foot.addStretch(1)
            self.caption.show()
            # Once the photo without its controls has become as narrow as it can be.
            QTimer.singleShot(0, self._halve)
        self.comparison.open(**what)
        self.changed.emit()
        return self.comparison

    @property
    def canvas(self) -> Canvas:
        """The photo that keys are meant for: the second one while it has the focus."""
        second = self.second
        return second.photo.canvas if second is not None and _has_focus(second) else self._photo.canvas

    def picture(self) -> QPixmap:
        """What is copied: both sides, each with its caption and colour bar, without the controls."""
        second = self.second
        if second is None:
            return self._photo.picture()
        columns = [(self.caption.picture(), self._photo.picture())]
        columns.append((second.caption.picture(), second.photo.picture()))
        ratio = self.devicePixelRatioF()
        gap = round(self.sides.handleWidth() * ratio)
        width = sum(photo.width() for _, photo in columns) + gap
        head = max(words.height() for words, _ in columns)
        made = QPixmap(width, head + max(photo.height() for _, photo in columns))
        made.setDevicePixelRatio(ratio)
        made.fill(self.palette().color(QPalette.ColorRole.Window))
        painter = QPainter(made)
        left = 0.0
        for words, photo in columns:
            painter.drawPixmap(QPointF(left, 0), words)
            painter.drawPixmap(QPointF(left, head / ratio), photo)
            left += (photo.width() + gap) / ratio
        painter.end()
        return made

    @property
    def working(self) -> bool:
        """Whether the user waits for one of the sides."""
        return any(session.working is not None for session in self._sessions())

    def cancel(self) -> None:
        """Stop what is running on both sides."""
        for session in self._sessions():
            session.cancel()

    def walk(self, steps: int) -> None:
        """Ask for the next or previous photo of the folder, on the side that keys are meant for."""
        if self.comparison is not None and self.canvas is not self._photo.canvas:
            self.comparison.walk(steps)
        else:
            self._window.session.walk(steps)

    def _sessions(self) -> list[Session]:
        one, both = [self._window.session], self.comparison
        return one if both is None else [*one, both.second]

    def with_photo(self) -> None:
        """Ask for a photo and compare the shown one with it."""
        shown = self._window.session.photo
        path = incoming.ask_photo(self._window, str(shown.path.parent) if shown and shown.path else "")
        if path is not None:
            self.compare(photo=path)

    def with_model(self) -> ModelChooser:
        """Ask for a model and compare the one at hand with it, on the same photo."""
        chooser = ModelChooser(self._window.session, self._window)
        chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        chooser.chosen.connect(lambda name: self.compare(model=name))
        chooser.wants_file.connect(self._with_weights)
        chooser.open()
        return chooser

    def end(self) -> None:
        """End the comparison, if there is one."""
        if self.comparison is not None:
            self.comparison.end()

    def _halve(self) -> None:
        half = self.sides.width() // 2
        self.sides.setSizes([half, half])

    def _with_weights(self) -> None:
        path = incoming.ask_weights(self._window, "")
        if path is not None:
            self.compare(model=str(path))

    def _end(self) -> None:
        second, self.second, self.comparison = self.second, None, None
        self.caption.hide()
        self._photo.foot.insertWidget(0, self._photo.controls)
        if not self._window.presentation.on:
            self._photo.controls.show()
        self._foot.takeAt(self._foot.count() - 1)
        if second is not None:
            if _has_focus(second):
                self._photo.canvas.setFocus()
            second.hide()
            second.deleteLater()
        self.changed.emit()


def _has_focus(side: QWidget) -> bool:
    focused = QApplication.focusWidget()
    return focused is not None and side.isAncestorOf(focused)


def _column(widget: QWidget) -> QVBoxLayout:
    column = QVBoxLayout(widget)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    return column
