"""Named numbers beside the photo that can be chosen: what each prefix token receives."""

from collections.abc import Mapping

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QToolButton, QWidget

from vitviz.app.ui import theme

_MANY = 3  # registers: they leave room for what stands beside them


class TokenChips(QWidget):
    """One button per name; `show_numbers` says which is checked."""

    picked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[str, QToolButton] = {}
        self._line = QHBoxLayout(self)
        self._line.setContentsMargins(0, 0, 0, 0)
        self._line.setSpacing(4)

    def show_numbers(self, numbers: Mapping[str, str], chosen: object, tip: str) -> None:
        """Names with their numbers as text; `tip` tells with {name} what they are."""
        if list(numbers) != list(self.buttons):
            self._make(list(numbers))
        for name, number in numbers.items():
            button = self.buttons[name]
            button.setToolTip(tip.format(name=name))
            button.setText(f"{name} {number}")
            button.setAccessibleName(f"{name} token, weight {number}")
            button.setChecked(chosen == name)

    def _make(self, names: list[str]) -> None:
        for button in self.buttons.values():
            self._line.removeWidget(button)
            button.hide()  # until it is gone, which is later
            button.deleteLater()
        self.buttons = {}
        for name in names:
            button = QToolButton()
            button.setAutoRaise(True)
            button.setCheckable(True)
            button.setFont(theme.small() if len(names) > _MANY else theme.body())
            button.clicked.connect(lambda _=False, name=name: self.picked.emit(name))
            self._line.addWidget(button)
            self.buttons[name] = button
