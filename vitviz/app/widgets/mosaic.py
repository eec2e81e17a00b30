"""The mosaic: every tile of layers × heads in one picture, with numbers, a selection and a preview under the pointer."""

from functools import reduce

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QWidget

from vitviz.app import theme
from vitviz.app.widgets.focus import Ringed
from vitviz.app.widgets.mosaic_plan import Plan, Target, plan

_EMPTY = 255  # the index of no tile


class MosaicView(Ringed):
    """Shows tiles (layers, heads, rows, columns) of colour indices 0 to 254; tells what is pointed at and clicked."""

    pointed = Signal(object)  # Target | None
    clicked = Signal(object)  # Target

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(160, 120)
        self._tiles: NDArray[np.uint8] | None = None
        self._heads: tuple[int, ...] = ()
        self._aspect = 1.0
        self._table: list[int] = []
        self._plan: Plan | None = None
        self._placed: tuple[Plan, float, list[tuple[int, int, int, int]]] | None = None
        self._image: QImage | None = None
        self._selected: Target | None = None
        self._hovered: Target | None = None
        self._dimmed = False

    def set_colors(self, table: NDArray[np.uint8]) -> None:
        """The colour map as (256, 3) uint8."""
        self._table = [0xFF000000 | int(r) << 16 | int(g) << 8 | int(b) for r, g, b in table]
        self._table[_EMPTY] = 0
        self._image = None
        self.update()

    def set_tiles(self, tiles: NDArray[np.uint8] | None, heads: tuple[int, ...], aspect: float) -> None:
        """New content; the layout is made again only where heads or aspect (width over height) changed."""
        if heads != self._heads or aspect != self._aspect:
            self._plan = None
        self._tiles, self._heads, self._aspect = tiles, heads, aspect
        self._image = None
        self.update()

    def set_selected(self, selected: Target | None) -> None:
        """The tile, or with head None the whole layer, that is outlined."""
        if selected != self._selected:
            self._selected = selected
            self.update()

    def set_dimmed(self, dimmed: bool) -> None:
        """Whether what is shown is about to be replaced."""
        if dimmed != self._dimmed:
            self._dimmed = dimmed
            self.update()

    @property
    def plan(self) -> Plan | None:
        """Where every tile lies, in logical pixels; None without tiles."""
        if self._plan is None and self._heads:
            self._plan = plan(self._heads, self._aspect, self.width(), self.height())
        return self._plan

    def sizeHint(self) -> QSize:  # noqa: N802
        """Enough for twelve by twelve."""
        return QSize(480, 460)

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """One image, the numbers, the outline."""
        painter = QPainter(self)
        placed = self.plan
        if placed is None or self._tiles is None:
            self.draw_focus(painter)
            return
        if self._image is None:
            self._image = self._compose(self._tiles, placed)
        painter.setOpacity(0.4 if self._dimmed else 1.0)
        painter.drawImage(self._origin(placed), self._image)
        self._draw_numbers(painter, placed)
        painter.setOpacity(1.0)
        for target, strong in ((self._hovered, False), (self._selected, True)):
            if target is not None and target.layer < len(self._heads):
                self._draw_outline(painter, placed, target, strong)
        self.draw_focus(painter)

    def _compose(self, tiles: NDArray[np.uint8], placed: Plan) -> QImage:
        """All tiles at the screen's own pixels, one gather per band; no scaling happens while painting."""
        ratio = self.devicePixelRatioF()
        height, width = (round(side * ratio) for side in placed.size)
        tall, wide = (round(side * ratio) for side in placed.tile)
        rows = (np.arange(tall) * tiles.shape[2]) // tall
        columns = (np.arange(wide) * tiles.shape[3]) // wide
        shown = tiles[:, :, rows[:, None], columns[None, :]]
        stride = (width + 3) // 4 * 4
        canvas = np.full((height, stride), _EMPTY, dtype=np.uint8)
        for layer, head, left, top in self._places(placed, ratio):
            part = canvas[top : top + tall, left : left + wide]
            part[:] = shown[layer, head, : part.shape[0], : part.shape[1]]
        image = QImage(canvas.data, width, height, stride, QImage.Format.Format_Indexed8)
        image.setColorTable(self._table)
        image = image.convertToFormat(QImage.Format.Format_ARGB32_Premultiplied)
        image.setDevicePixelRatio(ratio)
        return image

    def _places(self, placed: Plan, ratio: float) -> list[tuple[int, int, int, int]]:
        """Layer, head, left and top of every tile in the screen's pixels; made once per layout."""
        if self._placed is None or self._placed[:2] != (placed, ratio):
            found = []
            for layer, count in enumerate(self._heads):
                for head in range(count):
                    left, top, _, _ = placed.box(layer, head)
                    found.append((layer, head, round(left * ratio), round(top * ratio)))
            self._placed = (placed, ratio, found)
        return self._placed[2]

    def _origin(self, placed: Plan) -> QPointF:
        """Tiles that cannot fill the room lie in its middle."""
        return QPointF(
            max(0, (self.width() - placed.size[1]) // 2), max(0, (self.height() - placed.size[0]) // 2)
        )

    def _draw_numbers(self, painter: QPainter, placed: Plan) -> None:
        scheme = theme.colors(self.palette())
        origin = self._origin(placed)
        painter.setFont(theme.small())
        marked = self._hovered or self._selected
        for layer in range(len(self._heads)):
            left, top, width, height = placed.header(layer)
            on = marked is not None and marked.layer == layer
            painter.setPen(QColor(scheme.text if on else scheme.quiet))
            side = Qt.AlignmentFlag.AlignRight if placed.turned else Qt.AlignmentFlag.AlignHCenter
            box = QRectF(left, top, width, height).translated(origin)
            painter.drawText(box, side | Qt.AlignmentFlag.AlignVCenter, str(layer))
            painter.setPen(QColor(scheme.quiet))
            for first, place in placed.continued(layer):
                box = QRectF(*place).translated(origin)
                painter.drawText(box, side | Qt.AlignmentFlag.AlignVCenter, f"h{first}")
        for band in placed.bands:
            for head in range(band.most):
                on = marked is not None and marked.head is not None and marked.head % placed.fold == head
                painter.setPen(QColor(scheme.text if on else scheme.quiet))
                height, width = placed.tile
                if placed.turned:
                    box = QRectF(band.left + head * (width + placed.gap), band.top - 20, width, 20)
                    flags = Qt.AlignmentFlag.AlignCenter
                else:
                    top = band.top + head * (height + placed.gap)
                    box = QRectF(band.left - 24, top, 20, height)
                    flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                if min(height, width) >= 10 or head % 4 == 0:
                    painter.drawText(box.translated(origin), flags, str(head))

    def _draw_outline(self, painter: QPainter, placed: Plan, target: Target, strong: bool) -> None:
        head = target.head
        heads = range(self._heads[target.layer]) if head is None else [head]
        boxes = [QRectF(*placed.box(target.layer, one)) for one in heads]
        whole = reduce(QRectF.united, boxes)
        box = whole.translated(self._origin(placed)).adjusted(-1, -1, 1, 1)
        scheme = theme.colors(self.palette())
        painter.setBrush(Qt.BrushStyle.NoBrush)
        color = QColor(scheme.accent) if strong else QColor(scheme.text)
        painter.setPen(QPen(QColor(scheme.window), 4, j=Qt.PenJoinStyle.MiterJoin))
        painter.drawRect(box)
        painter.setPen(QPen(color, 2 if strong else 1, j=Qt.PenJoinStyle.MiterJoin))
        painter.drawRect(box)

    def resizeEvent(self, _: QResizeEvent) -> None:  # noqa: N802
        """Lay the tiles out again."""
        self._plan = self._image = None

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Another screen has other pixels."""
        if event.type() == QEvent.Type.DevicePixelRatioChange:
            self._image = None
        super().changeEvent(event)

    def target_at(self, position: QPointF) -> Target | None:
        """What lies at a point of the widget."""
        placed = self.plan
        if placed is None or self._tiles is None:
            return None
        point = position - self._origin(placed)
        return placed.at(point.x(), point.y())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Tell when the pointer comes to another tile."""
        self._hover(self.target_at(event.position()))

    def leaveEvent(self, _: QEvent) -> None:  # noqa: N802
        """The pointer has left."""
        self._hover(None)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Select a tile, or a layer by its number."""
        target = self.target_at(event.position())
        if target is not None and event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(target)

    def _hover(self, target: Target | None) -> None:
        if target != self._hovered:
            self._hovered = target
            self.update()
            self.pointed.emit(target)
