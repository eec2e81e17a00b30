"""The ring round a widget that the keyboard has come to."""

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFocusEvent, QPainter, QPen
from PySide6.QtWidgets import QWidget

from vitviz.app.ui import theme

_MOUSE = (Qt.FocusReason.MouseFocusReason, Qt.FocusReason.OtherFocusReason)
# The whole window comes or goes, or a menu opens: where the focus is within it stays as it came.
_WINDOW = (Qt.FocusReason.ActiveWindowFocusReason, Qt.FocusReason.PopupFocusReason)


class Ringed(QWidget):
    """A widget that shows its focus where the keyboard brought it; after a click one knows where one is."""

    _ring = False

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """Remember how the focus came."""
        if event.reason() not in _WINDOW:
            self._ring = event.reason() not in _MOUSE
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """Without focus there is no ring."""
        if event.reason() not in _WINDOW:
            self._ring = False
        super().focusOutEvent(event)
        self.update()

    def draw_focus(self, painter: QPainter) -> None:
        """Draw the ring, if there is one."""
        if self._ring:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(theme.colors(self.palette()).accent), 2))
            painter.drawRect(QRectF(self.rect()).adjusted(1, 1, -1, -1))
