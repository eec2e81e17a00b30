"""Monochrome SVG icons, tinted in the palette's colours and rendered at several scale factors."""

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer

from vitviz.resources_path import resource


def icon(name: str, palette: QPalette, size: int = 16) -> QIcon:
    """The icon `resources/icons/<name>.svg` in the palette's text colours. Raises FileNotFoundError if it is missing."""
    drawing = resource(f"icons/{name}.svg").read_text(encoding="utf-8")
    made = QIcon()
    for group, mode in (
        (QPalette.ColorGroup.Active, QIcon.Mode.Normal),
        (QPalette.ColorGroup.Disabled, QIcon.Mode.Disabled),
    ):
        color = palette.color(group, QPalette.ColorRole.ButtonText)
        for scale in (1, 2, 3):
            made.addPixmap(_pixmap(drawing, color, size, scale), mode)
    return made


def _pixmap(drawing: str, color: QColor, size: int, scale: int) -> QPixmap:
    tinted = drawing.replace("currentColor", color.name()).encode()
    renderer = QSvgRenderer(QByteArray(tinted))
    pixmap = QPixmap(QSize(size, size) * scale)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setOpacity(color.alphaF())
    renderer.render(painter, QRectF(0, 0, size * scale, size * scale))
    painter.end()
    pixmap.setDevicePixelRatio(scale)
    return pixmap
