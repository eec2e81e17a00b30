"""The colour map with the numbers at its ends, one between them, and a marker at the value that is pointed at."""

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from vitviz.app.ui import theme
from vitviz.render.colors import Bar

_TOP = 8  # room for the marker above the colours
_THICK = 8
_TICK = 3


class ColorBar(QWidget):
    """A strip of colours with numbers below it; at its left how colours follow values, where not in proportion."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._table: NDArray[np.uint8] | None = None
        self._image: QImage | None = None
        self._bar: Bar | None = None
        self._texts = ("", "", "")
        self._caption = ""
        self._marker: float | None = None
        self.setFont(theme.small())
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Colour scale")

    def set_colors(self, table: NDArray[np.uint8]) -> None:
        """The colour map as (256, 3) uint8."""
        if table is not self._table:
            self._table, self._image = table, None
            self.update()

    def set_bar(self, bar: Bar | None, texts: tuple[str, str, str] = ("", "", ""), caption: str = "") -> None:
        """The scale with its numbers as text: lowest, between, highest; None is no scale."""
        if (bar, texts, caption) == (self._bar, self._texts, self._caption):
            return
        if bar is None or self._bar is None or (bar.first, bar.last) != (self._bar.first, self._bar.last):
            self._image = None
        if caption != self._caption:
            self.updateGeometry()
        self._bar, self._texts, self._caption = bar, texts, caption
        self._tell()
        self.update()

    def set_marker(self, place: float | None) -> None:
        """Where along the bar (0 to 1) the value lies that is pointed at; None for none."""
        if place != self._marker:
            self._marker = place
            self.update()

    @property
    def texts(self) -> tuple[str, str, str]:
        """The numbers: lowest, between, highest; empty for none."""
        return self._texts

    @property
    def caption(self) -> str:
        """How colours follow values; empty for in proportion."""
        return self._caption

    @property
    def marker(self) -> float | None:
        """Where along the bar the marker is."""
        return self._marker

    def strip(self) -> QRectF:
        """Where the colours are drawn; half the widest number stays free at either end."""
        metrics = self.fontMetrics()
        left = metrics.horizontalAdvance(self._caption) + 12 if self._caption else 0
        sides = [min(metrics.horizontalAdvance(text) / 2, 24) for text in (self._texts[0], self._texts[2])]
        return QRectF(left + sides[0], _TOP, max(8, self.width() - left - sum(sides)), _THICK)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Narrow enough for a small window."""
        return QSize(240, _TOP + _THICK + _TICK + self.fontMetrics().height() + 2)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Numbers and a little colour."""
        extra = self.fontMetrics().horizontalAdvance(self._caption) if self._caption else 0
        return QSize(132 + extra, self.sizeHint().height())

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Another font needs other room."""
        if event.type() == QEvent.Type.FontChange:
            self.updateGeometry()
        super().changeEvent(event)

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Colours, ticks and numbers, then the marker."""
        if self._bar is None or self._table is None:
            return
        if self._image is None:
            self._image = _image(self._table, self._bar)
        painter = QPainter(self)
        painter.setFont(self.font())
        scheme = theme.colors(self.palette())
        strip = self.strip()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(strip, self._image)
        metrics = painter.fontMetrics()
        top = strip.bottom() + _TICK
        # The middle number comes last: it gives way where the ends leave no room.
        ends, middle = self._texts[::2], self._texts[1]
        painter.setPen(QColor(scheme.muted))
        if self._caption:
            flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
            painter.drawText(
                QRectF(0, strip.center().y() - metrics.height() / 2, strip.left(), metrics.height()),
                flags,
                self._caption,
            )
        taken: list[tuple[float, float]] = []
        for text, place in ((ends[0], 0.0), (ends[1], 1.0), (middle, self._bar.place)):
            if not text:
                continue
            width = metrics.horizontalAdvance(text)
            x = strip.left() + place * strip.width()
            left = max(0.0, min(x - width / 2, self.width() - width))
            if any(left < end + 8 and left + width + 8 > start for start, end in taken):
                continue
            taken.append((left, left + width))
            painter.fillRect(QRectF(round(x) - 0.5, strip.bottom(), 1, _TICK), QColor(scheme.muted))
            painter.drawText(QRectF(left, top, width + 1, metrics.height()), Qt.AlignmentFlag.AlignLeft, text)
        if self._marker is not None:
            self._draw_marker(painter, strip, QColor(scheme.text), QColor(scheme.window))

    def _draw_marker(self, painter: QPainter, strip: QRectF, color: QColor, rim: QColor) -> None:
        assert self._marker is not None
        x = round(strip.left() + self._marker * strip.width())
        painter.fillRect(QRectF(x - 2, strip.top(), 4, strip.height()), rim)
        painter.fillRect(QRectF(x - 1, strip.top(), 2, strip.height()), color)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        top = strip.top() - 1
        painter.drawPolygon(
            QPolygonF([QPointF(x - 4.5, top - 6), QPointF(x + 4.5, top - 6), QPointF(x, top)])
        )

    def _tell(self) -> None:
        low, middle, high = self._texts
        through = f" through {middle}" if middle else ""
        words = f"from {low}{through} to {high}" if self._bar is not None else ""
        self.setAccessibleDescription(", ".join(filter(None, (words, self._caption))))


def _image(table: NDArray[np.uint8], bar: Bar) -> QImage:
    """The part of the colours that a scale uses, as one row."""
    places = np.rint(np.linspace(bar.first, bar.last, 256) * 255).astype(np.intp)
    row = np.ascontiguousarray(table[places].reshape(1, 256, 3))
    return QImage(row.data, 256, 1, 768, QImage.Format.Format_RGB888).copy()
