"""An empty state: what would be here, and the buttons that fill it."""

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QColor, QHideEvent, QPainter, QPaintEvent, QPalette, QPen, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from vitviz.app.ui import theme


class Invitation(QWidget):
    """A sentence, a hint and a button per action, floating in the middle or at the lower edge of its parent."""

    widest = 440

    def __init__(self, parent: QWidget, actions: Sequence[QAction], low: bool = False) -> None:
        super().__init__(parent)
        self._room = parent
        self._low = low
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

    def invite(self, headline: str, hint: str) -> None:
        """Show, with these words."""
        self.headline.setText(headline)
        self.hint.setText(hint.replace(": ", ":\n"))  # no single word in a line of its own
        self.hint.setVisible(bool(hint))
        self.show()
        self.raise_()
        self._place()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Keep the place when the parent is resized."""
        if event.type() in (QEvent.Type.Resize, QEvent.Type.Show) and watched is self._room:
            self._place()
        return False

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Lie in the parent, and follow its size for as long as this can be seen."""
        super().showEvent(event)
        self._room.installEventFilter(self)
        self._place()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """No longer follow the parent."""
        super().hideEvent(event)
        self._room.removeEventFilter(self)

    def event(self, event: QEvent) -> bool:
        """Keep the place when what is inside needs more or less room."""
        done = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest:
            self._place()
        return done

    def _place(self) -> None:
        room = self._room
        width, height = self._needed()
        top = room.height() - height - 32 if self._low else (room.height() - height) // 2
        self.setGeometry((room.width() - width) // 2, max(0, top), width, height)

    def _needed(self) -> tuple[int, int]:
        """Width and height of what is shown now."""
        width = min(self.widest, self._room.width() - 16)
        if self._column.hasHeightForWidth():
            return width, self._column.heightForWidth(width)
        return width, self.sizeHint().height()

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Over a photo a raised card, on the empty stage a drop zone, in an empty panel nothing but the words."""
        if not self._low and not self.buttons:
            return
        if self._low:
            theme.paint_card(self)
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(theme.colors(self.palette()).line), 2, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(self.rect().adjusted(1, 1, -1, -1), 12, 12)
