"""The dialog that chooses a model: a list with search, local models first, or a weights file."""

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
_HEADERS = ("Model", "Parameters", "Input", "Tokens", "Weights")
_WIDTHS = (104, 104, 80, 136)
_STYLE = "QTableView::item { padding: 0 8px; } QHeaderView::section { padding: 4px 11px; border: 0; }"
_SORT = Qt.ItemDataRole.UserRole


@dataclass(frozen=True)
class ModelRow:
    """One model of the table. `input_size` is in pixels; `local` says whether the weights are on this machine."""

    name: str
    parameters: int
    input_size: tuple[int, int]
    tokens: int
    local: bool

    def cells(self) -> tuple[str, ...]:
        """The text of each column."""
        size = f"{self.input_size[0]} × {self.input_size[1]}"
        where = "bundled" if self.name in MODELS else "on this machine" if self.local else "download"
        return self.name, f"{self.parameters / 1e6:.1f} M", size, f"{self.tokens:,}", where

    def ranks(self) -> tuple[object, ...]:
        """The sort key of each column."""
        area = self.input_size[0] * self.input_size[1]
        return self.name, self.parameters, area, self.tokens, int(not self.local)


def rows_of(entries: "list[Entry]") -> list[ModelRow]:
    """The rows of the table: bundled models, then other local models, then models to download, each by name."""
    rows = [ModelRow(one.name, one.parameters, one.input_size, one.tokens, one.cached) for one in entries]
    return sorted(rows, key=lambda row: (_place(row.name), not row.local, row.name))


def _place(name: str) -> int:
    """The index of a bundled model; all other models have the index after the last one."""
    return MODELS.index(name) if name in MODELS else len(MODELS)


class _ModelTable(QAbstractTableModel):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.rows: list[ModelRow] = []

    def fill(self, rows: list[ModelRow]) -> None:
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: N802, B008
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: N802, B008
        return 0 if parent.isValid() else len(_HEADERS)

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
            return _HEADERS[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if section in (1, 2, 3) else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None


class ModelChooser(QDialog):
    """A search field above the table of models."""

    chosen = Signal(str)  # the name of the model to load
    file_requested = Signal()  # the user wants to open a weights file instead

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Choose a model")
        self.resize(760, 560)
        self._current = session.model_source
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search by name, for example: swin tiny")
        self.search.setAccessibleName("Search models by name")
        self.search.setClearButtonEnabled(True)
        self.status = QLabel("Reading the list of models…")
        self.status.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.status.setFont(theme.small())
        self._table = _ModelTable(self)
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
        self.view.setStyleSheet(_STYLE)
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
        self.view.selectionModel().selectionChanged.connect(lambda *_: self._update_load())
        self._shown.modelReset.connect(self._update_load)
        self.load.clicked.connect(self._choose)
        self.file.clicked.connect(self._request_file)
        close.clicked.connect(self.reject)
        self._cancel_listing = session.model_list.ask(self._fill, self._fail)

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
        column.addWidget(self.status)
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
        self.status.setText(failure(problem).message + " A name can still be typed above.")

    def _filter(self) -> None:
        words = self.search.text().split()
        pattern = "".join(f"(?=.*{_escaped(word)})" for word in words)
        self._shown.setFilterRegularExpression(f"(?i)^{pattern}")
        found, total = self._shown.rowCount(), len(self._table.rows)
        local = sum(row.local for row in self._table.rows)
        if total and found:
            self.status.setText(
                f"{found} of {total} models, {local} with weights on this machine; others are downloaded once"
            )
        elif total:
            self.status.setText(
                f"No model in the list matches; Load tries the name “{self.search.text().strip()}”"
            )
        if found and words:
            self.view.selectRow(self._best_row())
        self._update_load()

    def _best_row(self) -> int:
        """The row of the typed name, otherwise the first that begins with it, otherwise the first."""
        typed = self.search.text().strip().casefold()
        names = [self._shown.index(row, 0).data().casefold() for row in range(self._shown.rowCount())]
        if typed in names:
            return names.index(typed)
        return next((row for row, name in enumerate(names) if name.startswith(typed)), 0)

    def _update_load(self) -> None:
        self.load.setEnabled(bool(self.choice()))

    def choice(self) -> str:
        """The name that Load would load: the selected row, or the typed name if no row matches it."""
        rows = self.view.selectionModel().selectedRows()
        if rows:
            return str(rows[0].data())
        return self.search.text().strip() if self._shown.rowCount() == 0 else ""

    def _choose(self) -> None:
        name = self.choice()
        if name:
            self.chosen.emit(name)
            self.accept()

    def _request_file(self) -> None:
        self.reject()
        self.file_requested.emit()

    def done(self, result: int) -> None:
        """Close without waiting for the list if it is still being read."""
        self._cancel_listing()
        super().done(result)


def choose_model(
    session: Session, parent: QWidget, chosen: Callable[[str], object], open_file: Callable[[], object]
) -> ModelChooser:
    """Open the dialog; `chosen` is called with the name, or `open_file` if the user wants to open a weights file."""
    chooser = ModelChooser(session, parent)
    chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    chooser.chosen.connect(chosen)
    chooser.file_requested.connect(open_file)
    chooser.open()
    return chooser


def _escaped(word: str) -> str:
    return "".join(letter if letter.isalnum() else f"\\{letter}" for letter in word)
