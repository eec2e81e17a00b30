"""An error message inside the window: one sentence, collapsible details, and a report to copy."""

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication, QPalette
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vitviz.app.ui import icons, theme


class Notice(QWidget):
    """Hidden until there is a message; shown until it is closed, or until what it speaks of is replaced."""

    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Notice")
        self._report = ""
        self._lasting = False
        self.sentence = QLabel()
        self.sentence.setWordWrap(True)
        self.sentence.setTextFormat(Qt.TextFormat.PlainText)
        self.sentence.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.sentence.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.details_button = QToolButton()
        self.details_button.setText("Details")
        self.details_button.setCheckable(True)
        self.copy = QToolButton()
        self.copy.setText("Copy report")
        self.dismiss = QToolButton()
        self.dismiss.setAccessibleName("Close the notice")
        self.dismiss.setToolTip("Close")
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setMaximumHeight(160)
        self.details.setAccessibleName("Details")
        self._icon = QLabel()
        for button in (self.details_button, self.copy, self.dismiss):
            button.setAutoRaise(True)
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignVCenter)
        line.addWidget(self.sentence, 1)
        for button in (self.details_button, self.copy, self.dismiss):
            line.addWidget(button, 0, Qt.AlignmentFlag.AlignVCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 8, 8)
        column.setSpacing(8)
        column.addLayout(line)
        column.addWidget(self.details)
        self.details_button.toggled.connect(self.details.setVisible)
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self._report))
        self.dismiss.clicked.connect(self.clear)
        self.setAutoFillBackground(True)
        self.setBackgroundRole(QPalette.ColorRole.Button)
        self._apply_palette()
        self.clear()

    def show_message(self, sentence: str, details: str = "", report: str = "", lasting: bool = False) -> None:
        """Show a sentence, with the details collapsed. A `lasting` message is not removed by `clear_replaced`."""
        self._lasting = lasting
        self.sentence.setText(sentence)
        self.details.setPlainText(details)
        self._report = report or sentence
        self.details_button.setChecked(False)
        self.details_button.setVisible(bool(details))
        self.copy.setVisible(bool(details))
        self.details.setVisible(False)
        self.setVisible(True)

    def clear_replaced(self) -> None:
        """What the message speaks of is replaced: remove it, unless it is lasting."""
        if not self._lasting:
            self.clear()

    def clear(self) -> None:
        """Remove the message."""
        self.setVisible(False)
        self.sentence.clear()
        self.details.setVisible(False)
        self.closed.emit()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint the icons in the new palette."""
        if event.type() == QEvent.Type.PaletteChange:
            self._apply_palette()
        super().changeEvent(event)

    def _apply_palette(self) -> None:
        self.sentence.setFont(theme.body())
        self.dismiss.setIcon(icons.icon("close", self.palette()))
        self._icon.setPixmap(
            icons.icon("warning", self.palette()).pixmap(QSize(16, 16), self.devicePixelRatioF())
        )
