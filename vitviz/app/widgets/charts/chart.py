"""The base of all charts: pyqtgraph's axes in the window's style, without its menu, panning and zooming."""

from collections.abc import Sequence
from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QGraphicsSimpleTextItem, QVBoxLayout, QWidget

from vitviz.app.ui import theme
from vitviz.app.widgets.base.hover_view import HoverView

_AXES = ("left", "bottom", "right")
_Event, _Key = QEvent.Type, Qt.Key
_STEPS = {_Key.Key_Left: (-1, 0), _Key.Key_Right: (1, 0), _Key.Key_Up: (0, 1), _Key.Key_Down: (0, -1)}


def curve_pen(color: QColor | str, width: float = 1, dashes: Sequence[float] = ()) -> QPen:
    """A pen for a curve; dashes and gaps in widths of the line."""
    made: QPen = pg.mkPen(QColor(color), width=width, dash=list(dashes) or None, cosmetic=False)
    made.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    made.setCapStyle(Qt.PenCapStyle.FlatCap if dashes else Qt.PenCapStyle.RoundCap)
    return made


class ChartView(HoverView):
    """Charts, each with a title. The pointer and the arrow keys point at their items, a click or Enter picks one.

    Subclasses say what the items are, by `at` and the next three methods. Scene coordinates are those of this widget.
    """

    clicked = Signal(object)

    def __init__(self, parent: QWidget | None, charts: int) -> None:
        super().__init__(parent)
        self.last: Any = None  # the item pointed at last, from which arrow keys move
        self._marks: list[Any] = []
        self.setMinimumSize(220, 140)
        self.view: Any = pg.GraphicsLayoutWidget()
        self.view.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.view.setBackground(None)
        self.view.viewport().setAutoFillBackground(False)
        for widget in (self.view, self.view.viewport()):
            widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.view.setCacheMode(self.view.CacheModeFlag.CacheNone)  # its cache would hide the ring
        self.view.setAntialiasing(True)
        self.view.ci.setContentsMargins(0, 0, 0, 4)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.view)
        self.charts = [self.view.addPlot(0, number, enableMenu=False) for number in range(charts)]
        for chart in self.charts:
            chart.hideButtons()
            chart.title = QGraphicsSimpleTextItem(
                chart
            )  # pyqtgraph's title makes its chart as wide as itself
            chart.title.setPos(4, 3)  # inside the focus ring
            chart.showAxis("right")
            for name in _AXES:
                axis = chart.getAxis(name)
                axis.setPen(None)
                axis.setStyle(maxTickLevel=0, tickAlpha=255, tickLength=4, hideOverlappingLabels=False)
            chart.getAxis("left").setStyle(tickLength=0)
            # The grid is drawn by a third axis, as an axis with a grid leaves out its first and last number.
            grid = chart.getAxis("right")
            grid.setStyle(showValues=False)
            grid.setGrid(255)
            grid.setZValue(-1)

    def beside(self, across: int, up: int) -> Any:
        """The item one step from the one pointed at last, or None."""

    def draw(self) -> None:
        """Fill the empty charts."""

    def marks(self) -> tuple[int, list[Any]]:
        """The number of a chart, and the items over it that mark what is selected or pointed at."""
        return 0, []

    # Drawing.

    def pen(self, color: QColor | str, width: float = 1, dashes: Sequence[float] = ()) -> QPen:
        """A pen of the same width on the screen for every range of the axes."""
        # Qt takes the width of a cosmetic pen in physical pixels.
        made = curve_pen(color, width * self.devicePixelRatioF(), dashes)
        made.setCosmetic(True)
        return made

    def redraw(self) -> None:
        """Draw everything again, in the current colours and fonts."""
        scheme, metrics = theme.colors(self.palette()), QFontMetrics(theme.small())
        for chart in self.charts:
            chart.clear()
            chart.title.setFont(theme.body())
            chart.title.setBrush(QColor(scheme.text))
            chart.layout.setContentsMargins(0, QFontMetrics(theme.body()).height() + 8, 0, 0)
            for name in _AXES:
                axis = chart.getAxis(name)
                axis.setStyle(tickFont=theme.small())
                axis.setTextPen(scheme.muted)
                axis.setTickPen(self.pen(scheme.line))
                axis.label.setFont(theme.small())
            # Fixed room for the numbers, so that the axes do not move when these change.
            chart.getAxis("left").setWidth(metrics.horizontalAdvance("0.000") + 8)
            chart.getAxis("right").setWidth(16)
            chart.getAxis("bottom").setHeight(2 * metrics.height() + 8)
        self.draw()
        for chart in self.charts:
            chart.getAxis("bottom").resizeEvent()  # centres the label again for its new text
        self.mark()

    def mark(self) -> None:
        """Draw the marks again, and nothing else."""
        for item in self._marks:
            item.getViewBox().removeItem(item)
        chart, self._marks = self.marks()
        for item in self._marks:
            self.charts[chart].vb.addItem(item)

    def set_dimmed(self, dimmed: bool) -> None:
        """Whether what is shown is about to be replaced."""
        super().set_dimmed(dimmed)
        self.view.ci.setOpacity(0.4 if dimmed else 1.0)

    def event(self, event: QEvent) -> bool:
        """Draw again in new colours, fonts or pixels."""
        done = super().event(event)
        if event.type() in (_Event.PaletteChange, _Event.FontChange, _Event.DevicePixelRatioChange):
            self.redraw()
        return done

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw the focus ring; the charts over it have no background."""
        self.draw_focus(QPainter(self))

    # From the user.

    def point(self, thing: Any) -> None:
        """Point at an item, or with None at nothing."""
        if thing != self.hovered:
            self.last = thing or self.last
            self.setCursor(Qt.CursorShape.ArrowCursor if thing is None else Qt.CursorShape.PointingHandCursor)
            super().point(thing)
            self.mark()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Pick the item under the pointer."""
        spot = self.at(event.position())
        if spot is not None and event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(spot)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Arrow keys point at the next item, Enter picks it, Escape points at nothing."""
        key = _Key(event.key())
        spot = self.beside(*_STEPS[key]) if key in _STEPS else None
        if spot is not None:
            self._ring = True
            self.point(spot)
            self.update()
        elif key in (_Key.Key_Return, _Key.Key_Enter) and self.last is not None:
            self.clicked.emit(self.last)
        elif key == _Key.Key_Escape and self.hovered is not None:
            self.point(None)
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """Mark the item that the keys point at."""
        super().focusInEvent(event)
        self.mark()

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """The keys point at nothing any more."""
        if self._ring:
            self.point(None)
        super().focusOutEvent(event)
        self.mark()
