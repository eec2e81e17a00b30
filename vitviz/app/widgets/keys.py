"""The sheet of keys, made from the table that defines them."""

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from vitviz.app import theme


class KeysSheet(QDialog):
    """All keys, by menu."""

    def __init__(self, rows: Sequence[tuple[str, str, str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        grid = QGridLayout()
        grid.setHorizontalSpacing(24)
        grid.setVerticalSpacing(4)
        menu = ""
        line = 0
        for section, what, keys in rows:
            if section != menu:
                menu = section
                heading = QLabel(section)
                heading.setFont(theme.body(strong=True))
                grid.addWidget(heading, line, 0, 1, 2, Qt.AlignmentFlag.AlignBottom)
                grid.setRowMinimumHeight(line, 28)
                line += 1
            label = QLabel(what)
            shown = QLabel(keys)
            shown.setForegroundRole(QPalette.ColorRole.PlaceholderText)
            shown.setAccessibleName(f"{what}: {keys}")
            grid.addWidget(label, line, 0)
            grid.addWidget(shown, line, 1, Qt.AlignmentFlag.AlignRight)
            line += 1
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 16)
        column.setSpacing(16)
        column.addLayout(grid)
        column.addWidget(close)
