"""The stage: one photo, or a second beside it while a comparison lasts, and which of the two keys are meant for."""

from collections.abc import Mapping
from functools import partial

from PySide6.QtCore import QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QPainter, QPalette, QPixmap
from PySide6.QtWidgets import QApplication, QHBoxLayout, QSplitter, QWidget

from vitviz.app.dialogs.model_chooser import ModelChooser
from vitviz.app.session.comparison import Comparison
from vitviz.app.session.session import Session
from vitviz.app.stage.opening import Into, Opener
from vitviz.app.stage.photo_view import PhotoView
from vitviz.app.stage.side import (
    ACTIVE,
    Caption,
    ComparedPhoto,
    Side,
    ask_model,
    ask_photo,
    column_of,
)
from vitviz.app.widgets.photo.canvas import Canvas


class Stage(QWidget):
    """The stage: one photo, or two side by side while a comparison lasts, with one set of controls for both.

    The active side is the one that was worked on last: keys and menus that open something, or zoom, are meant for it.
    """

    # A comparison began or ended, its second side began or ended to work, or the other side is active.
    changed = Signal()
    failed = Signal(object)  # Failure of the second side
    noted = Signal(str)  # of the second side
    photo_opened = Signal(object)  # Path, on the second side

    def __init__(
        self, session: Session, photo: PhotoView, actions: Mapping[str, QAction], opener: Opener
    ) -> None:
        super().__init__()
        self._session = session
        self._photo = photo
        self._actions = actions
        self._opener = opener
        self._bare = False
        self.comparison: Comparison | None = None
        self.second: ComparedPhoto | None = None
        self.caption = Caption(session, followed=True)
        self.caption.hide()
        receive = partial(opener.receive, into=session.open)
        self.first = Side(self.caption, photo, receive)
        self.first.entered.connect(lambda: self._enter(second=False))
        self._second_is_active = False
        self.sides = QSplitter(Qt.Orientation.Horizontal)
        self.sides.setChildrenCollapsible(False)
        self.sides.addWidget(self.first)
        self._foot = QHBoxLayout()
        self._foot.setContentsMargins(12, 0, 12, 4)
        column = column_of(self)
        column.addWidget(self.sides, 1)
        column.addLayout(self._foot)

    def compare(self, **what: object) -> Comparison:
        """Open a photo (a path) or a model (a name or file) beside what is shown; in the second side if there is one."""
        if self.comparison is None:
            self.comparison = Comparison(self._session)
            receive = partial(self._opener.receive, into=self.comparison.open)
            self.second = ComparedPhoto(self.comparison, self._actions, receive)
            self.comparison.ended.connect(self._end)
            second = self.comparison.second
            second.failed.connect(self.failed)
            second.noted.connect(self.noted)
            second.photo_opened.connect(self.photo_opened)
            second.photo_changed.connect(self.changed)
            second.model_changed.connect(self.changed)
            second.busy_changed.connect(self.changed)
            second.maps.late_changed.connect(self.changed)
            self.second.entered.connect(lambda: self._enter(second=True))
            self.sides.addWidget(self.second)
            self._foot.addWidget(self._photo.controls)
            self._foot.addStretch(1)
            self.caption.show()
            application().focusChanged.connect(self._follow_focus)
            self._mark()
            # Once the photo without its controls has become as narrow as it can be.
            QTimer.singleShot(0, self._halve)
        self.comparison.open(**what)
        self.changed.emit()
        return self.comparison

    @property
    def active(self) -> Side:
        """The side that was worked on last: the first, unless the second had the focus since."""
        return self.second if self.second is not None and self._second_is_active else self.first

    @property
    def session(self) -> Session:
        """The active side's session."""
        both = self.comparison
        return both.second if both is not None and self._second_is_active else self._session

    @property
    def into(self) -> Into:
        """What opens a photo or a model on the active side."""
        both = self.comparison
        return both.open if both is not None and self._second_is_active else self._session.open

    @property
    def canvas(self) -> Canvas:
        """The active side's photo."""
        return self.active.photo.canvas

    def _enter(self, second: bool) -> None:
        """A side is worked on: its photo gets the focus, so that keys go there."""
        if self.comparison is not None:
            self._activate(second)
            self.canvas.setFocus(Qt.FocusReason.MouseFocusReason)

    def _follow_focus(self, _: QWidget | None, now: QWidget | None) -> None:
        if now is not None and self.second is not None:
            if self.second.isAncestorOf(now):
                self._activate(second=True)
            elif self.first.isAncestorOf(now):
                self._activate(second=False)

    def _activate(self, second: bool) -> None:
        if second != self._second_is_active:
            self._second_is_active = second
            self._mark()
            self.changed.emit()

    def _mark(self) -> None:
        for side in (self.first, self.second):
            if side is not None:
                active = side is self.active and self.second is not None
                side.caption.mark(active)
                name = side.photo.accessibleName()
                side.photo.canvas.setAccessibleName(f"{name}, {ACTIVE}" if active else name)

    def set_bare(self, bare: bool) -> None:
        """Hide the controls of how heat is drawn, as in a presentation, or show them again."""
        self._bare = bare
        self._photo.controls.setVisible(not bare)

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
        """Ask for the next or previous photo of the folder, on the active side."""
        if self.comparison is not None and self._second_is_active:
            self.comparison.walk(steps)
        else:
            self._session.walk(steps)

    def _sessions(self) -> list[Session]:
        one, both = [self._session], self.comparison
        return one if both is None else [*one, both.second]

    def with_photo(self) -> None:
        """Ask for a photo and compare the shown one with it."""
        ask_photo(self, self._session.photo, self.compare)

    def with_model(self) -> ModelChooser:
        """Ask for a model and compare the one at hand with it, on the same photo."""
        return ask_model(self, self._session, self.compare)

    def end(self) -> None:
        """End the comparison, if there is one."""
        if self.comparison is not None:
            self.comparison.end()

    def _halve(self) -> None:
        half = self.sides.width() // 2
        self.sides.setSizes([half, half])

    def _end(self) -> None:
        application().focusChanged.disconnect(self._follow_focus)
        second, self.second, self.comparison = self.second, None, None
        self._second_is_active = False
        self._mark()
        self.caption.hide()
        self._photo.foot.insertWidget(0, self._photo.controls)
        self._photo.controls.setVisible(not self._bare)
        self._foot.takeAt(self._foot.count() - 1)
        if second is not None:
            if _has_focus(second):
                self._photo.canvas.setFocus()
            second.hide()
            second.deleteLater()
        self.changed.emit()


def application() -> QApplication:
    """The application, which tells where the focus goes."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    return app


def _has_focus(side: QWidget) -> bool:
    focused = QApplication.focusWidget()
    return focused is not None and side.isAncestorOf(focused)
