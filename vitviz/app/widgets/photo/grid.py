"""A grid of cells over a rectangle: which cells a part touches, and the lines round some of them."""

import math
from collections.abc import Set
from dataclasses import dataclass

from PySide6.QtCore import QLineF, QRectF

Cell = tuple[int, int]
"""Row and column."""


@dataclass(frozen=True)
class Grid:
    """Lines over a rectangle in photo pixels."""

    area: QRectF
    rows: int
    columns: int

    def cell(self, row: int, column: int) -> QRectF:
        """One cell in photo pixels."""
        width, height = self.area.width() / self.columns, self.area.height() / self.rows
        return QRectF(self.area.x() + column * width, self.area.y() + row * height, width, height)

    def cells(self, part: QRectF) -> set[Cell]:
        """The cells that a rectangle in photo pixels touches."""
        part = part.intersected(self.area)
        if part.isEmpty():
            return set()
        width, height = self.area.width() / self.columns, self.area.height() / self.rows
        left, right = ((x - self.area.x()) / width for x in (part.left(), part.right()))
        top, bottom = ((y - self.area.y()) / height for y in (part.top(), part.bottom()))
        return {
            (row, column)
            for row in range(int(top), min(self.rows, math.ceil(bottom)))
            for column in range(int(left), min(self.columns, math.ceil(right)))
        }

    def border(self, cells: Set[Cell]) -> list[QLineF]:
        """The lines between these cells and all others."""
        lines = []
        for row, column in cells:
            box = self.cell(row, column)
            for neighbour, ends in (
                ((row - 1, column), (box.topLeft(), box.topRight())),
                ((row + 1, column), (box.bottomLeft(), box.bottomRight())),
                ((row, column - 1), (box.topLeft(), box.bottomLeft())),
                ((row, column + 1), (box.topRight(), box.bottomRight())),
            ):
                if neighbour not in cells:
                    lines.append(QLineF(*ends))
        return lines
