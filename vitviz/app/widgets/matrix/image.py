"""A matrix as an image at the screen's own pixels."""

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QImage, QPainter

from vitviz.app.widgets.matrix.axis import Axis, shrunk


def composed(cells: NDArray[np.uint8], rows: Axis, columns: Axis, table: list[int], ratio: float) -> QImage:
    """Indices 0 … 255 in a table's colours: four parts, as the first rows and columns are large.

    `ratio` is how many of the screen's pixels a logical one has.
    """
    height, width = round((rows.end - rows.start) * ratio), round((columns.end - columns.start) * ratio)
    height, width = max(1, height), max(1, width)
    stride = (width + 3) // 4 * 4
    canvas = np.zeros((height, stride), np.uint8)
    parts = []
    for axis in (rows, columns):
        large = np.arange(round(axis.first * axis.band * ratio))
        firsts = np.minimum((large / (axis.band * ratio)).astype(np.intp), max(axis.first - 1, 0))
        begin = round((axis.begin - axis.start) * ratio)
        parts.append([(0, firsts, axis.first), (begin, *axis.pixels(ratio))])
    for top, down, after_down in parts[0]:
        for left, across, after_across in parts[1]:
            made = shrunk(cells, down, across, (after_down, after_across))
            room = canvas[top : top + made.shape[0], left : min(left + made.shape[1], width)]
            room[:] = made[: room.shape[0], : room.shape[1]]
    image = QImage(canvas.data, width, height, stride, QImage.Format.Format_Indexed8)
    image.setColorTable(table)
    image = image.convertToFormat(QImage.Format.Format_ARGB32_Premultiplied)
    image.setDevicePixelRatio(ratio)
    _clear_gaps(image, rows, columns)
    return image


def _clear_gaps(image: QImage, rows: Axis, columns: Axis) -> None:
    painter = QPainter(image)
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Clear)
    for axis, other, turned in ((rows, columns, False), (columns, rows, True)):
        if axis.first and axis.others:
            low, length = axis.begin - axis.gap - axis.start, other.end - other.start
            box = QRectF(low, 0, axis.gap, length) if turned else QRectF(0, low, length, axis.gap)
            painter.fillRect(box, Qt.GlobalColor.black)
    painter.end()
