"""A layout that puts widgets side by side and wraps them into further lines where the width is too small."""

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtWidgets import QLayout, QLayoutItem, QWidget


class FlowLayout(QLayout):
    """Widgets from left to right, each in its preferred size, vertically centred in their line."""

    def __init__(self, parent: QWidget, spacing: int) -> None:
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self._sizes: list[tuple[QLayoutItem, QSize]] | None = None
        self._heights: dict[int, int] = {}
        self._placed = QRect()
        self.setSpacing(spacing)
        self.setContentsMargins(0, 0, 0, 0)

    def addItem(self, item: QLayoutItem) -> None:  # noqa: N802
        """Append an item."""
        self._items.append(item)

    def count(self) -> int:
        """The number of items."""
        return len(self._items)

    def itemAt(self, place: int) -> QLayoutItem | None:  # noqa: N802
        """The item at a place, or None."""
        return self._items[place] if 0 <= place < len(self._items) else None

    def takeAt(self, place: int) -> QLayoutItem | None:  # noqa: N802
        """Remove and return the item at a place; None if there is none."""
        return self._items.pop(place) if 0 <= place < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:  # noqa: N802
        """None: further space stays empty."""
        return Qt.Orientation(0)

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        """The height depends on the number of lines."""
        return True

    def invalidate(self) -> None:
        """Something has changed: measure the items again."""
        self._sizes = None
        self._heights = {}
        self._placed = QRect()
        super().invalidate()

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """The height of all lines in a width; measured once, because Qt asks at each move of the pointer."""
        if width not in self._heights:
            heights = [max(size.height() for _, size in line) for line in self._lines(width)]
            self._heights[width] = sum(heights) + self.spacing() // 2 * max(0, len(heights) - 1)
        return self._heights[width]

    def minimumSize(self) -> QSize:  # noqa: N802
        """The largest item alone in a line."""
        size = QSize(0, 0)
        for _, one in self._seen():
            size = size.expandedTo(one)
        return size

    def sizeHint(self) -> QSize:  # noqa: N802
        """All items in one line."""
        seen = self._seen()
        width = sum(size.width() for _, size in seen) + self.spacing() * max(0, len(seen) - 1)
        return QSize(width, max((size.height() for _, size in seen), default=0))

    def setGeometry(self, area: QRect) -> None:  # noqa: N802
        """Place the items."""
        super().setGeometry(area)
        if area == self._placed:
            return
        self._placed = QRect(area)
        top = area.top()
        for line in self._lines(area.width()):
            left, height = area.left(), max(size.height() for _, size in line)
            for item, size in line:
                item.setGeometry(QRect(QPoint(left, top + (height - size.height()) // 2), size))
                left += size.width() + self.spacing()
            top += height + self.spacing() // 2

    def _seen(self) -> list[tuple[QLayoutItem, QSize]]:
        """The items that are not hidden, with their preferred sizes."""
        if self._sizes is None:
            self._sizes = [(item, item.sizeHint()) for item in self._items if not item.isEmpty()]
        return self._sizes

    def _lines(self, width: int) -> list[list[tuple[QLayoutItem, QSize]]]:
        lines: list[list[tuple[QLayoutItem, QSize]]] = []
        used = 0
        for item, size in self._seen():
            if not lines or used + self.spacing() + size.width() > width:
                lines.append([])
                used = size.width()
            else:
                used += self.spacing() + size.width()
            lines[-1].append((item, size))
        return lines
