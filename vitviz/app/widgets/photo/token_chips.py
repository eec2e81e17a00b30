"""Named numbers beside the photo that can be chosen: what each prefix token receives."""

from collections.abc import Mapping

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QToolButton, QWidget

from vitviz.app.ui import theme

_MANY = 3  # registers: they leave room for what stands beside them


class TokenChips(QWidget):
    """One button per name, in several rows where `fit` left no room for one; `show_numbers` says which is checked."""

    picked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[str, QToolButton] = {}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        self._columns = 0  # 0: all names side by side

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

    def fit(self, width: int) -> int:
        """Arrange the names in as many rows as they need in a width; returns the width that they take."""
        widest = max((button.sizeHint().width() for button in self.buttons.values()), default=0)
        whole = sum(button.sizeHint().width() + 4 for button in self.buttons.values())
        columns = 0 if whole <= width else max(1, width // (widest + 4))
        if columns != self._columns:
            self._columns = columns
            for place, button in enumerate(self.buttons.values()):
                self._grid.removeWidget(button)
                self._grid.addWidget(button, *self._cell(place))

        return columns * (widest + 4) if columns else whole

    def _cell(self, place: int) -> tuple[int, int]:
        return divmod(place, self._columns) if self._columns else (0, place)

    def _make(self, names: list[str]) -> None:
        for button in self.buttons.values():
            self._grid.removeWidget(button)
            button.hide()  # until it is gone, which is later
            button.deleteLater()
        self.buttons, self._columns = {}, 0
        for name in names:
            button = QToolButton()
            button.setAutoRaise(True)
            button.setCheckable(True)
            button.setFont(theme.small() if len(names) > _MANY else theme.body())
            button.clicked.connect(lambda _=False, name=name: self.picked.emit(name))
            self._grid.addWidget(button, *self._cell(len(self.buttons)))
            self.buttons[name] = button
