"""A large matrix in colours, its first rows and columns drawn larger; the wheel zooms, dragging moves it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QEnterEvent,
    QFontMetricsF,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from vitviz.app.ui import theme
from vitviz.app.widgets.base.hover_view import HoverView
from vitviz.app.widgets.matrix.axis import LARGEST, Axis, fitted
from vitviz.app.widgets.matrix.image import composed

_CLICK = 4  # pixels of movement from which a press is a drag
_GAP = 4
_LARGE = 40  # pixels of a cell in a small matrix
_TOP = 20
_MARGIN = 12
_APART = 15  # pixels between two words beside the rows


class MatrixView(HoverView):
    """Shows indices 0 … 255 (rows × columns) in a table's colours; tells the cell pointed at and the row clicked."""

    clicked = Signal(int)  # row
    zoom_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(160, 120)
        self._cells: NDArray[np.uint8] | None = None
        self._table: list[int] = []
        self._names: tuple[str, ...] = ()
        self._first = (0, 0)
        self._ticks: tuple[tuple[int, str], ...] = ()
        self._titles = ("", "")
        self._axes: tuple[Axis, Axis] | None = None
        self._fit = 1.0
        self._backdrop: QPixmap | None = None
        self._selected: tuple[int | None, int | None] = (None, None)
        self._marked: tuple[int | None, int | None] = (None, None)
        self._press: QPointF | None = None
        self._dragged = False

    # What to show.

    def set_colors(self, table: NDArray[np.uint8]) -> None:
        """The colour map as (256, 3) uint8."""
        self._table = [0xFF000000 | int(r) << 16 | int(g) << 8 | int(b) for r, g, b in table]
        self._redraw()

    def set_cells(
        self,
        cells: NDArray[np.uint8] | None,
        names: Sequence[str] = (),
        first: tuple[int, int] = (0, 0),
        ticks: Sequence[tuple[int, str]] = (),
        titles: tuple[str, str] = ("", ""),
    ) -> None:
        """New content, or none. `first`: how many rows and columns are drawn large; the rows among them have `names`.

        `ticks`: words for other columns and, in a square matrix, rows. `titles`: what rows and columns are. The zoom
        stays as long as nothing but the colours changes.
        """
        before = (None if self._cells is None else self._cells.shape, self._names, self._first, self._ticks)
        now = (None if cells is None else cells.shape, tuple(names), first, tuple(ticks))
        self._cells, self._names, self._first = cells, tuple(names), first
        self._ticks, self._titles = tuple(ticks), titles
        if now != before:
            self._hovered = None
            self.fit()
        self._redraw()

    def set_marks(
        self, selected: tuple[int | None, int | None], marked: tuple[int | None, int | None]
    ) -> None:
        """The selected row and column, and those of what is pointed at in another view."""
        if (selected, marked) != (self._selected, self._marked):
            self._selected, self._marked = selected, marked
            self.update()

    @property
    def cells(self) -> NDArray[np.uint8] | None:
        """The colour indices that are drawn (rows, columns); None without content."""
        return self._cells

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the rows that are drawn large."""
        return self._names

    @property
    def selected(self) -> tuple[int | None, int | None]:
        """The selected row and column."""
        return self._selected

    @property
    def marked(self) -> tuple[int | None, int | None]:
        """The row and column of what is pointed at in another view."""
        return self._marked

    @property
    def axes(self) -> tuple[Axis, Axis] | None:
        """Where rows and columns lie; None without content."""
        return self._axes

    @property
    def merged(self) -> int:
        """The number of cells along a side that share one pixel of the screen, at most; 1 where each cell is visible."""
        if self._axes is None or not self._axes[1].others:
            return 1
        return max(1, int(np.ceil(1 / (self._axes[1].scale * self.devicePixelRatioF()) - 1e-6)))

    def cell_rect(self, row: int, column: int) -> QRectF | None:
        """Where a cell is seen."""
        if self._axes is None:
            return None
        down, across = self._axes[0].span(row), self._axes[1].span(column)
        if down is None or across is None:
            return None
        return QRectF(across[0], down[0], across[1] - across[0], down[1] - down[0])

    # Zoom.

    def fit(self) -> None:
        """Show the whole matrix."""
        if self._cells is None:
            self._axes = None
        else:
            self._axes = self._fitted(self._cells.shape[0], self._cells.shape[1])
            self._fit = self._axes[1].scale
        self._redraw()
        self.zoom_changed.emit()

    def zoom(self, factor: float, at: QPointF | None = None) -> None:
        """Make cells larger or smaller; the cell at a point (the middle by default) stays there."""
        if self._axes is None:
            return
        rows, columns = self._axes
        at = at or QPointF(columns.begin + columns.room / 2, rows.begin + rows.room / 2)
        scale = min(max(columns.scale * factor, self._fit), max(LARGEST, self._fit))
        if scale <= self._fit * 1.001:
            self.fit()
            return
        # The axes keep the room of the whole matrix, so that the cell at `at` stays where it is.
        self._axes = rows.zoomed(scale, at.y()), columns.zoomed(scale, at.x())
        self._redraw()
        self.zoom_changed.emit()

    @property
    def zoomed_in(self) -> bool:
        """Whether less than the whole matrix may be seen."""
        return self._axes is not None and self._axes[1].scale > self._fit * 1.001

    @property
    def _top(self) -> int:
        return round(_TOP * self.text_scale)

    @property
    def _apart(self) -> float:
        return _APART * self.text_scale

    def _left(self) -> float:
        metrics = QFontMetricsF(theme.small())
        words = [*self._names, *(word for _, word in self._ticks), self._titles[0]]
        return _MARGIN + max((metrics.horizontalAdvance(word) for word in words), default=0.0) + 8

    def _band(self) -> float:
        """How large the first rows and columns are: words fit beside them, and no other cell is larger."""
        assert self._cells is not None
        side = min(self.height() - self._top, self.width() - self._left())
        least = min(14.0, max(8.0, 0.2 * side / max(1, *self._first)))
        large = _LARGE * self.text_scale
        height, width = self.height() - self._top - 4 - _GAP, self.width() - self._left() - _MARGIN - _GAP
        return max(least, float(min(height // self._cells.shape[0], width // self._cells.shape[1], large)))

    def _room(self, side: int) -> float:
        """What the zoomed cells may take of the widget's height (0) or width (1)."""
        start = (self._top, self._left())[side]
        large = self._first[side] * self._band()
        return max(
            1.0,
            (self.height(), self.width())[side] - start - large - (_GAP if large else 0) - (4, _MARGIN)[side],
        )

    def _fitted(self, rows: int, columns: int) -> tuple[Axis, Axis]:
        band, left = self._band(), self._left()
        sides = [
            room / others
            for room, others in (
                (self._room(0), rows - self._first[0]),
                (self._room(1), columns - self._first[1]),
            )
            if others
        ]
        scale = min([*sides, _LARGE * self.text_scale])
        pixels = scale * self.devicePixelRatioF()
        if int(pixels) > 0.88 * pixels:  # whole pixels look even; not where they would waste much room
            scale = int(pixels) / self.devicePixelRatioF()
        down = fitted(rows, self._first[0], self._top, band, _GAP, 1, scale)
        across = fitted(columns, self._first[1], left, band, _GAP, 1, scale)
        # The matrix is centred in the width.
        used = across.begin + across.others * scale
        spare = max(0.0, (self.width() - used - _MARGIN) / 2)
        return (
            replace(down, room=max(1.0, down.others * scale)),
            replace(across, start=round(left + spare), room=max(1.0, across.others * scale)),
        )

    def _redraw(self) -> None:
        self._backdrop = None
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """About a square."""
        return QSize(480, 440)

    # Painting.

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """One image, words at the sides, lines round rows and columns."""
        painter = QPainter(self)
        if self._axes is None or self._cells is None:
            self.draw_focus(painter)
            return
        if self._backdrop is None:
            self._backdrop = self._draw_backdrop(self._cells, *self._axes)
        painter.setOpacity(0.4 if self._dimmed else 1.0)
        painter.drawPixmap(0, 0, self._backdrop)
        painter.setOpacity(1.0)
        scheme = theme.colors(self.palette())
        hovered = self._marked if self._hovered is None else self._hovered
        # White, as it lies over the colours of the map, which are the same in every theme.
        self._draw_lines(painter, hovered, QColor(255, 255, 255, 210), 1)
        self._draw_lines(painter, self._selected, QColor(scheme.accent), 2)
        if self._hovered is not None:
            box = self.cell_rect(*self._hovered)
            if box is not None and min(box.width(), box.height()) >= 3:
                painter.setPen(QPen(QColor(255, 255, 255), 1))
                painter.drawRect(box)
        self.draw_focus(painter)

    def _draw_backdrop(self, cells: NDArray[np.uint8], rows: Axis, columns: Axis) -> QPixmap:
        """The matrix and the words at its sides, which stay while the pointer moves."""
        ratio = self.devicePixelRatioF()
        backdrop = QPixmap(self.size() * ratio)
        backdrop.setDevicePixelRatio(ratio)
        backdrop.fill(Qt.GlobalColor.transparent)
        painter = QPainter(backdrop)
        painter.drawImage(
            QPointF(columns.start, rows.start), composed(cells, rows, columns, self._table, ratio)
        )
        self._draw_words(painter, rows, columns)
        painter.end()
        return backdrop

    def _draw_words(self, painter: QPainter, rows: Axis, columns: Axis) -> None:
        scheme = theme.colors(self.palette())
        painter.setFont(theme.small())
        painter.setPen(QColor(scheme.muted))
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        edge = columns.start - 8
        last = rows.start + rows.first * rows.band
        for number, name in enumerate(self._names[: rows.first]):
            if rows.band >= 11 or number % 2 == 0:
                painter.drawText(
                    QRectF(0, rows.start + number * rows.band - 4, edge, rows.band + 8), right, name
                )
        low = last - self._apart
        square = rows.count == columns.count
        for cell, word in self._ticks if square else ():
            place = rows.span(cell)
            if place is not None and place[0] >= low + self._apart and place[0] + 8 < self.height():
                low = place[0]
                painter.drawText(QRectF(0, low - 4, edge, 16), right, word)
                painter.drawLine(QPointF(edge + 3, low + 0.5), QPointF(edge + 6, low + 0.5))
        title = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(
            QRectF(columns.start, 0, self.width() - columns.start, self._top - 4), title, self._titles[1]
        )
        painter.drawText(QRectF(0, 0, edge, self._top - 4), right, self._titles[0])

    def _draw_lines(
        self, painter: QPainter, at: tuple[int | None, int | None], color: QColor, width: int
    ) -> None:
        """Outline a row and a column."""
        assert self._axes is not None
        rows, columns = self._axes
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for place, axis, other, turned in ((at[0], rows, columns, False), (at[1], columns, rows, True)):
            span = None if place is None or place >= axis.count else axis.span(place)
            if span is None:
                continue
            low, high = round(span[0]) - 0.5, max(round(span[1]), round(span[0]) + 2) + 0.5
            # Thick lines would hide the neighbours of a thin row.
            thick = width if high - low > 6 else 1
            box = QRectF(other.start - 0.5, low, other.end - other.start + 1, high - low)
            if turned:
                box = QRectF(box.y(), box.x(), box.height(), box.width())
            painter.setPen(QPen(color, thick, j=Qt.PenJoinStyle.MiterJoin))
            painter.drawRect(box)

    # Events.

    def at(self, position: QPointF) -> tuple[int, int] | None:
        """The cell at a point of the widget."""
        if self._axes is None:
            return None
        row, column = self._axes[0].at(position.y()), self._axes[1].at(position.x())
        return None if row is None or column is None else (row, column)

    def resizeEvent(self, _: QResizeEvent) -> None:  # noqa: N802
        """Show the whole again."""
        self.fit()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Draw again for other colours, fonts or pixels."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._redraw()
        elif event.type() in (QEvent.Type.FontChange, QEvent.Type.DevicePixelRatioChange):
            self.fit()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Point, or move the matrix while a button is held."""
        if self._press is not None and self._axes is not None:
            moved = event.position() - self._press
            if self._dragged or moved.manhattanLength() > _CLICK:
                self._dragged, self._press = True, event.position()
                rows, columns = self._axes
                self._axes = (
                    rows.moved(rows.offset - moved.y() / rows.scale),
                    columns.moved(columns.offset - moved.x() / columns.scale),
                )
                self._redraw()
                return
        self.point(self.at(event.position()))

    def enterEvent(self, event: QEnterEvent) -> None:  # noqa: N802
        """Point at the cell where the pointer enters."""
        self.point(self.at(event.position()))

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Begin a click or a drag."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._press, self._dragged = event.position(), False

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Click a row where the press did not become a drag; the names beside the rows belong to them."""
        was_click = self._press is not None and not self._dragged
        self._press = None
        if was_click and event.button() == Qt.MouseButton.LeftButton and self._axes is not None:
            row = self._axes[0].at(event.position().y())
            if row is not None and event.position().x() < self._axes[1].end:
                self.setFocus(Qt.FocusReason.MouseFocusReason)
                self.clicked.emit(row)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Zoom about the pointer."""
        steps = event.angleDelta().y() / 120
        if steps:
            self.zoom(1.25**steps, event.position())
            self.point(self.at(event.position()))
