"""An empty state: says why a view is empty, with buttons that fill it."""

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QColor, QHideEvent, QPainter, QPaintEvent, QPalette, QPen, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from vitviz.app.ui import theme


class EmptyState(QWidget):
    """A headline, a hint and a button per action over the middle of its parent, or at its lower edge if `low`."""

    widest = 440  # pixels

    def __init__(self, parent: QWidget, actions: Sequence[QAction], low: bool = False) -> None:
        super().__init__(parent)
        self._area = parent
        self._low = low
        self._hint = self._progress = ""
        self.headline = QLabel()
        self.headline.setFont(theme.body(strong=True))
        self.hint = QLabel()
        self.hint.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self._column = column = QVBoxLayout(self)
        tall = 20 if low or not actions else 48
        column.setContentsMargins(24, tall, 24, tall)
        column.setSpacing(8)
        for label in (self.headline, self.hint):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
            column.addWidget(label)
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addStretch(1)
        self.buttons = []
        for action in actions:
            button = QPushButton(action.text().replace("&", ""))
            button.setToolTip(action.toolTip())
            button.clicked.connect(action.trigger)
            self.buttons.append(button)
            line.addWidget(button)
        line.addStretch(1)
        if actions:
            column.addSpacing(8)
            column.addLayout(line)
        self.hide()

    def show_message(self, headline: str, hint: str) -> None:
        """Show these texts."""
        self.headline.setText(headline)
        self._hint = hint.replace(": ", ":\n")  # avoids a last line of one word
        self._show_hint()
        self.show()
        self.raise_()
        self._place()

    def show_progress(self, text: str) -> None:
        """Show what is being done in place of the hint; an empty text shows the hint again."""
        if text != self._progress:
            self._progress = text
            self._show_hint()

    def _show_hint(self) -> None:
        text = f"{self._progress} …" if self._progress else self._hint
        self.hint.setText(text)
        self.hint.setVisible(bool(text))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Update the position when the parent is resized."""
        if event.type() in (QEvent.Type.Resize, QEvent.Type.Show) and watched is self._area:
            self._place()
        return False

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Update the position, and follow the size of the parent while visible."""
        super().showEvent(event)
        self._area.installEventFilter(self)
        self._place()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Stop following the size of the parent."""
        super().hideEvent(event)
        self._area.removeEventFilter(self)

    def event(self, event: QEvent) -> bool:
        """Update the position when the content changes its size."""
        done = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest:
            self._place()
        return done

    def _place(self) -> None:
        area = self._area
        width, height = self._needed_size()
        top = area.height() - height - 32 if self._low else (area.height() - height) // 2
        self.setGeometry((area.width() - width) // 2, max(0, top), width, height)

    def _needed_size(self) -> tuple[int, int]:
        """Width and height of the current content."""
        width = min(self.widest, self._area.width() - 16)
        if self._column.hasHeightForWidth():
            return width, self._column.heightForWidth(width)
        return width, self.sizeHint().height()

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw a card over a photo, the border of a drop zone on the empty stage, and nothing in an empty panel."""
        if not self._low and not self.buttons:
            return
        if self._low:
            theme.paint_card(self)
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(theme.colors(self.palette()).line), 2, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(self.rect().adjusted(1, 1, -1, -1), 12, 12)
