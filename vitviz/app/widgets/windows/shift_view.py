"""A grid on a photo that is shifted cyclically and then cut into windows."""

from itertools import product

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
)
from PySide6.QtWidgets import QWidget

from vitviz.app.ui import theme
from vitviz.app.ui.pixels import rgba_image
from vitviz.app.widgets.base.hover_view import HoverView
from vitviz.app.widgets.windows.scene import Focus, Scene
from vitviz.render.colors import LETTERS, REGIONS

_MARGIN, _CAPTION = 12, 20


class ShiftView(HoverView):
    """Draws a scene at a progress: 0 the photo, 1 shifted, 2 cut into windows."""

    clicked = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(180, 160)
        self.setFont(theme.small())
        self._scene: Scene | None = None
        self._focus = Focus()
        self._progress = 0.0
        self._show_regions = False
        self._padded = True
        self._scaled: QPixmap | None = None
        self._backdrop: QPixmap | None = None

    @property
    def scene(self) -> Scene | None:
        """What is shown."""
        return self._scene

    @property
    def focus(self) -> Focus:
        """What is highlighted."""
        return self._focus

    @property
    def progress(self) -> float:
        """0 the photo, 1 shifted, 2 cut into windows."""
        return self._progress

    @property
    def backdrop(self) -> QPixmap | None:
        """All but the highlight, drawn once and kept while only the pointer moves; None before it is drawn again."""
        return self._backdrop

    def set_scene(self, scene: Scene | None) -> None:
        """Show another grid."""
        self._scene, self._focus, self._scaled = scene, Focus(), None
        self.setAccessibleDescription("" if scene is None else scene.caption)
        self._redraw()

    def set_focus(self, focus: Focus) -> None:
        """Highlight a window."""
        self._focus = focus
        self.update()

    def set_progress(self, progress: float) -> None:
        """Show the shift at another progress."""
        if progress != self._progress:
            self._progress = progress
            self._redraw()

    def set_regions(self, shown: bool) -> None:
        """Whether regions are tinted once the windows are closed."""
        if shown != self._show_regions:
            self._show_regions = shown
            self._redraw()

    def set_padded(self, shown: bool) -> None:
        """Whether there is space for padding; without it only the photo's grid is shown."""
        if shown != self._padded:
            self._padded = shown
            self._redraw()

    def _redraw(self) -> None:
        self._backdrop = None
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """A square."""
        return QSize(360, 380)

    # Where things lie.

    @property
    def frame(self) -> tuple[int, int]:
        """Rows and columns that are shown."""
        scene = self._scene
        assert scene is not None
        return scene.frame if self._padded else scene.grid

    @property
    def unit(self) -> tuple[float, float]:
        """Width and height of a cell in the widget."""
        scene = self._scene
        assert scene is not None
        rows, columns = self.frame
        room_x, room_y = self.width() - 2 * _MARGIN, self.height() - 2 * _MARGIN - self._caption_height
        height = max(min(room_y / rows, room_x / (columns * scene.aspect)), 1.0)
        return height * scene.aspect, height

    def box(self, cells: QRectF) -> QRectF:
        """A rectangle in cells of the frame as it lies in the widget."""
        return self._boxes([cells])[0]

    def _boxes(self, rectangles: list[QRectF]) -> list[QRectF]:
        (width, height), (rows, columns) = self.unit, self.frame
        left = (self.width() - columns * width) / 2
        top = (self.height() - self._caption_height - rows * height) / 2
        return [
            QRectF(left + one.x() * width, top + one.y() * height, one.width() * width, one.height() * height)
            for one in rectangles
        ]

    @property
    def _caption_height(self) -> int:
        """One line, or two where the caption is too long for one."""
        scene = self._scene
        wide = scene is not None and self.fontMetrics().horizontalAdvance(scene.caption) > self.width() - 8
        return round((2 * _CAPTION - 4 if wide else _CAPTION) * self.text_scale)

    def carried(self, cells: QRectF) -> list[QRectF]:
        """Where a rectangle of the photo's grid lies in the frame now: in pieces where it wraps around an edge."""
        scene = self._scene
        assert scene is not None
        found = []
        for piece in scene.pieces(min(self._progress, 1.0)):
            common = cells.intersected(piece.source)
            if common.width() > 1e-9 and common.height() > 1e-9:
                found.append(common.translated(piece.target.topLeft() - piece.source.topLeft()))
        return found

    def at(self, point: QPointF) -> tuple[int, int] | None:
        """The (row, column) of the photo's grid that lies at a point of the widget."""
        scene = self._scene
        if scene is None:
            return None
        width, height = self.unit
        corner = self.box(QRectF(0, 0, 1, 1)).topLeft()
        at = QPointF((point.x() - corner.x()) / width, (point.y() - corner.y()) / height)
        for piece in scene.pieces(min(self._progress, 1.0)):
            if piece.target.contains(at):
                source = at - piece.target.topLeft() + piece.source.topLeft()
                row, column = int(source.y()), int(source.x())
                inside = 0 <= row < scene.grid[0] and 0 <= column < scene.grid[1]
                return (row, column) if inside else None
        return None

    # Painting.

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw the photo in pieces with windows, regions and padding, and the highlight over it."""
        painter = QPainter(self)
        if self._scene is not None:
            if self._backdrop is None:
                self._backdrop = self._draw_backdrop(self._scene)
            painter.drawPixmap(0, 0, self._backdrop)
            self._draw_heat(painter, self._scene)
            self._draw_focus_window(painter, self._closed)
        self.draw_focus(painter)

    @property
    def _closed(self) -> float:
        """How far the windows have closed over the shifted grid, from 0 to 1."""
        return min(max(self._progress - 1.0, 0.0), 1.0)

    def _draw_backdrop(self, scene: Scene) -> QPixmap:
        """All that the pointer does not change: drawing it as one picture takes a tenth of the time of drawing its lines."""
        ratio, closed = self.devicePixelRatioF(), self._closed
        backdrop = QPixmap(self.size() * ratio)
        backdrop.setDevicePixelRatio(ratio)
        backdrop.fill(Qt.GlobalColor.transparent)
        painter = QPainter(backdrop)
        self._draw_pieces(painter, scene)
        if closed > 0:
            self._draw_padding(painter, scene, closed)
            if self._show_regions:
                self._draw_regions(painter, scene, closed)
        self._draw_lines(painter, scene, closed)
        painter.setFont(theme.small())
        painter.setPen(QColor(theme.colors(self.palette()).muted))
        bottom = self.box(QRectF(0, 0, *reversed(self.frame))).bottom()
        room = QRectF(4, bottom + 4, self.width() - 8, self._caption_height)
        middle = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop
        painter.drawText(room, middle | Qt.TextFlag.TextWordWrap, scene.caption)
        painter.end()
        return backdrop

    def _draw_pieces(self, painter: QPainter, scene: Scene) -> None:
        image = self._picture(scene)
        across, down = image.width() / scene.grid[1], image.height() / scene.grid[0]
        whole = QRectF(0, 0, scene.grid[1], scene.grid[0])
        for piece in scene.pieces(min(self._progress, 1.0)):
            real = piece.source.intersected(whole)  # padding that moves along has no picture
            source = QRectF(real.x() * across, real.y() * down, real.width() * across, real.height() * down)
            target = self.box(real.translated(piece.target.topLeft() - piece.source.topLeft()))
            painter.drawPixmap(target, image, source)
            if piece.shade is not None and self._progress < 2:
                self._draw_piece_edge(painter, target, piece.shade)

    def _picture(self, scene: Scene) -> QPixmap:
        """The picture at the screen's resolution, scaled once and not again when the pointer moves."""
        ratio = self.devicePixelRatioF()
        size = (self.box(QRectF(0, 0, scene.grid[1], scene.grid[0])).size() * ratio).toSize()
        if self._scaled is None or self._scaled.size() != size:
            smooth = Qt.TransformationMode.SmoothTransformation
            self._scaled = QPixmap.fromImage(
                scene.picture.scaled(size, Qt.AspectRatioMode.IgnoreAspectRatio, smooth)
            )
        return self._scaled

    def _draw_piece_edge(self, painter: QPainter, box: QRectF, shade: int) -> None:
        color = QColor(*REGIONS[shade])
        veil = QColor(color)
        fading = min(2 - self._progress, 1.0)
        veil.setAlpha(round(70 * fading))
        painter.fillRect(box, veil)
        color.setAlphaF(fading)
        painter.setPen(QPen(color, 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(box.adjusted(1, 1, -1, -1))
        if min(box.width(), box.height()) >= 16:
            self._draw_letter(painter, box.center(), shade, fading)

    def _draw_padding(self, painter: QPainter, scene: Scene, closed: float) -> None:
        colors = theme.colors(self.palette())
        ground, lines = QColor(colors.raised), QColor(colors.muted)
        for color in (ground, lines):
            color.setAlphaF(closed)
        for cells in scene.padding:
            box = self.box(cells)
            painter.fillRect(box, ground)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(lines)
            painter.setBrush(Qt.BrushStyle.BDiagPattern)
            painter.fillRect(box, painter.brush())

    def _draw_regions(self, painter: QPainter, scene: Scene, closed: float) -> None:
        for cells, shade in scene.regions:
            color = QColor(*REGIONS[shade % len(REGIONS)])
            color.setAlpha(round(110 * closed))
            painter.fillRect(self.box(cells), color)
            self._draw_letter(painter, self.box(cells).center(), shade, closed)

    def _draw_letter(self, painter: QPainter, middle: QPointF, shade: int, strength: float) -> None:
        """The letter of a region or piece: over a photo its colour alone does not tell it from others."""
        font = theme.body(strong=True)
        side = QFontMetricsF(font).height()
        box = QRectF(middle.x() - side / 2, middle.y() - side / 2, side, side)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(0, 0, 0, round(150 * strength)))
        painter.drawRoundedRect(box, 3, 3)
        painter.setFont(font)
        painter.setPen(QColor(255, 255, 255, round(255 * strength)))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, LETTERS[shade % len(LETTERS)])

    def _draw_heat(self, painter: QPainter, scene: Scene) -> None:
        if self._focus.heat is None:
            return
        heat = rgba_image(self._focus.heat)
        whole = QRectF(0, 0, scene.grid[1], scene.grid[0])
        for piece in scene.pieces(min(self._progress, 1.0)):
            real = piece.source.intersected(whole)
            target = self.box(real.translated(piece.target.topLeft() - piece.source.topLeft()))
            painter.drawImage(target, heat, real)

    def _draw_lines(self, painter: QPainter, scene: Scene, closed: float) -> None:
        painter.save()
        painter.setClipRect(self.box(QRectF(0, 0, self.frame[1], self.frame[0])).adjusted(-2, -2, 2, 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        on_photo = max(1 - 3 * self._progress, 0.0)
        if on_photo > 0:
            self._rectangles(painter, self._boxes(scene.borders), on_photo)
        if closed > 0:
            width, height = self.unit
            apart = (1 - closed) * 0.6  # they close from outside
            boxes = [
                box.adjusted(-apart * width, -apart * height, apart * width, apart * height)
                for box in self._boxes(scene.windows)
            ]
            self._rectangles(painter, boxes, closed)
        painter.restore()

    def _rectangles(self, painter: QPainter, boxes: list[QRectF], strength: float) -> None:
        for color, width in ((QColor(0, 0, 0, round(130 * strength)), 3), (QColor(255, 255, 255), 1)):
            color.setAlphaF(color.alphaF() * (strength if width == 1 else 1))
            painter.setPen(QPen(color, width, j=Qt.PenJoinStyle.MiterJoin))
            painter.drawRects(boxes)

    def _draw_focus_window(self, painter: QPainter, closed: float) -> None:
        focus = self._focus
        painter.setBrush(Qt.BrushStyle.NoBrush)
        lettered = len({shade for _, shade in focus.parts}) > 1 and not (self._show_regions and closed > 0)
        for cells, shade in focus.parts:
            for part in self.carried(cells):
                self._frame(painter, self.box(part).adjusted(1, 1, -1, -1), QColor(*REGIONS[shade]), 3)
                if lettered:
                    side = QFontMetricsF(theme.body(strong=True)).height()
                    corner = self.box(part).topLeft() + QPointF(4 + side / 2, 4 + side / 2)
                    self._draw_letter(painter, corner, shade, 1.0)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if focus.window is not None and closed == 1:
            self._frame(painter, self.box(focus.window), QColor(255, 255, 255), 2)
        for cells, rows, columns in focus.nested:
            for part in self.carried(cells):
                self._divide(painter, part, rows, columns)
        if focus.nested and focus.cell is not None:
            self._draw_inset(painter, focus)
        if focus.cell is not None:
            row, column = focus.cell
            accent = QColor(theme.colors(self.palette()).accent)
            for part in self.carried(QRectF(column, row, 1, 1)):
                self._frame(painter, self.box(part), accent, 2)

    def _draw_inset(self, painter: QPainter, focus: Focus) -> None:
        """The cell again, enlarged, in the corner opposite to it: what it was merged from is too small to see in place."""
        scene = self._scene
        assert scene is not None
        assert focus.cell is not None
        row, column = focus.cell
        frame = self.box(QRectF(0, 0, scene.grid[1], scene.grid[0]))
        width, height = self.unit
        side = 0.36 * min(frame.width() / width, frame.height() / height)
        inset = QRectF(0, 0, side * width, side * height)
        left, top = column >= scene.grid[1] / 2, row >= scene.grid[0] / 2
        inset.moveTopLeft(
            QPointF(
                frame.left() + 8 if left else frame.right() - 8 - inset.width(),
                frame.top() + 8 if top else frame.bottom() - 8 - inset.height(),
            )
        )
        across, down = scene.picture.width() / scene.grid[1], scene.picture.height() / scene.grid[0]
        painter.drawImage(inset, scene.picture, QRectF(column * across, row * down, across, down))
        for cells, rows, columns in focus.nested:
            weight = 3 if rows <= 2 else 1
            painter.setPen(QPen(QColor(255, 255, 255, 235 if weight == 3 else 170), weight))
            for i, j in product(range(rows), range(columns)):
                box = QRectF(
                    inset.x() + (cells.x() - column + j * cells.width() / columns) * inset.width(),
                    inset.y() + (cells.y() - row + i * cells.height() / rows) * inset.height(),
                    cells.width() / columns * inset.width(),
                    cells.height() / rows * inset.height(),
                )
                painter.drawRect(box)
        self._frame(painter, inset, QColor(theme.colors(self.palette()).accent), 2)

    def _divide(self, painter: QPainter, cells: QRectF, rows: int, columns: int) -> None:
        painter.setPen(QPen(QColor(255, 255, 255, 230), 1))
        width, height = cells.width() / columns, cells.height() / rows
        places = product(range(rows), range(columns))
        painter.drawRects(
            self._boxes(
                [QRectF(cells.x() + j * width, cells.y() + i * height, width, height) for i, j in places]
            )
        )

    def _frame(self, painter: QPainter, box: QRectF, color: QColor, width: int) -> None:
        painter.setPen(QPen(QColor(0, 0, 0, 150), width + 2, j=Qt.PenJoinStyle.MiterJoin))
        painter.drawRect(box)
        painter.setPen(QPen(color, width, j=Qt.PenJoinStyle.MiterJoin))
        painter.drawRect(box)

    # Events.

    def resizeEvent(self, _: QResizeEvent) -> None:  # noqa: N802
        """Draw all of it again."""
        self._redraw()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Draw all of it again in the colours and resolution of another theme or screen."""
        kinds = QEvent.Type.PaletteChange, QEvent.Type.FontChange, QEvent.Type.DevicePixelRatioChange
        if event.type() in kinds:
            self._redraw()
        super().changeEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """A click on a cell."""
        cell = self.at(event.position())
        if cell is not None and event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(*cell)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Enter is a click on the highlighted cell."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._focus.cell is not None:
            self.clicked.emit(*self._focus.cell)
        else:
            super().keyPressEvent(event)
