"""The stage: one photo, or two side by side during a comparison, of which one is the current side."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from PySide6.QtCore import QPoint, QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QPainter, QPalette, QPixmap, QResizeEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QSplitter, QWidget

from vitviz.app.dialogs.model_browser import ModelBrowser
from vitviz.app.session.comparison import Comparison
from vitviz.app.session.session import Session
from vitviz.app.stage.folder_strip import FolderStrip
from vitviz.app.stage.opening import Opener, OpenOnSide
from vitviz.app.stage.photo_view import PhotoView
from vitviz.app.stage.side import (
    CURRENT,
    Caption,
    SecondSide,
    Side,
    ask_model,
    ask_photo,
    column_of,
)
from vitviz.app.widgets.photo.canvas import Canvas


class Stage(QWidget):
    """The stage: one photo, or two side by side during a comparison, with one set of controls for both.

    The current side is the one that was clicked or had the focus last. Panels, tool bar and status line show it, and
    commands act on it.
    """

    # A comparison began or ended, the second side shows something else or became busy or idle, or the current side changed.
    changed = Signal()
    message = Signal(str)  # message of the second side
    photo_opened = Signal(object)  # Path, on the second side
    menu_asked = Signal(QPoint)  # on the screen, for the current side

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
        self.second: SecondSide | None = None
        self.caption = Caption(session)
        self.caption.hide()
        self.first = Side(self.caption, photo, partial(opener.open_mime, open_on_side=session.open))
        self.first.clicked.connect(lambda: self._on_clicked(second=False))
        self.first.menu_asked.connect(self.menu_asked)
        self._second_is_current = False
        self.sides = QSplitter(Qt.Orientation.Horizontal)
        self.sides.setChildrenCollapsible(False)
        self.sides.addWidget(self.first)
        self.strip = FolderStrip()
        self.strip.follow(photo.folder)
        self.strip.picked.connect(self.pick)
        self._foot = QHBoxLayout()
        self._foot.setContentsMargins(12, 0, 12, 4)
        column = column_of(self)
        column.addWidget(self.sides, 1)
        column.addWidget(self.strip)
        column.addLayout(self._foot)

    def compare(self, **what: object) -> Comparison:
        """Open a photo (a path) or a model (a name or file) on the second side; begins a comparison if there is none."""
        if self.comparison is None:
            self.comparison = Comparison(self._session)
            open_mime = partial(self._opener.open_mime, open_on_side=self.comparison.open)
            self.second = SecondSide(self.comparison, self._actions, open_mime)
            self.comparison.ended.connect(self._end)
            second = self.comparison.second
            second.message.connect(self.message)
            second.photo_opened.connect(self.photo_opened)
            second.photo_changed.connect(self.changed)
            second.model_changed.connect(self.changed)
            second.busy_changed.connect(self.changed)
            second.maps.late_changed.connect(self.changed)
            self.second.clicked.connect(lambda: self._on_clicked(second=True))
            self.second.menu_asked.connect(self.menu_asked)
            self.second.set_bare(self._bare)
            self.sides.addWidget(self.second)
            self._foot.addWidget(self._photo.controls)
            self._foot.addStretch(1)
            self.caption.show()
            application().focusChanged.connect(self._on_focus_changed)
            self._mark_current()
            # Later: the controls have moved, but the minimum width of the first photo is not updated yet.
            QTimer.singleShot(0, self._halve)
        self.comparison.open(**what)
        self.changed.emit()
        return self.comparison

    @property
    def current(self) -> Side:
        """The side that was clicked or had the focus last; the first one at the beginning."""
        return self.second if self.second is not None and self._second_is_current else self.first

    @property
    def session(self) -> Session:
        """The session of the current side."""
        both = self.comparison
        return both.second if both is not None and self._second_is_current else self._session

    @property
    def open_on_side(self) -> OpenOnSide:
        """The function that opens a photo or a model on the current side."""
        both = self.comparison
        return both.open if both is not None and self._second_is_current else self._session.open

    @property
    def canvas(self) -> Canvas:
        """The canvas of the current side."""
        return self.current.photo.canvas

    @property
    def sessions(self) -> list[Session]:
        """The sessions of the sides: two during a comparison."""
        one, both = [self._session], self.comparison
        return one if both is None else [*one, both.second]

    def switch(self) -> None:
        """Make the other side the current one, and give its photo the keyboard focus unless another control has it."""
        if self.second is not None:
            before = self.current
            self._set_current(not self._second_is_current)
            if _has_focus(before) or QApplication.focusWidget() is None:
                self.canvas.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _on_clicked(self, second: bool) -> None:
        """Make a side the current one and give its photo the keyboard focus."""
        if self.comparison is not None:
            self._set_current(second)
            self.canvas.setFocus(Qt.FocusReason.MouseFocusReason)

    def _on_focus_changed(self, _: QWidget | None, now: QWidget | None) -> None:
        if now is not None and self.second is not None:
            if self.second.isAncestorOf(now):
                self._set_current(second=True)
            elif self.first.isAncestorOf(now):
                self._set_current(second=False)

    def _set_current(self, second: bool) -> None:
        if second != self._second_is_current:
            self._second_is_current = second
            self._mark_current()
            self.strip.follow(self.current.photo.folder)
            self.changed.emit()

    def _mark_current(self) -> None:
        for side in (self.first, self.second):
            if side is not None:
                current = side is self.current and self.second is not None
                side.caption.mark(current)
                name = side.photo.accessibleName()
                side.photo.canvas.setAccessibleName(f"{name}, {CURRENT}" if current else name)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Give the photo most of the height."""
        super().resizeEvent(event)
        self.strip.set_room(event.size().height())

    def set_bare(self, bare: bool) -> None:
        """Hide all controls, as in a presentation, or show them again."""
        self._bare = bare
        self._photo.controls.setVisible(not bare)
        for side in (self.first, self.second):
            if side is not None:
                side.set_bare(bare)
        self.strip.set_bare(bare)

    def picture(self) -> QPixmap:
        """The image that is copied: both sides, each with its caption and colour bar, without the controls."""
        second = self.second
        if second is None:
            return self._photo.picture()
        columns = [(self.caption.picture(), self._photo.picture())]
        columns.append((second.caption.picture(), second.photo.picture()))
        ratio = self.devicePixelRatioF()
        gap = round(self.sides.handleWidth() * ratio)
        width = sum(photo.width() for _, photo in columns) + gap
        top = max(caption.height() for caption, _ in columns)
        made = QPixmap(width, top + max(photo.height() for _, photo in columns))
        made.setDevicePixelRatio(ratio)
        made.fill(self.palette().color(QPalette.ColorRole.Window))
        painter = QPainter(made)
        left = 0.0
        for caption, photo in columns:
            painter.drawPixmap(QPointF(left, 0), caption)
            painter.drawPixmap(QPointF(left, top / ratio), photo)
            left += (photo.width() + gap) / ratio
        painter.end()
        return made

    @property
    def working(self) -> bool:
        """Whether the user waits for a photo, model or map on one of the sides."""
        return any(session.working is not None for session in self.sessions)

    def cancel(self) -> None:
        """Stop the running work of both sides."""
        for session in self.sessions:
            session.cancel()

    def walk(self, steps: int) -> None:
        """Open the next or previous photo of the folder on the current side."""
        if self.comparison is not None and self._second_is_current:
            self.comparison.walk(steps)
        else:
            self._session.walk(steps)

    def pick(self, photo: Path) -> None:
        """Open a photo of the folder on the current side."""
        if self.comparison is not None and self._second_is_current:
            self.comparison.pick(photo)
        else:
            self._session.open(photo=photo)

    def end_work(self) -> None:
        """End the comparison and the threads."""
        self.end()
        self.strip.end()
        self._photo.folder.end()

    def with_photo(self) -> None:
        """Ask for a photo and compare it with the shown one."""
        ask_photo(self, self._session.photo, self.compare)

    def with_model(self) -> ModelBrowser:
        """Ask for a model and compare it with the loaded one on the same photo."""
        return ask_model(self, self._session, self.compare)

    def end(self) -> None:
        """End the comparison, if there is one."""
        if self.comparison is not None:
            self.comparison.end()

    def _halve(self) -> None:
        half = self.sides.width() // 2
        self.sides.setSizes([half, half])

    def _end(self) -> None:
        application().focusChanged.disconnect(self._on_focus_changed)
        second, self.second, self.comparison = self.second, None, None
        self._second_is_current = False
        self._mark_current()
        self.caption.hide()
        self._photo.foot.insertWidget(0, self._photo.controls)
        self._photo.controls.setVisible(not self._bare)
        self._foot.takeAt(self._foot.count() - 1)
        self.strip.follow(self._photo.folder)
        if second is not None:
            second.photo.folder.end()
            if _has_focus(second):
                self._photo.canvas.setFocus()
            second.hide()
            second.deleteLater()
        self.changed.emit()


def application() -> QApplication:
    """The QApplication."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    return app


def _has_focus(side: QWidget) -> bool:
    focused = QApplication.focusWidget()
    return focused is not None and side.isAncestorOf(focused)
