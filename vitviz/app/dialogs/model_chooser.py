"""Choosing a model: by name with search, with what is on this machine first, or a file of weights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from vitviz.app.session.session import Session
from vitviz.app.sources.samples import MODELS
from vitviz.app.ui import theme
from vitviz.app.work.failure import failure

if TYPE_CHECKING:
    from vitviz.models.catalog import Entry

_Index = QModelIndex | QPersistentModelIndex
_HEADS = ("Model", "Parameters", "Input", "Tokens", "Weights")
_WIDTHS = (104, 104, 80, 136)
_ROOMY = "QTableView::item { padding: 0 8px; } QHeaderView::section { padding: 4px 11px; border: 0; }"
_SORT = Qt.ItemDataRole.UserRole


@dataclass(frozen=True)
class Row:
    """One model as the table shows it."""

    name: str
    parameters: int
    input_size: tuple[int, int]
    tokens: int
    here: bool

    def cells(self) -> tuple[str, ...]:
        """The texts of the columns."""
        size = f"{self.input_size[0]} × {self.input_size[1]}"
        where = "bundled" if self.name in MODELS else "on this machine" if self.here else "download"
        return self.name, f"{self.parameters / 1e6:.1f} M", size, f"{self.tokens:,}", where

    def ranks(self) -> tuple[object, ...]:
        """What the columns sort by."""
        area = self.input_size[0] * self.input_size[1]
        return self.name, self.parameters, area, self.tokens, int(not self.here)


def rows_of(entries: "list[Entry]") -> list[Row]:
    """Table rows: demo models first, then what is on this machine, then what would be downloaded, by name."""
    rows = [Row(one.name, one.parameters, one.input_size, one.tokens, one.cached) for one in entries]
    return sorted(rows, key=lambda row: (_place(row.name), not row.here, row.name))


def _place(name: str) -> int:
    """The place of a bundled model; all others come after them."""
    return MODELS.index(name) if name in MODELS else len(MODELS)


class _Table(QAbstractTableModel):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.rows: list[Row] = []

    def fill(self, rows: list[Row]) -> None:
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: N802, B008
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: N802, B008
        return 0 if parent.isValid() else len(_HEADS)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return row.cells()[index.column()]
        if role == _SORT:
            return row.ranks()[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() in (1, 2, 3):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return _HEADS[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if section in (1, 2, 3) else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None


class ModelChooser(QDialog):
    """A search field over the list of models; `chosen` tells the name."""

    chosen = Signal(str)
    wants_file = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Choose a model")
        self.resize(760, 560)
        self._current = session.model_source
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search by name, for example: swin tiny")
        self.search.setAccessibleName("Search models by name")
        self.search.setClearButtonEnabled(True)
        self.says = QLabel("Reading the list of models…")
        self.says.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.says.setFont(theme.small())
        self._table = _Table(self)
        self._shown = QSortFilterProxyModel(self)
        self._shown.setSourceModel(self._table)
        self._shown.setSortRole(_SORT)
        self.view = QTableView()
        self.view.setAccessibleName("Models")
        self.view.setModel(self._shown)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.setSortingEnabled(True)
        self.view.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.view.setShowGrid(False)
        self.view.setStyleSheet(_ROOMY)
        self.view.setTabKeyNavigation(False)
        self.view.setWordWrap(False)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(28)
        self.view.horizontalHeader().setHighlightSections(False)
        self.file = QPushButton("Weights file…")
        self.load = QPushButton("Load")
        self.load.setDefault(True)
        self.load.setEnabled(False)
        close = QPushButton("Cancel")
        self._lay_out(close)
        self.search.textChanged.connect(self._filter)
        self.search.returnPressed.connect(self._choose)
        self.view.doubleClicked.connect(lambda _: self._choose())
        self.view.selectionModel().selectionChanged.connect(lambda *_: self._allow())
        self._shown.modelReset.connect(self._allow)
        self.load.clicked.connect(self._choose)
        self.file.clicked.connect(self._ask_file)
        close.clicked.connect(self.reject)
        self._forget = session.model_list.ask(self._fill, self._fail)

    def _lay_out(self, close: QPushButton) -> None:
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.file)
        buttons.addStretch(1)
        buttons.addWidget(close)
        buttons.addWidget(self.load)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 16, 16, 16)
        column.setSpacing(8)
        column.addWidget(self.search)
        column.addWidget(self.says)
        column.addWidget(self.view, 1)
        column.addLayout(buttons)

    def _fill(self, entries: "list[Entry]") -> None:
        self._table.fill(rows_of(entries))
        header = self.view.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, width in enumerate(_WIDTHS, start=1):
            header.resizeSection(column, width)
        self._filter()
        for place in range(self._shown.rowCount()):
            if self._shown.index(place, 0).data() == self._current:
                self.view.selectRow(place)

    def _fail(self, problem: BaseException) -> None:
        self.says.setText(failure(problem).message + " A name can still be typed above.")

    def _filter(self) -> None:
        words = self.search.text().split()
        pattern = "".join(f"(?=.*{_escaped(word)})" for word in words)
        self._shown.setFilterRegularExpression(f"(?i)^{pattern}")
        found, of = self._shown.rowCount(), len(self._table.rows)
        here = sum(row.here for row in self._table.rows)
        if of and found:
            self.says.setText(
                f"{found} of {of} models, {here} with weights on this machine; others are downloaded once"
            )
        elif of:
            self.says.setText(
                f"No model of the list is called so; Load tries “{self.search.text().strip()}” as it is"
            )
        if found and words:
            self.view.selectRow(0)
        self._allow()

    def _allow(self) -> None:
        self.load.setEnabled(bool(self.choice()))

    def choice(self) -> str:
        """What Load would load: the selected row, else what was typed."""
        rows = self.view.selectionModel().selectedRows()
        if rows:
            return str(rows[0].data())
        return self.search.text().strip() if self._shown.rowCount() == 0 else ""

    def _choose(self) -> None:
        name = self.choice()
        if name:
            self.chosen.emit(name)
            self.accept()

    def _ask_file(self) -> None:
        self.reject()
        self.wants_file.emit()

    def done(self, result: int) -> None:
        """The dialog waits for nothing: what is still being read ends by itself."""
        self._forget()
        super().done(result)


def choose_model(
    session: Session, parent: QWidget, chosen: Callable[[str], object], wants_file: Callable[[], object]
) -> ModelChooser:
    """Open the dialog; `chosen` gets the name, `wants_file` is called where the user wants a weights file instead."""
    chooser = ModelChooser(session, parent)
    chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    chooser.chosen.connect(chosen)
    chooser.wants_file.connect(wants_file)
    chooser.open()
    return chooser


def _escaped(word: str) -> str:
    return "".join(letter if letter.isalnum() else f"\\{letter}" for letter in word)
