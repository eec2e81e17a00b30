"""The colour map with the numbers at its ends."""

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from vitviz.app import theme


class ColorBar(QWidget):
    """A strip of colours from the low to the high number, with the unit behind."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image: QImage | None = None
        self._ends = ("", "")
        self.setFont(theme.small())
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Colour scale")

    def set_colors(self, table: NDArray[np.uint8]) -> None:
        """The colour map as (256, 3) uint8."""
        row = np.ascontiguousarray(table.reshape(1, 256, 3))
        self._image = QImage(row.data, 256, 1, 768, QImage.Format.Format_RGB888).copy()
        self.update()

    def set_ends(self, low: str, high: str) -> None:
        """What the two ends stand for, as text with a unit."""
        if (low, high) != self._ends:
            self._ends = (low, high)
            self.setAccessibleDescription(f"from {low} to {high}" if high else "")
            self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Narrow enough for a small window."""
        return QSize(220, 24)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Numbers and a little colour."""
        return QSize(140, 24)

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Low number, colours, high number."""
        low, high = self._ends
        if self._image is None or not high:
            return
        painter = QPainter(self)
        painter.setFont(theme.small())
        painter.setPen(QColor(theme.colors(self.palette()).quiet))
        metrics = painter.fontMetrics()
        before, after = metrics.horizontalAdvance(low) + 8, metrics.horizontalAdvance(high) + 8
        flags = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(0, 0, before, self.height()), flags | Qt.AlignmentFlag.AlignLeft, low)
        room = QRectF(self.width() - after, 0, after, self.height())
        painter.drawText(room, flags | Qt.AlignmentFlag.AlignRight, high)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(
            QRectF(before, self.height() / 2 - 4, self.width() - before - after, 8), self._image
        )
