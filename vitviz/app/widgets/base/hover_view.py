"""The base of views with several items: tracks the item under the pointer, and dims the view while it is out of date."""

from typing import Any

from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QWidget

from vitviz.app.ui import theme
from vitviz.app.widgets.base.focus_ring import FocusRing


class HoverView(FocusRing):
    """A view that emits which of its items is under the pointer, and that can be dimmed while new content is computed."""

    hover_changed = Signal(object)  # the item under the pointer, or None

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._hovered: Any = None
        self._dimmed = False
        self.text_scale = theme.scale()
        """The size of the text, by which lengths that leave room for text are multiplied."""
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def at(self, point: QPointF) -> Any:
        """The item at a point of the widget, or None."""

    @property
    def hovered(self) -> Any:
        """The item under the pointer, or None."""
        return self._hovered

    @property
    def dimmed(self) -> bool:
        """Whether the view is dimmed because its content is out of date."""
        return self._dimmed

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Leave room for text of another size."""
        if event.type() == QEvent.Type.FontChange:
            self.text_scale = theme.scale()
            self.update()
        super().changeEvent(event)

    def set_dimmed(self, dimmed: bool) -> None:
        """Dim the view while its content is out of date."""
        if dimmed != self._dimmed:
            self._dimmed = dimmed
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Update the hovered item."""
        self.point(self.at(event.position()))

    def leaveEvent(self, _: QEvent) -> None:  # noqa: N802
        """Clear the hovered item."""
        self.point(None)

    def point(self, item: Any) -> None:
        """Set the hovered item; None for no item."""
        if item != self._hovered:
            self._hovered = item
            self.update()
            self.hover_changed.emit(item)
