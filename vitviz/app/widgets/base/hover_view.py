"""What views of many things share: one of them is pointed at, and what is shown can be out of date."""

from typing import Any

from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QWidget

from vitviz.app.widgets.base.focus_ring import Ringed


class Pointed(Ringed):
    """A view that tells which of its things the pointer has come to, and that dims while something new is on its way."""

    pointed = Signal(object)  # the thing, or None

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._hovered: Any = None
        self._dimmed = False
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def at(self, point: QPointF) -> Any:
        """What lies at a point of the widget; None for nothing."""

    @property
    def hovered(self) -> Any:
        """What is pointed at; None for nothing."""
        return self._hovered

    @property
    def dimmed(self) -> bool:
        """Whether what is shown is about to be replaced."""
        return self._dimmed

    def set_dimmed(self, dimmed: bool) -> None:
        """Whether what is shown is about to be replaced."""
        if dimmed != self._dimmed:
            self._dimmed = dimmed
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Tell when the pointer comes to another thing."""
        self.point(self.at(event.position()))

    def leaveEvent(self, _: QEvent) -> None:  # noqa: N802
        """The pointer has left."""
        self.point(None)

    def point(self, thing: Any) -> None:
        """Point at something, or with None at nothing."""
        if thing != self._hovered:
            self._hovered = thing
            self.update()
            self.pointed.emit(thing)
