"""A strip of frames side by side, in as many rows as make them largest. Knows pictures, not models."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
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
_RIGHT = Qt.AlignmentFlag.AlignRight
_DIMMED = 0.4  # opacity
_WORDS = "00 0.000"  # a frame as wide as this has room for its name and its note


WHOLE = (0.0, 0.0, 1.0, 1.0)
"""All of a frame, as an area."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame: `part` of a picture of one pixel per cell, which frames may share, with words below.

    It is laid over an `area` of the backdrop (left, top, width, height in units of the frame).
    """

    name: str
    image: QImage | None = None
    note: str = ""
    tip: str = ""
    area: tuple[float, float, float, float] = WHOLE
    part: QRectF = field(default_factory=QRectF)


@dataclass(frozen=True)
class Places:
    """Where frames lie, in logical pixels: `columns` in a row, each `width` × `height`, `step` from one to the next."""

    columns: int
    width: int
    height: int
    step: tuple[int, int]
    label: int = _LABEL
    """Height of the words below a frame."""

    def box(self, number: int) -> tuple[int, int, int, int]:
        """A frame's left, top, width and height, without the words below."""
        row, column = divmod(number, self.columns)
        return _MARGIN + column * self.step[0], row * self.step[1] + 2, self.width, self.height


def places(count: int, aspect: float, room: tuple[int, int], label: int = _LABEL) -> Places:
    """The arrangement with the largest frames for a room (width, height).

    `aspect` is a frame's width over its height, `label` the height of the words below it.
    """
    best: Places | None = None
    for rows in range(1, min(count, 6) + 1):
        columns = math.ceil(count / rows)
        gap = 8 if room[0] / columns > 56 else 4 if room[0] / columns > 24 else 2
        across = (room[0] - 2 * _MARGIN + gap) / columns - gap
        down = room[1] / rows - label - 4
        width = max(6, int(min(across, down * aspect)))
        height = max(6, round(width / aspect))
        made = Places(columns, width, height, (width + gap, height + label + 4), label)
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
        self._has_notes = False  # whether notes have room beside the names, as `_places` has it
        self._boxes: list[QRectF] = []  # where `_places` puts each frame …
        self._below: list[QRectF] = []  # … and its words
        # Of each frame: name, whether it lacks a picture, whether it lacks a note.
        self._fixed: list[tuple[str, bool, bool]] = []
        # Backdrops and names, and what they were drawn for.
        self._under: tuple[tuple[object, ...], QPixmap] | None = None
        self._selected: int | None = None
        self._marked: int | None = None

    # What to show.

    def set_frames(self, frames: Sequence[Frame], aspect: float) -> None:
        """New frames; `aspect` is their width over their height."""
        if len(frames) != len(self._frames) or aspect != self._aspect:
            self._places = self._scaled = None
        self._frames, self._aspect = tuple(frames), aspect
        self._fixed = [(frame.name, frame.image is None, frame.note == "") for frame in frames]
        self.update()

    def set_backdrop(self, backdrop: QImage | None) -> None:
        """The picture behind every frame, or none."""
        self._backdrop = backdrop
        self._scaled = self._under = None
        self.update()

    def set_marks(self, selected: int | None, hovered: int | None) -> None:
        """The frame that is selected, and one that is pointed at elsewhere."""
        if (selected, hovered) != (self._selected, self._marked):
            self._selected, self._marked = selected, hovered
            self.update()

    @property
    def selected(self) -> int | None:
        """The frame that is selected."""
        return self._selected

    @property
    def marked(self) -> int | None:
        """The frame that is pointed at elsewhere."""
        return self._marked

    @property
    def frames(self) -> tuple[Frame, ...]:
        """What is shown."""
        return self._frames

    @property
    def places(self) -> Places | None:
        """Where the frames lie; None without frames."""
        if self._places is None and self._frames:
            self._places = places(
                len(self._frames),
                self._aspect,
                (self.width(), self.height()),
                round(_LABEL * self.text_scale),
            )
            self._has_notes = self._places.width >= QFontMetrics(theme.small()).horizontalAdvance(_WORDS)
            self._boxes = [QRectF(*self._places.box(number)) for number in range(len(self._frames))]
            self._below = [
                QRectF(box.left(), box.bottom() + 3, box.width(), self._places.label - 3)
                for box in self._boxes
            ]
        return self._places

    def sizeHint(self) -> QSize:  # noqa: N802
        """Low: the photo is the stage."""
        return QSize(640, 100)

    # Painting.

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Backdrops and names from their cache, then picture and note of each frame, outlines."""
        painter = QPainter(self)
        placed = self.places
        if placed is None:
            self.draw_focus(painter)
            return
        drawn = placed, self._fixed, self._selected, self._marked, self._hovered, self._dimmed
        if self._under is None or self._under[0] != drawn:
            self._under = drawn, self._draw_under(placed)
        painter.drawPixmap(0, 0, self._under[1])
        painter.setOpacity(_DIMMED if self._dimmed else 1.0)
        for frame, box in zip(self._frames, self._boxes, strict=True):
            if frame.image is not None:
                self._draw_image(painter, frame, frame.image, box)
        if self._has_notes:
            painter.setFont(theme.small())
            painter.setPen(QColor(theme.colors(self.palette()).muted))
            for frame, below in zip(self._frames, self._below, strict=True):
                if frame.note:
                    painter.drawText(below, _RIGHT, frame.note)
        painter.setOpacity(1.0)
        self._draw_outlines(painter)
        self.draw_focus(painter)

    def _draw_under(self, placed: Places) -> QPixmap:
        """The backdrop of each frame and its name, bright where the frame is selected or pointed at."""
        ratio = self.devicePixelRatioF()
        under = QPixmap(self.size() * ratio)
        under.setDevicePixelRatio(ratio)
        under.fill(self.palette().color(self.backgroundRole()))
        painter = QPainter(under)
        painter.setOpacity(_DIMMED if self._dimmed else 1.0)
        painter.setFont(theme.small())
        scheme, behind = theme.colors(self.palette()), self._behind(placed)
        words = self._has_notes
        for number, (frame, box) in enumerate(zip(self._frames, self._boxes, strict=True)):
            if frame.image is None:
                painter.fillRect(box, QColor(scheme.raised))
                painter.setPen(QColor(scheme.muted))
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, "–")
            elif behind is not None:
                painter.drawPixmap(box.toRect(), behind)
            if placed.width >= 16 * self.text_scale or number % 5 == 0:
                on = number in (self._selected, self._marked, self._hovered)
                painter.setPen(QColor(scheme.text if on else scheme.muted))
                side = Qt.AlignmentFlag.AlignLeft if words and frame.note else Qt.AlignmentFlag.AlignHCenter
                below = self._below[number]
                painter.drawText(below if words else below.adjusted(-4, 0, 4, 0), side, frame.name)
        painter.end()
        return under

    def _draw_outlines(self, painter: QPainter) -> None:
        scheme = theme.colors(self.palette())
        for mark, color, width in (
            (self._marked, scheme.text, 1),
            (self._hovered, scheme.text, 1),
            (self._selected, scheme.accent, 2),
        ):
            if mark is not None and mark < len(self._frames):
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.setPen(QPen(QColor(color), width, j=Qt.PenJoinStyle.MiterJoin))
                painter.drawRect(self._boxes[mark].adjusted(-1, -1, 1, 1))

    def _draw_image(self, painter: QPainter, frame: Frame, image: QImage, box: QRectF) -> None:
        if frame.area == WHOLE:
            painter.drawImage(box, image, frame.part)
            return
        left, top, width, height = frame.area
        painter.save()
        painter.setClipRect(box)
        part = QRectF(
            box.left() + left * box.width(),
            box.top() + top * box.height(),
            width * box.width(),
            height * box.height(),
        )
        painter.drawImage(part, image, frame.part)
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
            if left <= position.x() < left + width and top <= position.y() < top + height + placed.label:
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
        self._places = self._scaled = self._under = None

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Draw all again: other colours, other type, or the pixels of another screen."""
        self._under = None
        if event.type() == QEvent.Type.FontChange:
            self._places = None
        super().changeEvent(event)

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
