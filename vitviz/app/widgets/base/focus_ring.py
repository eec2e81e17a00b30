"""The ring around a widget that got the keyboard focus."""

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFocusEvent, QPainter, QPen
from PySide6.QtWidgets import QWidget

from vitviz.app.ui import theme

_MOUSE = (Qt.FocusReason.MouseFocusReason, Qt.FocusReason.OtherFocusReason)
# The window is activated or deactivated, or a menu opens: the ring stays as it is.
_WINDOW = (Qt.FocusReason.ActiveWindowFocusReason, Qt.FocusReason.PopupFocusReason)


class FocusRing(QWidget):
    """A widget that draws a focus ring if it got the focus by keyboard; not after a click, where it is not needed."""

    _ring = False

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """Draw the ring if the focus came by keyboard."""
        if event.reason() not in _WINDOW:
            self._ring = event.reason() not in _MOUSE
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """Remove the ring."""
        if event.reason() not in _WINDOW:
            self._ring = False
        super().focusOutEvent(event)
        self.update()

    def draw_focus(self, painter: QPainter) -> None:
        """Draw the ring, if it is shown; for `paintEvent`."""
        if self._ring:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(theme.colors(self.palette()).accent), 2))
            painter.drawRect(QRectF(self.rect()).adjusted(1, 1, -1, -1))
