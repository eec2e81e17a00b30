"""A small question mark that opens explanations of terms."""

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QFrame, QLabel, QScrollArea, QVBoxLayout, QWidget

from vitviz.app.ui import theme
from vitviz.app.widgets.controls.popover import PopButton

_WIDTH = 400  # pixels
_HIGHEST = 440
_SIZE = 20


class HelpButton(PopButton):
    """Opens a list of (term, explanation); it can be scrolled by keyboard and is closed by Esc."""

    def __init__(self, title: str, terms: Sequence[tuple[str, str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self._terms = terms
        self.setText("?")
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.setMinimumHeight(0)
        self.setFixedSize(_SIZE, _SIZE)
        self.setToolTip("What the terms mean")
        self.setAccessibleName(f"What the terms of {title} mean")

    def content(self) -> QWidget:
        """The explanations, in as many lines as they need."""
        return Explanations(self._title, self._terms)


class Explanations(QScrollArea):
    """A title, and each term above its explanation."""

    def __init__(self, title: str, terms: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidgetResizable(True)
        self.setAccessibleName(f"{title}: what the terms mean")
        self.setAccessibleDescription(" ".join(f"{term}: {words}" for term, words in terms))
        sheet = QWidget()
        column = QVBoxLayout(sheet)
        column.setContentsMargins(16, 12, 16, 12)
        column.setSpacing(2)
        for number, (term, words) in enumerate(terms):
            name, about = QLabel(term), QLabel(words)
            name.setFont(theme.body(strong=True))
            about.setFont(theme.body())
            about.setWordWrap(True)
            if number:
                column.addSpacing(8)
            column.addWidget(name)
            column.addWidget(about)
        self.setWidget(sheet)
        bar = self.verticalScrollBar().sizeHint().width()
        self._needed = column.totalHeightForWidth(_WIDTH - bar)

    def sizeHint(self) -> QSize:  # noqa: N802
        """As high as the explanations, up to a limit."""
        return QSize(_WIDTH, min(self._needed, _HIGHEST))
