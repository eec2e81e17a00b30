"""Converts images between NumPy and Qt. All functions can be called in any thread."""

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QImage

from vitviz.images.framing import Framing, PatchGrid
from vitviz.images.photo import Photo, photo_from_array

_SMOOTH_SIDE = 256  # longer side of an interpolated map in pixels; QPainter scales it further
_LARGE = 1600  # the longest shorter side in pixels for which a photo is not kept in smaller sizes too


def rgb_image(pixels: NDArray[np.uint8]) -> QImage:
    """A QImage with its own copy of an (H, W, 3) uint8 array."""
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels)
    return QImage(data.data, width, height, 3 * width, QImage.Format.Format_RGB888).convertToFormat(
        QImage.Format.Format_RGB32
    )


def rgba_image(pixels: NDArray[np.uint8]) -> QImage:
    """A QImage with its own copy of an (H, W, 4) uint8 array with straight alpha."""
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels)
    return QImage(data.data, width, height, 4 * width, QImage.Format.Format_RGBA8888).convertToFormat(
        QImage.Format.Format_ARGB32_Premultiplied
    )


def levels(pixels: NDArray[np.uint8]) -> list[QImage]:
    """The photo, and for a large one also copies of half the size each, so that zooming is fast at any size."""
    found = [rgb_image(pixels)]
    while min(found[-1].width(), found[-1].height()) > _LARGE:
        half = found[-1].size() / 2
        found.append(found[-1].scaled(half, mode=Qt.TransformationMode.SmoothTransformation))
    return found


def photo_of(image: QImage) -> Photo:
    """A pasted or dropped image as a photo; transparent pixels are blended with white, as for files."""
    plain = image.convertToFormat(QImage.Format.Format_RGBA8888)
    rows = np.frombuffer(plain.constBits(), np.uint8).reshape(plain.height(), plain.bytesPerLine())
    pixels = rows[:, : 4 * plain.width()].reshape(plain.height(), plain.width(), 4).astype(np.uint16)
    alpha = pixels[..., 3:]
    flat = (pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return photo_from_array(flat.astype(np.uint8), "unnamed picture")


def grid_area(framing: Framing, patches: PatchGrid) -> QRectF:
    """The rectangle of a patch grid in photo pixels."""
    top, left = patches.origin
    right, bottom = left + patches.cols * patches.cell[1], top + patches.rows * patches.cell[0]
    (x0, y0), (x1, y1) = framing.to_photo([[left, top], [right, bottom]])
    return QRectF(x0, y0, x1 - x0, y1 - y0)


def smooth_size(area: QRectF) -> tuple[int, int]:
    """Rows and columns of an interpolated map of this area."""
    ratio = area.width() / area.height()
    if ratio <= 1:
        return _SMOOTH_SIDE, round(_SMOOTH_SIDE * ratio)
    return round(_SMOOTH_SIDE / ratio), _SMOOTH_SIDE
