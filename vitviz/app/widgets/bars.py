"""A list of named shares with bars, as one column of names, one of bars and one of percentages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPainterPath
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from vitviz.app import theme

_Index = QModelIndex | QPersistentModelIndex
_ROW = 28
_SHORTEST = 96  # of a bar of 100 %


@dataclass(frozen=True)
class Bar:
    """A name and its share of one."""

    name: str
    share: float
    tip: str = ""

    @property
    def percent(self) -> str:
        """The share as text."""
        return f"{self.share:.1%}" if self.share >= 0.0005 else "< 0.1%"


class BarModel(QAbstractListModel):
    """The bars as rows that a screen reader can read."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bars: tuple[Bar, ...] = ()

    def set_bars(self, bars: Sequence[Bar]) -> None:
        """Replace all rows."""
        self.beginResetModel()
        self.bars = tuple(bars)
        self.endResetModel()

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: N802, B008
        """How many bars there are."""
        return 0 if parent.isValid() else len(self.bars)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Name, tooltip, or what is read aloud."""
        bar = self.bars[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return bar.name
        if role == Qt.ItemDataRole.ToolTipRole:
            return bar.tip or f"{bar.name}: {bar.percent}"
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{bar.name}, {bar.percent}"
        return None


class _Painter(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:  # noqa: N802
        return QSize(160, _ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        view = self.parent()
        assert isinstance(view, BarList)
        bar = view.rows.bars[index.row()]
        box = QRectF(option.rect).adjusted(12, 0, -12, 0)
        scheme = theme.colors(view.palette())
        painter.save()
        painter.setFont(theme.body())
        metrics = painter.fontMetrics()
        number = metrics.horizontalAdvance("100.0%") + 4
        name = view.name_width(box.width())
        painter.setPen(QColor(scheme.text))
        words = metrics.elidedText(bar.name, Qt.TextElideMode.ElideRight, int(name))
        left = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.drawText(QRectF(box.x(), box.y(), name, box.height()), left, words)
        right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
        painter.drawText(QRectF(box.right() - number, box.y(), number, box.height()), right, bar.percent)
        track = QRectF(box.x() + name + 12, box.center().y() - 4, box.width() - name - number - 20, 8)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(scheme.raised))
        painter.drawRoundedRect(track, 4, 4)
        if bar.share > 0 and track.width() > 0:
            # Cut out of the rounded track, so that a small share stays small.
            shape = QPainterPath()
            shape.addRoundedRect(track, 4, 4)
            painter.setClipPath(shape, Qt.ClipOperation.IntersectClip)
            filled = QRectF(track)
            filled.setWidth(max(2.0, track.width() * bar.share))
            painter.fillRect(filled, QColor(scheme.quiet))
            painter.setClipping(False)
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QColor(scheme.accent))
            painter.drawRect(QRectF(option.rect).adjusted(4.5, 0.5, -4.5, -0.5))
        painter.restore()


class BarList(QListView):
    """The list."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = BarModel(self)
        self.setModel(self.rows)
        self.setItemDelegate(_Painter(self))
        self.setFrameShape(QListView.Shape.NoFrame)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.viewport().setAutoFillBackground(False)
        self.setFont(theme.body())

    def name_width(self, room: float) -> float:
        """The width of the column of names: as wide as the widest, as long as bars can still be told apart."""
        metrics = QFontMetricsF(theme.body())
        widest = max((metrics.horizontalAdvance(bar.name) for bar in self.rows.bars), default=0.0)
        rest = metrics.horizontalAdvance("100.0%") + 24 + _SHORTEST
        return min(widest + 4, max(room * 0.42, room - rest))

    def sizeHint(self) -> QSize:  # noqa: N802
        """Room for six."""
        return QSize(320, 6 * _ROW + 8)
