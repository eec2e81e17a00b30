"""The head of a panel: its name, the one line that says what it shows of what, and quiet buttons."""

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPalette
from PySide6.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QToolTip, QWidget

from vitviz.app import icons, theme


class ElidedLabel(QLabel):
    """A line of text that gives way: cut with an ellipsis, whole in the tooltip.

    It draws the text itself: a QLabel's new text lays out its neighbours again, and this one follows the pointer.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._whole = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def set_text(self, text: str) -> None:
        """The whole text."""
        if text != self._whole:
            self._whole = text
            self.setAccessibleName(text)
            self.update()

    @property
    def whole(self) -> str:
        """The text before it was cut."""
        return self._whole

    def sizeHint(self) -> QSize:  # noqa: N802
        """One line, whatever it says."""
        return QSize(self.fontMetrics().averageCharWidth(), self.fontMetrics().height())

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """One line."""
        return QSize(0, self.fontMetrics().height())

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """As much of the text as there is room for."""
        painter = QPainter(self)
        cut = self.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideRight, self.width())
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(self.rect(), self.alignment(), cut)

    def event(self, event: QEvent) -> bool:
        """The whole text as a tooltip, where it is cut."""
        if event.type() == QEvent.Type.ToolTip:
            room = self.fontMetrics().horizontalAdvance(self._whole) > self.width()
            QToolTip.showText(self.cursor().pos(), self._whole if room else "", self)
            return True
        return super().event(event)


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
        title = dock.windowTitle()
        self._float = self._button(
            f"Float {title}, or put it back", "Float this panel, or put it back (Ctrl+Shift+F)"
        )
        self._close = self._button(
            f"Close {title}", "Close this panel (Ctrl+Shift+W); the Panels menu brings it back"
        )
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

    def _button(self, name: str, tip: str) -> QToolButton:
        button = QToolButton()
        button.setAutoRaise(True)
        button.setIconSize(QSize(14, 14))
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setToolTip(tip)
        button.setAccessibleName(name)
        return button

    def _dress(self) -> None:
        self._float.setIcon(icons.icon("float", self.palette()))
        self._close.setIcon(icons.icon("close", self.palette()))
