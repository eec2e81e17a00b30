"""Agreement of a heatmap with a known mask of an object: the pointing game, and the share of its mass inside."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitviz.explain.heatmap import Heatmap
from vitviz.images.framing import Framing
from vitviz.images.photo import photo_from_array

HIT = 0.25
"""A patch points at an object that covers at least this share of it."""


@dataclass(frozen=True)
class OnObject:
    """Agreement of one map with one object, and the values for random pointing and for a uniform map."""

    points: bool
    """Whether the object covers at least `HIT` of the hottest patch."""
    chance: float
    """The share of patches that would be a hit."""
    mass: float
    """The share of the map's positive values that lies on the object."""
    uniform: float
    """The share of the map that lies on the object if all its values are equal."""


def on_object(heatmap: Heatmap, mask: NDArray[np.uint8]) -> OnObject:
    """Agreement of a map with a mask, uint8 0…255 of the model's input's (height, width); see `input_mask`.

    Values below 0 count as 0; of equal maxima the first in reading order is the hottest; a map without positive values
    is no hit.
    """
    values = np.clip(heatmap.values.astype(np.float64), 0, None)
    inside = cover(heatmap, mask)
    total = values.sum()
    return OnObject(
        points=bool(total > 0 and inside.flat[values.argmax()] >= HIT),
        chance=float((inside >= HIT).mean()),
        mass=float((values * inside).sum() / total) if total > 0 else 0.0,
        uniform=float(inside.mean()),
    )


def cover(heatmap: Heatmap, mask: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The share of each patch, rows × cols, that a mask of the model's input covers."""
    grid = heatmap.patches
    cell = grid.of_pixels((mask.shape[0], mask.shape[1])).reshape(-1)
    real = cell >= 0
    number = grid.rows * grid.cols
    pixels = np.bincount(cell[real], minlength=number)
    covered = np.bincount(cell[real], weights=mask.reshape(-1)[real] / 255, minlength=number)
    return (covered / np.maximum(pixels, 1)).reshape(grid.rows, grid.cols)


def input_mask(framing: Framing, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask (height, width) of the photo's size as the model's input has it: resized and cut like the photo."""
    photo = photo_from_array(np.repeat(mask[:, :, None], 3, axis=2), "mask")
    seen = framing.picture(photo)[:, :, 0]
    # Padding belongs to no object, whatever its colour.
    left, top, right, bottom = framing.to_input(np.reshape(framing.seen(), (2, 2))).reshape(-1).tolist()
    rows, cols = np.arange(seen.shape[0]) + 0.5, np.arange(seen.shape[1]) + 0.5
    outside = ((rows < top) | (rows > bottom))[:, None] | ((cols < left) | (cols > right))[None]
    return np.where(outside, 0, seen).astype(np.uint8)
