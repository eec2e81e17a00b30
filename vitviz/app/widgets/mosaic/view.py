"""The mosaic: every tile of layers × heads in one picture, with numbers, a selection and a preview under the pointer."""

from functools import lru_cache, reduce

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QRegion,
    QResizeEvent,
)
from PySide6.QtWidgets import QWidget

from vitviz.app.ui import theme
from vitviz.app.widgets.base.hover_view import HoverView
from vitviz.app.widgets.mosaic import labels
from vitviz.app.widgets.mosaic.labels import Labels
from vitviz.app.widgets.mosaic.layout import Plan, Target, plan, room_of
from vitviz.render.mosaic import EMPTY

_RIM = 4  # room for the outline of what is selected


class MosaicView(HoverView):
    """Shows tiles (layers, heads, rows, columns) of colour indices 0 to 254; tells what is pointed at and clicked.

    A tile is named by its layer and its place in it, which is the head's number unless the heads are sorted.
    """

    clicked = Signal(object)  # Target
    place_clicked = Signal(int)  # the number of a place that all layers have

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(160, 120)
        self._tiles: NDArray[np.uint8] | None = None
        self._heads: tuple[int, ...] = ()
        self._aspect = 1.0
        self._labels = Labels()
        self._table: list[int] = []
        self._plan: Plan | None = None
        self._placed: tuple[Plan, float, list[tuple[int, int, int, int]]] | None = None
        self._image: QImage | None = None
        self._over: QPixmap | None = None
        self._room_of_over = QRegion()
        self._outlines: dict[Target, QRectF] = {}  # where `_plan` puts the outlines of what was pointed at
        self._selected: Target | None = None
        self._place: int | None = None

    # What to show.

    def set_colors(self, table: NDArray[np.uint8]) -> None:
        """The colour map as (256, 3) uint8."""
        self._table = [0xFF000000 | int(r) << 16 | int(g) << 8 | int(b) for r, g, b in table]
        self._image = None
        self.update()

    def set_tiles(self, tiles: NDArray[np.uint8] | None, heads: tuple[int, ...], aspect: float) -> None:
        """New content; the layout is made again only where heads or aspect (width over height) changed."""
        if heads != self._heads or aspect != self._aspect:
            self._plan = self._over = None
        self._tiles, self._heads, self._aspect = tiles, heads, aspect
        self._image = None
        self.update()

    def set_labels(self, labels: Labels) -> None:
        """What is written beside and over the tiles."""
        if labels != self._labels:
            self._labels, self._over = labels, None
            self.update()

    @property
    def tiles(self) -> NDArray[np.uint8] | None:
        """The colour indices that are drawn (layers, places, rows, columns); None without content."""
        return self._tiles

    @property
    def labels(self) -> Labels:
        """What is written beside and over the tiles."""
        return self._labels

    def set_selected(self, selected: Target | None) -> None:
        """The tile, or with head None the whole layer, that is outlined."""
        if selected != self._selected:
            self._selected = selected
            self.update()

    @property
    def selected(self) -> Target | None:
        """The tile or layer that is outlined as selected."""
        return self._selected

    @property
    def origin(self) -> QPointF:
        """Where the plan's corner lies in the widget: tiles that cannot fill the room lie at its top, in the middle."""
        placed = self.plan
        return QPointF(0 if placed is None else max(0, (self.width() - placed.size[1]) // 2), 0)

    @property
    def plan(self) -> Plan | None:
        """Where every tile lies, in logical pixels; None without tiles."""
        if self._plan is None and self._heads:
            self._outlines = {}
            self._plan = plan(
                self._heads, self._aspect, self.width() - _RIM, self.height() - _RIM, room_of(self.text_scale)
            )
        return self._plan

    def sizeHint(self) -> QSize:  # noqa: N802
        """Enough for twelve by twelve."""
        return QSize(480, 460)

    # Painting.

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """One image, what lies over it, the outline."""
        painter = QPainter(self)
        placed = self.plan
        if placed is None or self._tiles is None:
            self.draw_focus(painter)
            return
        if self._image is None:
            self._image = self._compose(self._tiles, placed)
        if self._over is None:
            self._over = self._draw_over(placed)
        painter.setOpacity(0.4 if self._dimmed else 1.0)
        painter.drawImage(self.origin, self._image)
        painter.setClipRegion(self._room_of_over)
        painter.drawPixmap(0, 0, self._over)
        painter.setClipping(False)
        self._draw_current_numbers(painter, placed)
        painter.setOpacity(1.0)
        for target, strong in ((self._hovered, False), (self._selected, True)):
            if target is not None and target.layer < len(self._heads):
                self._draw_outline(painter, placed, target, strong)
        self.draw_focus(painter)

    def _compose(self, tiles: NDArray[np.uint8], placed: Plan) -> QImage:
        """All tiles at the screen's own pixels; no scaling happens while painting."""
        ratio = self.devicePixelRatioF()
        height, width = (round(side * ratio) for side in placed.size)
        tall, wide = (round(side * ratio) for side in placed.tile)
        shown = _stretched(_stretched(tiles, wide, 3), tall, 2)
        stride = (width + 3) // 4 * 4
        canvas = np.full((height, stride), EMPTY, dtype=np.uint8)
        for layer, place, left, top in self._places(placed, ratio):
            part = canvas[top : top + tall, left : left + wide]
            part[:] = shown[layer, place, : part.shape[0], : part.shape[1]]
        image = QImage(canvas.data, width, height, stride, QImage.Format.Format_Indexed8)
        bare = self.palette().color(self.backgroundRole()).rgb()
        image.setColorTable([*self._table[:EMPTY], bare])
        # Without transparency it is copied to the screen as it is.
        image = image.convertToFormat(QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(ratio)
        return image

    def _places(self, placed: Plan, ratio: float) -> list[tuple[int, int, int, int]]:
        """Layer, place, left and top of every tile in the screen's pixels; made once per layout."""
        if self._placed is None or self._placed[:2] != (placed, ratio):
            found = []
            for layer, count in enumerate(self._heads):
                for place in range(count):
                    left, top, _, _ = placed.box(layer, place)
                    found.append((layer, place, round(left * ratio), round(top * ratio)))
            self._placed = (placed, ratio, found)
        return self._placed[2]

    def _draw_over(self, placed: Plan) -> QPixmap:
        """Numbers, names of the axes and marks: all that stays while the pointer moves."""
        ratio = self.devicePixelRatioF()
        over = QPixmap(self.size() * ratio)
        over.setDevicePixelRatio(ratio)
        over.fill(Qt.GlobalColor.transparent)
        painter = QPainter(over)
        painter.setFont(theme.small())
        painter.translate(self.origin)
        labels.draw(painter, placed, self._labels, theme.colors(self.palette()))
        painter.end()
        whole = self._labels.marks is not None or self._labels.order is not None
        self._room_of_over = QRegion(self.rect()) if whole else labels.beside(placed, self.origin)
        return over

    def _draw_current_numbers(self, painter: QPainter, placed: Plan) -> None:
        """The numbers of what is pointed at, or else selected, once more and bright."""
        marked = self._hovered or self._selected
        if marked is None or marked.layer >= len(self._heads):
            return
        painter.save()
        painter.setFont(theme.small())
        painter.setPen(QColor(theme.colors(self.palette()).text))
        painter.translate(self.origin)
        labels.draw_layer_number(painter, placed, marked.layer)
        if marked.head is not None and self._labels.order is None:
            place = marked.head % placed.fold
            labels.draw_place_number(painter, placed, placed.band(marked.layer), place)
        painter.restore()

    def _draw_outline(self, painter: QPainter, placed: Plan, target: Target, strong: bool) -> None:
        box = self._outlines.get(target)
        if box is None:
            head = target.head
            heads = range(self._heads[target.layer]) if head is None else [head]
            boxes = [QRectF(*placed.box(target.layer, one)) for one in heads]
            box = reduce(QRectF.united, boxes).translated(self.origin).adjusted(-1, -1, 1, 1)
            self._outlines[target] = box
        scheme = theme.colors(self.palette())
        painter.setBrush(Qt.BrushStyle.NoBrush)
        color = QColor(scheme.accent) if strong else QColor(scheme.text)
        painter.setPen(QPen(QColor(scheme.window), 4, j=Qt.PenJoinStyle.MiterJoin))
        painter.drawRect(box)
        painter.setPen(QPen(color, 2 if strong else 1, j=Qt.PenJoinStyle.MiterJoin))
        painter.drawRect(box)

    # Events.

    def resizeEvent(self, _: QResizeEvent) -> None:  # noqa: N802
        """Lay the tiles out again."""
        self._plan = self._image = self._over = None

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Draw again for another screen, theme or font."""
        self._image = self._over = None
        if event.type() == QEvent.Type.FontChange:
            self._plan = None
        super().changeEvent(event)

    def at(self, position: QPointF) -> Target | None:
        """What lies at a point of the widget."""
        placed = self.plan
        if placed is None or self._tiles is None:
            return None
        point = position - self.origin
        return placed.at(point.x(), point.y())

    def place_at(self, position: QPointF) -> int | None:
        """The place whose number lies at a point of the widget."""
        placed = self.plan
        if placed is None or self._tiles is None:
            return None
        point = position - self.origin
        return placed.place_at(point.x(), point.y())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Tell when the pointer comes to another tile."""
        super().mouseMoveEvent(event)
        on = self._hovered is not None or self.place_at(event.position()) is not None
        shape = Qt.CursorShape.PointingHandCursor if on else Qt.CursorShape.ArrowCursor
        if self.cursor().shape() != shape:
            self.setCursor(shape)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Select a tile, a layer by its number, or a place of the selected layer by its number."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        target, place = self.at(event.position()), self.place_at(event.position())
        if target is not None:
            self.clicked.emit(target)
        elif place is not None:
            self.place_clicked.emit(place)


def _stretched(tiles: NDArray[np.uint8], length: int, axis: int) -> NDArray[np.uint8]:
    """An axis at another length: patches repeated as they are, or where there is less room the strongest of several."""
    first, *others = _taken(tiles.shape[axis], length)
    shown: NDArray[np.uint8] = tiles.take(first, axis)
    # Several times faster than np.maximum.reduceat, and this follows the pointer.
    for further in others:
        np.maximum(shown, tiles.take(further, axis), out=shown)
    return shown


@lru_cache(maxsize=8)
def _taken(patches: int, length: int) -> list[NDArray[np.intp]]:
    """For each place of a length its first patch, then its second, and so on; the last again where there is none."""
    starts = (np.arange(length) * patches) // length
    ends = np.maximum(np.append(starts[1:], patches), starts + 1)
    return [np.minimum(starts + further, ends - 1) for further in range(int((ends - starts).max()))]
