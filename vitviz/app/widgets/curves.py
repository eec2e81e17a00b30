"""Curves over shares from 0 to 1, in one or two plots side by side or one above the other; pointing finds a step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
    QResizeEvent,
)
from PySide6.QtWidgets import QWidget

from vitviz.app import theme
from vitviz.app.widgets.focus import Ringed

_GAP = 16
_STEM = 4  # of ticks
_THUMB = 88  # side of the picture at the pointer


@dataclass(frozen=True)
class Curve:
    """Values at shares, and half the width of a band around them. The selected one is drawn in the accent."""

    key: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    stroke: tuple[str, tuple[float, ...]]
    """Colour and dashes."""
    half: tuple[float, ...] = ()
    selected: bool = False


@dataclass(frozen=True)
class Plot:
    """Curves over one pair of axes, up from 0 to `end`."""

    title: str
    across: str
    curves: tuple[Curve, ...]
    end: float = 1.0

    @property
    def steps(self) -> tuple[float, ...]:
        """Where the selected curve has its values: what pointing finds."""
        return next((curve.xs for curve in self.curves if curve.selected), ())


@dataclass(frozen=True)
class Spot:
    """A step of a plot: which plot, and which step of its selected curve."""

    plot: int
    step: int


class CurvesView(Ringed):
    """Draws plots; `pointed` tells the step at the pointer (a Spot) or None, arrow keys walk from step to step."""

    pointed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plots: tuple[Plot, ...] = ()
        self._spot: Spot | None = None
        self._words: tuple[str, ...] = ()
        self._thumb: QImage | None = None
        self._dimmed = False
        self._drawn: QPixmap | None = None
        self.setFont(theme.body())
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    @property
    def spot(self) -> Spot | None:
        """The step that is pointed at."""
        return self._spot

    def set_plots(self, plots: Sequence[Plot]) -> None:
        """What is drawn; a step that is no more there is not pointed at any longer."""
        self._plots = tuple(plots)
        spot = self._spot
        if spot is not None and (
            spot.plot >= len(self._plots) or spot.step >= len(self._plots[spot.plot].steps)
        ):
            self._point(None)
        self._redraw()

    def set_dimmed(self, dimmed: bool) -> None:
        """Whether what is drawn is of something older than what is asked for."""
        if dimmed != self._dimmed:
            self._dimmed = dimmed
            self._redraw()

    def set_card(self, words: Sequence[str], thumb: QImage | None) -> None:
        """What is said at the pointer: lines of text and a picture."""
        self._words, self._thumb = tuple(words), thumb
        self.update()

    def box(self, plot: int) -> QRectF:
        """Where a plot's axes span, in widget coordinates."""
        metrics = self.fontMetrics()
        count = max(1, len(self._plots))
        line, left = metrics.height(), metrics.horizontalAdvance("0.75") + 12
        wide = self.width() >= 1.15 * self.height() or self.height() < 300
        across, down = (count, 1) if wide else (1, count)
        room = QRectF(12, 4, self.width() - 24, self.height() - 8)
        width = (room.width() - _GAP * (across - 1)) / across
        height = (room.height() - _GAP * (down - 1)) / down
        x = room.x() + (plot % across) * (width + _GAP)
        y = room.y() + (plot // across) * (height + _GAP)
        right = metrics.horizontalAdvance("100 %") / 2
        return QRectF(x + left, y + line + 8, width - left - right, height - 3 * line - 8 - 2 * _STEM)

    def place(self, plot: int, x: float, y: float) -> QPointF:
        """Where a share and a value of a plot lie."""
        box = self.box(plot)
        high = min(max(y / self._plots[plot].end, 0.0), 1.0)
        return QPointF(box.left() + x * box.width(), box.bottom() - high * box.height())

    def at(self, point: QPointF) -> Spot | None:
        """The nearest step of the plot that holds a point, or that the point lies above, below or beside of."""
        for number, plot in enumerate(self._plots):
            box = self.box(number)
            if plot.steps and box.adjusted(-12, -12, 12, 12).contains(point):
                share = (point.x() - box.left()) / max(1.0, box.width())
                return Spot(number, min(range(len(plot.steps)), key=lambda i: abs(plot.steps[i] - share)))
        return None

    def sizeHint(self) -> QSize:  # noqa: N802
        """Two plots side by side."""
        return QSize(420, 240)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Small enough for a laptop's dock."""
        return QSize(220, 140)

    # Events.

    def resizeEvent(self, _: QResizeEvent) -> None:  # noqa: N802
        """Lay out again."""
        self._drawn = None

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Take the new colours."""
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange):
            self._redraw()
        super().changeEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Point at the step below the pointer."""
        self._point(self.at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802
        """Point at nothing."""
        self._point(None)
        super().leaveEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Left and right walk along the curve, up and down change the plot, Escape points at nothing."""
        key = Qt.Key(event.key())
        spot = self._spot
        if key == Qt.Key.Key_Escape and spot is not None:
            self._point(None)
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right) and self._plots and self._plots[0].steps:
            spot = spot or Spot(0, -1 if key == Qt.Key.Key_Right else len(self._plots[0].steps))
            step = spot.step + (1 if key == Qt.Key.Key_Right else -1)
            self._point(Spot(spot.plot, min(max(step, 0), len(self._plots[spot.plot].steps) - 1)))
        elif key in (Qt.Key.Key_Up, Qt.Key.Key_Down) and spot is not None and len(self._plots) > 1:
            self._point(Spot((spot.plot + 1) % len(self._plots), spot.step))
        else:
            super().keyPressEvent(event)

    def _point(self, spot: Spot | None) -> None:
        if spot != self._spot:
            self._spot = spot
            self._words, self._thumb = (), None
            self.pointed.emit(spot)
            self.update()

    # Drawing.

    def _redraw(self) -> None:
        self._drawn = None
        self.update()

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """The plots as they were drawn last, and what is pointed at over them."""
        ratio = self.devicePixelRatioF()
        if self._drawn is None or self._drawn.devicePixelRatio() != ratio:
            self._drawn = QPixmap(self.size() * ratio)
            self._drawn.setDevicePixelRatio(ratio)
            self._drawn.fill(Qt.GlobalColor.transparent)
            pen = QPainter(self._drawn)
            pen.setRenderHint(QPainter.RenderHint.Antialiasing)
            for number in range(len(self._plots)):
                self._draw(pen, number)
            pen.end()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setOpacity(0.4 if self._dimmed else 1.0)
        painter.drawPixmap(0, 0, self._drawn)
        painter.setOpacity(1.0)
        if self._spot is not None and self._plots:
            self._draw_spot(painter, self._spot)
        self.draw_focus(painter)

    def _draw(self, painter: QPainter, number: int) -> None:
        plot, box = self._plots[number], self.box(number)
        scheme = theme.colors(self.palette())
        painter.setFont(theme.body())
        line = self.fontMetrics().height()
        painter.setPen(QColor(scheme.text))
        painter.drawText(
            QRectF(box.left(), box.top() - line - 8, box.width(), line + 4),
            Qt.AlignmentFlag.AlignLeft,
            plot.title,
        )
        painter.setFont(theme.small())
        for part in range(5):
            y = round(box.bottom() - part / 4 * box.height()) + 0.5
            painter.setPen(QPen(QColor(scheme.line), 1))
            painter.drawLine(QPointF(box.left(), y), QPointF(box.right(), y))
            painter.setPen(QColor(scheme.quiet))
            room = QRectF(box.left() - 60, y - line / 2, 54, line)
            middle = Qt.AlignmentFlag.AlignVCenter
            painter.drawText(room, middle | Qt.AlignmentFlag.AlignRight, f"{plot.end * part / 4:.3g}")
        halves = 4 if box.width() > 200 else 2
        for part in range(halves + 1):
            x = box.left() + part / halves * box.width()
            painter.drawLine(QPointF(x, box.bottom()), QPointF(x, box.bottom() + _STEM))
            room = QRectF(x - 40, box.bottom() + _STEM + 1, 80, line)
            painter.drawText(room, Qt.AlignmentFlag.AlignHCenter, f"{100 * part // halves} %")
        below = QRectF(box.left() - 40, box.bottom() + line + _STEM + 1, box.width() + 80, line)
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, plot.across)
        painter.save()
        painter.setClipRect(box.adjusted(-3, -3, 3, 3))
        for curve in sorted(plot.curves, key=lambda one: (one.selected, not one.half)):
            self._draw_curve(painter, number, curve)
        painter.restore()

    def _draw_curve(self, painter: QPainter, number: int, curve: Curve) -> None:
        color = QColor(self._color(curve))
        if curve.half and not any(math.isnan(half) for half in curve.half):
            edges = [(x, y + half) for x, y, half in zip(curve.xs, curve.ys, curve.half, strict=True)]
            edges += [(x, y - half) for x, y, half in zip(curve.xs, curve.ys, curve.half, strict=True)][::-1]
            soft = QColor(color)
            soft.setAlphaF(0.22)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(soft)
            painter.drawPolygon(QPolygonF([self.place(number, x, y) for x, y in edges]))
        painter.setPen(stroke_pen(color, curve.stroke[1], 2.5 if curve.selected else 1.75))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        points = zip(curve.xs, curve.ys, strict=True)
        painter.drawPolyline(QPolygonF([self.place(number, x, y) for x, y in points]))

    def _color(self, curve: Curve) -> str:
        return theme.colors(self.palette()).accent if curve.selected else curve.stroke[0]

    def _draw_spot(self, painter: QPainter, spot: Spot) -> None:
        plot, box = self._plots[spot.plot], self.box(spot.plot)
        scheme = theme.colors(self.palette())
        share = plot.steps[spot.step]
        x = self.place(spot.plot, share, 0).x()
        painter.setPen(QPen(QColor(scheme.quiet), 1))
        painter.drawLine(QPointF(x, box.top()), QPointF(x, box.bottom()))
        for curve in plot.curves:
            if share in curve.xs:
                painter.setPen(QPen(QColor(scheme.window), 1.5))
                painter.setBrush(QColor(self._color(curve)))
                middle = self.place(spot.plot, share, curve.ys[curve.xs.index(share)])
                painter.drawEllipse(middle, 4.5 if curve.selected else 3.5, 4.5 if curve.selected else 3.5)
        if self._words:
            self._draw_card(painter, x, box)

    def _draw_card(self, painter: QPainter, x: float, box: QRectF) -> None:
        """The card stands beside the line, on the side that has more room."""
        scheme = theme.colors(self.palette())
        painter.setFont(theme.small())
        metrics = painter.fontMetrics()
        line = metrics.height()
        text = max(metrics.horizontalAdvance(words) for words in self._words)
        thumb = (
            QSize()
            if self._thumb is None
            else self._thumb.size().scaled(_THUMB, _THUMB, Qt.AspectRatioMode.KeepAspectRatio)
        )
        width = max(text, thumb.width()) + 16
        height = line * len(self._words) + 12 + (thumb.height() + 6 if self._thumb is not None else 0)
        left = x + 10 if x < box.center().x() else x - 10 - width
        top = min(max(box.top() + 4, 2), max(2.0, self.height() - height - 2))
        card = QRectF(min(max(left, 2), self.width() - width - 2), top, width, height)
        painter.setPen(QPen(QColor(scheme.line), 1))
        painter.setBrush(QColor(scheme.raised))
        painter.drawRoundedRect(card, 6, 6)
        y = card.top() + 6
        if self._thumb is not None:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(QRectF(card.left() + 8, y + 2, thumb.width(), thumb.height()), self._thumb)
            y += thumb.height() + 6
        painter.setPen(QColor(scheme.text))
        for words in self._words:
            painter.drawText(QRectF(card.left() + 8, y, text + 4, line), Qt.AlignmentFlag.AlignLeft, words)
            y += line


def stroke_pen(color: QColor, dashes: Sequence[float], width: float) -> QPen:
    """A pen for a curve; dashes and gaps in widths of the line."""
    pen = QPen(color, width)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    pen.setCapStyle(Qt.PenCapStyle.FlatCap if dashes else Qt.PenCapStyle.RoundCap)
    if dashes:
        pen.setDashPattern([float(part) for part in dashes])
    return pen
