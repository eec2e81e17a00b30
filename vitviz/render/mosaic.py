"""The maps of all layers and heads as one picture: layers are columns, heads are rows, or turned."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MosaicScale = Literal["each", "layer", "all"]


@dataclass(frozen=True, eq=False)
class Mosaic:
    """One picture of many maps.

    image: (height, width) float32 in [0, 1], nan in the gaps and where a layer has no such head.
    grids: (rows, cols) of each layer's maps. heads: how many each layer has. tile: (height, width) of every
    tile in mosaic pixels, the finest layer's grid; coarser layers repeat their patches.
    highs: (layers, heads) the value that 1 stands for in each tile, nan where there is none. A map of nan (the
    query does not attend in that layer) is a tile of nan.
    """

    image: NDArray[np.float32]
    grids: tuple[tuple[int, int], ...]
    heads: tuple[int, ...]
    tile: tuple[int, int]
    gap: int
    turned: bool
    highs: NDArray[np.float32]

    def box(self, layer: int, head: int) -> tuple[int, int, int, int]:
        """The tile's (left, top, right, bottom) in mosaic pixels."""
        down, across = (layer, head) if self.turned else (head, layer)
        top, left = down * (self.tile[0] + self.gap), across * (self.tile[1] + self.gap)
        return left, top, left + self.tile[1], top + self.tile[0]

    def at(self, x: float, y: float) -> tuple[int, int, int, int] | None:
        """The (layer, head, row, col) at a point in mosaic pixels; None where there is no tile."""
        across, inner_x = divmod(x, self.tile[1] + self.gap)
        down, inner_y = divmod(y, self.tile[0] + self.gap)
        layer, head = (int(down), int(across)) if self.turned else (int(across), int(down))
        inside = 0 <= layer < len(self.heads) and 0 <= head < self.heads[layer]
        if not inside or inner_x >= self.tile[1] or inner_y >= self.tile[0]:
            return None
        rows, cols = self.grids[layer]
        return layer, head, int(inner_y * rows / self.tile[0]), int(inner_x * cols / self.tile[1])


def mosaic(
    maps: Sequence[NDArray[np.float32]], gap: int = 1, scale: MosaicScale = "each", turn: bool = False
) -> Mosaic:
    """All maps, one (heads, rows, cols) array per layer, as one picture.

    Each tile goes from 0 to its own maximum ("each"), its layer's ("layer") or that of all. Grids and numbers
    of heads may differ between layers. With `turn`, layers are rows and heads are columns.
    """
    heads = tuple(len(layer) for layer in maps)
    grids = tuple((layer.shape[1], layer.shape[2]) for layer in maps)
    layers, most = len(maps), max(heads, default=0)
    tile = (max((g[0] for g in grids), default=0), max((g[1] for g in grids), default=0))
    cells = np.full((layers, most, tile[0] + gap, tile[1] + gap), np.nan, dtype=np.float32)
    highs = np.full((layers, most), np.nan, dtype=np.float32)
    for place, values in enumerate(maps):
        peaks = np.fmax.reduce(values, axis=(1, 2))
        highs[place, : heads[place]] = peaks if scale == "each" else np.fmax.reduce(peaks)
    if scale == "all" and highs.size:
        highs[~np.isnan(highs)] = np.fmax.reduce(highs, axis=None)
    for place, (values, grid) in enumerate(zip(maps, grids, strict=True)):
        high = highs[place, : heads[place], None, None]
        unit = np.clip(values / np.where(high > 0, high, 1), 0, 1)
        if grid != tile:
            rows = (np.arange(tile[0]) + 0.5) * (grid[0] / tile[0])
            cols = (np.arange(tile[1]) + 0.5) * (grid[1] / tile[1])
            unit = unit[:, rows.astype(np.intp)][:, :, cols.astype(np.intp)]
        cells[place, : heads[place], : tile[0], : tile[1]] = unit
    order = (0, 2, 1, 3) if turn else (1, 2, 0, 3)
    down, across = (layers, most) if turn else (most, layers)
    image = cells.transpose(order).reshape(down * (tile[0] + gap), across * (tile[1] + gap))
    image = image[: max(0, image.shape[0] - gap), : max(0, image.shape[1] - gap)]
    return Mosaic(np.ascontiguousarray(image), grids, heads, tile, gap, turn, highs)
