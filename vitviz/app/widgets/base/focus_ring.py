"""The ring around a widget that got the keyboard focus, and its actions while a menu or another popup is open."""

from collections.abc import Sequence

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QAction, QColor, QFocusEvent, QPainter, QPen
from PySide6.QtWidgets import QApplication, QWidget

from vitviz.app.ui import theme

_MOUSE = (Qt.FocusReason.MouseFocusReason, Qt.FocusReason.OtherFocusReason)
# The window is activated or deactivated, or a menu opens: the ring stays as it is.
_WINDOW = (Qt.FocusReason.ActiveWindowFocusReason, Qt.FocusReason.PopupFocusReason)


class FocusRing(QWidget):
    """A widget that draws a focus ring if it got the focus by keyboard; not after a click, where it is not needed.

    It has no actions while a popup is open, so that all keys go to the popup. Below a menu it keeps the focus, and Qt would
    use the keys as shortcuts of the focus widget.
    """

    _ring = False
    _removed: Sequence[QAction] = ()  # the actions that it gets back when the popup is closed

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """Draw the ring if the focus came by keyboard."""
        if event.reason() not in _WINDOW:
            self._ring = event.reason() not in _MOUSE
        if self._removed and QApplication.activePopupWidget() is None:
            self.addActions(self._removed)
            self._removed = ()
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """Remove the ring."""
        if event.reason() not in _WINDOW:
            self._ring = False
        if event.reason() == Qt.FocusReason.PopupFocusReason and not self._removed:
            self._removed = self.actions()
            for action in self._removed:
                self.removeAction(action)
        super().focusOutEvent(event)
        self.update()

    def draw_focus(self, painter: QPainter) -> None:
        """Draw the ring, if it is shown; for `paintEvent`."""
        if self._ring:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(theme.colors(self.palette()).accent), 2))
            painter.drawRect(QRectF(self.rect()).adjusted(1, 1, -1, -1))
