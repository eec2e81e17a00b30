"""A layer's windows as scene and focus of a `ShiftView`, and as a sentence."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter

from vitviz.app.widgets.windows.scene import Focus, Moved, Scene
from vitviz.attention.layout import Layout, footprint
from vitviz.attention.windows import Box, Windows
from vitviz.images.framing import PatchGrid
from vitviz.render.overlay import heat_rgba
from vitviz.render.picture_rows import NOTHING

if TYPE_CHECKING:
    from vitviz.attention.layer import Layer
    from vitviz.attention.trace import Trace

_SIDE = 900  # pixels of the picture that the pieces are cut from


def crop(trace: "Trace", levels: list[QImage]) -> QImage:
    """The part of the photo that the patches cover, small enough to be drawn in pieces quickly."""
    grid = trace.patches
    polygon = Layout(grid).polygon(trace.framing, Box(0, 0, grid.rows, grid.cols))
    (left, top), (right, bottom) = polygon[0], polygon[2]
    aspect = (right - left) / (bottom - top)
    size = QSize(_SIDE, round(_SIDE / aspect)) if aspect > 1 else QSize(round(_SIDE * aspect), _SIDE)
    made = QImage(size, QImage.Format.Format_RGB32)
    made.fill(Qt.GlobalColor.gray)
    if levels:
        whole = levels[0]
        level = next((one for one in reversed(levels) if one.width() >= whole.width() / 2), whole)
        scale = level.width() / whole.width()
        painter = QPainter(made)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        zoom_x, zoom_y = size.width() / (right - left), size.height() / (bottom - top)
        target = QRectF(-left * zoom_x, -top * zoom_y, whole.width() * zoom_x, whole.height() * zoom_y)
        painter.drawImage(target, level, QRectF(0, 0, level.width(), whole.height() * scale))
        painter.end()
    return made


def scene(trace: "Trace", number: int, cropped: QImage) -> Scene | None:
    """A layer's windows as a scene; None where it has none. `cropped`: the photo as `crop` made it."""
    layer = trace.layers[number]
    windows = layer.layout.windows
    if windows is None:
        return None
    grid = layer.layout.patches
    finest = trace.patches
    # A later stage's grid may reach beyond the photo's patches by a padded row.
    covered = (
        finest.rows * finest.cell[0] / (grid.rows * grid.cell[0]),
        finest.cols * finest.cell[1] / (grid.cols * grid.cell[1]),
    )
    picture = cropped
    if min(covered) < 1:
        width, height = round(picture.width() / covered[1]), round(picture.height() / covered[0])
        picture = QImage(width, height, QImage.Format.Format_RGB32)
        picture.fill(QColor(*NOTHING))
        painter = QPainter(picture)
        painter.drawImage(0, 0, cropped)
        painter.end()
    boxes = [windows.box(window) for window in range(len(windows.index))]
    parts = [(window, part) for window in range(len(boxes)) for part in windows.parts(window)]
    shift = f"shifted by {windows.shift[0]}, {windows.shift[1]}" if any(windows.shift) else "not shifted"
    shift = shift.replace(" ", "\u00a0")  # stays on one line
    padding = f", {windows.padding} cells of padding" if windows.padding else ""
    return Scene(
        picture=picture,
        grid=(grid.rows, grid.cols),
        frame=windows.padded,
        pieces=lambda progress: _moved(windows, progress),
        borders=[_rectangle(part.box) for _, part in parts],
        windows=[_rectangle(box) for box in boxes],
        padding=[QRectF(col, row, 1, 1) for row, col in np.argwhere(windows.picture() < 0).tolist()],
        regions=[
            (_rectangle(_placed(boxes[window], part.slots)), _shade(windows, window, part.region))
            for window, part in parts
            if len(set(windows.regions[window].tolist())) > 1
        ],
        aspect=grid.cell[1] / grid.cell[0],
        caption=f"layer {number}: windows of {windows.size[0]}×{windows.size[1]}, {shift}{padding}",
    )


def focus(
    trace: "Trace", number: int, patch: tuple[int, int], mode: str, head: int | None, style: Mapping[str, Any]
) -> Focus:
    """The highlight in a layer: a patch's window with its attention, or what its token was merged from."""
    layer = trace.layers[number]
    windows = layer.layout.windows
    assert windows is not None
    cell = trace.patches.nearest_in(layer.layout.patches, *patch)
    if mode == "merge":
        steps = footprint([one.layout for one in trace.layers], number, *cell)
        scale = layer.layout.patches
        nested = [
            (
                _scaled(step.box, step.layout.patches, scale),
                int(step.box.bottom - step.box.top),
                int(step.box.right - step.box.left),
            )
            for step in steps[1:]
        ]
        return Focus(cell=cell, nested=nested[::-1])
    window, _ = windows.slot(layer.layout.token(*cell))
    shown = windows.parts(window)
    return Focus(
        parts=[(_rectangle(part.box), _shade(windows, window, part.region)) for part in shown],
        window=_rectangle(windows.box(window)),
        cell=cell,
        heat=_heat(layer, cell, head, style) if mode == "shift" else None,
    )


def _heat(
    layer: "Layer", cell: tuple[int, int], head: int | None, style: Mapping[str, Any]
) -> NDArray[np.uint8]:
    rows = layer.row(layer.layout.token(*cell))
    one = head is not None and head < layer.heads
    values = layer.layout.on_grid(rows[head] if one else rows.mean(0))
    return heat_rgba(values, **style)


def sentence(trace: "Trace", number: int, patch: tuple[int, int], mode: str) -> str:
    """What a patch's token sees, or what it was merged from."""
    layer = trace.layers[number]
    cell = trace.patches.nearest_in(layer.layout.patches, *patch)
    windows = layer.layout.windows
    assert windows is not None
    name = f"token ({cell[0]}, {cell[1]})"
    if mode == "merge":
        steps = footprint([one.layout for one in trace.layers], number, *cell)
        chain = [f"{round(step.box.area)} of {_grid(step.layout.patches)}" for step in steps[1:]]
        pixels = steps[-1].layout.polygon(trace.framing, steps[-1].box)
        size = pixels[2] - pixels[0]
        return f"{name} ← " + " ← ".join([*chain, f"{size[0]:.0f}×{size[1]:.0f} pixels of the photo"])
    window, slot = windows.slot(layer.layout.token(*cell))
    seen = int((~windows.masked(window)[slot] & (windows.index[window] >= 0)).sum())
    parts = len(windows.parts(window))
    wrapped = f", in {parts} parts" if parts > 1 else ""
    return f"{name} sees {seen} of the {windows.index.shape[1]} slots of window {window}{wrapped}"


def _rectangle(box: Box) -> QRectF:
    return QRectF(box.left, box.top, box.right - box.left, box.bottom - box.top)


def _placed(window: Box, slots: Box) -> Box:
    """A rectangle of slots where the window lies on the shifted grid."""
    top, left = window.top, window.left
    return Box(top + slots.top, left + slots.left, top + slots.bottom, left + slots.right)


def _moved(windows: Windows, progress: float) -> list[Moved]:
    shades = {(False, False): None, (True, False): 0, (False, True): 1, (True, True): 2}
    return [
        Moved(_rectangle(piece.source), _rectangle(piece.target), shades[piece.wrapped])
        for piece in windows.pieces(progress)
    ]


def _shade(windows: Windows, window: int, region: int) -> int:
    """Regions of a window are numbered by their order in it."""
    return sorted(set(windows.regions[window].tolist())).index(region)


def _scaled(box: Box, below: PatchGrid, above: PatchGrid) -> QRectF:
    """A rectangle of an earlier stage's cells in cells of a later one."""
    down, across = below.cell[0] / above.cell[0], below.cell[1] / above.cell[1]
    return _rectangle(Box(box.top * down, box.left * across, box.bottom * down, box.right * across))


def _grid(patches: PatchGrid) -> str:
    return f"{patches.rows}×{patches.cols}"
