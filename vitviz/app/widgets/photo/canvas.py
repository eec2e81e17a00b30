"""The stage: a photo, a heatmap over it, a grid and outlines, with zoom and pan. Knows rectangles, not models."""

from collections.abc import Iterable, Set

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, QSizeF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QEnterEvent,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QPixmap,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from vitviz.app.ui import theme
from vitviz.app.ui.pixels import rgba_image
from vitviz.app.widgets.base.focus_ring import FocusRing
from vitviz.app.widgets.photo.grid import Cell, Grid
from vitviz.app.widgets.photo.viewport import Viewport, fit, panned, zoomed

MARGIN = 24
_SHARE = 0.1  # of the smaller side, for the margin at most
_EDGE = 4  # pixels that an outline reaches beyond its cell
_CLICK = 4  # pixels that the pointer may move during a click
_ARROWS = {
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
}
_FINEST = 14  # a grid whose cells are smaller than this gets no numbers


def _number(painter: QPainter, box: QRectF, text: str, ink: QColor | None) -> None:
    """The number of a row or column; without a colour it lies over the photo, light on dark."""
    if ink is None:
        width = painter.fontMetrics().horizontalAdvance(text) + 6
        painter.fillRect(
            QRectF(box.center().x() - width / 2, box.center().y() - 8, width, 16), QColor(0, 0, 0, 160)
        )
    painter.setPen(ink or QColor(255, 255, 255))
    painter.drawText(box.adjusted(-8, 0, 8, 0), Qt.AlignmentFlag.AlignCenter, text)


class Canvas(FocusRing):
    """Shows what it is given; tells where the pointer is, in photo pixels."""

    hover_changed = Signal(float, float)
    left = Signal()
    clicked = Signal(float, float)
    toggled = Signal(float, float)  # a click with Shift
    sweeping = Signal(QRectF)  # a rectangle that is being drawn with Shift held
    swept = Signal(QRectF)
    extended = Signal(int, int)  # an arrow key with Shift: rows, columns
    zoom_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(240, 88)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._levels: list[QImage] = []
        self._heat: QImage | None = None
        self._heat_area = QRectF()
        self._smooth = False
        self._seen: QRectF | None = None
        self._grid: Grid | None = None
        self._show_grid = False
        self._query: frozenset[Cell] = frozenset()
        self._pinned = False
        self._hover: Cell | None = None
        self._dimmed = False
        self._view: Viewport | None = None
        self._fitted = True
        self._backdrop: QPixmap | None = None
        self._press: QPointF | None = None
        self._dragged = False
        self._sweep: QPointF | None = None  # where a rectangle began

    # What to show.

    def set_photo(self, levels: list[QImage]) -> None:
        """Another photo, as `vitviz.app.ui.pixels.levels` makes it, fitted; or none. The same one stays as it lies."""
        if levels is self._levels:
            return
        self._levels = levels
        self._heat = self._seen = self._grid = self._hover = None
        self._query = frozenset()
        self.fit()

    @property
    def levels(self) -> list[QImage]:
        """The images of the photo that is drawn, from large to small; empty where there is none."""
        return self._levels

    def set_heat(self, rgba: NDArray[np.uint8] | None, area: QRectF, smooth: bool) -> None:
        """The heat as straight RGBA (rows, columns, 4), stretched over a rectangle in photo pixels."""
        self._heat = None if rgba is None else rgba_image(rgba)
        self._update_part(self._heat_area)
        self._heat_area, self._smooth = area, smooth
        self._update_part(area)

    def set_seen(self, seen: QRectF | None) -> None:
        """The part of the photo that is not dimmed."""
        if seen != self._seen:
            self._seen = seen
            self._redraw()

    def set_grid(self, grid: Grid | None, visible: bool) -> None:
        """The patch grid; with numbers of rows and columns where there is room."""
        if (grid, visible) != (self._grid, self._show_grid):
            self._grid, self._show_grid = grid, visible
            self.update()

    def set_marks(self, query: Iterable[Cell], pinned: bool, hover: Cell | None) -> None:
        """The selected cells (row, column) of the grid, firm when pinned, and another one under the pointer."""
        marks = frozenset(query), pinned, hover
        if marks != (self._query, self._pinned, self._hover):
            self._update_marks()
            self._query, self._pinned, self._hover = marks
            self._update_marks()

    def _update_marks(self) -> None:
        if self._grid is not None:
            for cell in (*self._query, *([] if self._hover is None else [self._hover])):
                self._update_part(self._grid.cell(*cell))

    def _update_part(self, area: QRectF) -> None:
        """Draw a rectangle of the photo again, and the outlines at its edges: less is then copied to the screen."""
        if self._view is not None and not area.isEmpty():
            self.update(self._view.rect(area).toAlignedRect().adjusted(-_EDGE, -_EDGE, _EDGE, _EDGE))

    @property
    def heat(self) -> QImage | None:
        """The heat as it lies over the photo, one pixel per value; None for none."""
        return self._heat

    @property
    def grid(self) -> Grid | None:
        """The patch grid, whether or not it is drawn."""
        return self._grid

    @property
    def dimmed(self) -> bool:
        """Whether what is shown is about to be replaced."""
        return self._dimmed

    @property
    def marked(self) -> frozenset[Cell]:
        """The cells that are outlined as selected."""
        return self._query

    def set_dimmed(self, dimmed: bool) -> None:
        """Whether what is shown is about to be replaced."""
        if dimmed != self._dimmed:
            self._dimmed = dimmed
            self.update()

    # Where it lies.

    @property
    def viewport(self) -> Viewport | None:
        """Where the photo lies now; None without a photo."""
        return self._view

    @property
    def photo_size(self) -> QSizeF:
        """The photo's size in its own pixels."""
        return QSizeF(self._levels[0].size()) if self._levels else QSizeF(1, 1)

    def device_size(self, area: QRectF) -> tuple[int, int]:
        """How many device pixels (height, width) a rectangle of the photo covers, at most about the screen's own."""
        scale = (self._view.scale if self._view else 1.0) * self.devicePixelRatioF()
        longest = max(area.width(), area.height(), 1e-6) * scale
        shrink = min(1.0, 1600 / longest)
        return max(1, round(area.height() * scale * shrink)), max(1, round(area.width() * scale * shrink))

    def fit(self) -> None:
        """Show the whole photo."""
        self._fitted = True
        self._view = fit(self.photo_size, self._room()) if self._levels else None
        self._redraw()
        self.zoom_changed.emit()

    def zoom(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom about a point of the widget, its middle by default."""
        if self._view is None:
            return
        smallest = fit(self.photo_size, self._room()).scale / 2
        self._view = zoomed(self._view, factor, at or QRectF(self.rect()).center(), smallest)
        self._fitted = False
        self._redraw()
        self.zoom_changed.emit()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Large: it is the stage."""
        return QSize(860, 640)

    def _room(self) -> QRectF:
        margin = min(MARGIN, min(self.width(), self.height()) * _SHARE)  # a small photo needs the room itself
        return QRectF(self.rect()).adjusted(margin, margin, -margin, -margin)

    def _redraw(self) -> None:
        self._backdrop = None
        self.update()

    # Painting.

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Backdrop from its cache, then heat, grid and outlines."""
        painter = QPainter(self)
        if self._backdrop is None:
            self._backdrop = self._draw_backdrop()
        painter.drawPixmap(0, 0, self._backdrop)
        if self._view is None:
            self.draw_focus(painter)
            return
        photo = self._view.rect(QRectF(0, 0, self.photo_size.width(), self.photo_size.height()))
        painter.save()
        # A token at the edge may reach beyond what the model saw; there is no attention to what it did not see.
        seen = photo if self._seen is None else self._view.rect(self._seen)
        painter.setClipRect(photo.intersected(seen))
        if self._heat is not None:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, self._smooth)
            painter.drawImage(self._view.rect(self._heat_area), self._heat, QRectF(self._heat.rect()))
        if self._grid is not None and self._show_grid:
            self._draw_grid(painter, self._grid, self._view)
        painter.restore()
        if self._grid is not None and self._show_grid:
            self._draw_numbers(painter, self._grid, self._view)
        if self._dimmed:
            veil = QColor(self.palette().color(QPalette.ColorRole.Window))
            veil.setAlpha(150)
            painter.fillRect(photo, veil)
        if self._grid is not None and self._hover is not None:
            self._outline(painter, self._grid, self._view, {self._hover}, QColor(255, 255, 255, 200), 1)
        if self._grid is not None and self._query:
            accent = QColor(theme.colors(self.palette()).accent)
            self._outline(painter, self._grid, self._view, self._query, accent, 3 if self._pinned else 2)
        self.draw_focus(painter)

    def _draw_backdrop(self) -> QPixmap:
        ratio = self.devicePixelRatioF()
        backdrop = QPixmap(self.size() * ratio)
        backdrop.setDevicePixelRatio(ratio)
        backdrop.fill(self.palette().color(QPalette.ColorRole.Base))
        if self._view is None:
            return backdrop
        painter = QPainter(backdrop)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        whole = QRectF(0, 0, self.photo_size.width(), self.photo_size.height())
        target = self._view.rect(whole)
        level = self._levels[0]
        for smaller in self._levels[1:]:
            if smaller.width() >= target.width() * ratio:
                level = smaller
        if level.width() > 2 * target.width() * ratio:
            size = QSize(max(1, round(target.width() * ratio)), max(1, round(target.height() * ratio)))
            level = level.scaled(size, mode=Qt.TransformationMode.SmoothTransformation)
        painter.drawImage(target, level, QRectF(level.rect()))
        if self._seen is not None:
            self._draw_unseen(painter, target, self._view.rect(self._seen))
        painter.end()
        return backdrop

    def _draw_unseen(self, painter: QPainter, photo: QRectF, seen: QRectF) -> None:
        veil = QColor(0, 0, 0, 166)
        for part in (
            QRectF(photo.left(), photo.top(), photo.width(), seen.top() - photo.top()),
            QRectF(photo.left(), seen.bottom(), photo.width(), photo.bottom() - seen.bottom()),
            QRectF(photo.left(), seen.top(), seen.left() - photo.left(), seen.height()),
            QRectF(seen.right(), seen.top(), photo.right() - seen.right(), seen.height()),
        ):
            if part.width() > 0 and part.height() > 0:
                painter.fillRect(part, veil)

    def _draw_grid(self, painter: QPainter, grid: Grid, view: Viewport) -> None:
        area = view.rect(grid.area)
        painter.setPen(QPen(QColor(255, 255, 255, 80), 1))
        for column in range(grid.columns + 1):
            x = round(area.left() + column * area.width() / grid.columns) + 0.5
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        for row in range(grid.rows + 1):
            y = round(area.top() + row * area.height() / grid.rows) + 0.5
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))

    def _draw_numbers(self, painter: QPainter, grid: Grid, view: Viewport) -> None:
        area = view.rect(grid.area)
        width, height = area.width() / grid.columns, area.height() / grid.rows
        if min(width, height) < _FINEST:
            return
        painter.setFont(theme.small())
        top = max(area.top(), view.top) - 18 if area.top() < view.top + 12 else view.top - 18
        left = view.left - 24
        ink = QColor(theme.colors(self.palette()).muted)
        # Zoomed in, there is no margin: then they are written over the photo, at the edges of what is seen of it.
        for column in range(grid.columns):
            box = QRectF(area.left() + column * width, max(top, 2), width, 16)
            _number(painter, box, str(column), ink if top >= 0 else None)
        for row in range(grid.rows):
            box = QRectF(max(left, 2), area.top() + row * height, 20, height)
            if top >= 0 or left >= 0 or box.center().y() > 28:  # the corner is that of a column's number
                _number(painter, box, str(row), ink if left >= 0 else None)

    def _outline(
        self, painter: QPainter, grid: Grid, view: Viewport, cells: Set[Cell], color: QColor, width: int
    ) -> None:
        lines = [view.transform.map(line) for line in grid.border(cells)]
        # A dark line outside keeps the outline visible on bright heat and bright photos alike.
        for shade, thick in ((QColor(0, 0, 0, 150), width + 2), (color, width)):
            painter.setPen(QPen(shade, thick, c=Qt.PenCapStyle.SquareCap))
            painter.drawLines(lines)

    # Events.

    def resizeEvent(self, _: QResizeEvent) -> None:  # noqa: N802
        """Keep the photo fitted until the user zooms."""
        if self._fitted and self._levels:
            self._view = fit(self.photo_size, self._room())
        self._redraw()
        self.zoom_changed.emit()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Redraw the backdrop in the new colours."""
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.DevicePixelRatioChange):
            self._redraw()
        super().changeEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Point, or pan while a button is held."""
        if self._sweep is not None and self._view is not None:
            if self._dragged or (event.position() - self._sweep).manhattanLength() > _CLICK:
                self._dragged = True
                self.sweeping.emit(self._area_between(self._sweep, event.position()))
            return
        if self._press is not None and self._view is not None:
            moved = event.position() - self._press
            if self._dragged or moved.manhattanLength() > _CLICK:
                self._dragged = True
                self._press = event.position()
                self._view = panned(self._view, moved, self.photo_size, QRectF(self.rect()))
                self._fitted = False
                self._redraw()
                return
        self._point(event.position())

    def enterEvent(self, event: QEnterEvent) -> None:  # noqa: N802
        """Point at once, not only after the next move."""
        self._point(event.position())

    def leaveEvent(self, _: QEvent) -> None:  # noqa: N802
        """The pointer has left."""
        self.left.emit()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Begin a click, a drag, or with Shift a rectangle of patches."""
        shift = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        if event.button() == Qt.MouseButton.LeftButton and shift:
            self._sweep, self._dragged = event.position(), False
        elif event.button() in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton):
            self._press, self._dragged = event.position(), False

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """A click is a press that did not become a drag."""
        if self._sweep is not None:
            start, self._sweep = self._sweep, None
            if self._view is not None and self._dragged:
                self.swept.emit(self._area_between(start, event.position()))
            elif self._view is not None:
                self.toggled.emit(*self._view.to_photo(start))
            return
        was_click = self._press is not None and not self._dragged
        self._press = None
        if was_click and event.button() == Qt.MouseButton.LeftButton and self._view is not None:
            self.clicked.emit(*self._view.to_photo(event.position()))

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """A double click counts as two clicks."""
        self.mousePressEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Arrow keys with Shift extend the selection; without, they are actions."""
        step = _ARROWS.get(Qt.Key(event.key()))
        if step is not None and event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier == (
            Qt.KeyboardModifier.ShiftModifier
        ):
            self.extended.emit(*step)
        else:
            super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Zoom about the pointer."""
        steps = event.angleDelta().y() / 120
        if steps:
            self.zoom(1.2**steps, event.position())
            self._point(event.position())

    def _area_between(self, start: QPointF, end: QPointF) -> QRectF:
        """The rectangle between two points of the widget, in photo pixels."""
        assert self._view is not None
        corners = [QPointF(*self._view.to_photo(point)) for point in (start, end)]
        # A straight drag is a rectangle too.
        return QRectF(*corners).normalized().adjusted(0, 0, 1e-3, 1e-3)

    def _point(self, at: QPointF) -> None:
        if self._view is not None:
            self.hover_changed.emit(*self._view.to_photo(at))
