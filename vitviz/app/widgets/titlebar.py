"""The head of a panel: its name, the one line that says what it shows of what, and quiet buttons."""

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QPalette, QResizeEvent
from PySide6.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from vitviz.app import icons, theme


class ElidedLabel(QLabel):
    """A line of text that gives way: cut with an ellipsis, whole in the tooltip."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._whole = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def set_text(self, text: str) -> None:
        """The whole text."""
        if text != self._whole:
            self._whole = text
            self.setAccessibleName(text)
            self._cut()

    @property
    def whole(self) -> str:
        """The text before it was cut."""
        return self._whole

    def resizeEvent(self, _: QResizeEvent) -> None:  # noqa: N802
        """Cut again."""
        self._cut()

    def _cut(self) -> None:
        cut = self.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideRight, self.width())
        self.setText(cut)
        self.setToolTip(self._whole if cut != self._whole else "")


class Quiet(ElidedLabel):
    """Small, quiet text."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFont(theme.small())
        self.setForegroundRole(QPalette.ColorRole.PlaceholderText)


class TitleBar(QWidget):
    """A dock's title bar; dragging it moves the dock as usual."""

    def __init__(self, dock: QDockWidget) -> None:
        super().__init__(dock)
        self._dock = dock
        name = QLabel(dock.windowTitle())
        name.setFont(theme.body(strong=True))
        self._float = self._button("Float this panel, or put it back")
        self._close = self._button("Close this panel; the Panels menu brings it back")
        self._float.clicked.connect(lambda: dock.setFloating(not dock.isFloating()))
        self._close.clicked.connect(dock.close)
        line = QHBoxLayout(self)
        line.setContentsMargins(12, 8, 8, 4)
        line.setSpacing(4)
        line.addWidget(name)
        line.addStretch(1)
        line.addWidget(self._float)
        line.addWidget(self._close)
        self._dress()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint the icons again."""
        if event.type() == QEvent.Type.PaletteChange:
            self._dress()
        super().changeEvent(event)

    def _button(self, what: str) -> QToolButton:
        button = QToolButton()
        button.setAutoRaise(True)
        button.setIconSize(QSize(14, 14))
        button.setToolTip(what)
        button.setAccessibleName(what)
        return button

    def _dress(self) -> None:
        self._float.setIcon(icons.icon("float", self.palette()))
        self._close.setIcon(icons.icon("close", self.palette()))
