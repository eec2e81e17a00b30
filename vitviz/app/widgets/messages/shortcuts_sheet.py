"""The dialog that lists all keyboard shortcuts and mouse actions."""

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from vitviz.app.ui import theme

_COLUMNS = 3
Shortcut = tuple[str, str, str]
"""Section, what is done, keys."""


class ShortcutsSheet(QDialog):
    """All shortcuts by menu, in columns of about the same height."""

    def __init__(self, rows: Sequence[Shortcut], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keyboard shortcuts")
        columns = QHBoxLayout()
        columns.setContentsMargins(24, 20, 24, 8)
        columns.setSpacing(40)
        for part in _columns(rows):
            column = QVBoxLayout()
            column.addLayout(_grid(part))
            column.addStretch(1)
            columns.addLayout(column)
        sheet = QWidget()
        sheet.setLayout(columns)
        # On a small screen the list can be scrolled, by keyboard too.
        scroll = QScrollArea()
        scroll.setWidget(sheet)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setAccessibleName("Keyboard shortcuts")
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.rejected.connect(self.reject)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scroll)
        foot = QHBoxLayout()
        foot.setContentsMargins(24, 0, 24, 16)
        foot.addWidget(close)
        whole.addLayout(foot)
        screen = self.screen().availableGeometry()
        wanted = sheet.sizeHint()
        self.resize(min(wanted.width() + 16, screen.width()), min(wanted.height() + 60, screen.height() - 40))


def _columns(rows: Sequence[Shortcut]) -> list[list[Shortcut]]:
    """The sections in order, divided into columns of about the same height; no section is split."""
    sections: dict[str, list[Shortcut]] = {}
    for row in rows:
        sections.setdefault(row[0], []).append(row)
    total = len(rows) + 2 * len(sections)
    found: list[list[Shortcut]] = [[]]
    filled = 0
    for section in sections.values():
        height = len(section) + 2
        # A section belongs to the column in which its middle lies.
        if found[-1] and len(found) < _COLUMNS and filled + height / 2 > len(found) * total / _COLUMNS:
            found.append([])
        found[-1] += section
        filled += height
    return found


def _grid(rows: Sequence[Shortcut]) -> QGridLayout:
    grid = QGridLayout()
    grid.setHorizontalSpacing(24)
    grid.setVerticalSpacing(4)
    menu, line = "", 0
    for section, what, keys in rows:
        if section != menu:
            menu = section
            heading = QLabel(section)
            heading.setFont(theme.body(strong=True))
            grid.addWidget(heading, line, 0, 1, 2, Qt.AlignmentFlag.AlignBottom)
            grid.setRowMinimumHeight(line, 28)
            line += 1
        label, shown = QLabel(what), QLabel(keys)
        shown.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        shown.setAccessibleName(f"{what}: {keys}")
        grid.addWidget(label, line, 0)
        grid.addWidget(shown, line, 1, Qt.AlignmentFlag.AlignRight)
        line += 1
    grid.setColumnStretch(0, 1)
    return grid
