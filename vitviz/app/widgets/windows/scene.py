"""What `ShiftView` draws: rectangles and pictures, without any knowledge of models."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage


@dataclass(frozen=True)
class Moved:
    """A rectangle of the grid (in cells) that is moved: where it was, where it is now, and the shade that marks it."""

    source: QRectF
    target: QRectF
    shade: int | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """One layer's grid. Rectangles are in cells: of the photo's grid, or of the shifted and padded one."""

    picture: QImage
    """The part of the photo that the grid covers."""
    grid: tuple[int, int]
    frame: tuple[int, int]
    """Rows and columns with padding."""
    pieces: Callable[[float], list[Moved]]
    """The grid's pieces, from 0 (as on the photo) to 1 (shifted)."""
    borders: list[QRectF] = field(default_factory=list)
    """Windows' parts on the photo's grid."""
    windows: list[QRectF] = field(default_factory=list)
    """Windows on the shifted grid."""
    padding: list[QRectF] = field(default_factory=list)
    """Cells of the shifted grid that hold nothing."""
    regions: list[tuple[QRectF, int]] = field(default_factory=list)
    """Rectangles of the shifted grid in a shade."""
    aspect: float = 1.0
    """Width over height of a cell."""
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Focus:
    """The window that is pointed at or selected."""

    parts: list[tuple[QRectF, int]] = field(default_factory=list)
    """The window's parts on the photo's grid, each with its region's shade."""
    window: QRectF | None = None
    """The window on the shifted grid."""
    cell: tuple[int, int] | None = None
    heat: NDArray[np.uint8] | None = None
    """rows×columns×4 over the photo's grid, straight alpha."""
    nested: list[tuple[QRectF, int, int]] = field(default_factory=list)
    """Rectangles on the photo's grid, divided into rows and columns: what a token was merged from."""
