"""The maps of all layers and heads as one picture: layers are columns, heads are rows, or the reverse."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitviz.render.colors import to_unit, value_range

MosaicScale = Literal["each", "layer", "all"]


EMPTY = 255
"""The index of no tile, and of a layer in which the query does not attend."""


def indices(
    maps: Sequence[NDArray[np.float32]],
    scale: MosaicScale = "each",
    log: bool = False,
    temperature: float = 1.0,
) -> NDArray[np.uint8]:
    """All maps, one (heads, rows, cols) array per layer, as colour indices (layers, heads, rows, cols).

    0 to 254 stand for 0 up to the maximum of the tile itself ("each"), of its layer ("layer") or of all; 255 is EMPTY.
    `log` and `temperature` are those of `colors.to_unit`. Coarser layers repeat their patches.
    """
    heads = [len(layer) for layer in maps]
    rows, cols = (max(layer.shape[axis] for layer in maps) for axis in (1, 2))
    found = np.full((len(maps), max(heads), rows, cols), EMPTY, dtype=np.uint8)
    own = highs = [np.fmax.reduce(layer, axis=(1, 2)) for layer in maps]
    if scale != "each":
        highs = [np.full(len(high), np.fmax.reduce(high), np.float32) for high in highs]
    if scale == "all":
        highs = [np.full(len(high), np.fmax.reduce(np.concatenate(highs)), np.float32) for high in highs]
    bent = _bent(log, temperature)
    for place, (layer, high) in enumerate(zip(maps, highs, strict=True)):
        unknown = np.isnan(own[place])
        if unknown.all() or not layer.size:
            continue
        steps = np.float32(254 if bent is None else 65535) / np.where(high > 0, high, 1)
        scaled = layer * steps[:, None, None]
        if unknown.any():
            scaled = np.nan_to_num(scaled)
        np.clip(scaled, 0, 254 if bent is None else 65535, out=scaled)
        index = (
            (scaled + np.float32(0.5)).astype(np.uint8) if bent is None else bent[scaled.astype(np.uint16)]
        )
        if index.shape[1:] != (rows, cols):
            down = (np.arange(rows) * index.shape[1]) // rows
            across = (np.arange(cols) * index.shape[2]) // cols
            index = index[:, down][:, :, across]
        found[place, : heads[place]] = index
    return found


@lru_cache(maxsize=16)
def _bent(log: bool, temperature: float) -> NDArray[np.uint8] | None:
    """Indices for 65536 steps from 0 to 1; None where colours follow values proportionally."""
    if not log and temperature == 1:
        return None
    unit = to_unit(np.linspace(0, 1, 65536), *value_range((), (0.0, 1.0), log), log, temperature)
    return (unit * 254 + 0.5).astype(np.uint8)
