"""A list of named shares with bars: a mark, a name, a bar and a percentage in columns, one of which can be picked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from vitviz.app.ui import theme

_Index = QModelIndex | QPersistentModelIndex
_ROW = 28
_SHORTEST = 96  # of a bar of 100 %
_MARK = 16  # the column of marks
_WIDEST = "< 0.001%"


@dataclass(frozen=True)
class Bar:
    """A name and its share of one, the length of its bar. The mark "dot" is for the chosen one, "ring" for the default."""

    name: str
    share: float
    tip: str = ""
    note: str = ""
    """Small text after the name."""
    mark: Literal["", "ring", "dot"] = ""
    text: str = ""
    """What stands for the number, if not the share in percent."""

    @property
    def percent(self) -> str:
        """The number as text."""
        if self.text:
            return self.text
        if self.share >= 0.0005:
            return f"{self.share:.1%}"
        return f"{self.share:.3%}" if self.share >= 0.00001 else "< 0.001%"


class BarModel(QAbstractListModel):
    """The bars as rows that a screen reader can read."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bars: tuple[Bar, ...] = ()
        self.widest = 0.0
        """The width of the longest name, with its note."""

    def set_bars(self, bars: Sequence[Bar]) -> None:
        """Replace all rows."""
        self.beginResetModel()
        self.bars = tuple(bars)
        self.measure()
        self.endResetModel()

    def measure(self) -> None:
        """Measure the names again, after the font has changed."""
        metrics, quiet = QFontMetricsF(theme.body()), QFontMetricsF(theme.small())
        widths = (
            metrics.horizontalAdvance(bar.name) + (quiet.horizontalAdvance(bar.note) + 8 if bar.note else 0)
            for bar in self.bars
        )
        self.widest = max(widths, default=0.0)

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: N802, B008
        """How many bars there are."""
        return 0 if parent.isValid() else len(self.bars)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The name, the tooltip, or the text for screen readers."""
        bar = self.bars[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return bar.name
        if role == Qt.ItemDataRole.ToolTipRole:
            return bar.tip or f"{bar.name}: {bar.percent}"
        if role == Qt.ItemDataRole.AccessibleTextRole:
            marked = {"dot": ", chosen", "ring": ", the default"}.get(bar.mark, "")
            return f"{bar.name}, {bar.percent}{', ' if bar.note else ''}{bar.note}{marked}"
        return None


class _Painter(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:  # noqa: N802
        return QSize(160, theme.scaled(_ROW))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        view = self.parent()
        assert isinstance(view, BarList)
        bar = view.rows.bars[index.row()]
        box = QRectF(option.rect).adjusted(12, 0, -12, 0)
        scheme = theme.colors(view.palette())
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if option.state & QStyle.StateFlag.State_MouseOver and view.pickable:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(scheme.raised))
            painter.drawRoundedRect(QRectF(option.rect).adjusted(4, 1, -4, -1), 4, 4)
        if bar.mark:
            chosen = bar.mark == "dot"
            color = QColor(scheme.accent if chosen else scheme.muted)
            painter.setPen(QPen(color, 1.5))
            painter.setBrush(color if chosen else Qt.BrushStyle.NoBrush)
            painter.drawEllipse(QPointF(box.x() + 4, box.center().y()), 3.5, 3.5)
        box.adjust(_MARK, 0, 0, 0)
        number = QFontMetricsF(theme.body()).horizontalAdvance(_WIDEST) + 4
        name = view.name_width(box.width())
        self._draw_words(painter, bar, QRectF(box.x(), box.y(), name, box.height()), scheme)
        painter.setFont(theme.body())
        painter.setPen(QColor(scheme.text))
        right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
        painter.drawText(QRectF(box.right() - number, box.y(), number, box.height()), right, bar.percent)
        track = QRectF(box.x() + name + 12, box.center().y() - 4, box.width() - name - number - 20, 8)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(scheme.line))
        painter.drawRoundedRect(track, 4, 4)
        if bar.share > 0 and track.width() > 0:
            # Clipped to the rounded track, so that a small share is drawn small.
            shape = QPainterPath()
            shape.addRoundedRect(track, 4, 4)
            painter.setClipPath(shape, Qt.ClipOperation.IntersectClip)
            filled = QRectF(track)
            filled.setWidth(max(2.0, track.width() * bar.share))
            painter.fillRect(filled, QColor(scheme.accent if bar.mark == "dot" else scheme.muted))
            painter.setClipping(False)
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QColor(scheme.accent))
            painter.drawRect(QRectF(option.rect).adjusted(4.5, 0.5, -4.5, -0.5))
        painter.restore()

    def _draw_words(self, painter: QPainter, bar: Bar, box: QRectF, scheme: theme.Colors) -> None:
        left = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        note = QFontMetricsF(theme.small()).horizontalAdvance(bar.note) + 8 if bar.note else 0.0
        metrics = QFontMetricsF(theme.body(strong=bar.mark == "dot"))
        # The note is left out where both have no room; the tooltip has it too.
        noted = bar.note and metrics.horizontalAdvance(bar.name) + note <= box.width()
        words = metrics.elidedText(bar.name, Qt.TextElideMode.ElideRight, box.width())
        painter.setFont(theme.body(strong=bar.mark == "dot"))
        painter.setPen(QColor(scheme.text))
        painter.drawText(box, left, words)
        if noted:
            painter.setFont(theme.small())
            painter.setPen(QColor(scheme.muted))
            painter.drawText(box.adjusted(metrics.horizontalAdvance(words) + 8, 0, 8, 0), left, bar.note)


class BarList(QListView):
    """The list. Where rows can be picked (`pickable`), a click or Enter picks one."""

    picked = Signal(int)  # row
    room_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pickable = False
        self.rows = BarModel(self)
        self.setModel(self.rows)
        self.setItemDelegate(_Painter(self))
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)
        self.setFrameShape(QListView.Shape.NoFrame)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.viewport().setAutoFillBackground(False)
        self.setFont(theme.body())

    @property
    def room(self) -> int:
        """How many rows are seen at once."""
        return max(1, self.viewport().height() // theme.scaled(_ROW))

    def name_width(self, room: float) -> float:
        """The width of the column of names: as wide as the widest name, as long as enough room is left for the bars."""
        rest = QFontMetricsF(theme.body()).horizontalAdvance(_WIDEST) + 24 + _SHORTEST
        return min(self.rows.widest + 8, max(room * 0.42, room - rest))

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Measure the names again in another font."""
        if event.type() == QEvent.Type.FontChange:
            self.rows.measure()
            self.scheduleDelayedItemsLayout()
            self.room_changed.emit()
        super().changeEvent(event)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Room for six rows."""
        return QSize(320, 6 * theme.scaled(_ROW) + 8)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Another number of rows may be seen."""
        before = event.oldSize().height() // theme.scaled(_ROW)
        super().resizeEvent(event)
        if before != event.size().height() // theme.scaled(_ROW):
            self.room_changed.emit()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Pick what was clicked."""
        super().mouseReleaseEvent(event)
        index = self.indexAt(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and index.isValid() and index == self.currentIndex():
            self._pick(index.row())

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Enter picks the current row."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            self._pick(self.currentIndex().row())
            return
        super().keyPressEvent(event)

    def _pick(self, row: int) -> None:
        if self.pickable:
            self.picked.emit(row)
