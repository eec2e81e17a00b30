"""The head of a panel: its name, the one line that says what it shows of what, and quiet buttons."""

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPalette, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QToolTip, QWidget

from vitviz.app.ui import icons, theme


def broken(text: str, metrics: QFontMetrics, width: int, most: int) -> list[str]:
    """A text in lines no wider than `width`, broken between words; what does not fit into `most` lines is cut.

    After a dot or a comma rather than within what belongs together, where the rest has room then too. A separating dot at
    the end of a line is left out: the break separates.
    """
    lines: list[str] = []
    while len(lines) < most - 1 and metrics.horizontalAdvance(text) > width:
        spaces = [place for place, letter in enumerate(text) if letter == " " and not _enclosed(text[:place])]
        fitting = [place for place in spaces if metrics.horizontalAdvance(text[:place]) <= width]
        if not fitting:
            break
        pauses = [
            place
            for place in fitting
            if text[place - 1] in "·," and metrics.horizontalAdvance(text[place + 1 :]) <= width
        ]
        at = (pauses or fitting)[-1]
        lines.append(text[:at].removesuffix(" ·"))
        text = text[at + 1 :].removeprefix("· ")
    return [*lines, metrics.elidedText(text, Qt.TextElideMode.ElideRight, width)]


def _enclosed(before: str) -> bool:
    """Whether what follows is in brackets, such as the column of a patch (row, column)."""
    return before.count("(") > before.count(")")


class ElidedLabel(QLabel):
    """Text that gives way: `lines` lines at most, then cut with an ellipsis; whole in the tooltip.

    It draws the text itself: a QLabel's new text lays out its neighbours again, and this one follows the pointer.
    For the same reason room that was once needed is kept until the label is resized, shown again or emptied.
    """

    def __init__(self, parent: QWidget | None = None, lines: int = 1) -> None:
        super().__init__(parent)
        self._whole = ""
        self._most = lines
        self._lines = 1
        self._broken: tuple[tuple[str, int], list[str]] | None = (
            None  # text and width, and the lines they give
        )
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def set_text(self, text: str) -> None:
        """The whole text."""
        if text != self._whole:
            self._whole = text
            self.setAccessibleName(text)
            needed = len(self.lines())
            self._take_room(needed if text == "" else max(self._lines, needed))
            self.update()

    @property
    def whole(self) -> str:
        """The text before it was cut."""
        return self._whole

    def lines(self) -> list[str]:
        """The text as it is drawn."""
        made_of = self._whole, self.width()
        if self._broken is None or self._broken[0] != made_of:
            self._broken = made_of, broken(self._whole, self.fontMetrics(), self.width(), self._most)
        return self._broken[1]

    def _take_room(self, lines: int) -> None:
        if lines != self._lines:
            self._lines = lines
            self.updateGeometry()

    def sizeHint(self) -> QSize:  # noqa: N802
        """As many lines as it needs at this width."""
        return QSize(self.fontMetrics().averageCharWidth(), self._lines * self.fontMetrics().height())

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """As many lines, of any width."""
        return QSize(0, self.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Break the text elsewhere."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._take_room(len(self.lines()))

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Take no more room than needed."""
        super().showEvent(event)
        self._take_room(len(self.lines()))

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Break larger type elsewhere."""
        self._broken = None
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._take_room(len(self.lines()))

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """As much of the text as there is room for."""
        painter = QPainter(self)  # its pen has the colour of the foreground role
        painter.drawText(self.rect(), self.alignment(), "\n".join(self.lines()))

    def event(self, event: QEvent) -> bool:
        """The whole text as a tooltip, where it is cut."""
        if event.type() == QEvent.Type.ToolTip:
            cut = self.lines()[-1].endswith("…") and not self._whole.endswith("…")
            QToolTip.showText(self.cursor().pos(), self._whole if cut else "", self)
            return True
        return super().event(event)


class Quiet(ElidedLabel):
    """Small, quiet text, in two lines where it needs them."""

    def __init__(self, parent: QWidget | None = None, lines: int = 2) -> None:
        super().__init__(parent, lines)
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
        self.float_button = self._button(
            f"Float {title}, or put it back", "Float this panel, or put it back (Ctrl+Shift+F)"
        )
        self.close_button = self._button(
            f"Close {title}", "Close this panel (Ctrl+Shift+W); the Panels menu brings it back"
        )
        self.float_button.clicked.connect(lambda: dock.setFloating(not dock.isFloating()))
        self.close_button.clicked.connect(dock.close)
        line = QHBoxLayout(self)
        line.setContentsMargins(12, 4, 8, 4)  # level with the title of the photo
        line.setSpacing(4)
        line.addWidget(name)
        line.addStretch(1)
        line.addWidget(self.float_button)
        line.addWidget(self.close_button)
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
        self.float_button.setIcon(icons.icon("float", self.palette()))
        self.close_button.setIcon(icons.icon("close", self.palette()))
