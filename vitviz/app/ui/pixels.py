"""Pixels from numpy to Qt and back; all of it can run in any thread."""

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QImage

from vitviz.images.framing import Framing, PatchGrid
from vitviz.images.photo import Photo, photo_from_array

_SMOOTH_SIDE = 256  # pixels of an interpolated map; the screen's own scaling does the rest
_LARGE = 1600  # photos whose shorter side is longer than this are kept in smaller sizes too


def rgb_image(pixels: NDArray[np.uint8]) -> QImage:
    """A Qt image of its own memory from (H, W, 3) uint8."""
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels)
    return QImage(data.data, width, height, 3 * width, QImage.Format.Format_RGB888).convertToFormat(
        QImage.Format.Format_RGB32
    )


def rgba_image(pixels: NDArray[np.uint8]) -> QImage:
    """A Qt image of its own memory from (H, W, 4) uint8, straight alpha."""
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels)
    return QImage(data.data, width, height, 4 * width, QImage.Format.Format_RGBA8888).convertToFormat(
        QImage.Format.Format_ARGB32_Premultiplied
    )


def levels(pixels: NDArray[np.uint8]) -> list[QImage]:
    """The photo, and for a large one halves of it, so that resizing and zooming are quick at any size."""
    found = [rgb_image(pixels)]
    while min(found[-1].width(), found[-1].height()) > _LARGE:
        half = found[-1].size() / 2
        found.append(found[-1].scaled(half, mode=Qt.TransformationMode.SmoothTransformation))
    return found


def photo_of(image: QImage) -> Photo:
    """A pasted or dropped picture as a photo; over white, as files with transparency are opened."""
    plain = image.convertToFormat(QImage.Format.Format_RGBA8888)
    rows = np.frombuffer(plain.constBits(), np.uint8).reshape(plain.height(), plain.bytesPerLine())
    pixels = rows[:, : 4 * plain.width()].reshape(plain.height(), plain.width(), 4).astype(np.uint16)
    alpha = pixels[..., 3:]
    flat = (pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return photo_from_array(flat.astype(np.uint8), "unnamed picture")


def grid_area(framing: Framing, patches: PatchGrid) -> QRectF:
    """The rectangle that a patch grid covers, in photo pixels."""
    top, left = patches.origin
    right, bottom = left + patches.cols * patches.cell[1], top + patches.rows * patches.cell[0]
    (x0, y0), (x1, y1) = framing.to_photo([[left, top], [right, bottom]])
    return QRectF(x0, y0, x1 - x0, y1 - y0)


def smooth_size(area: QRectF) -> tuple[int, int]:
    """How many rows and columns an interpolated map over an area is computed in."""
    ratio = area.width() / area.height()
    if ratio <= 1:
        return _SMOOTH_SIDE, round(_SMOOTH_SIDE * ratio)
    return round(_SMOOTH_SIDE / ratio), _SMOOTH_SIDE
