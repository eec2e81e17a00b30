"""Dots by layer: one per head, with an axis, an even-attention line, a selection and a preview under the pointer."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QWidget

from vitviz.app import theme
from vitviz.app.widgets.focus import Ringed
from vitviz.app.widgets.mosaic_plan import Target

Numbers = NDArray[np.float64]

_TOP, _BOTTOM, _RIGHT = 28, 36, 12
_NEAR = 12  # pixels from a dot's middle at which it is meant
_SPREAD = 0.64  # of a layer's width, for its heads side by side


@dataclass(frozen=True, eq=False)
class Dots:
    """What is shown. NaN is no dot."""

    values: tuple[Numbers, ...]
    """Per layer one number per head."""
    quantity: str
    """The name of the vertical axis, with its unit."""
    spread: tuple[Numbers, ...] | None = None
    """Per dot a standard deviation."""
    even: tuple[float, ...] | None = None
    """Per layer what even attention would give."""
    even_name: str = "even attention"
    highest: float | None = None
    """The top of the axis; None as high as the values need."""


NOTHING = Dots((), "")


def ticks(highest: float, most: int) -> list[float]:
    """Round numbers from 0 up to and including the first that is not below `highest`, at most `most` + 1 of them."""
    if not highest > 0:
        return [0.0, 1.0]
    rough = highest / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    count = math.ceil(highest / step - 1e-9)
    return [step * number for number in range(count + 1)]


class ScatterView(Ringed):
    """The plot. Arrow keys go from dot to dot, Enter picks."""

    pointed = Signal(object)  # Target | None
    clicked = Signal(object)  # Target

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(200, 140)
        self.dots = NOTHING
        self.current = Target(0, 0)
        self._selected: Target | None = None
        self._hovered: Target | None = None
        self._preview: Target | None = None
        self._dimmed = False
        self._ticks: list[float] = [0.0, 1.0]

    def set_dots(self, dots: Dots) -> None:
        """New content."""
        self.dots = dots
        self._hovered = None
        heads = [len(layer) for layer in dots.values]
        if heads:
            layer = min(self.current.layer, len(heads) - 1)
            self.current = Target(layer, min(self.current.head or 0, heads[layer] - 1))
        self.update()

    def set_selected(self, selected: Target | None) -> None:
        """The dot in the accent; with head None all of the layer."""
        if selected != self._selected:
            self._selected = selected
            self.update()

    def set_preview(self, preview: Target | None) -> None:
        """The dot that is pointed at elsewhere."""
        if preview != self._preview:
            self._preview = preview
            self.update()

    def set_dimmed(self, dimmed: bool) -> None:
        """Whether what is shown is about to be replaced."""
        if dimmed != self._dimmed:
            self._dimmed = dimmed
            self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Wide enough for twelve layers."""
        return QSize(420, 260)

    # Where things lie.

    @property
    def _area(self) -> QRectF:
        metrics = QFontMetricsF(theme.small())
        left = max(metrics.horizontalAdvance(self._tick(value)) for value in self._ticks) + 16
        return QRectF(left, _TOP, self.width() - left - _RIGHT, self.height() - _TOP - _BOTTOM)

    def _scale(self) -> None:
        values = [layer for layer in self.dots.values if len(layer)]
        top = self.dots.highest
        if top is None:
            extra = self.dots.spread or tuple(np.zeros_like(layer) for layer in values)
            reach = [
                np.nan_to_num(one) + np.nan_to_num(more) for one, more in zip(values, extra, strict=False)
            ]
            top = max(
                [float(one.max()) for one in reach] + [float(np.nan_to_num(self.dots.even or (0.0,)).max())]
            )
        self._ticks = ticks(top, max(2, int((self.height() - _TOP - _BOTTOM) // 36)))

    def place(self, target: Target) -> QPointF | None:
        """The middle of a head's dot; None where it has none."""
        assert target.head is not None
        value = float(self.dots.values[target.layer][target.head])
        if math.isnan(value):
            return None
        return QPointF(self._x(target.layer, target.head), self._y(value))

    def _x(self, layer: int, head: int) -> float:
        area, layers = self._area, len(self.dots.values)
        heads = len(self.dots.values[layer])
        wide = area.width() / layers
        aside = (head - (heads - 1) / 2) * min(wide * _SPREAD / max(heads - 1, 1), 16)
        return area.left() + (layer + 0.5) * wide + aside

    def _y(self, value: float) -> float:
        area = self._area
        return area.bottom() - value / self._ticks[-1] * area.height()

    def target_at(self, point: QPointF) -> Target | None:
        """The dot next to a point, or by its number below the axis a layer."""
        if not self.dots.values:
            return None
        area = self._area
        if point.y() > area.bottom() + 4 and area.left() <= point.x() < area.right():
            return Target(int((point.x() - area.left()) / area.width() * len(self.dots.values)), None)
        nearest, best = None, float(_NEAR)
        for target in self._targets():
            place = self.place(target)
            if place is not None:
                away = math.hypot(place.x() - point.x(), place.y() - point.y())
                if away <= best:
                    nearest, best = target, away
        return nearest

    def _targets(self) -> list[Target]:
        return [
            Target(layer, head) for layer, heads in enumerate(self.dots.values) for head in range(len(heads))
        ]

    # Drawing.

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Axis, lines, dots."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.dots.values:
            self._scale()
            self._draw_axes(painter)
            painter.setOpacity(0.4 if self._dimmed else 1.0)
            self._draw_even(painter)
            self._draw_dots(painter)
            painter.setOpacity(1.0)
        self.draw_focus(painter)

    def _draw_axes(self, painter: QPainter) -> None:
        scheme, area = theme.colors(self.palette()), self._area
        metrics = QFontMetricsF(theme.small())
        painter.setFont(theme.small())
        for value in self._ticks:
            y = self._y(value)
            painter.setPen(QPen(QColor(scheme.line), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(QColor(scheme.quiet))
            box = QRectF(0, y - 10, area.left() - 8, 20)
            painter.drawText(
                box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, self._tick(value)
            )
        painter.drawText(QRectF(8, 2, area.right() - 8, 20), Qt.AlignmentFlag.AlignLeft, self.dots.quantity)
        layers = len(self.dots.values)
        wide = area.width() / layers
        every = max(1, math.ceil((metrics.horizontalAdvance("88") + 4) / wide))
        on = self._hovered or self._preview or self._selected
        chosen = self._selected.layer if self._selected is not None else -1
        for layer in range(layers):
            lit = on is not None and on.layer == layer
            if layer % every and not lit:
                continue
            painter.setPen(QColor(scheme.text if lit or layer == chosen else scheme.quiet))
            box = QRectF(area.left() + layer * wide - 10, area.bottom() + 2, wide + 20, 16)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, str(layer))
        painter.setPen(QColor(scheme.quiet))
        box = QRectF(area.left(), area.bottom() + 17, area.width(), 16)
        words = "layer; its heads side by side, the first at the left"
        if metrics.horizontalAdvance(words) > area.width():
            words = "layer"
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, words)

    def _draw_even(self, painter: QPainter) -> None:
        if self.dots.even is None:
            return
        scheme, area = theme.colors(self.palette()), self._area
        painter.setPen(QPen(QColor(scheme.quiet), 1.5, Qt.PenStyle.DashLine))
        wide = area.width() / len(self.dots.values)
        named = None
        for layer, value in enumerate(self.dots.even):
            if not math.isnan(value):
                y = self._y(value)
                left = area.left() + layer * wide
                painter.drawLine(QPointF(left, y), QPointF(left + wide, y))
                named = y
        if named is not None:
            painter.setFont(theme.small())
            top = area.top() - 26
            painter.setPen(QColor(scheme.quiet))
            metrics = QFontMetricsF(theme.small())
            words = f"╌ {self.dots.even_name}"
            if metrics.horizontalAdvance(words + self.dots.quantity) + 40 < self.width():
                box = QRectF(area.left(), top, area.width(), 20)
                painter.drawText(box, Qt.AlignmentFlag.AlignRight, words)

    def _draw_dots(self, painter: QPainter) -> None:
        scheme, area = theme.colors(self.palette()), self._area
        most = max(len(layer) for layer in self.dots.values)
        radius = min(max(area.width() / len(self.dots.values) / most * 0.55, 2.0), 4.5)
        fill = QColor(scheme.quiet)
        fill.setAlpha(190)
        last: list[Target] = []
        for target in self._targets():
            chosen = self._selected is not None and self._selected in (target, Target(target.layer, None))
            if chosen:
                last.append(target)
            else:
                self._draw_dot(painter, target, fill, radius)
        for target in last:
            self._draw_dot(painter, target, QColor(scheme.accent), max(radius + 1, 4.0))
        rings = [self._hovered, self._preview, self.current if self._ring else None]
        for ring in rings:
            if ring is None or ring.layer >= len(self.dots.values):
                continue
            for target in self._targets():
                place = self.place(target) if ring in (target, Target(target.layer, None)) else None
                if place is not None:
                    painter.setBrush(Qt.BrushStyle.NoBrush)
                    painter.setPen(QPen(QColor(scheme.text), 1.5))
                    painter.drawEllipse(place, radius + 3, radius + 3)

    def _draw_dot(self, painter: QPainter, target: Target, color: QColor, radius: float) -> None:
        place = self.place(target)
        if place is None:
            return
        assert target.head is not None
        if self.dots.spread is not None:
            more = float(self.dots.spread[target.layer][target.head])
            if not math.isnan(more):
                area = self._area
                reach = more / self._ticks[-1] * area.height()
                low, high = min(place.y() + reach, area.bottom()), max(place.y() - reach, area.top())
                painter.setPen(QPen(color, 1))
                painter.drawLine(QPointF(place.x(), low), QPointF(place.x(), high))
        painter.setPen(QPen(QColor(theme.colors(self.palette()).window), 1))
        painter.setBrush(color)
        painter.drawEllipse(place, radius, radius)

    def _tick(self, value: float) -> str:
        return f"{value:g}" if value >= 1 or value == 0 else f"{value:.3g}"

    # From the user.

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Tell when the pointer comes to another dot."""
        self._hover(self.target_at(event.position()))

    def leaveEvent(self, _: QEvent) -> None:  # noqa: N802
        """The pointer has left."""
        self._hover(None)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Pick a head, or a layer by its number."""
        target = self.target_at(event.position())
        if target is not None and event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(target)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Left and right go to the next layer, up and down to the next higher or lower head, Enter picks."""
        aside = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        along = {Qt.Key.Key_Up: 1, Qt.Key.Key_Down: -1}.get(Qt.Key(event.key()))
        if not self.dots.values:
            super().keyPressEvent(event)
        elif aside is not None:
            layer = min(max(self.current.layer + aside, 0), len(self.dots.values) - 1)
            self._go(Target(layer, min(self.current.head or 0, len(self.dots.values[layer]) - 1)))
        elif along is not None:
            order = np.argsort(self.dots.values[self.current.layer], kind="stable").tolist()
            rank = order.index(self.current.head) + along
            self._go(Target(self.current.layer, order[min(max(rank, 0), len(order) - 1)]))
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.clicked.emit(self.current)
        else:
            super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """What the keys pointed at is not pointed at any more."""
        if self._ring:
            self.pointed.emit(None)
        super().focusOutEvent(event)

    def _go(self, target: Target) -> None:
        self.current = target
        self._ring = True
        self.update()
        self.pointed.emit(target)

    def _hover(self, target: Target | None) -> None:
        if target != self._hovered:
            self._hovered = target
            self.setCursor(
                Qt.CursorShape.ArrowCursor if target is None else Qt.CursorShape.PointingHandCursor
            )
            self.update()
            self.pointed.emit(target)
