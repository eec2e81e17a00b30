"""The table of the model browser: what each column shows of a model, and which rows a search and filters leave."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QApplication, QWidget

from vitviz.app.ui.number_format import megabytes
from vitviz.models.hub import HubFacts
from vitviz.models.listing import RANDOM, ListedModel
from vitviz.models.model_table import top1, training_data

_Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True)
class Row:
    """One model of the table, with what the hub said of it and what it is recommended for."""

    model: ListedModel
    facts: HubFacts | None = None
    purpose: str = ""

    @property
    def name(self) -> str:
        """The source without the tag; of a weight file, its name."""
        source, known = self.model.source, self.model.known
        if known is not None and known.weights and not source.startswith(RANDOM):
            return known.architecture
        return Path(source).name if self.model.state in ("file", "missing") else source

    @property
    def tag(self) -> str:
        """The tag of timm's weights."""
        known = self.model.known
        return known.tag if known is not None else ""

    @property
    def where(self) -> str:
        """Where the weights are, or why the model cannot be loaded."""
        model = self.model
        if model.state == "refused":
            return model.short
        if model.state == "here" and not model.size:
            return "on this machine"
        return {
            "bundled": "bundled",
            "here": f"here, {megabytes(model.size)}",
            "partly": f"{megabytes(model.size)} of {self.download}",
            "download": f"download {self.download}".rstrip(),
            "file": f"file, {megabytes(model.size)}" if model.size else "folder",
            "missing": "no longer there",
            "no weights": "no weights",
        }[model.state]

    @property
    def download(self) -> str:
        """The size of the download, as the hub says it or about as the parameters make it."""
        if self.facts is not None and self.facts.size:
            return megabytes(self.facts.size)
        return f"≈ {megabytes(self.model.known.download)}" if self.model.known is not None else ""

    @property
    def size(self) -> int:
        """Bytes, for sorting."""
        known = self.model.known
        return self.model.size or (known.download if known is not None and known.weights else 0)

    @property
    def top1(self) -> float | None:
        """Top-1 accuracy on ImageNet in percent."""
        return top1().get(self.model.known.name) if self.model.known is not None else None

    @property
    def data(self) -> str:
        """What the weights were trained on."""
        return training_data(self.tag)

    @property
    def licence(self) -> str:
        """The licence as the hub or timm states it."""
        stated = self.facts.licence if self.facts is not None else ""
        return stated or (self.model.known.licence if self.model.known is not None else "")

    @property
    def access(self) -> str:
        """Whether the weights are given to everybody; empty until the hub was asked."""
        if self.facts is None:
            return ""
        return "gated" if self.facts.gated else "open"

    @property
    def words(self) -> str:
        """What a search looks in."""
        known = self.model.known
        family = known.family if known is not None else ""
        return f"{self.model.source} {family} {self.data} {self.licence} {self.purpose}".casefold()


@dataclass(frozen=True)
class Column:
    """One column: its heading, the width in pixels, its text, what it is sorted by, and whether it holds numbers."""

    title: str
    width: int
    text: Callable[[Row], str]
    key: Callable[[Row], Any]
    number: bool = False


def _known(row: Row, read: Callable[[Any], Any], missing: Any) -> Any:
    return missing if row.model.known is None else read(row.model.known)


COLUMNS = (
    Column("Model", 262, lambda row: row.name, lambda row: row.name),
    Column("Weights", 184, lambda row: row.tag, lambda row: row.tag),
    Column("Where", 148, lambda row: row.where, lambda row: row.size),
    Column(
        "Parameters",
        94,
        lambda row: _known(row, lambda known: f"{known.parameters / 1e6:,.1f} M", ""),
        lambda row: _known(row, lambda known: known.parameters, 0),
        number=True,
    ),
    Column(
        "Layers × width × heads",
        178,
        lambda row: _known(row, lambda known: known.structure, ""),
        lambda row: _known(row, lambda known: (sum(known.layers), known.widths), (0, ())),
    ),
    Column(
        "Input",
        86,
        lambda row: _known(row, lambda known: f"{known.input_size[0]}×{known.input_size[1]}", ""),
        lambda row: _known(row, lambda known: known.input_size[0] * known.input_size[1], 0),
        number=True,
    ),
    Column(
        "Patch",
        74,
        lambda row: _known(row, lambda known: f"{known.patch[0]}×{known.patch[1]}", ""),
        lambda row: _known(row, lambda known: known.patch, (0, 0)),
        number=True,
    ),
    Column(
        "Tokens",
        64,
        lambda row: _known(row, lambda known: f"{known.tokens:,}", ""),
        lambda row: _known(row, lambda known: known.tokens, 0),
        number=True,
    ),
    Column(
        "Top-1",
        78,
        lambda row: "" if row.top1 is None else f"{row.top1:.1f} %",
        lambda row: row.top1 or 0.0,
        number=True,
    ),
    Column("Training data", 190, lambda row: row.data, lambda row: row.data),
    Column(
        "Family",
        116,
        lambda row: _known(row, lambda known: known.family, ""),
        lambda row: _known(row, lambda known: known.family, ""),
    ),
    Column("Licence", 130, lambda row: row.licence, lambda row: row.licence),
    Column("Access", 64, lambda row: row.access, lambda row: row.access),
)


@dataclass(frozen=True)
class Filters:
    """What rows must have besides the words of the search; empty for no condition."""

    family: str = ""
    most: float = float("inf")
    """Parameters."""
    least: float = 0
    classes: bool = False
    """Only models that name ImageNet's 1,000 classes."""

    def admit(self, row: Row) -> bool:
        """Whether a row has all of it. Nothing is known of files, which pass only without filters."""
        if self == Filters():
            return True
        known = row.model.known
        return (
            known is not None
            and self.family in ("", known.family)
            and self.least <= known.parameters <= self.most
            and (not self.classes or known.classes == 1000)
        )


def found(rows: Iterable[Row], text: str, filters: Filters) -> list[Row]:
    """The rows that have all words of a text and pass the filters.

    The exact name comes first, then names that begin with the text, then all others, each with the recommended ones first;
    what cannot be shown comes last, unless it is the exact name.
    """
    typed, words = text.strip().casefold(), text.casefold().split()

    def rank(row: Row) -> tuple[int, bool]:
        source, recommended = row.model.source.casefold(), not row.purpose
        if typed in (source, row.name.casefold()):
            return 0, recommended
        return (1 if source.startswith(typed) else 2) + 2 * (row.model.state == "refused"), recommended

    left = [row for row in rows if all(word in row.words for word in words) and filters.admit(row)]
    return sorted(left, key=rank) if words else left


def with_facts(rows: Sequence[Row], facts: Mapping[str, HubFacts]) -> list[Row]:
    """Rows with what the hub said."""
    return [
        Row(row.model, facts.get(row.model.known.hub) if row.model.known is not None else None, row.purpose)
        for row in rows
    ]


class ModelTable(QAbstractTableModel):
    """The rows as Qt shows them, sorted by a column where the user asked for it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.rows: list[Row] = []
        self._given: list[Row] = []
        self._sorted: tuple[int, Qt.SortOrder] = (-1, Qt.SortOrder.AscendingOrder)

    def fill(self, rows: Sequence[Row]) -> None:
        """Show these rows."""
        self.beginResetModel()
        self._given = list(rows)
        self._arrange()
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; -1 is the order of `fill`."""
        self.beginResetModel()
        self._sorted = column, order
        self._arrange()
        self.endResetModel()

    def _arrange(self) -> None:
        column, order = self._sorted
        self.rows = self._given
        if 0 <= column < len(COLUMNS):
            down = order == Qt.SortOrder.DescendingOrder
            self.rows = sorted(self._given, key=COLUMNS[column].key, reverse=down)

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: N802, B008
        """How many rows are shown."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: N802, B008
        """How many columns there are."""
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The text of a cell; what cannot be loaded is grey."""
        row, column = self.rows[index.row()], COLUMNS[index.column()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return column.text(row)
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.model.reason or row.model.source
        if role == Qt.ItemDataRole.TextAlignmentRole and column.number:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ForegroundRole and row.model.state in ("refused", "missing"):
            return QApplication.palette().color(QPalette.ColorRole.PlaceholderText)
        return None

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """The headings."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section].title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if COLUMNS[section].number else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None
