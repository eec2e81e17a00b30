"""The softmax of logits in NumPy."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """exp(logits) divided by its sum over the last axis, in float64; −∞ gives 0."""
    values = np.asarray(logits, np.float64)
    exponentials = np.exp(values - values.max(-1, keepdims=True, initial=-np.inf))
    shares: NDArray[np.float64] = exponentials / exponentials.sum(-1, keepdims=True)
    return shares
