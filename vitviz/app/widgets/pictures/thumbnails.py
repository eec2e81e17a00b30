"""A row of thumbnails that is scrolled sideways. Their pictures are set one by one, those that can be seen first."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QColor, QImage, QKeyEvent, QPainter, QPen, QPixmap, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from vitviz.app.ui import icons, theme

LARGE, SMALL = QSize(64, 48), QSize(36, 28)
"""The largest size of a thumbnail in pixels, where there is room and where there is little."""
_GAP = QSize(8, 8)  # around each
_KEPT = 600  # pictures
_Index = QModelIndex | QPersistentModelIndex
_UNREADABLE = "cannot be read"


class ThumbnailModel(QAbstractListModel):
    """The names of the pictures, and the thumbnails that are there already. None stands for a file that cannot be read."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.names: tuple[str, ...] = ()
        self.shown = -1
        """The row of the picture that is open; -1 if it is not among them."""
        self.pictures: OrderedDict[str, QPixmap | None] = OrderedDict()

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008, N802 - Qt's signature
        """How many pictures there are."""
        return 0 if parent.isValid() else len(self.names)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The name for tooltips and accessibility, with the place and whether the file cannot be read."""
        name, row = self.names[index.row()], index.row()
        broken = name in self.pictures and self.pictures[name] is None
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{name}: {_UNREADABLE}" if broken else name
        if role == Qt.ItemDataRole.AccessibleTextRole:
            parts = [name, f"{row + 1:,} of {len(self.names):,}"]
            parts += [_UNREADABLE] if broken else []
            return ", ".join(parts + (["shown"] if row == self.shown else []))
        return None

    def set_names(self, names: Sequence[str]) -> None:
        """Replace the names."""
        self.beginResetModel()
        self.names = tuple(names)
        self.endResetModel()

    def set_picture(self, name: str, picture: QImage | None) -> None:
        """Set a thumbnail; None for a file that cannot be read."""
        self.pictures[name] = None if picture is None else QPixmap.fromImage(picture)
        while len(self.pictures) > _KEPT:
            self.pictures.popitem(last=False)

    def set_shown(self, row: int) -> None:
        """Mark the picture that is open."""
        self.shown = row


class _Painter(QStyledItemDelegate):
    """Draws a thumbnail, a mark where the file cannot be read, and a frame around the one that is open."""

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:  # noqa: N802
        """The same for all."""
        view = option.widget
        assert isinstance(view, Thumbnails)
        return view.cell

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        """Draw one thumbnail."""
        model, view = index.model(), option.widget
        assert isinstance(model, ThumbnailModel)
        name, scheme = model.names[index.row()], theme.colors(view.palette())
        box = option.rect.adjusted(4, 4, -4, -4)
        picture = model.pictures.get(name)
        place = box
        if picture is not None:
            size = (
                picture.deviceIndependentSize()
                .toSize()
                .scaled(box.size(), Qt.AspectRatioMode.KeepAspectRatio)
            )
            place = QRect(QPoint(), size)
            place.moveCenter(box.center())
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawPixmap(place, picture)
        else:
            painter.fillRect(box, QColor(scheme.raised))
            if name in model.pictures:
                icons.icon("warning", view.palette()).paint(painter, box)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if index.row() == model.shown:
            painter.setPen(QPen(QColor(scheme.accent), 2))
            painter.drawRect(place.adjusted(-2, -2, 2, 2))
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QPen(QColor(scheme.text), 1, Qt.PenStyle.DotLine))
            painter.drawRect(option.rect.adjusted(0, 0, -1, -1))


class Thumbnails(QListView):
    """The row. A click or Enter picks a picture; the arrow keys, Home and End move between them."""

    picked = Signal(int)  # row
    wanted_changed = Signal()  # other thumbnails can be seen

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = ThumbnailModel(self)
        self.setModel(self.rows)
        self.setItemDelegate(_Painter(self))
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(False)
        self.setUniformItemSizes(True)
        self.setFrameShape(QListView.Shape.NoFrame)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.viewport().setAutoFillBackground(False)
        self.cell = QSize()
        """The size of a thumbnail with the gap around it."""
        self.set_small(False)
        self.clicked.connect(lambda index: self.picked.emit(index.row()))
        self.horizontalScrollBar().valueChanged.connect(self.wanted_changed)

    def sizeHint(self) -> QSize:  # noqa: N802
        """The height of one row."""
        return QSize(4 * self.cell.width(), self.maximumHeight())

    def set_small(self, small: bool) -> None:
        """Show small thumbnails without a scroll bar, or large ones with it. The wheel and the arrow keys scroll both."""
        cell = (SMALL if small else LARGE) + _GAP
        if cell == self.cell:
            return
        self.cell = cell
        policy = Qt.ScrollBarPolicy
        self.setHorizontalScrollBarPolicy(policy.ScrollBarAlwaysOff if small else policy.ScrollBarAsNeeded)
        height = cell.height() + (0 if small else self.horizontalScrollBar().sizeHint().height())
        self.setMaximumHeight(height)
        self.updateGeometry()
        self.scheduleDelayedItemsLayout()
        QTimer.singleShot(0, self, self._show_current)

    def _show_current(self) -> None:
        if self.rows.shown >= 0:
            self.scrollTo(self.rows.index(self.rows.shown), QAbstractItemView.ScrollHint.PositionAtCenter)
        self.wanted_changed.emit()

    def show_names(self, names: Sequence[str], shown: int) -> None:
        """Show these pictures and mark the one that is open, which is scrolled into view."""
        if tuple(names) != self.rows.names:
            self.rows.set_names(names)
        self.rows.set_shown(shown)
        if shown >= 0:
            self.setCurrentIndex(self.rows.index(shown))
        self.viewport().update()
        self._show_current()

    def set_picture(self, name: str, picture: QImage | None) -> None:
        """Show a thumbnail; None for a file that cannot be read."""
        self.rows.set_picture(name, picture)
        self.viewport().update()

    def visible_rows(self) -> range:
        """The rows that can be seen, also in part."""
        count, width = self.rows.rowCount(), self.cell.width()
        if count == 0 or not self.isVisible():
            return range(0)
        left = self.horizontalScrollBar().value()
        return range(min(left // width, count), min((left + self.viewport().width()) // width + 1, count))

    def wanted(self) -> str | None:
        """The name of a thumbnail that can be seen and is not there yet, the open one first; None if all are."""
        rows = self.visible_rows()
        order = ([self.rows.shown] if self.rows.shown in rows else []) + list(rows)
        names = (self.rows.names[row] for row in order)
        return next((name for name in names if name not in self.rows.pictures), None)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """More thumbnails may be seen."""
        super().resizeEvent(event)
        self.wanted_changed.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Scroll sideways, also by a wheel that only turns up and down."""
        turned = event.angleDelta().x() or event.angleDelta().y()
        bar = self.horizontalScrollBar()
        bar.setValue(bar.value() - turned * self.cell.width() // 120)
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Enter and Space pick the current picture."""
        keys = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)
        if event.key() in keys and self.currentIndex().isValid():
            self.picked.emit(self.currentIndex().row())
            return
        super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Draw the marks in the new palette."""
        if event.type() == QEvent.Type.PaletteChange:
            self.viewport().update()
        super().changeEvent(event)
