"""A quiet button: an icon or a word, with its name for those who cannot see it."""

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QToolButton


def tool(name: str, *, checkable: bool = False, text: str = "") -> QToolButton:
    """A flat button reached by Tab; `name` is its tooltip and its accessible name."""
    button = QToolButton()
    button.setAutoRaise(True)
    button.setCheckable(checkable)
    button.setText(text)
    button.setIconSize(QSize(16, 16))
    button.setMinimumHeight(28)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.setToolTip(name)
    button.setAccessibleName(name)
    return button
