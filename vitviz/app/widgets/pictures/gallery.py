"""Small pictures side by side, as large as the widget allows, with captions, signs between them, and cells to point at."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetricsF,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QWidget

from vitviz.app.ui import theme
from vitviz.app.ui.pixels import rgb_image
from vitviz.app.widgets.base.hover_view import HoverView

_CAPTION, _GAP, _JOINT, _EDGE = 20, 12, 28, 12
_PARTED = 0.7  # weight of the size of pictures whose rows needlessly separate joined ones
_STEPS = {
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
}
_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


@dataclass(frozen=True, eq=False)
class GalleryPicture:
    """Pixels (height, width, 3), a caption, the cells (rows, columns) to point at, and the sign before the next ("+", "=").

    `gap`: pixels between the cells. `aspect`: width over height of the picture as shown. `lead`: the first picture takes
    most of the space, the others lie beside or below it. `words`: a text per cell, drawn where all have room.
    """

    pixels: NDArray[np.uint8]
    caption: str
    cells: tuple[int, int] = (1, 1)
    gap: int = 0
    joint: str = ""
    aspect: float = 1.0
    lead: bool = False
    words: tuple[tuple[str, ...], ...] = ()


class Spot(NamedTuple):
    """A cell of a picture."""

    picture: int
    row: int
    column: int


class _Image:
    """An image, and a smaller copy that is drawn where it is shown on fewer pixels than it has."""

    def __init__(self, image: QImage) -> None:
        self._whole = image
        self._small = image

    def at(self, size: QSize) -> QImage:
        """What to draw on `size` pixels: the image itself where it is enlarged, so that cells stay sharp."""
        if size.width() >= self._whole.width():
            return self._whole
        if self._small.size() != size:
            self._small = self._whole.scaled(
                size, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
            )
        return self._small


def arrange(
    aspects: list[float], joints: list[str], width: float, height: float, caption: float = _CAPTION
) -> list[QRectF]:
    """Where each picture lies: in reading order, in as many rows as make the pictures largest, centred.

    Rows that separate joined pictures which would fit into one row are only taken if they make the pictures clearly larger.
    `caption` is the height of the words below each.
    """
    best: list[QRectF] = []
    longest = max(len(chain) + 1 for chain in "".join("j" if joint else " " for joint in joints).split(" "))
    most = 0.0
    count = len(aspects)
    for columns in range(1, count + 1):
        rows = -(-count // columns)
        parted = any(joints[last] for last in range(columns - 1, count - 1, columns))
        edge = _JOINT if parted else _EDGE  # the joint stands before the first of the next row
        gaps = [_JOINT if any(joints[column::columns]) else _GAP for column in range(columns - 1)]
        widest = [max(aspects[column::columns]) for column in range(columns)]
        across = width - 2 * edge - sum(gaps)
        down = (height - rows * (caption + _GAP)) / rows
        side = max(min(down, across / sum(widest)), 8.0)  # the height of each
        worth = side * (_PARTED if parted and longest <= columns else 1.0)
        if best and worth <= most:
            continue
        most = worth
        left = max((width - sum(widest) * side - sum(gaps)) / 2, float(edge))
        top = max((height - rows * (side + caption + _GAP)) / 2, 0.0)
        best = [
            QRectF(
                left
                + sum(widest[: number % columns]) * side
                + sum(gaps[: number % columns])
                + (widest[number % columns] - aspect) * side / 2,
                top + (number // columns) * (side + caption + _GAP),
                aspect * side,
                side,
            )
            for number, aspect in enumerate(aspects)
        ]
    return best


def arrange_lead(
    aspects: list[float], width: float, height: float, caption: float = _CAPTION
) -> list[QRectF]:
    """The first picture as large as possible with a third of the space left for the others, beside or below it."""
    best: list[QRectF] = []
    others = len(aspects) - 1
    for share_x, share_y in ((0.68, 1.0), (1.0, 0.68)) if others else ((1.0, 1.0),):
        room = QRectF(0, 0, width * share_x, height * share_y)
        lead = arrange(aspects[:1], [""], room.width(), room.height(), caption)[0]
        if best and lead.height() <= best[0].height():
            continue
        if share_x < 1:
            rest = QRectF(room.right() - _EDGE, 0, width - room.width() + _EDGE, height)
        else:
            rest = QRectF(0, room.bottom(), width, height - room.height())
        small = arrange(aspects[1:], [""] * others, rest.width(), rest.height(), caption) if others else []
        best = [lead, *(box.translated(rest.topLeft()) for box in small)]
    return best


class Gallery(HoverView):
    """Shows the pictures it is given; tells which cell the pointer is on and which was clicked."""

    clicked = Signal(object)  # Spot

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(200, 120)
        self._pictures: list[GalleryPicture] = []
        self._images: list[_Image] = []
        self._marks: list[tuple[Spot, bool]] = []
        self._arranged: tuple[object, list[QRectF]] | None = None  # what boxes depend on, and the boxes
        self._walks = self._walked = False

    @property
    def pictures(self) -> list[GalleryPicture]:
        """What is shown."""
        return self._pictures

    def set_pictures(self, pictures: list[GalleryPicture]) -> None:
        """Show other pictures."""
        # Following the pointer often changes one picture of several: the others keep their images.
        known = {id(picture): image for picture, image in zip(self._pictures, self._images, strict=True)}
        self._images = [known.get(id(picture)) or _Image(rgb_image(picture.pixels)) for picture in pictures]
        self._pictures = pictures
        self._marks = []
        if self._hovered is not None and not self._is_there(self._hovered):
            self._hovered = None
        self.setAccessibleDescription("; ".join(picture.caption for picture in pictures))
        self.update()

    def set_marks(self, marks: list[tuple[Spot, bool]]) -> None:
        """Cells to outline: the selected ones (True) in the accent colour, others in thin white."""
        if marks != self._marks:
            self._marks = marks
            self.update()

    def set_walks(self, walks: bool) -> None:
        """Whether arrow keys go from cell to cell and Enter clicks one; otherwise the window's shortcuts get these keys."""
        self._walks = walks

    def sizeHint(self) -> QSize:  # noqa: N802
        """Space for a few."""
        return QSize(420, 320)

    def boxes(self) -> list[QRectF]:
        """Where each picture lies in the widget."""
        if not self._pictures:
            return []
        aspects = [picture.aspect for picture in self._pictures]
        joints = [picture.joint for picture in self._pictures]
        width, height, lead = self.width(), self.height(), self._pictures[0].lead
        caption = _CAPTION * self.text_scale
        key = aspects, joints, width, height, caption, lead
        if self._arranged is None or self._arranged[0] != key:
            made = (
                arrange_lead(aspects, width, height, caption)
                if lead
                else arrange(aspects, joints, width, height, caption)
            )
            self._arranged = key, made
        return self._arranged[1]

    def cell_box(self, spot: Spot) -> QRectF:
        """Where a cell lies in the widget."""
        picture, box = self._pictures[spot.picture], self.boxes()[spot.picture]
        rows, columns = picture.cells
        height, width = picture.pixels.shape[:2]
        down, across = (height + picture.gap) / rows, (width + picture.gap) / columns
        return QRectF(
            box.x() + spot.column * across * box.width() / width,
            box.y() + spot.row * down * box.height() / height,
            (across - picture.gap) * box.width() / width,
            (down - picture.gap) * box.height() / height,
        )

    def at(self, point: QPointF) -> Spot | None:
        """The cell at a point of the widget; a gap belongs to the cell before it."""
        for number, (picture, box) in enumerate(zip(self._pictures, self.boxes(), strict=True)):
            if not box.contains(point):
                continue
            rows, columns = picture.cells
            height, width = picture.pixels.shape[:2]
            row = (point.y() - box.y()) / box.height() * height / (height + picture.gap) * rows
            column = (point.x() - box.x()) / box.width() * width / (width + picture.gap) * columns
            return Spot(number, min(int(row), rows - 1), min(int(column), columns - 1))
        return None

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Pictures, captions, joints, outlines."""
        painter = QPainter(self)
        scheme = theme.colors(self.palette())
        painter.setFont(theme.small())
        boxes = self.boxes()
        ratio = self.devicePixelRatioF()
        for number, (picture, image, box) in enumerate(zip(self._pictures, self._images, boxes, strict=True)):
            painter.drawImage(box, image.at((box.size() * ratio).toSize()))
            if self.has_room_for_words(number):
                self._draw_words(painter, number)
            painter.setPen(QColor(scheme.muted))
            room = QRectF(
                box.x() - _GAP / 2, box.bottom() + 2, box.width() + _GAP, _CAPTION * self.text_scale
            )
            words = painter.fontMetrics().elidedText(
                picture.caption, Qt.TextElideMode.ElideRight, int(room.width())
            )
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter, words)
            if picture.joint and number + 1 < len(boxes):
                self._draw_joint(painter, picture.joint, box, boxes[number + 1])
        if self._dimmed:
            veil = QColor(scheme.window)
            veil.setAlpha(150)
            painter.fillRect(self.rect(), veil)
        for spot, strong in self._marks:
            if spot.picture < len(boxes):
                self._outline(painter, self.cell_box(spot), strong)
        self.draw_focus(painter)

    def has_room_for_words(self, number: int) -> bool:
        """Whether the cells of a picture are large enough for its longest word."""
        picture = self._pictures[number]
        if not picture.words:
            return False
        box, metrics = self.cell_box(Spot(number, 0, 0)), QFontMetricsF(theme.small())
        longest = max((word for line in picture.words for word in line), key=len)
        return box.height() >= metrics.height() and box.width() >= metrics.horizontalAdvance(longest) + 4

    def _draw_words(self, painter: QPainter, number: int) -> None:
        picture = self._pictures[number]
        for row, line in enumerate(picture.words):
            for column, word in enumerate(line):
                painter.setPen(theme.ink_on(QColor(*picture.pixels[row, column].tolist())))
                painter.drawText(self.cell_box(Spot(number, row, column)), Qt.AlignmentFlag.AlignCenter, word)

    def _draw_joint(self, painter: QPainter, joint: str, box: QRectF, following: QRectF) -> None:
        painter.save()
        painter.setFont(theme.body(strong=True))
        painter.setPen(QColor(theme.colors(self.palette()).text))
        # Where the next picture stands in the next row, the joint goes before it.
        same_row = following.top() < box.bottom()
        x = (box.right() + following.left()) / 2 if same_row else following.left() - _JOINT / 2
        room = QRectF(x - _JOINT / 2, (box if same_row else following).center().y() - 24, _JOINT, 48)
        painter.drawText(room, Qt.AlignmentFlag.AlignCenter, joint)
        painter.restore()

    def _outline(self, painter: QPainter, cell: QRectF, strong: bool) -> None:
        color = QColor(theme.colors(self.palette()).accent) if strong else QColor(255, 255, 255, 220)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(0, 0, 0, 150), 4 if strong else 3, j=Qt.PenJoinStyle.MiterJoin))
        painter.drawRect(cell)
        painter.setPen(QPen(color, 2 if strong else 1, j=Qt.PenJoinStyle.MiterJoin))
        painter.drawRect(cell)

    def event(self, event: QEvent) -> bool:
        """Keep the arrow keys from the window's shortcuts while they go from cell to cell."""
        if (
            event.type() == QEvent.Type.ShortcutOverride
            and isinstance(event, QKeyEvent)
            and self._is_step(event)
        ):
            event.accept()
            return True
        return super().event(event)

    def _is_step(self, event: QKeyEvent) -> bool:
        plain = event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)
        return self._walks and plain and bool(self._pictures) and event.key() in (*_STEPS, *_ENTER)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Arrow keys go from cell to cell, first from the selected one; Enter clicks."""
        if not self._is_step(event):
            super().keyPressEvent(event)
        elif event.key() not in _ENTER:
            selected = next((spot for spot, strong in self._marks if strong), Spot(0, 0, 0))
            spot = self._hovered or selected
            self._walked = self._ring = True
            self.point(self._next(spot, *_STEPS[Qt.Key(event.key())]))
        elif self._hovered is not None:
            self.clicked.emit(self._hovered)

    def _next(self, spot: Spot, down: int, right: int) -> Spot:
        """The neighbour of a cell; to the left and right of a picture lie the pictures before and after it."""
        picture, row, column = spot.picture, spot.row + down, spot.column + right
        if not 0 <= column < self._pictures[picture].cells[1]:
            picture = min(max(picture + right, 0), len(self._pictures) - 1)
            column = 0 if picture > spot.picture else self._pictures[picture].cells[1] - 1
            if picture == spot.picture:
                column = spot.column
        rows, columns = self._pictures[picture].cells
        return Spot(picture, min(max(row, 0), rows - 1), min(column, columns - 1))

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """The cell that the arrow keys pointed at is no longer pointed at."""
        if self._walked:
            self._walked = False
            self.point(None)
        super().focusOutEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Tell which cell was clicked."""
        spot = self.at(event.position())
        if spot is not None and event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(spot)

    def _is_there(self, spot: Spot) -> bool:
        if spot.picture >= len(self._pictures):
            return False
        rows, columns = self._pictures[spot.picture].cells
        return spot.row < rows and spot.column < columns
