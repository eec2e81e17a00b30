"""The model browser: recommended, recent, local and all models in one table, with search, filters, and weights to delete."""

from collections.abc import Callable

from PySide6.QtCore import QEvent, QItemSelectionModel, QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QPalette
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vitviz.app.dialogs.model_rows import COLUMNS, Filters, ModelTable, Row, found, with_facts
from vitviz.app.session.model_list import ModelLists
from vitviz.app.session.session import Session
from vitviz.app.ui import theme
from vitviz.app.ui.number_format import megabytes
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.app.widgets.controls.tool_button import tool
from vitviz.app.work.failure import failure
from vitviz.models.listing import BUNDLED, RANDOM
from vitviz.models.model_table import FAMILIES

_STYLE = "QTableView::item { padding: 0 8px; } QHeaderView::section { padding: 4px 8px; border: 0; }"
_SIZE = QSize(1180, 640)
_PAUSE = 400  # milliseconds that a row is selected before the hub is asked about it
SECTIONS = (
    ("recommended", "Recommended"),
    ("recent", "Recent"),
    ("here", "On this machine"),
    ("all", "All"),
)
_SIZES = {
    "Any size": (0.0, float("inf")),
    "Up to 30 M parameters": (0.0, 30e6),
    "30 to 100 M": (30e6, 100e6),
    "More than 100 M": (100e6, float("inf")),
}


class ModelBrowser(QDialog):
    """A search field and filters above the table of models, and what is known of the selected one below it."""

    chosen = Signal(str)  # the source of the model to load
    file_requested = Signal()  # the user wants to open a weights file instead

    def __init__(self, session: Session, section: str = "recommended", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Choose a model")
        self._models = session.model_list
        self._current = session.model_source
        self._lists: ModelLists | None = None
        self._section = section
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search all models, for example: swin tiny")
        self.search.setAccessibleName("Search models by name")
        self.search.setClearButtonEnabled(True)
        self.sections = Segmented("Which models", SECTIONS)
        self.sections.set_current(section)
        self.family, self.sizes, self.classes = QComboBox(), QComboBox(), _toggle("ImageNet classes")
        self.status = QLabel("Reading the list of models…")
        self.view = QTableView()
        self.details = QLabel()
        self.file = QPushButton("Weights file…")
        self.delete = QPushButton("Delete weights…")
        self.random = _toggle("Random weights")
        self.load = QPushButton("Load")
        self.cancel = QPushButton("Cancel")
        self._table = ModelTable(self)
        self._asked = QTimer(self)
        self._asked.setSingleShot(True)
        self._asked.setInterval(_PAUSE)
        self._set_up()
        self._lay_out()
        self._connect()
        self._cancel_listing = self._models.ask(self._fill, self._fail)

    def _set_up(self) -> None:
        self.family.addItem("Any family")
        self.family.addItems(sorted({*FAMILIES.values(), "CLIP", "DINOv2", "DINOv3", "SigLIP"}))
        self.family.setAccessibleName("Family")
        self.sizes.addItems(list(_SIZES))
        self.sizes.setAccessibleName("Size of the model")
        self.classes.setToolTip("Only models that name the 1,000 classes of ImageNet")
        self.random.setToolTip(
            "The architecture without trained weights, always with the same random ones: for teaching and for shapes. "
            "Nothing is downloaded"
        )
        for label in (self.status, self.details):
            label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
            label.setFont(theme.small())
        self.details.setWordWrap(True)
        self.details.setTextFormat(Qt.TextFormat.PlainText)
        self.details.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.details.setMinimumHeight(3 * self.details.fontMetrics().lineSpacing())
        self.details.setAlignment(Qt.AlignmentFlag.AlignTop)
        view = self.view
        view.setAccessibleName("Models")
        view.setModel(self._table)
        view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        view.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        view.horizontalHeader().setSortIndicatorClearable(True)
        view.setSortingEnabled(True)
        view.setShowGrid(False)
        view.setStyleSheet(_STYLE)
        view.setTabKeyNavigation(False)
        view.setWordWrap(False)
        view.verticalHeader().hide()
        view.verticalHeader().setDefaultSectionSize(28)
        view.horizontalHeader().setHighlightSections(False)
        for number, column in enumerate(COLUMNS):
            view.horizontalHeader().resizeSection(number, column.width)
        self.load.setDefault(True)
        self.load.setEnabled(False)
        self.delete.setEnabled(False)
        for button in (self.file, self.delete, self.cancel):
            button.setAutoDefault(False)

    def _lay_out(self) -> None:
        line = _line(self.sections, self.family, self.sizes, self.classes)
        line.addStretch(1)
        buttons = _line(self.file, self.delete)
        buttons.addStretch(1)
        for widget in (self.random, self.cancel, self.load):
            buttons.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 16, 16, 16)
        column.setSpacing(8)
        column.addWidget(self.search)
        column.addLayout(line)
        column.addWidget(self.status)
        column.addWidget(self.view, 1)
        column.addWidget(self.details)
        column.addLayout(buttons)
        available = self.screen().availableSize() - QSize(32, 64)
        self.resize(_SIZE.boundedTo(available))

    def _connect(self) -> None:
        self.search.textChanged.connect(lambda _: self._show())
        self.search.installEventFilter(self)
        self.sections.chosen.connect(self._choose_section)
        self.family.currentIndexChanged.connect(lambda _: self._show())
        self.sizes.currentIndexChanged.connect(lambda _: self._show())
        self.classes.toggled.connect(lambda _: self._show())
        self.random.toggled.connect(lambda _: self._describe())
        self.view.doubleClicked.connect(lambda _: self._choose())
        self.view.selectionModel().selectionChanged.connect(lambda *_: self._describe())
        self._table.modelReset.connect(self._describe)
        self._asked.timeout.connect(self._ask_hub)
        self.load.clicked.connect(self._choose)
        self.file.clicked.connect(self._request_file)
        self.delete.clicked.connect(self._confirm_deletion)
        self.cancel.clicked.connect(self.reject)
        self._models.deleted.connect(self._on_deleted)
        self._models.learned.connect(self._learn)

    # The rows.

    def _fill(self, lists: ModelLists) -> None:
        self._lists = lists
        self._show()

    def _fail(self, problem: BaseException) -> None:
        self.status.setText(failure(problem).message + " A name can still be typed above.")

    def _rows(self) -> list[Row]:
        """The rows of the section, or of all models while a text is searched for."""
        lists = self._lists
        if lists is None:
            return []
        purposes = {model.source: one.purpose for one, model in lists.recommended}
        purposes |= dict.fromkeys(BUNDLED, "For the bundled scenes: recognises drawn shapes only")
        everything = [Row(model, purpose=purposes.get(model.source, "")) for model in lists.all]
        recent = [Row(model) for model in lists.recent]
        files = [row for row in recent if row.model.state in ("file", "missing")]
        if self.search.text().strip():
            return [
                *everything,
                *(row for row in recent if row.model.source not in {one.source for one in lists.all}),
            ]
        if self._section == "recommended":
            bundled = [row for row in everything if row.model.state == "bundled"]
            return [Row(model, purpose=one.purpose) for one, model in lists.recommended] + bundled
        if self._section == "recent":
            return recent
        if self._section == "here":
            return [row for row in [*everything, *files] if row.model.here or row.model.state == "partly"]
        return everything

    def _show(self) -> None:
        """Show the rows that the section, the search and the filters leave."""
        text = self.search.text()
        self.sections.set_current("all" if text.strip() else self._section)
        rows = with_facts(found(self._rows(), text, self._filters()), self._models.facts)
        kept = self.choice() if not text.strip() else ""
        self._table.fill(rows)
        self._select(kept or self._current, first=bool(text.strip()))
        self._say_count(len(rows))
        self._describe()

    def _filters(self) -> Filters:
        least, most = _SIZES[self.sizes.currentText()]
        family = self.family.currentText() if self.family.currentIndex() else ""
        return Filters(family, most, least, self.classes.isChecked())

    def _select(self, source: str, first: bool) -> None:
        """Select the row of a source, or the `first`; nothing if there is none."""
        names = [one.model.source for one in self._table.rows]
        bare = [one.model.known.architecture if one.model.known else "" for one in self._table.rows]
        row = 0 if first and names else names.index(source) if source in names else -1
        if row < 0 and source in bare:
            row = bare.index(source)
        if row >= 0:
            index = self._table.index(row, 0)
            select = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            self.view.selectionModel().setCurrentIndex(index, select)
            self.view.scrollTo(index)
        self.view.horizontalScrollBar().setValue(0)

    def _say_count(self, count: int) -> None:
        if self._lists is None:
            return
        usable = [model for model in self._lists.all if model.state != "refused"]
        refused = sum(row.model.state == "refused" for row in self._table.rows)
        local = sum(model.here for model in self._lists.all)
        if count:
            shown = f"{count - refused:,} of {len(usable):,} models, {local} in all on this machine"
            others = f", and {refused:,} that cannot be shown" if refused else ""
            self.status.setText(f"{shown}{others}; a download is needed once, from the Hugging Face hub")
        elif self.search.text().strip():
            self.status.setText(
                f"No model in the list matches; Load tries the name “{self.search.text().strip()}”"
            )
        elif self._section == "recent" and not self._lists.recent:
            self.status.setText("No models yet: those that you load, weight files too, will be here")
        else:
            self.status.setText("No model passes the filters")

    def _choose_section(self, key: str) -> None:
        self._section = key
        if self.search.text():
            self.search.clear()
        self._show()

    def _learn(self) -> None:
        """Show what the hub said, and keep the selection and the place."""
        rows = with_facts(self._table.rows, self._models.facts)
        chosen, scrolled = self.choice(), self.view.horizontalScrollBar().value()
        self._table.fill(rows)
        self._select(chosen.removeprefix(RANDOM), first=False)
        self.view.horizontalScrollBar().setValue(scrolled)

    # The selected row.

    def _row(self) -> Row | None:
        rows = self.view.selectionModel().selectedRows()
        return self._table.rows[rows[0].row()] if rows and rows[0].row() < len(self._table.rows) else None

    def choice(self) -> str:
        """The source that Load would load: the selected row's, or the typed name if no row matches it."""
        row = self._row()
        if row is None:
            return self.search.text().strip() if not self._table.rows else ""
        if self.random.isChecked() and _can_be_random(row):
            return RANDOM + row.model.source.removeprefix(RANDOM)
        return row.model.source

    def _describe(self) -> None:
        """Say what is known of the selected model, and enable what can be done with it."""
        row = self._row()
        self.details.setText("" if row is None else _details(row))
        self.random.setEnabled(row is not None and _can_be_random(row))
        random = self.random.isChecked() and self.random.isEnabled()
        self.load.setEnabled(bool(self.choice()) and (row is None or random or _can_be_loaded(row)))
        download = row is not None and not random and row.model.state in ("download", "partly")
        self.load.setText("Download and load" if download else "Load")
        self.delete.setEnabled(
            row is not None and row.model.state in ("here", "partly") and row.model.known is not None
        )
        self._asked.start()

    def _ask_hub(self) -> None:
        row = self._row()
        if row is not None:
            self._models.ask_hub(row.model)

    def _choose(self) -> None:
        if self.load.isEnabled():
            self.chosen.emit(self.choice())
            self.accept()

    def _request_file(self) -> None:
        self.reject()
        self.file_requested.emit()

    # Deleting.

    def _confirm_deletion(self) -> None:
        row = self._row()
        if row is None:
            return
        box = QMessageBox(self)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Delete weights")
        box.setText(
            f"Delete the weights of {row.model.source} ({megabytes(row.model.size)}) from this machine?"
        )
        box.setInformativeText("They can be downloaded again.")
        box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
        delete = box.addButton("Delete", QMessageBox.ButtonRole.DestructiveRole)
        delete.clicked.connect(lambda: self._models.delete(row.model, self._fail))
        box.open()

    def _on_deleted(self, source: str, freed: int) -> None:
        def show(lists: ModelLists) -> None:
            self._fill(lists)
            self.status.setText(f"The weights of {source} were deleted: {megabytes(freed)} are free again")

        self._cancel_listing = self._models.ask(show, self._fail)

    # Keys.

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Move from the search field into the table by Down, Page Down and Up."""
        if watched is self.search and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            steps = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_PageDown: 10, Qt.Key.Key_PageUp: -10}
            step = steps.get(Qt.Key(event.key()))
            if step is not None and self._table.rows:
                rows = self.view.selectionModel().selectedRows()
                row = rows[0].row() + step if rows else 0
                self.view.selectRow(max(0, min(row, len(self._table.rows) - 1)))
                return True
        return super().eventFilter(watched, event)

    def done(self, result: int) -> None:
        """Close without waiting for the list if it is still being read."""
        self._asked.stop()
        self._cancel_listing()
        super().done(result)


def choose_model(
    session: Session,
    parent: QWidget,
    chosen: Callable[[str], object],
    open_file: Callable[[], object],
    section: str = "recommended",
) -> ModelBrowser:
    """Open the browser; `chosen` is called with the source, or `open_file` if the user wants to open a weights file."""
    browser = ModelBrowser(session, section, parent)
    browser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    browser.chosen.connect(chosen)
    browser.file_requested.connect(open_file)
    browser.open()
    return browser


def _toggle(text: str) -> QToolButton:
    """A button that stays down; Fusion's check boxes can hardly be seen on a dark window."""
    button = tool(text, checkable=True, text=text)
    button.setAutoRaise(False)
    return button


def _line(*widgets: QWidget) -> QHBoxLayout:
    line = QHBoxLayout()
    line.setSpacing(8)
    for widget in widgets:
        line.addWidget(widget)
    return line


def _can_be_loaded(row: Row) -> bool:
    return row.model.state not in ("refused", "missing", "no weights")


def _can_be_random(row: Row) -> bool:
    """Whether the row is an architecture of timm that can be shown."""
    state, source = row.model.state, row.model.source
    return row.model.known is not None and (state != "bundled" or source.startswith(RANDOM))


def _details(row: Row) -> str:
    """Everything that is known of a model, in two or three lines."""
    model, known = row.model, row.model.known
    if model.reason:
        return f"{model.source} cannot be shown: {model.reason}"
    if known is None:
        return model.source if model.state != "missing" else f"{model.source}: the file is no longer there"
    shape = (
        f"{known.family} · {known.parameters / 1e6:.1f} M parameters · {known.structure} (layers × width × heads) · "
        f"{known.input_size[0]} × {known.input_size[1]} pixels in patches of {known.patch[0]} × {known.patch[1]}, "
        f"{known.tokens:,} tokens"
    )
    parts = [
        f"trained on {row.data}" if row.data else "",
        f"top-1 {row.top1:.1f} % on ImageNet" if row.top1 is not None else "",
        f"licence {row.licence}" if row.licence else "",
        "no weights: it can be shown with random ones" if model.state == "no weights" else row.where,
    ]
    lines = [f"{row.purpose}. {shape}" if row.purpose else shape, " · ".join(part for part in parts if part)]
    if row.access == "gated":
        lines.append(
            f"Gated: accept the terms at https://huggingface.co/{known.hub}, then log in once with `hf auth login`."
        )
    return "\n".join(lines)
