"""A legend with numbers: rows with a check mark, a piece of their curve, a name and two columns of text."""

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QSizePolicy,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from vitviz.app.ui import theme
from vitviz.app.widgets.charts.chart import curve_pen

_SWATCH = QSize(28, 14)
_SHORTEST = 8  # characters of the names that always have room
_KEY = Qt.ItemDataRole.UserRole


@dataclass(frozen=True)
class LegendRow:
    """One row; `fixed` stays checked, `strong` is the selected one, `disabled` says why a row cannot be checked."""

    key: str
    name: str
    numbers: tuple[str, ...]
    stroke: tuple[str, tuple[float, ...]]
    checked: bool = False
    fixed: bool = False
    strong: bool = False
    disabled: str = ""
    tip: str = ""


class _Heads(QHeaderView):
    """Small titles of the columns, without the bars and gradients of a table."""

    def paintSection(self, painter: QPainter, rect: QRect, column: int) -> None:  # noqa: N802
        painter.setFont(theme.small())
        painter.setPen(QColor(theme.colors(self.palette()).muted))
        side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
        words = str(self.model().headerData(column, self.orientation()))
        room = rect.adjusted(3, 0, -3, 0)
        words = painter.fontMetrics().elidedText(words, Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, side | Qt.AlignmentFlag.AlignVCenter, words)


class ScoreList(QTreeWidget):
    """The list. `toggled` tells the key and the state of a row whose check mark the user changed."""

    toggled = Signal(str, bool)

    def __init__(self, name: str, heads: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[LegendRow, ...] = ()
        self._touched = False  # whether the user changed a check mark since the rows were set
        self._swatches: dict[tuple[object, ...], QIcon] = {}
        self.setAccessibleName(name)
        self.setHeader(_Heads(Qt.Orientation.Horizontal, self))
        self.setHeaderLabels(list(heads))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)
        self.setRootIsDecorated(False)
        self.setAllColumnsShowFocus(True)
        self.setFrameShape(QTreeWidget.Shape.NoFrame)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setUniformRowHeights(True)
        self.viewport().setAutoFillBackground(False)
        self.setFont(theme.body())
        header = self.header()
        header.setFont(theme.small())
        header.setStretchLastSection(False)
        header.setSectionsMovable(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in range(1, len(heads)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
        self.itemChanged.connect(self._change)
        self._apply_palette()
        self._fit_font()

    @property
    def rows(self) -> tuple[LegendRow, ...]:
        """What is listed."""
        return self._rows

    def set_rows(self, rows: Sequence[LegendRow]) -> None:
        """What is listed; rows of the same keys as before keep their place and the focus."""
        if tuple(rows) == self._rows and not self._touched:
            return
        self._touched = False
        again = [row.key for row in rows] != [row.key for row in self._rows]
        self._rows = tuple(rows)
        self.blockSignals(True)
        if again:
            self.clear()
            self.addTopLevelItems([QTreeWidgetItem() for _ in rows])
        for place, row in enumerate(rows):
            item = self.topLevelItem(place)
            assert item is not None
            self._fill(item, row)
        self.blockSignals(False)
        if again:
            self.updateGeometry()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Take the new colours, and the room of another font."""
        if event.type() == QEvent.Type.PaletteChange:
            self._swatches.clear()
            self._apply_palette()
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._fit_font()

    def _fit_font(self) -> None:
        """Columns, swatches and rows of the size of the text."""
        self._swatches.clear()
        self.setIconSize(_SWATCH * theme.scale())
        for column in range(1, self.columnCount()):
            self.header().resizeSection(column, self._number_width)
        rows, self._rows = self._rows, ()
        self.set_rows(rows)

    @property
    def _number_width(self) -> int:
        return QFontMetrics(theme.small()).horizontalAdvance("0.000 ± 0.000") + 8

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Room for four rows and for a part of the names; the other rows are reached by scrolling."""
        mark = self.iconSize().width() + self.fontMetrics().height() + 16
        name = self.fontMetrics().averageCharWidth() * _SHORTEST
        return QSize(mark + name + self._number_width * (self.columnCount() - 1), self._height(4))

    def _apply_palette(self) -> None:
        # Fusion draws the frame of a check box darker than the window, so it cannot be seen in a dark one.
        theme.set_muted(self, QPalette.ColorRole.Window)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Room for all rows."""
        return QSize(280, self._height(max(4, self.topLevelItemCount())))

    def _height(self, rows: int) -> int:
        high = self.sizeHintForRow(0) if self.topLevelItemCount() else self.fontMetrics().height() + 4
        return high * rows + self.header().sizeHint().height() + 2

    def _fill(self, item: QTreeWidgetItem, row: LegendRow) -> None:
        flags = Qt.ItemFlag.ItemIsSelectable
        if not row.disabled:
            flags |= Qt.ItemFlag.ItemIsEnabled
        item.setCheckState(0, Qt.CheckState.Checked if row.checked else Qt.CheckState.Unchecked)
        if not row.fixed and not row.disabled:
            flags |= Qt.ItemFlag.ItemIsUserCheckable
        item.setFlags(flags)
        item.setData(0, _KEY, row.key)
        item.setIcon(0, self._swatch(row.stroke, row.strong))
        for column, words in enumerate((row.name, *row.numbers)):
            item.setText(column, words)
            item.setFont(
                column, theme.small() if column and not row.strong else theme.body(strong=row.strong)
            )
            item.setToolTip(column, row.disabled or row.tip)
            if column:
                item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        words = ", ".join(
            f"{self.headerItem().text(n)} {text}" for n, text in enumerate(row.numbers, 1) if text
        )
        item.setData(
            0, Qt.ItemDataRole.AccessibleTextRole, f"{row.name}, {row.disabled or words or 'not scored'}"
        )

    def _change(self, item: QTreeWidgetItem) -> None:
        key, checked = str(item.data(0, _KEY)), item.checkState(0) == Qt.CheckState.Checked
        # A listener may set the same rows again: they are filled anew, but the item is kept, as Qt still uses it.
        self._touched = True
        self.toggled.emit(key, checked)

    def _swatch(self, stroke: tuple[str, tuple[float, ...]], strong: bool) -> QIcon:
        """A piece of the curve."""
        ratio = self.devicePixelRatioF()
        key = (*stroke, strong, ratio)
        if key not in self._swatches:
            size = self.iconSize()
            pixmap = QPixmap(size * ratio)
            pixmap.setDevicePixelRatio(ratio)
            pixmap.fill(Qt.GlobalColor.transparent)
            painter = QPainter(pixmap)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(curve_pen(stroke[0], 2.5 if strong else 1.75, stroke[1]))
            painter.drawLine(2, size.height() // 2, size.width() - 2, size.height() // 2)
            painter.end()
            icon = QIcon(pixmap)
            icon.addPixmap(pixmap, QIcon.Mode.Disabled)
            self._swatches[key] = icon
        return self._swatches[key]
