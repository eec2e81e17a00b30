"""A small table of numbers whose rows are named by buttons."""

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QGridLayout, QLabel, QToolButton, QWidget

from vitviz.app.ui import theme


@dataclass(frozen=True)
class NumberRow:
    """A name and a text per column."""

    name: str
    cells: tuple[str, ...]
    tip: str = ""


class NumberTable(QWidget):
    """Numbers in columns; `picked` tells the name of the row whose button was pressed."""

    picked = Signal(str)

    def __init__(self, columns: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(12, 0, 12, 0)
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(0)
        self._buttons: dict[str, QToolButton] = {}
        self._cells: list[list[QLabel]] = []
        for place, words in enumerate(columns):
            head = QLabel(words)
            head.setFont(theme.small())
            head.setForegroundRole(QPalette.ColorRole.PlaceholderText)
            head.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom)
            head.setWordWrap(True)  # in a narrow panel
            self._grid.addWidget(head, 0, place + 1)
        self._grid.setColumnStretch(0, 1)
        self._columns = len(columns)

    @property
    def buttons(self) -> dict[str, QToolButton]:
        """The button of each row by its name."""
        return dict(self._buttons)

    def texts(self) -> list[tuple[str, ...]]:
        """What the cells say, row by row."""
        return [tuple(label.text() for label in row) for row in self._cells]

    def set_rows(self, rows: Sequence[NumberRow], chosen: str | None) -> None:
        """Show these rows, the chosen one pressed; the widgets are kept where the names are the same."""
        if [row.name for row in rows] != list(self._buttons):
            self._build(rows)
        for row, labels in zip(rows, self._cells, strict=True):
            button = self._buttons[row.name]
            button.setChecked(row.name == chosen)
            button.setToolTip(row.tip)
            button.setAccessibleDescription(row.tip)
            for label, text in zip(labels, row.cells, strict=True):
                label.setText(text)

    def set_chosen(self, chosen: str | None) -> None:
        """Press this row's button."""
        for name, button in self._buttons.items():
            button.setChecked(name == chosen)

    def _build(self, rows: Sequence[NumberRow]) -> None:
        for widget in (*self._buttons.values(), *(label for row in self._cells for label in row)):
            self._grid.removeWidget(widget)
            widget.hide()
            widget.deleteLater()
        self._buttons, self._cells = {}, []
        for place, row in enumerate(rows):
            button = QToolButton()
            button.setText(row.name)
            button.setAutoRaise(True)
            button.setCheckable(True)
            button.setFont(theme.body())
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.clicked.connect(lambda _=False, name=row.name: self.picked.emit(name))
            self._grid.addWidget(button, place + 1, 0, Qt.AlignmentFlag.AlignLeft)
            labels = []
            for column in range(self._columns):
                label = QLabel()
                label.setFont(theme.body())
                self._grid.addWidget(label, place + 1, column + 1, Qt.AlignmentFlag.AlignRight)
                labels.append(label)
            self._buttons[row.name] = button
            self._cells.append(labels)
