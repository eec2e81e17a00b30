"""A short message over the stage that is hidden after some seconds."""

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from vitviz.app.ui import theme

_DURATION = 5000  # milliseconds


class Toast(QWidget):
    """Shown at the upper edge of its parent; mouse events pass through it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._area = parent
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.words = QLabel()
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setWordWrap(True)
        self.words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._line = line = QHBoxLayout(self)
        line.setContentsMargins(16, 8, 16, 8)
        line.addWidget(self.words)
        self._timer = QTimer(self, interval=_DURATION, singleShot=True)
        self._timer.timeout.connect(self.hide)
        self.hide()
        parent.installEventFilter(self)

    def show_message(self, sentence: str) -> None:
        """Show a sentence for some seconds; it replaces the previous one."""
        self.words.setText(sentence)
        self.setAccessibleName(sentence)
        self._place()
        self.show()
        self.raise_()
        self._timer.start()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Update the position when the stage is resized."""
        if event.type() == QEvent.Type.Resize and watched is self._area and self.isVisible():
            self._place()
        return False

    def _place(self) -> None:
        self.words.setFont(theme.body())
        wanted = self.words.fontMetrics().horizontalAdvance(self.words.text()) + 40
        width = min(wanted, self._area.width() - 32)
        height = self._line.heightForWidth(width)
        self.setGeometry((self._area.width() - width) // 2, 16, width, height)

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw the card."""
        theme.paint_card(self)
