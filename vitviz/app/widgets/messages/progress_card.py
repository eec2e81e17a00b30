"""A card over the stage that shows the running work, its progress and a cancel button."""

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QPaintEvent, QPalette
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from vitviz.app.ui import theme
from vitviz.app.widgets.base.title_bar import wrapped_lines

_WIDTH = 420  # pixels


class ProgressCard(QWidget):
    """Shown at the lower edge of its parent while work is running."""

    cancelled = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._area = parent
        self.setAccessibleName("Progress")
        self.text = QLabel()
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(4)
        self.bar.setAccessibleName("Part done")
        # Opaque, so that its animation does not repaint the card and the photo below, which would slow down the work.
        self.bar.setAutoFillBackground(True)
        self.bar.setBackgroundRole(QPalette.ColorRole.Button)
        self.cancel = QPushButton("Cancel")
        self.cancel.clicked.connect(self.cancelled)
        line = QHBoxLayout()
        line.setSpacing(12)
        line.addWidget(self.text, 1)
        line.addWidget(self.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 12, 12)
        column.setSpacing(8)
        column.addLayout(line)
        column.addWidget(self.bar)
        theme.mute_accent(self.bar)
        self.hide()
        parent.installEventFilter(self)

    def show_progress(self, text: str, done: float | None) -> None:
        """Show what is being done, and the fraction `done` (0 to 1); if it is None, the bar shows no value."""
        shown = f"{text} · {done:.0%}" if done is not None else text
        self.text.setText("\n".join(wrapped_lines(shown, self.text.fontMetrics(), _WIDTH - 130, 2)))
        self.text.setToolTip(shown)
        self.bar.setRange(0, 0 if done is None else 1000)
        if done is not None:
            self.bar.setValue(round(done * 1000))
        self._place()
        self.show()
        self.raise_()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Update the position when the stage is resized."""
        if event.type() == QEvent.Type.Resize and watched is self._area:
            self._place()
        return False

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Apply the muted colour of the new palette to the bar."""
        if event.type() == QEvent.Type.PaletteChange:
            theme.mute_accent(self.bar)
        super().changeEvent(event)

    def _place(self) -> None:
        area = self._area
        width = min(_WIDTH, area.width() - 32)
        height = self.sizeHint().height()
        self.setGeometry((area.width() - width) // 2, area.height() - height - 32, width, height)

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw the card."""
        theme.paint_card(self)
