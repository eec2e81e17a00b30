"""CSV files, written completely or not at all."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from vitviz.errors import ExportError
from vitviz.render.export import write_whole


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
