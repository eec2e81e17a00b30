"""A note with models to choose: a sentence, a row for each model with what it is for, and buttons for everything else."""

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPalette
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from vitviz.app.ui import theme
from vitviz.app.widgets.base.title_bar import ElidedLabel
from vitviz.app.widgets.messages.welcome import Offer


class ModelOffers(QWidget):
    """A sentence above offers; each offer is a button with a line beside it. Hidden until `show_offers`."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.sentence = QLabel()
        self.sentence.setWordWrap(True)
        self.sentence.setTextFormat(Qt.TextFormat.PlainText)
        self.models: list[QPushButton] = []
        self.others: list[QPushButton] = []
        self._rows = QWidget()
        self._line = QWidget()
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 12)
        column.setSpacing(8)
        column.addWidget(self.sentence)
        column.addWidget(self._rows)
        column.addWidget(self._line)
        self.hide()

    def show_offers(self, sentence: str, models: Sequence[Offer], others: Sequence[Offer]) -> None:
        """Show a sentence, a row for each model, and below them a line of buttons."""
        self.sentence.setText(sentence)
        self.setAccessibleDescription(sentence)
        rows, line = QWidget(), QWidget()
        grid = QGridLayout(rows)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        self.models = [_button(one) for one in models]
        for row, (button, one) in enumerate(zip(self.models, models, strict=True)):
            about = ElidedLabel()
            about.setFont(theme.small())
            about.setForegroundRole(QPalette.ColorRole.PlaceholderText)
            about.set_text(one.about)
            grid.addWidget(button, row, 0)
            grid.addWidget(about, row, 1)
        beside = QHBoxLayout(line)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.setSpacing(8)
        self.others = [_button(one) for one in others]
        for button in self.others:
            beside.addWidget(button)
        beside.addStretch(1)
        rows.setVisible(bool(models))
        self.layout().replaceWidget(self._rows, rows)  # type: ignore[union-attr]
        self.layout().replaceWidget(self._line, line)  # type: ignore[union-attr]
        for old in (self._rows, self._line):
            old.deleteLater()
        self._rows, self._line = rows, line
        before: QWidget = self
        for button in (*self.models, *self.others):
            self.setTabOrder(before, button)
            before = button
        self.show()

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw a line at the lower edge."""
        line = QColor(theme.colors(self.palette()).line)
        QPainter(self).fillRect(0, self.height() - 1, self.width(), 1, line)


def _button(offer: Offer) -> QPushButton:
    button = QPushButton(offer.title)
    button.setToolTip(offer.tip or offer.about)
    button.setAccessibleName(offer.title)
    button.setAccessibleDescription(offer.tip or offer.about)
    button.clicked.connect(lambda _=False: offer.act())
    return button
