"""Numbers on their way out: CSV files, written whole or not at all."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitviz.errors import ExportError
from vitviz.render.export import write_whole

if TYPE_CHECKING:
    from vitviz.explain.statistics import LayerStatistics, Statistics


def write_csv(path: Path | str, header: Sequence[str], lines: Iterable[Sequence[object]]) -> Path:
    """Write a table in UTF-8; NaN is an empty cell. Returns the path. Raises ExportError."""
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise ExportError(f"{path}: tables are written as CSV, so the name must end in .csv.")
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    for line in lines:
        writer.writerow(["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in line])
    write_whole(path, lambda file: file.write(text.getvalue().encode()))
    return path


def save_statistics(path: Path | str, found: "Statistics", deviation: "Statistics | None") -> Path:
    """One line per layer and head; with standard deviations where there are any. Raises ExportError."""
    names = list(dict.fromkeys(name for layer in found.layers for name in layer.prefix_names))
    most = max(layer.heads for layer in found.layers)
    columns = ["distance in input pixels", "distance, prefix tokens and padding as 0", "entropy"]
    columns += [f"share on {name}" for name in names] + ["share on padding"]
    header = ["layer", "name", "head", *columns]
    if deviation is not None:
        header += [f"{column}, standard deviation" for column in columns]
    header += [f"cosine with head {head}" for head in range(most)]
    lines: list[list[object]] = []
    for number, layer in enumerate(found.layers):
        spread = None if deviation is None else deviation.layers[number]
        for head in range(layer.heads):
            line: list[object] = [number, layer.name, head, *_numbers(layer, head, names)]
            line += [] if spread is None else _numbers(spread, head, names)
            lines.append([*line, *layer.similarity[head].tolist(), *[math.nan] * (most - layer.heads)])
    return write_csv(path, header, lines)


def _numbers(layer: "LayerStatistics", head: int, names: list[str]) -> list[float]:
    found = dict(zip(layer.prefix_names, layer.prefix[:, head].tolist(), strict=True))
    return [
        float(layer.distance[head]),
        float(layer.distance_unnormalised[head]),
        float(layer.entropy[head]),
        *(found.get(name, math.nan) for name in names),
        float(layer.padding[head]),
    ]
