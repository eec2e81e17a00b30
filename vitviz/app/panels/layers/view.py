"""What the user chooses in the Layers panel."""

from dataclasses import dataclass
from typing import Literal

Speed = Literal["0.5", "1", "2", "4"]


@dataclass(frozen=True)
class LayersView:
    """How frames are coloured, and how they are played."""

    scale: Literal["own", "common"] = "own"
    """Whether each frame has its own colour scale, or all have one."""
    photo: bool = True
    """Whether the frames lie over the photo."""
    speed: Speed = "1"
    """How fast layers are played: at 1 two a second."""
    loop: bool = False
    """Whether playing begins again after the last layer."""
