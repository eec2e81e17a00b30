"""Each head's statistics over photos: their means and standard deviations."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitviz.attention.recording.recorder import Cancelled
from vitviz.attention.trace import trace
from vitviz.errors import PhotoError
from vitviz.explain.measures.statistics import (
    FIELDS,
    Cancel,
    LayerStatistics,
    Numbers,
    Progress,
    Statistics,
    save_statistics,
    statistics,
)
from vitviz.images.framing import FramingMode
from vitviz.images.photo import open_image
from vitviz.models.model import Model


@dataclass(frozen=True, eq=False)
class Summary:
    """Statistics over photos."""

    mean: Statistics
    deviation: Statistics
    """The sample's standard deviation between photos; NaN for one photo."""
    count: int
    """How many photos were counted."""
    skipped: tuple[tuple[str, str], ...]
    """Files that could not be read, each with the reason."""

    def save(self, path: Path | str) -> Path:
        """Write a CSV, one line per head, with standard deviations. Raises ExportError."""
        return save_statistics(path, self.mean, self.deviation)


def over_photos(
    model: Model,
    paths: list[Path],
    *,
    framing: FramingMode = "crop",
    cancel: Cancel | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Mean and standard deviation over photos. A file that cannot be read is named in `skipped`.

    Raises PhotoError if none can be read, Cancelled, and what `trace` raises.
    """
    gathered = _Gathered()
    skipped: list[tuple[str, str]] = []
    for number, path in enumerate(paths):
        if progress is not None:
            progress(path.name, number / len(paths))
        if cancel is not None and cancel():
            raise Cancelled
        try:
            photo = open_image(path)
        except PhotoError as error:
            skipped.append((path.name, error.message))
            continue
        gathered.add(statistics(trace(model, photo, framing=framing, cancel=cancel), cancel=cancel))
    if not gathered.count:
        raise PhotoError(
            f"None of the {len(paths)} files can be read as a photo.", "\n".join(map(str, skipped))
        )
    mean, deviation = gathered.result()
    return Summary(mean, deviation, gathered.count, tuple(skipped))


class _Gathered:
    """Running mean and sum of squared differences (Welford 1962), so that no photo's numbers are kept."""

    def __init__(self) -> None:
        self.count = 0
        self.first: Statistics | None = None
        self.means: list[dict[str, Numbers]] = []
        self.squares: list[dict[str, Numbers]] = []

    def add(self, found: Statistics) -> None:
        """Count one photo."""
        self.count += 1
        if self.first is None:
            self.first = found
            self.means = [
                {name: np.zeros_like(getattr(one, name)) for name in FIELDS} for one in found.layers
            ]
            self.squares = [
                {name: np.zeros_like(getattr(one, name)) for name in FIELDS} for one in found.layers
            ]
        for layer, mean, square in zip(found.layers, self.means, self.squares, strict=True):
            for name in FIELDS:
                value = getattr(layer, name)
                before = value - mean[name]
                mean[name] = mean[name] + before / self.count
                square[name] = square[name] + before * (value - mean[name])

    def result(self) -> tuple[Statistics, Statistics]:
        """Mean and sample standard deviation."""
        assert self.first is not None
        spread = [
            {
                name: np.sqrt(value / (self.count - 1)) if self.count > 1 else np.full_like(value, np.nan)
                for name, value in square.items()
            }
            for square in self.squares
        ]
        made = [
            Statistics(
                self.first.model_name,
                tuple(
                    LayerStatistics(layer.name, layer.prefix_names, **numbers)
                    for layer, numbers in zip(self.first.layers, values, strict=True)
                ),
            )
            for values in (self.means, spread)
        ]
        return made[0], made[1]
