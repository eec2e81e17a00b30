"""A table of coloured cells with named rows and numbered columns, used by mouse and keyboard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QWidget

from vitviz.app.ui import theme
from vitviz.app.widgets.base.hover_view import HoverView

Floats = NDArray[np.float64]
Mark = Literal["", "ring", "dot"]

_HEADER = 20
_FOOT = 4
_MARK = 16
_DOT = 5  # from the left of a cell to its dot
_TALLEST, _LOWEST = 40, 18
_BROADEST = 56  # a square cell
_STEPS = {
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
}


@dataclass(frozen=True)
class Cell:
    """A cell by row and column, or a header: (row, None) is a row's name, (None, column) a column's number."""

    row: int | None
    column: int | None


@dataclass(frozen=True, eq=False)
class HeatCells:
    """The content of a table: `values` (rows, columns) from 0 to 1, NaN for no cell."""

    values: Floats
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    corner: str = ""
    """The text in the corner, which says what rows and columns are."""
    square: bool = False
    """Whether cells are squares; otherwise they fill the width."""
    words: tuple[tuple[str, ...], ...] = ()
    """The text of each cell, drawn where there is room; empty for none."""
    marks: tuple[Mark, ...] = ()
    """Per row: "dot" for the one that was chosen, "ring" for the default."""
    dotted: tuple[tuple[int, int], ...] = ()
    """The (row, column) of cells with a dot."""


EMPTY = HeatCells(np.zeros((0, 0)), (), ())


class HeatTable(HoverView):
    """The table. Arrow keys move, Enter picks; names of rows can be picked where `names_pickable`."""

    clicked = Signal(object)  # Cell
    room_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(140, 96)
        self.names_pickable = False
        self.table = EMPTY
        self.current = Cell(0, 0)
        self._colors: list[QColor] = []
        self._columns: frozenset[int] = frozenset()
        self._rows: frozenset[int] = frozenset()
        self._lit: int | None = None

    def set_colors(self, table: NDArray[np.uint8]) -> None:
        """The colour map as (256, 3) uint8."""
        self._colors = [QColor(int(r), int(g), int(b)) for r, g, b in table]
        self.update()

    def set_table(self, table: HeatCells) -> None:
        """New content."""
        self.table = table
        self._hovered = None
        rows, columns = table.values.shape
        self._limit_height()
        self.current = Cell(
            min(self.current.row or 0, max(rows - 1, 0)),
            None if self.current.column is None else min(self.current.column, max(columns - 1, 0)),
        )
        self.update()

    def _limit_height(self) -> None:
        rows, unbounded = max(len(self.table.rows), 1), (1 << 24) - 1  # the largest size in Qt
        most = round(self.text_scale * (_HEADER + _FOOT + rows * _BROADEST))
        self.setMaximumHeight(most if self.table.square else unbounded)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Larger text needs larger cells."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._limit_height()
            self.room_changed.emit()

    def set_selected(self, rows: Sequence[int] = (), columns: Sequence[int] = ()) -> None:
        """The rows and columns that are outlined in the accent."""
        if (frozenset(rows), frozenset(columns)) != (self._rows, self._columns):
            self._rows, self._columns = frozenset(rows), frozenset(columns)
            self.update()

    def set_lit(self, column: int | None) -> None:
        """The column that is pointed at in another view."""
        if column != self._lit:
            self._lit = column
            self.update()

    @property
    def selected(self) -> tuple[frozenset[int], frozenset[int]]:
        """The rows and the columns that are outlined in the accent."""
        return self._rows, self._columns

    @property
    def room(self) -> int:
        """How many rows can be seen."""
        return max(
            1, int((self.height() - self.text_scale * (_HEADER + _FOOT)) / (self.text_scale * _LOWEST))
        )

    def sizeHint(self) -> QSize:  # noqa: N802
        """Ten rows."""
        return QSize(240 if self.table.square else 420, round(self.text_scale * (_HEADER + 10 * 22)))

    # Where things lie.

    @property
    def _names(self) -> float:
        """The width of the column of names."""
        metrics = QFontMetricsF(theme.body() if not self.table.square else theme.small())
        corner = QFontMetricsF(theme.small()).horizontalAdvance(self.table.corner)
        widest = max(corner, *(metrics.horizontalAdvance(name) for name in self.table.rows))
        marks = self.text_scale * _MARK if self.table.marks else 0
        return min(widest + 12 + marks, self.width() * 0.38)

    @property
    def _size(self) -> tuple[float, float]:
        """Width and height of a cell, the gap included."""
        rows, columns = self.table.values.shape
        if not rows or not columns:
            return 1.0, 1.0
        wide = (self.width() - self._names - 2) / columns
        tall = (self.height() - self.text_scale * (_HEADER + _FOOT)) / rows
        if self.table.square:
            side = max(2.0, min(wide, tall, self.text_scale * _BROADEST))
            return side, side
        return wide, max(min(tall, self.text_scale * _TALLEST), self.text_scale * _LOWEST)

    def box(self, cell: Cell) -> QRectF:
        """Where a cell or a header lies."""
        wide, tall = self._size
        left = 0.0 if cell.column is None else self._names + cell.column * wide
        top = 0.0 if cell.row is None else self.text_scale * _HEADER + cell.row * tall
        return QRectF(
            left,
            top,
            self._names if cell.column is None else wide,
            self.text_scale * _HEADER if cell.row is None else tall,
        )

    def at(self, point: QPointF) -> Cell | None:
        """What lies at a point."""
        rows, columns = self.table.values.shape
        if not rows or not columns:
            return None
        wide, tall = self._size
        row = int((point.y() - self.text_scale * _HEADER) // tall)
        column = int((point.x() - self._names) // wide)
        found = Cell(None if row < 0 else row, None if column < 0 else column)
        outside = row >= rows or column >= columns or (row < 0 and column < 0)
        return None if outside else found

    # Drawing.

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Cells, names, numbers, outlines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.table.values.size and self._colors:
            painter.setOpacity(0.4 if self._dimmed else 1.0)
            self._draw_cells(painter)
            self._draw_rows(painter)
            self._draw_columns(painter)
            painter.setOpacity(1.0)
            self._draw_selected(painter)
            if self._lit is not None and self._lit < self.table.values.shape[1]:
                self._outline(painter, self._column_box(self._lit), theme.colors(self.palette()).text, 1)
            if self._hovered is not None:
                self._outline(painter, self.box(self._hovered), theme.colors(self.palette()).text, 1)
            if self._ring:
                self._outline(painter, self.box(self.current), theme.colors(self.palette()).text, 2)
        self.draw_focus(painter)

    def _draw_cells(self, painter: QPainter) -> None:
        table = self.table
        wide, tall = self._size
        gap = 0 if min(wide, tall) < 6 else 1
        metrics = QFontMetricsF(theme.small())
        longest = max(
            (metrics.horizontalAdvance(word) for words in table.words for word in words), default=0.0
        )
        written = bool(table.words) and longest + 4 <= wide and tall >= metrics.height()
        dotted = set(table.dotted)
        painter.setFont(theme.small())
        for row, values in enumerate(table.values):
            for column, value in enumerate(values):
                if np.isnan(value):
                    continue
                box = self.box(Cell(row, column)).adjusted(0, 0, -gap, -gap)
                color = self._colors[round(min(max(float(value), 0.0), 1.0) * 255)]
                painter.fillRect(box, color)
                ink = theme.ink_on(color)
                word = table.words[row][column] if written else ""
                if (row, column) in dotted:
                    painter.setBrush(ink)
                    painter.setPen(Qt.PenStyle.NoPen)
                    if word and wide < longest + 2 * _DOT + 2:
                        painter.drawEllipse(QPointF(box.center().x(), box.top() + 2.5), 1.5, 1.5)
                        box.setTop(box.top() + 3)  # below the dot
                    else:
                        left = _DOT if word else wide / 2
                        painter.drawEllipse(QPointF(box.left() + left, box.center().y()), 2, 2)
                        if word and wide < longest + 4 * _DOT:
                            box.setLeft(box.left() + 2 * _DOT - 2)  # beside the dot
                if word:
                    painter.setPen(ink)
                    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, word)

    def _draw_rows(self, painter: QPainter) -> None:
        table, scheme = self.table, theme.colors(self.palette())
        on = self._pointed_at
        _, tall = self._size
        font = theme.small() if table.square else theme.body()
        every = max(1, round(14 * self.text_scale / tall)) if table.square else 1
        for row, name in enumerate(table.rows):
            mark = table.marks[row] if table.marks else ""
            box = self.box(Cell(row, None)).adjusted(0, 0, -8, 0)
            if table.marks:
                if mark:
                    color = QColor(scheme.accent if mark == "dot" else scheme.muted)
                    painter.setPen(QPen(color, 1.5))
                    painter.setBrush(color if mark == "dot" else Qt.BrushStyle.NoBrush)
                    painter.drawEllipse(QPointF(box.x() + 5, box.center().y()), 3.5, 3.5)
                box.adjust(self.text_scale * _MARK, 0, 0, 0)
            lit = on is not None and on.row == row
            if row % every and not lit:
                continue
            painter.setFont(font)
            strong = lit or mark == "dot" or row in self._rows
            quiet = table.square and not strong
            painter.setPen(QColor(scheme.muted if quiet else scheme.text))
            side = Qt.AlignmentFlag.AlignRight if table.square else Qt.AlignmentFlag.AlignLeft
            text = QFontMetricsF(font).elidedText(name, Qt.TextElideMode.ElideRight, box.width())
            # In low rows, of which only some have a number, the text is taller than its row.
            high = 8 * self.text_scale
            painter.drawText(box.adjusted(0, -high, 0, high), side | Qt.AlignmentFlag.AlignVCenter, text)

    def _draw_columns(self, painter: QPainter) -> None:
        table, scheme = self.table, theme.colors(self.palette())
        on = self._pointed_at
        painter.setFont(theme.small())
        metrics = QFontMetricsF(theme.small())
        painter.setPen(QColor(scheme.muted))
        corner = QRectF(
            self.text_scale * _MARK if table.marks else 0, 0, self._names - 8, self.text_scale * _HEADER
        )
        if corner.width() > 40:
            painter.drawText(corner, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, table.corner)
        wide, _ = self._size
        # The width of the numbers decides how many are drawn; a longer name is left out where it does not fit.
        short = max((metrics.horizontalAdvance(name) for name in table.columns[1:]), default=8.0) + 4
        every = max(1, -(-int(short) // max(1, int(wide))))
        first = 0 if table.columns[0].isdecimal() else 1
        pointed = None if on is None else on.column
        bright = {column for column in (*self._columns, self._lit, pointed) if column is not None}
        for column, name in enumerate(table.columns):
            lit = column in bright
            crowded = every > 1 and any(abs(column - other) < every for other in bright)
            # The first may be a word, drawn where it fits.
            fits = (
                metrics.horizontalAdvance(name) <= wide + 8
                if column < first
                else (column - first) % every == 0
            )
            if not lit and (crowded or not fits):
                continue
            painter.setPen(QColor(scheme.text if lit else scheme.muted))
            box = self.box(Cell(None, column)).adjusted(-20, 0, 20, 0)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, name)

    def _draw_selected(self, painter: QPainter) -> None:
        rows, columns = self.table.values.shape
        accent = theme.colors(self.palette()).accent
        for column in self._columns:
            if column < columns:
                self._outline(painter, self._column_box(column), accent, 2)
        for row in self._rows:
            if row < rows:
                whole = self.box(Cell(row, 0)).united(self.box(Cell(row, columns - 1)))
                self._outline(painter, whole, accent, 2)

    def _column_box(self, column: int) -> QRectF:
        return self.box(Cell(0, column)).united(self.box(Cell(len(self.table.rows) - 1, column)))

    def _outline(self, painter: QPainter, box: QRectF, color: str, width: int) -> None:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        # An edge in the window's colour, so that the line is visible on cells of any colour.
        for ink, broad in ((theme.colors(self.palette()).window, width + 2), (color, width)):
            painter.setPen(QPen(QColor(ink), broad, j=Qt.PenJoinStyle.MiterJoin))
            painter.drawRect(box.adjusted(0.5, 0.5, -1.5, -1.5))

    # From the user.

    @property
    def _pointed_at(self) -> Cell | None:
        return self._hovered or (self.current if self._ring else None)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Pick a cell or a name."""
        cell = self.at(event.position())
        if cell is not None and event.button() == Qt.MouseButton.LeftButton:
            self._pick(cell)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Arrow keys go from cell to cell, Enter picks."""
        rows, columns = self.table.values.shape
        step = _STEPS.get(Qt.Key(event.key()))
        if not rows or not columns:
            super().keyPressEvent(event)
        elif step is not None:
            least = -1 if self.names_pickable else 0
            column = -1 if self.current.column is None else self.current.column
            column = min(max(column + step[1], least), columns - 1)
            row = min(max((self.current.row or 0) + step[0], 0), rows - 1)
            self.current = Cell(row, None if column < 0 else column)
            self._ring = True
            self.update()
            self.hover_changed.emit(self.current)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._pick(self.current)
        else:
            super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """The cell at the keyboard's position is not pointed at any more."""
        if self._ring:
            self.hover_changed.emit(None)
        super().focusOutEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Another number of rows may be seen."""
        before = max(
            1,
            int(
                (event.oldSize().height() - self.text_scale * (_HEADER + _FOOT)) / (self.text_scale * _LOWEST)
            ),
        )
        super().resizeEvent(event)
        if before != self.room:
            self.room_changed.emit()

    def _pick(self, cell: Cell) -> None:
        if cell.column is not None or self.names_pickable or self.table.square:
            self.clicked.emit(cell)

    def point(self, cell: Cell | None) -> None:
        """Point at a cell, or with None at nothing; a hand says that a click does something."""
        if cell != self._hovered:
            hand = cell is not None and (cell.column is not None or self.names_pickable)
            self.setCursor(Qt.CursorShape.PointingHandCursor if hand else Qt.CursorShape.ArrowCursor)
        super().point(cell)
