"""Means with their 95 % confidence intervals (Student's t), for a few random orders or a folder of photos."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean ± half the width of its 95 % confidence interval, over `count` values; half is NaN for a single value."""

    mean: float
    half: float
    count: int

    def __str__(self) -> str:
        """“0.45 ± 0.03", or the mean alone of a single value."""
        return f"{self.mean:.3f}" if math.isnan(self.half) else f"{self.mean:.3f} ± {self.half:.3f}"


def interval(values: ArrayLike) -> Interval:
    """The mean of some numbers and its confidence interval: t · s/√n, s with n − 1 in the denominator."""
    numbers = np.asarray(values, np.float64).reshape(-1)
    return Interval(float(numbers.mean()), float(half_width(numbers)), len(numbers))


def half_width(values: ArrayLike) -> np.ndarray:
    """Half the confidence interval of the mean over the first axis; NaN where there is only one value."""
    numbers = np.asarray(values, np.float64)
    count = len(numbers)
    if count < 2:
        return np.full(numbers.shape[1:], np.nan)
    return np.asarray(student_t(count - 1) * numbers.std(axis=0, ddof=1) / math.sqrt(count))


@lru_cache(maxsize=256)
def student_t(freedom: int, level: float = LEVEL) -> float:
    """The t that holds a share `level` of Student's distribution between −t and t; 12.706, 4.303, 3.182, … for 95 %.

    By bisection on the exact distribution for whole degrees of freedom (Abramowitz & Stegun 26.7.3 and 26.7.4).
    """
    low, high = 0.0, math.pi / 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _held(middle, freedom) < level else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _held(angle: float, freedom: int) -> float:
    """The share between −t and t, with tan(angle) = t/√freedom."""
    cosine = math.cos(angle)
    odd = freedom % 2
    term = total = cosine if odd else 1.0
    for count in range(2 + odd, freedom - 1, 2):
        term *= cosine**2 * (count - 1) / count
        total += term
    if not odd:
        return math.sin(angle) * total
    return 2 / math.pi * (angle + (math.sin(angle) * total if freedom > 1 else 0.0))
