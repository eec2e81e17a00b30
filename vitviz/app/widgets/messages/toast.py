"""A short note over the stage that goes away by itself."""

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from vitviz.app.ui import theme

_STAYS = 5000  # milliseconds


class Toast(QWidget):
    """Floats at the upper edge of its parent; the pointer goes through it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._room = parent
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.words = QLabel()
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setWordWrap(True)
        self.words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._line = line = QHBoxLayout(self)
        line.setContentsMargins(16, 8, 16, 8)
        line.addWidget(self.words)
        self._end = QTimer(self, interval=_STAYS, singleShot=True)
        self._end.timeout.connect(self.hide)
        self.hide()
        parent.installEventFilter(self)

    def say(self, sentence: str) -> None:
        """Show a sentence for a while, instead of the one before."""
        self.words.setText(sentence)
        self.setAccessibleName(sentence)
        self._place()
        self.show()
        self.raise_()
        self._end.start()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Keep the place when the stage is resized."""
        if event.type() == QEvent.Type.Resize and watched is self._room and self.isVisible():
            self._place()
        return False

    def _place(self) -> None:
        self.words.setFont(theme.body())
        wanted = self.words.fontMetrics().horizontalAdvance(self.words.text()) + 40
        width = min(wanted, self._room.width() - 32)
        height = self._line.heightForWidth(width)
        self.setGeometry((self._room.width() - width) // 2, 16, width, height)

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """A raised card."""
        theme.paint_card(self)
