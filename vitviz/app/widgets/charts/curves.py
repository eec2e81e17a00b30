"""Curves over shares from 0 to 1, in two charts side by side or one above the other; pointing finds a step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QImage, QPaintEvent, QPalette, QPixmap, QResizeEvent
from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from vitviz.app.ui import theme
from vitviz.app.widgets.charts.chart import ChartView
from vitviz.render.plot import Chart, Line, axis

_THUMB = 88  # side of the picture at the pointer
_NARROWEST, _LOWEST = 180, 140  # a chart with its titles, at the usual size of the text


@dataclass(frozen=True)
class Spot:
    """A step of a plot: which plot, and which step of its strong line."""

    plot: int
    step: int


def steps_of(plot: Chart) -> Sequence[float]:
    """The shares of the strong line's values: the steps that can be pointed at."""
    return next((line.xs for line in plot.lines if line.strong), ())


class Card(QFrame):
    """A picture and lines of text beside the pointer."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.picture, self.words = QLabel(), QLabel()
        self.picture.setScaledContents(True)
        self.words.setFont(theme.small())
        column = QVBoxLayout(self)
        for label in (self.picture, self.words):
            column.addWidget(label)
        column.setContentsMargins(8, 8, 8, 8)
        self.setBackgroundRole(QPalette.ColorRole.Button)
        self.setAutoFillBackground(True)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw the outline."""
        theme.draw_outline(self)

    def fill(self, words: Sequence[str], thumb: QImage) -> None:
        """Set text and picture, and resize to them."""
        self.words.setText("\n".join(words))
        self.picture.setPixmap(QPixmap.fromImage(thumb))
        room = thumb.size().scaled(_THUMB, _THUMB, Qt.AspectRatioMode.KeepAspectRatio)
        self.picture.setFixedSize(room)
        self.adjustSize()


class CurvesView(ChartView):
    """Draws two plots; a Spot can be pointed at. Left and right walk along the curve, up and down change the plot."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, charts=2)
        self.plots: tuple[Chart, ...] = ()
        self.card = Card(self)
        self._wide = True
        for chart in self.charts:
            chart.getAxis("bottom").setScale(100)
        self.redraw()

    def set_plots(self, plots: Sequence[Chart]) -> None:
        """Draw two plots or none; a step that does not exist any more is not pointed at any longer."""
        if tuple(plots) != self.plots:
            if self.hovered is not None and (
                not plots or self.hovered.step >= len(steps_of(plots[self.hovered.plot]))
            ):
                self.point(None)
            self.plots = tuple(plots)
            self.redraw()

    def set_card(self, words: Sequence[str], thumb: QImage | None) -> None:
        """Show lines of text and a picture beside the line at the pointer, on the side with more room."""
        self.card.setVisible(thumb is not None)
        if self.hovered is None or thumb is None:
            return
        self.card.fill(words, thumb)
        size, box = self.card.size(), self.charts[self.hovered.plot].vb.sceneBoundingRect()
        x = self.place(self.hovered.plot, steps_of(self.plots[self.hovered.plot])[self.hovered.step], 0).x()
        x += 10 if x < box.center().x() else -10 - size.width()
        y = min(box.top() + 4, self.height() - size.height() - 2)
        self.card.move(round(min(max(x, 2), self.width() - size.width() - 2)), round(max(y, 2)))

    def place(self, plot: int, x: float, y: float) -> Any:
        """The position of a share and a value of a plot, a QPointF."""
        return self.charts[plot].vb.mapViewToScene(QPointF(x, y))

    def at(self, place: QPointF) -> Spot | None:
        """The nearest step of the plot that a place lies in, with a margin of 12 pixels."""
        for number, (plot, chart) in enumerate(zip(self.plots, self.charts, strict=False)):
            if steps_of(plot) and chart.vb.sceneBoundingRect().adjusted(-12, -12, 12, 12).contains(place):
                away = np.abs(np.array(steps_of(plot)) - chart.vb.mapSceneToView(place).x())
                return Spot(number, int(away.argmin()))
        return None

    def beside(self, across: int, up: int) -> Spot | None:
        """The next step, or the same one of the other plot."""
        last = len(steps_of(self.plots[0])) - 1 if self.plots else -1
        if last < 0 or (up and self.hovered is None):
            return None
        spot = self.hovered or Spot(0, -1 if across > 0 else last + 1)
        return Spot((spot.plot + abs(up)) % 2, min(max(spot.step + across, 0), last))

    def draw(self) -> None:
        """Draw the bands first and the selected curve last."""
        self._arrange()  # the size of the text may have changed
        self.view.setVisible(bool(self.plots))
        for plot, chart in zip(self.plots, self.charts, strict=False):
            chart.title.setText(plot.title)
            chart.getAxis("bottom").setLabel(f"{plot.across}, %")
            low, end, _ = axis(self.plots)
            chart.setRange(xRange=(0, 1), yRange=(low, end), padding=0.02)
            for line in sorted(plot.lines, key=lambda one: one.strong):
                xs, ys = np.array(line.xs), np.array(line.ys)
                if line.half is not None and not np.isnan(line.half).any():
                    edges = [pg.PlotCurveItem(xs, ys + sign * np.array(line.half)) for sign in (-1, 1)]
                    chart.addItem(pg.FillBetweenItem(*edges, brush=(*line.color, 56)))
                pen = self.pen(self._color(line), 2.5 if line.strong else 1.75, line.dashes)
                chart.addItem(pg.PlotCurveItem(xs, ys, pen=pen, antialias=True))
            for item in chart.items:
                item.setCacheMode(
                    item.CacheMode.DeviceCoordinateCache
                )  # without it each mark costs 1 ms per curve

    def _color(self, line: Line) -> QColor:
        return QColor(theme.colors(self.palette()).accent) if line.strong else QColor(*line.color)

    def marks(self) -> tuple[int, list[Any]]:
        """A line at the step that is pointed at, and a dot on each curve."""
        if self.hovered is None:
            self.card.hide()
            return 0, []
        plot, scheme = self.plots[self.hovered.plot], theme.colors(self.palette())
        share = steps_of(plot)[self.hovered.step]
        met = [line for line in plot.lines if share in line.xs]
        dots = pg.ScatterPlotItem(
            [share] * len(met),
            [line.ys[line.xs.index(share)] for line in met],
            size=[9 if line.strong else 7 for line in met],
            brush=[self._color(line) for line in met],
            pen=self.pen(scheme.window, 1.5),
            antialias=True,
        )
        return self.hovered.plot, [pg.InfiniteLine(share, pen=self.pen(scheme.muted)), dots]

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Put the charts side by side where there is room, else one above the other."""
        self._arrange()
        super().resizeEvent(event)

    def _arrange(self) -> None:
        """Side by side only if both titles fit; one above the other the charts need twice the height."""
        fits = self.width() >= 2 * theme.scaled(_NARROWEST)
        low = self.height() < 1.15 * self.width() or self.height() < 300
        self.setMinimumHeight(theme.scaled(_LOWEST if fits else 2 * _LOWEST))
        wide = fits and low
        if wide != self._wide:
            self._wide = wide
            self.view.ci.removeItem(self.charts[1])
            self.view.ci.addItem(self.charts[1], *((0, 1) if wide else (1, 0)))
