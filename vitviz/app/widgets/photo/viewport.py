"""Where the photo lies in its widget: pure arithmetic of fitting, zooming and panning."""

from dataclasses import dataclass, replace
from functools import cached_property

from PySide6.QtCore import QPointF, QRectF, QSizeF
from PySide6.QtGui import QTransform

LARGEST = 64.0  # logical pixels per photo pixel


@dataclass(frozen=True)
class Viewport:
    """`scale` logical pixels per photo pixel; `left`, `top` is where the photo's corner lies in the widget."""

    scale: float
    left: float
    top: float

    def to_photo(self, point: QPointF) -> tuple[float, float]:
        """A point of the widget in photo pixels."""
        return (point.x() - self.left) / self.scale, (point.y() - self.top) / self.scale

    @cached_property
    def transform(self) -> QTransform:
        """From photo pixels to the widget."""
        return QTransform(self.scale, 0, 0, self.scale, self.left, self.top)

    def rect(self, area: QRectF) -> QRectF:
        """A rectangle in photo pixels as it lies in the widget."""
        return QRectF(
            self.left + area.x() * self.scale,
            self.top + area.y() * self.scale,
            area.width() * self.scale,
            area.height() * self.scale,
        )


def fit(photo: QSizeF, room: QRectF) -> Viewport:
    """The whole photo, as large as the room takes it, in its middle."""
    scale = max(min(room.width() / photo.width(), room.height() / photo.height()), 1e-3)
    left = room.x() + (room.width() - photo.width() * scale) / 2
    top = room.y() + (room.height() - photo.height() * scale) / 2
    return Viewport(scale, round(left), round(top))


def zoomed(view: Viewport, factor: float, at: QPointF, smallest: float) -> Viewport:
    """Larger or smaller with the point under the pointer held still."""
    scale = min(max(view.scale * factor, smallest), LARGEST)
    ratio = scale / view.scale
    return Viewport(scale, at.x() - (at.x() - view.left) * ratio, at.y() - (at.y() - view.top) * ratio)


def panned(view: Viewport, by: QPointF, photo: QSizeF, room: QRectF) -> Viewport:
    """Moved, but never so far that less than a quarter of the room shows photo."""
    width, height = photo.width() * view.scale, photo.height() * view.scale
    keep_x, keep_y = min(width, room.width() / 4), min(height, room.height() / 4)
    left = min(max(view.left + by.x(), room.left() - width + keep_x), room.right() - keep_x)
    top = min(max(view.top + by.y(), room.top() - height + keep_y), room.bottom() - keep_y)
    return replace(view, left=left, top=top)
