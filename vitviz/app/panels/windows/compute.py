"""What the Windows panel shows, computed in its thread."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitviz.errors import MethodError

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace


Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Matrices:
    """One window, per head: what its slots attend to, the bias between them, and which pairs are masked."""

    window: int
    attention: Floats
    """heads×n×n."""
    bias: Floats | None
    masked: NDArray[np.bool_]
    padding: NDArray[np.bool_]
    """n: slots that hold no token."""
    missing: str = ""
    """Why there is no bias."""


def matrices(trace: "Trace", layer: int, window: int) -> Matrices:
    """The matrices of a window of a layer that has windows."""
    from vitviz.explain.internals.positions import position_bias

    chosen = trace.layers[layer]
    windows = chosen.layout.windows
    assert windows is not None
    attention = chosen.weights(None, window)[0].detach().float().cpu().numpy()
    bias, missing = None, ""
    try:
        bias = position_bias(trace, chosen)
    except MethodError as problem:
        missing = problem.message
    return Matrices(window, attention, bias, windows.masked(window), windows.index[window] < 0, missing)
