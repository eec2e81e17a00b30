"""A strip of frames side by side, in as many rows as make them largest. Knows pictures, not models."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QHelpEvent,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
)
from PySide6.QtWidgets import QToolTip, QWidget

from vitviz.app.ui import theme
from vitviz.app.widgets.base.hover_view import HoverView

_MARGIN = 12
_LABEL = 18
_NOTE_FROM = 44  # a frame as wide as this has room for its note


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame: a picture of one pixel per cell over a part of the backdrop (left, top, width, height in
    units of the frame), with words below."""

    name: str
    image: QImage | None = None
    note: str = ""
    tip: str = ""
    area: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Places:
    """Where frames lie, in logical pixels: `columns` in a row, each `width` × `height`, `step` from one to the next."""

    columns: int
    width: int
    height: int
    step: tuple[int, int]

    def box(self, number: int) -> tuple[int, int, int, int]:
        """A frame's left, top, width and height, without the words below."""
        row, column = divmod(number, self.columns)
        return _MARGIN + column * self.step[0], row * self.step[1] + 2, self.width, self.height


def places(count: int, aspect: float, room: tuple[int, int]) -> Places:
    """The arrangement with the largest frames for a room (width, height); `aspect` is a frame's width over its height."""
    best: Places | None = None
    for rows in range(1, min(count, 6) + 1):
        columns = math.ceil(count / rows)
        gap = 8 if room[0] / columns > 56 else 4 if room[0] / columns > 24 else 2
        across = (room[0] - 2 * _MARGIN + gap) / columns - gap
        down = room[1] / rows - _LABEL - 4
        width = max(6, int(min(across, down * aspect)))
        height = max(6, round(width / aspect))
        made = Places(columns, width, height, (width + gap, height + _LABEL + 4))
        # One row reads best; more only where frames grow by much.
        if best is None or made.width > best.width * 1.15:
            best = made
    assert best is not None, "a strip has at least one frame"
    return best


class FilmStrip(HoverView):
    """Shows frames; tells which is pointed at and which is picked: by a click, or by arrow keys, Home and End."""

    picked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(160, 64)
        self._frames: tuple[Frame, ...] = ()
        self._aspect = 1.0
        self._backdrop: QImage | None = None
        self._scaled: QPixmap | None = None
        self._places: Places | None = None
        self._selected: int | None = None
        self._marked: int | None = None

    # What to show.

    def set_frames(self, frames: Sequence[Frame], aspect: float) -> None:
        """New frames; `aspect` is their width over their height."""
        if len(frames) != len(self._frames) or aspect != self._aspect:
            self._places = self._scaled = None
        self._frames, self._aspect = tuple(frames), aspect
        self.update()

    def set_backdrop(self, backdrop: QImage | None) -> None:
        """The picture behind every frame, or none."""
        self._backdrop, self._scaled = backdrop, None
        self.update()

    def set_marks(self, selected: int | None, hovered: int | None) -> None:
        """The frame that is selected, and one that is pointed at elsewhere."""
        if (selected, hovered) != (self._selected, self._marked):
            self._selected, self._marked = selected, hovered
            self.update()

    @property
    def frames(self) -> tuple[Frame, ...]:
        """What is shown."""
        return self._frames

    @property
    def places(self) -> Places | None:
        """Where the frames lie; None without frames."""
        if self._places is None and self._frames:
            self._places = places(len(self._frames), self._aspect, (self.width(), self.height()))
        return self._places

    def sizeHint(self) -> QSize:  # noqa: N802
        """Low: the photo is the stage."""
        return QSize(640, 100)

    # Painting.

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Backdrop, picture, words and outlines of each frame."""
        painter = QPainter(self)
        placed = self.places
        if placed is None:
            self.draw_focus(painter)
            return
        scheme = theme.colors(self.palette())
        painter.setOpacity(0.4 if self._dimmed else 1.0)
        behind = self._behind(placed)
        words = placed.width >= _NOTE_FROM
        painter.setFont(theme.small())
        for number, frame in enumerate(self._frames):
            box = QRectF(*placed.box(number))
            if frame.image is None:
                painter.fillRect(box, QColor(scheme.raised))
                painter.setPen(QColor(scheme.muted))
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, "–")
            else:
                if behind is not None:
                    painter.drawPixmap(box.toRect(), behind)
                self._draw_image(painter, frame, frame.image, box)
            on = number in (self._selected, self._marked, self._hovered)
            below = QRectF(box.left(), box.bottom() + 3, box.width(), _LABEL - 3)
            painter.setPen(QColor(scheme.text if on else scheme.muted))
            side = Qt.AlignmentFlag.AlignLeft if words and frame.note else Qt.AlignmentFlag.AlignHCenter
            if placed.width >= 16 or number % 5 == 0:
                painter.drawText(below.adjusted(-4, 0, 4, 0) if not words else below, side, frame.name)
            if words and frame.note:
                painter.setPen(QColor(scheme.muted))
                painter.drawText(below, Qt.AlignmentFlag.AlignRight, frame.note)
        painter.setOpacity(1.0)
        for mark, color, width in (
            (self._marked, scheme.text, 1),
            (self._hovered, scheme.text, 1),
            (self._selected, scheme.accent, 2),
        ):
            if mark is not None and mark < len(self._frames):
                box = QRectF(*placed.box(mark)).adjusted(-1, -1, 1, 1)
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.setPen(QPen(QColor(color), width, j=Qt.PenJoinStyle.MiterJoin))
                painter.drawRect(box)
        self.draw_focus(painter)

    def _draw_image(self, painter: QPainter, frame: Frame, image: QImage, box: QRectF) -> None:
        left, top, width, height = frame.area
        if frame.area == (0.0, 0.0, 1.0, 1.0):
            painter.drawImage(box, image, QRectF(image.rect()))
            return
        painter.save()
        painter.setClipRect(box)
        part = QRectF(
            box.left() + left * box.width(),
            box.top() + top * box.height(),
            width * box.width(),
            height * box.height(),
        )
        painter.drawImage(part, image, QRectF(image.rect()))
        painter.restore()

    def _behind(self, placed: Places) -> QPixmap | None:
        """The backdrop at the frames' size in the screen's pixels; made once per size."""
        if self._backdrop is None:
            return None
        ratio = self.devicePixelRatioF()
        size = QSize(round(placed.width * ratio), round(placed.height * ratio))
        if self._scaled is None or self._scaled.size() != size:
            mode = Qt.TransformationMode.SmoothTransformation
            shape = Qt.AspectRatioMode.IgnoreAspectRatio
            self._scaled = QPixmap.fromImage(self._backdrop.scaled(size, shape, mode))
            self._scaled.setDevicePixelRatio(ratio)
        return self._scaled

    # Events.

    def at(self, position: QPointF) -> int | None:
        """The frame at a point of the widget, its words included."""
        placed = self.places
        if placed is None:
            return None
        for number in range(len(self._frames)):
            left, top, width, height = placed.box(number)
            if left <= position.x() < left + width and top <= position.y() < top + height + _LABEL:
                return number
        return None

    def event(self, event: QEvent) -> bool:
        """Say what a frame is when the pointer rests on it."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            number = self.at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), "" if number is None else self._frames[number].tip, self)
            return True
        return super().event(event)

    def resizeEvent(self, _: QResizeEvent) -> None:  # noqa: N802
        """Arrange again."""
        self._places = self._scaled = None

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Select a frame."""
        number = self.at(event.position())
        if number is not None and event.button() == Qt.MouseButton.LeftButton:
            self.picked.emit(number)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Arrow keys go to the neighbour, Home and End to the first and last."""
        last, at = len(self._frames) - 1, self._selected or 0
        columns = 1 if self.places is None else self.places.columns
        goal = {
            Qt.Key.Key_Left: at - 1,
            Qt.Key.Key_Right: at + 1,
            Qt.Key.Key_Up: at - columns,
            Qt.Key.Key_Down: at + columns,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: last,
        }.get(Qt.Key(event.key()))
        if goal is None:
            super().keyPressEvent(event)
        elif 0 <= goal <= last:
            self.picked.emit(goal)
