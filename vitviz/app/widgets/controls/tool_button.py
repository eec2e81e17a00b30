"""A flat tool button with an icon or a text."""

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QToolButton


def tool(name: str, *, checkable: bool = False, text: str = "") -> QToolButton:
    """A flat button that can get the focus by Tab; `name` is its tooltip and its accessible name."""
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
