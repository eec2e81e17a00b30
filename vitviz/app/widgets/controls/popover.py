"""A button that opens a popover: a small window with controls below the button."""

from PySide6.QtCore import QEvent, QPoint, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPaintEvent
from PySide6.QtWidgets import QFrame, QToolButton, QVBoxLayout, QWidget

from vitviz.app.ui import icons, theme


class Popover(QFrame):
    """A popup window; closed by Esc, by a click outside it, or by `close`."""

    def __init__(self, parent: QWidget, content: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.content = content
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 1, 1, 1)
        column.addWidget(content)

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw the outline."""
        theme.draw_outline(self)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Close on Esc."""
        if event.key() == Qt.Key.Key_Escape:
            self.close()
        else:
            super().keyPressEvent(event)


class PopButton(QToolButton):
    """A button whose text is the current choice; a click, Enter, Space or Down opens a popover with `content`."""

    opened = Signal(object)  # Popover

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.popover: Popover | None = None
        self.setAutoRaise(True)
        self.setFont(theme.body())
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setMinimumHeight(28)
        self.setIconSize(QSize(12, 12))
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.setLayoutDirection(Qt.LayoutDirection.RightToLeft)  # puts the chevron after the text
        self.clicked.connect(self.open)
        self._tint_icons()

    def content(self) -> QWidget:
        """The widget in the popover, which gets the focus; subclasses override it."""
        return QWidget()

    def open(self) -> None:
        """Open the popover below the button, within the screen."""
        content = self.content()
        content.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
        self.popover = Popover(self, content)
        self.popover.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
        self.popover.setAccessibleName(self.accessibleName())
        self.popover.adjustSize()
        at = self.mapToGlobal(QPoint(0, self.height() + 2))
        screen = self.screen().availableGeometry()
        at.setX(max(screen.left(), min(at.x(), screen.right() - self.popover.width())))
        at.setY(max(screen.top(), min(at.y(), screen.bottom() - self.popover.height())))
        self.popover.move(at)
        self.popover.destroyed.connect(self._forget)
        self.popover.show()
        content.setFocus(Qt.FocusReason.PopupFocusReason)
        self.opened.emit(self.popover)

    def close_popover(self) -> None:
        """Close the popover if it is open."""
        if self.popover is not None:
            self.popover.close()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Open on Down, Enter and Return, like a combo box."""
        if event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.click()
        else:
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint the chevron in the new palette."""
        if event.type() == QEvent.Type.PaletteChange:
            self._tint_icons()
        super().changeEvent(event)

    def _forget(self) -> None:
        self.popover = None

    def _tint_icons(self) -> None:
        self.setIcon(icons.icon("chevron", self.palette(), 12))
