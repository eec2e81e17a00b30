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
    stacks: Sequence[NDArray[np.float32]],
    scale: MosaicScale = "each",
    log: bool = False,
    temperature: float = 1.0,
) -> NDArray[np.uint8]:
    """All maps as colour indices (layers, heads, rows, cols).

    `stacks`: the maps (layers, heads, rows, cols), one array for consecutive layers that are alike. 0 to 254 stand for
    0 up to the maximum of the tile itself ("each"), of its layer ("layer") or of all; 255 is EMPTY. `log` and
    `temperature` are those of `colors.to_unit`. Coarser layers repeat their patches.
    """
    heads, rows, cols = (max([stack.shape[axis] for stack in stacks]) for axis in (1, 2, 3))
    found = np.full((sum(map(len, stacks)), heads, rows, cols), EMPTY, dtype=np.uint8)
    tops = highs = [np.fmax.reduce(stack, axis=(2, 3)) for stack in stacks]
    if scale != "each":
        highs = [np.fmax.reduce(own, axis=1, keepdims=True) for own in tops]
    if scale == "all":
        highs = [np.fmax.reduce(np.concatenate(highs), axis=0, keepdims=True)] * len(highs)
    bent = _bent(log, temperature)
    most = np.float32(254 if bent is None else 65535)
    first = 0
    for stack, own, high in zip(stacks, tops, highs, strict=True):
        scaled = stack * (most / np.where(high > 0, high, 1))[..., None, None]
        unknown = np.isnan(own)
        if unknown.any():
            scaled = np.nan_to_num(scaled)
        scaled.clip(0, most, out=scaled)
        index = (
            (scaled + np.float32(0.5)).astype(np.uint8) if bent is None else bent[scaled.astype(np.uint16)]
        )
        if index.shape[2:] != (rows, cols):
            down = (np.arange(rows) * index.shape[2]) // rows
            across = (np.arange(cols) * index.shape[3]) // cols
            index = index[:, :, down][..., across]
        index[unknown.all(axis=1)] = EMPTY
        last = first + len(stack)
        found[first:last, : index.shape[1]] = index
        first = last
    return found


@lru_cache(maxsize=16)
def _bent(log: bool, temperature: float) -> NDArray[np.uint8] | None:
    """Indices for 65536 steps from 0 to 1; None where colours follow values proportionally."""
    if not log and temperature == 1:
        return None
    unit = to_unit(np.linspace(0, 1, 65536), *value_range((), (0.0, 1.0), log), log, temperature)
    return (unit * 254 + 0.5).astype(np.uint8)
