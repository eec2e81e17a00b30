"""What is written beside and over the tiles of a mosaic: numbers, names of the axes, marks. Draws with what it is given."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QRegion

from vitviz.app.ui.theme import Colors
from vitviz.app.widgets.mosaic.layout import Band, Plan, Room

_NAMED = 26  # tiles of this size have room for the number of their head
_CENTER = Qt.AlignmentFlag.AlignCenter


@dataclass(frozen=True)
class Labels:
    """What there is to write; a place is where a tile lies in its layer.

    `stages`: what to call each layer's stage, where there are several. `order`: which head is at each place of each layer,
    None for their own order; `along` names that axis. `marks`: a share (0 to 1, nan for none) for each place of each layer.
    """

    stages: tuple[str, ...] = ()
    order: tuple[tuple[int, ...], ...] | None = None
    along: str = "heads"
    marks: tuple[tuple[float, ...], ...] | None = None


def draw(painter: QPainter, placed: Plan, labels: Labels, scheme: Colors) -> None:
    """All of it, from the corner of the mosaic."""
    painter.setPen(QColor(scheme.muted))
    for layer in range(len(placed.heads)):
        draw_layer_number(painter, placed, layer)
        for first, box in placed.continued(layer):
            if painter.fontMetrics().horizontalAdvance(f"h{first}") <= box[2]:  # large type has no room
                painter.drawText(QRectF(*box), _side(placed), f"h{first}")
    if labels.order is None:
        for band in placed.bands:
            for place in range(band.most):
                draw_place_number(painter, placed, band, place)
    draw_axes(painter, placed, labels, QColor(scheme.line))
    if labels.marks is not None:
        _draw_marks(painter, placed, labels.marks)
    if labels.order is not None and min(placed.tile) >= _NAMED * placed.room.axis / Room().axis:
        _draw_names(painter, placed, labels.order)


def beside(placed: Plan, origin: QPointF) -> QRegion:
    """Where numbers and axes are, in the widget."""
    across, down = placed.room.axis + placed.room.across, placed.room.axis + placed.room.down
    height, width = placed.size
    strips = [QRectF(0, 0, width, down) if placed.turned else QRectF(0, 0, across, height)]
    for band in placed.bands:
        if placed.turned:
            strips.append(QRectF(band.left - across, 0, across, height))
        else:
            strips.append(QRectF(0, band.top - down, width, down))
    region = QRegion()
    for strip in strips:
        # Numbers in the middle of narrow columns reach a little beyond.
        region += strip.translated(origin).adjusted(-8, 0, 8, 0).toAlignedRect()
    return region


def draw_layer_number(painter: QPainter, placed: Plan, layer: int) -> None:
    """A layer's number, where there is room for it."""
    if (layer - placed.band(layer).first) % _step(painter, placed, heads=False):
        return
    box = QRectF(*placed.header(layer))
    painter.drawText(box if placed.turned else box.adjusted(-12, 0, 12, 0), _side(placed), str(layer))


def draw_place_number(painter: QPainter, placed: Plan, band: Band, place: int) -> None:
    """The number of a band's heads at one place, where there is room for it."""
    if place % _step(painter, placed, heads=True):
        return
    box = QRectF(*placed.number(band, place))
    if placed.turned:
        painter.drawText(box.adjusted(-12, 0, 12, 0), _CENTER, str(place))
    else:
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(box.adjusted(0, -8, 0, 8), right, str(place))


def draw_axes(painter: QPainter, placed: Plan, labels: Labels, line: QColor) -> None:
    """The names of both axes; where grids differ each stage's grid in place of "layers"."""
    lined = len(set(labels.stages)) > 1
    for band in placed.bands:
        first = band.first
        stages = labels.stages[first : first + band.layers] or ("layers",) * band.layers
        for name, members in groupby(stages):
            last = first + len(list(members)) - 1
            _draw_stage(painter, placed, band, placed.extent(first, last), name, line if lined else None)
            first = last + 1
        length = band.most * (placed.tile[1 if placed.turned else 0] + placed.gap) - placed.gap
        if placed.turned:
            box = QRectF(band.left, band.top - placed.room.down - placed.room.axis, length, placed.room.axis)
            painter.drawText(box.adjusted(-20, -4, 20, 4), _CENTER, labels.along)
        else:
            _draw_upright(painter, QRectF(0, band.top, placed.room.axis, length), labels.along)


def _draw_stage(
    painter: QPainter, placed: Plan, band: Band, extent: tuple[int, int], name: str, line: QColor | None
) -> None:
    begin, end = extent
    if placed.turned:
        box = QRectF(band.left - placed.room.across - placed.room.axis, begin, placed.room.axis, end - begin)
        rule = QRectF(box.right(), begin + 1, 1, end - begin - 2)
        _draw_upright(painter, box, name)
    else:
        box = QRectF(begin, band.top - placed.room.down - placed.room.axis, end - begin, placed.room.axis)
        rule = QRectF(begin + 1, box.bottom(), end - begin - 2, 1)
        if painter.fontMetrics().horizontalAdvance(name) <= box.width():
            painter.drawText(box.adjusted(-8, -4, 8, 4), _CENTER, name)  # large type is higher
    if line is not None:
        painter.fillRect(rule, line)


def _draw_marks(painter: QPainter, placed: Plan, marks: tuple[tuple[float, ...], ...]) -> None:
    thick = 5 if min(placed.tile) >= 40 else 4 if min(placed.tile) >= 16 else 2
    rim = 1 if thick > 2 else 0
    for layer, shares in enumerate(marks):
        for place, share in enumerate(shares):
            if np.isnan(share):
                continue
            left, top, width, height = placed.box(layer, place)
            foot = QRectF(left, top + height - thick, width, thick)
            painter.fillRect(foot, QColor(0, 0, 0, 200))
            # Dark all round it, so that it stands out from bright tiles and bright gaps.
            foot.setWidth(max(1.0, width * share))
            painter.fillRect(foot.adjusted(0, rim, 0, -rim), QColor(255, 255, 255))


def _draw_names(painter: QPainter, placed: Plan, order: tuple[tuple[int, ...], ...]) -> None:
    """The number of each tile's head in its corner."""
    metrics = painter.fontMetrics()
    painter.setPen(QColor(255, 255, 255))
    for layer, heads in enumerate(order):
        for place, head in enumerate(heads):
            left, top, _, _ = placed.box(layer, place)
            box = QRectF(left, top, metrics.horizontalAdvance(str(head)) + 4, metrics.height() - 2)
            painter.fillRect(box, QColor(0, 0, 0, 150))
            painter.drawText(box, _CENTER, str(head))


def _draw_upright(painter: QPainter, box: QRectF, text: str) -> None:
    """Text that reads upwards, where it has room."""
    if painter.fontMetrics().horizontalAdvance(text) > box.height() + 8:
        return
    painter.save()
    painter.translate(box.center())
    painter.rotate(-90)
    room = QRectF(-box.height() / 2 - 8, -box.width() / 2, box.height() + 16, box.width())
    painter.drawText(room, _CENTER, text)
    painter.restore()


def _side(placed: Plan) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if placed.turned else Qt.AlignmentFlag.AlignHCenter
    return side | Qt.AlignmentFlag.AlignVCenter


def _step(painter: QPainter, placed: Plan, heads: bool) -> int:
    """Every how many lines there is room for a number."""
    metrics = painter.fontMetrics()
    across = placed.turned == heads
    room = placed.tile[1 if across else 0] + placed.gap
    most = max(placed.heads) if heads else len(placed.heads)
    need = metrics.horizontalAdvance(str(most - 1)) + 6 if across else metrics.height() - 4
    return max(1, -(-need // room))
