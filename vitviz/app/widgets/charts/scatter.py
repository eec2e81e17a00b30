"""Dots by layer: one per head, with an axis, an even-attention line, a selection and a preview under the pointer."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QResizeEvent
from PySide6.QtWidgets import QWidget

from vitviz.app.ui import theme
from vitviz.app.widgets.charts.chart import ChartView
from vitviz.app.widgets.mosaic.layout import Target

Numbers = NDArray[np.float64]

_NEAR = 12  # pixels from a dot's middle within which it is pointed at
_SPREAD = 0.64  # of a layer's width, for its heads side by side


@dataclass(frozen=True, eq=False)
class Dots:
    """The values of the dots; NaN is no dot."""

    values: tuple[Numbers, ...]
    """Per layer one number per head."""
    quantity: str
    """The name of the vertical axis, with its unit."""
    spread: tuple[Numbers, ...] | None = None
    """The standard deviation of each value."""
    even: tuple[float, ...] | None = None
    """Per layer the value of even attention."""
    even_name: str = "even attention"
    highest: float | None = None
    """The top of the axis; None as high as the values need."""


NOTHING = Dots((), "")


class ScatterView(ChartView):
    """The plot; a Target can be pointed at. Left and right go to the next layer, up and down to the next higher or lower."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, charts=1)
        self.dots = NOTHING
        self._selected: Target | None = None
        self._preview: Target | None = None
        self._targets: list[Target] = []
        self._xs = self._ys = self._spread = np.zeros(0)  # of the targets
        self.redraw()

    def set_dots(self, dots: Dots) -> None:
        """New content."""
        self.dots, self._hovered = dots, None
        self._targets = [
            Target(layer, head) for layer, heads in enumerate(dots.values) for head in range(len(heads))
        ]
        if self.last not in self._targets:
            self.last = self._targets[0] if self._targets else None
        self.redraw()

    def set_selected(self, selected: Target | None) -> None:
        """The dot in the accent; with head None all of the layer."""
        if selected != self._selected:
            self._selected = selected
            self.mark()

    def set_preview(self, preview: Target | None) -> None:
        """The dot that is pointed at in another view."""
        if preview != self._preview:
            self._preview = preview
            self.mark()

    @property
    def targets(self) -> tuple[Target, ...]:
        """The heads, layer by layer, those without a number included."""
        return tuple(self._targets)

    def place(self, target: Target) -> Any:
        """The middle of a head's dot, a QPointF."""
        number = self._targets.index(target)
        return self.charts[0].vb.mapViewToScene(QPointF(self._xs[number], self._ys[number]))

    def at(self, place: QPointF) -> Target | None:
        """The dot nearest to a place, or a whole layer where the place is at its number below the axis."""
        if not self._targets:
            return None
        box, point = self.charts[0].vb.sceneBoundingRect(), self.charts[0].vb.mapSceneToView(place)
        if place.y() > box.bottom() + 4 and box.left() <= place.x() < box.right():
            return Target(round(point.x()), None)
        across, up = self.charts[0].vb.viewPixelSize()
        away = np.hypot((self._xs - point.x()) / across, (self._ys - point.y()) / up)
        nearest = int(np.nan_to_num(away, nan=math.inf).argmin())
        return self._targets[nearest] if away[nearest] <= _NEAR else None

    def beside(self, across: int, up: int) -> Target | None:
        """A head of the next layer, or the next of the same one in the order of the values."""
        if not self._targets:
            return None
        layer = min(max(self.last.layer + across, 0), len(self.dots.values) - 1)
        order = np.argsort(self.dots.values[layer], kind="stable").tolist()
        rank = order.index(min(self.last.head or 0, len(order) - 1)) + up
        return Target(layer, order[min(max(rank, 0), len(order) - 1)])

    def draw(self) -> None:
        """Draw the dots; the vertical axis covers them and their spread."""
        dots, chart, layers = self.dots, self.charts[0], len(self.dots.values)
        self.view.setVisible(layers > 0)
        if not layers:
            return
        metrics, room = QFontMetrics(theme.small()), max(self.width() - 60, 1)
        title = f"{dots.quantity} · ╌ {dots.even_name}" if dots.even else dots.quantity
        chart.title.setText(
            QFontMetrics(theme.body()).elidedText(title, Qt.TextElideMode.ElideRight, room + 40)
        )
        words = "layer; its heads side by side, the first at the left"
        axis, every = chart.getAxis("bottom"), layers * metrics.horizontalAdvance("88 ") / room
        axis.setTickSpacing(levels=[(math.ceil(every), 0)])
        axis.setLabel(words if metrics.horizontalAdvance(words) < room else "layer")
        self._ys = np.concatenate(dots.values)
        spread = self._ys * 0 if dots.spread is None else np.concatenate(dots.spread)
        self._spread = np.nan_to_num(spread)
        aside = [np.arange(len(heads)) - (len(heads) - 1) / 2 for heads in dots.values]
        wide = [min(_SPREAD / max(len(heads) - 1, 1), 0.3) for heads in dots.values]
        self._xs = np.concatenate([layer + aside[layer] * wide[layer] for layer in range(layers)])
        even = np.array(dots.even or [math.nan] * layers)
        highest = np.nan_to_num(np.concatenate([even, self._ys + self._spread])).max()
        chart.setXRange(-0.5, layers - 0.5, padding=0)
        chart.setYRange(0, dots.highest or highest or 1.0, padding=0.04)
        quiet = QColor(theme.colors(self.palette()).quiet)
        ends, line = np.arange(layers)[:, None] + [-0.5, 0.5], self.pen(quiet, 1.5, (4, 2))
        chart.addItem(pg.PlotCurveItem(ends.ravel(), np.repeat(even, 2), connect="pairs", pen=line))
        quiet.setAlpha(190)
        for item in self._items(~np.isnan(self._ys), quiet, 0):
            chart.addItem(item)

    def _items(self, which: NDArray[np.bool_], color: QColor, larger: float) -> list[Any]:
        """Dots, and a line for the spread of each."""
        xs, ys, spread = self._xs[which], self._ys[which], self._spread[which]
        size = (8 if max(map(len, self.dots.values)) <= 6 else 5) + larger
        edge = self.pen(theme.colors(self.palette()).window)
        return [
            pg.ErrorBarItem(x=xs, y=ys, top=spread, bottom=np.minimum(spread, ys), pen=self.pen(color)),
            pg.ScatterPlotItem(xs, ys, size=size, brush=color, pen=edge, antialias=True),
        ]

    def marks(self) -> tuple[int, list[Any]]:
        """The selected dots in the accent over a band along their layer, and a ring round those pointed at."""
        scheme, items = theme.colors(self.palette()), []
        if self._targets and self._selected is not None:
            ground, (low, high) = QColor(scheme.raised), self.charts[0].viewRange()[1]
            ground.setAlpha(150)  # the grid is below
            at = {"x": [self._selected.layer], "width": 1, "y0": low, "y1": high}
            items = [pg.BarGraphItem(**at, brush=ground, pen=pg.mkPen(None))]
            items += self._items(self._meant(self._selected), QColor(scheme.accent), 2)
            items[0].setZValue(-1)
        ringed = self._meant(self.hovered) | self._meant(self._preview)
        ringed |= self._meant(self.last if self._ring else None)
        if ringed.any():
            xs, ys, line = self._xs[ringed], self._ys[ringed], self.pen(scheme.text, 1.5)
            items.append(pg.ScatterPlotItem(xs, ys, size=14, brush=None, pen=line, antialias=True))
        return 0, items

    def _meant(self, target: Target | None) -> NDArray[np.bool_]:
        """Which dots a target stands for: one, or with head None all of a layer."""
        return np.array([target in (one, Target(one.layer, None)) for one in self._targets], bool)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Draw again with as many words and numbers as there is room for."""
        self.redraw()
        super().resizeEvent(event)
