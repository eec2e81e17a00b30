"""What is chosen in the panel of faithfulness."""

from dataclasses import dataclass
from typing import Literal

Replacement = Literal["mean", "blur"]


@dataclass(frozen=True)
class FaithfulnessView:
    """The methods whose curves are drawn, and what stands where patches are removed."""

    compared: tuple[str, ...] = ()
    """Methods whose curves are drawn beside those of the selected one; those that do not apply are left out."""
    replacement: Replacement = "mean"
    """The mean colour or the blurred photo."""
