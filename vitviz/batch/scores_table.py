"""The table of `vitviz evaluate`: a CSV file that grows by one photo at a time and can be continued.

A line per photo, class and method, and for random orders one per grid. Each line repeats the settings: a file with
others is refused, so that no mean is taken over numbers that cannot be compared.
"""

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from vitviz import files
from vitviz.errors import ExportError
from vitviz.render.export import write_whole

RANDOM = "random"
_NAN = math.nan


@dataclass(frozen=True)
class Settings:
    """All that the numbers depend on, besides photo, class and method."""

    model: str
    weights: str
    framing: str
    input: str
    steps: int
    replacement: str
    orders: int
    seed: int
    readout: str = ""
    """The part of the readout that maps are of; empty for what is drawn unless a part is chosen."""
    followed: str = "probability"
    """What the curves follow: `Model.quantity`."""


@dataclass(frozen=True)
class ScoreRow:
    """One line. Numbers that do not apply are NaN (empty in the file), and `note` says why."""

    photo: str
    asked: str
    target: int
    label: str
    method: str
    grid: str
    """Of the heatmap, "14×14"."""
    probability: float = _NAN
    """Of the target, for the whole photo; NaN where a logit or an output is followed."""
    deletion: float = _NAN
    insertion: float = _NAN
    area_ci95: float = _NAN
    """Of random orders: half the confidence interval of both areas."""
    points: float = _NAN
    chance: float = _NAN
    mass: float = _NAN
    uniform: float = _NAN
    deletion_curve: tuple[float, ...] = ()
    insertion_curve: tuple[float, ...] = ()
    curve_ci95: tuple[float, ...] = ()
    """Of random orders: half the confidence interval of the deletion curve; of insertion read backwards."""
    note: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The key of a line: methods have their name, random orders their grid."""
        return self.photo, self.asked, self.method, self.grid if self.method == RANDOM else ""


_COLUMNS = [field.name for field in fields(ScoreRow)] + [field.name for field in fields(Settings)]
_CURVES = ("deletion_curve", "insertion_curve", "curve_ci95")


class ScoreTable:
    """The lines of a file. Raises ExportError for a file that is something else, or of other settings."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path = path
        self.settings = settings
        self.rows: dict[tuple[str, str, str, str], ScoreRow] = {}
        if path.exists():
            self._read()
        else:
            write_whole(path, lambda file: file.write(_line(_COLUMNS)))

    def has(self, photo: str, asked: str, method: str) -> bool:
        """Whether a method was tried on a photo."""
        return (photo, asked, method, "") in self.rows

    def add(self, rows: Sequence[ScoreRow]) -> None:
        """Append lines in one write, which is on the disk when this returns."""
        text = b"".join(_line(_cells(row, self.settings)) for row in rows)
        try:
            with open(self.path, "ab", buffering=0) as file:
                file.write(text)
                os.fsync(file.fileno())
        except OSError as error:
            raise ExportError(f"{self.path} cannot be written: {error.strerror}.") from error
        self.rows |= {row.key: row for row in rows}

    def _read(self) -> None:
        if files.refusal(self.path) == files.PIPE_OR_DEVICE:
            raise ExportError(f"{self.path} is a pipe or a device, not a file; choose another --out.")
        try:
            text = self.path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ExportError(
                f"{self.path} cannot be read as a table of scores; choose another --out."
            ) from error
        whole = text[: text.rfind("\n") + 1]
        lines = list(csv.reader(io.StringIO(whole, newline="")))
        if not lines or lines[0] != _COLUMNS:
            raise ExportError(
                f"{self.path} is not a table that vitviz evaluate has written; choose another --out."
            )
        for number, line in enumerate(lines[1:], start=2):
            row, settings = _parsed(line, f"{self.path}, line {number}")
            if settings != {name: str(value) for name, value in asdict(self.settings).items()}:
                raise ExportError(
                    f"{self.path} {_difference(settings, self.settings)}; choose another --out."
                )
            self.rows[row.key] = row
        if whole != text:  # a line was being written when the last run was killed
            write_whole(self.path, lambda file: file.write(whole.encode()))


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _cells(row: ScoreRow, settings: Settings) -> list[str]:
    cells = []
    for value in asdict(row).values():
        if isinstance(value, tuple):
            cells.append(" ".join(f"{number:.6g}" for number in value))
        elif isinstance(value, float):
            cells.append("" if math.isnan(value) else f"{value:.6g}")
        else:
            cells.append(str(value))
    return cells + [str(value) for value in asdict(settings).values()]


def _parsed(line: Sequence[str], where: str) -> tuple[ScoreRow, dict[str, str]]:
    if len(line) != len(_COLUMNS):
        raise ExportError(f"{where}: {len(line)} columns instead of {len(_COLUMNS)}; choose another --out.")
    cells = dict(zip(_COLUMNS, line, strict=True))
    settings = {field.name: cells.pop(field.name) for field in fields(Settings)}
    values: dict[str, object] = dict(cells)
    try:
        values["target"] = int(cells["target"])
        for name in (
            "probability",
            "deletion",
            "insertion",
            "area_ci95",
            "points",
            "chance",
            "mass",
            "uniform",
        ):
            values[name] = float(cells[name]) if cells[name] else _NAN
        for name in _CURVES:
            values[name] = tuple(float(number) for number in cells[name].split())
    except ValueError as error:
        raise ExportError(f"{where}: a number cannot be read ({error}); choose another --out.") from error
    return ScoreRow(**values), settings  # type: ignore[arg-type]


def _difference(found: dict[str, str], wanted: Settings) -> str:
    others = [
        f"{name} {found[name]}, not {value}"
        for name, value in asdict(wanted).items()
        if found[name] != str(value)
    ]
    return f"holds scores of other settings ({'; '.join(others)})"
