"""What the user chooses in the Heads panel."""

from dataclasses import dataclass
from typing import Literal

from vitviz.render.mosaic import MosaicScale

Mark = Literal["", "distance", "entropy"]


@dataclass(frozen=True)
class HeadsView:
    """How tiles are coloured, marked and ordered."""

    tiles: MosaicScale = "each"
    """What the top of the colours is: the maximum of the tile, of its layer, or of all tiles."""
    mark: Mark = ""
    """The number that marks the tiles: the mean attention distance, or the entropy."""
    ordered: bool = False
    """Whether the heads of each layer are in the order of that number."""
