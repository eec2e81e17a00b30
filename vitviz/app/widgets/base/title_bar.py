"""The title bar of a panel's dock, and the labels that shorten their text to fit."""

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QMouseEvent, QPainter, QPaintEvent, QPalette, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from vitviz.app.ui import icons, theme

_JOINTS = "_-/"
_WHOLE = 5  # lines of a label that is shown whole


def wrapped_lines(text: str, metrics: QFontMetrics, width: int, most: int) -> list[str]:
    """The lines of a text wrapped at spaces to `width` pixels; a text that needs more than `most` lines is elided.

    A word that is wider than a line is wrapped after a "_", "-" or "/", as in names of models. A line ends after a
    separating dot or a comma if the rest then fits into the next line. A separating dot at the end of a line is removed.
    """
    lines: list[str] = []
    while len(lines) < most - 1 and metrics.horizontalAdvance(text) > width:
        spaces = [place for place, letter in enumerate(text) if letter == " " and not _enclosed(text[:place])]
        fitting = [place for place in spaces if metrics.horizontalAdvance(text[:place]) <= width]
        if not fitting:
            joints = [place for place, letter in enumerate(text, start=1) if letter in _JOINTS]
            joints = [place for place in joints if metrics.horizontalAdvance(text[:place]) <= width]
            if not joints:
                break
            lines.append(text[: joints[-1]])
            text = text[joints[-1] :]
            continue
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
    """Whether the text after `before` is inside brackets, such as (row, column)."""
    return before.count("(") > before.count(")")


class ElidedLabel(QLabel):
    """A label of at most `lines` lines; a longer text is elided and shown whole in the tooltip.

    It draws its text itself, because QLabel.setText updates the layout around it, which is slow for a text that follows
    the pointer. For the same reason the label keeps its largest height until it is resized, shown again or emptied.
    """

    text_changed = Signal()

    def __init__(self, parent: QWidget | None = None, lines: int = 1) -> None:
        super().__init__(parent)
        self._whole = ""
        self._most = self._usual = lines
        self._lines = 1
        self._has_tip = False
        self._cached_lines: tuple[tuple[str, int], list[str]] | None = (
            None  # text and width, and the lines they give
        )
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def set_text(self, text: str) -> None:
        """Set the text."""
        if text != self._whole:
            self._whole = text
            self.setAccessibleName(text)
            needed = len(self.lines())
            self._reserve_lines(needed if text == "" else max(self._lines, needed))
            self.update()
            self.text_changed.emit()

    def show_whole(self, whole: bool) -> None:
        """Whether the label may have as many lines as its text needs, up to 5, as in a presentation."""
        most = max(self._usual, _WHOLE) if whole else self._usual
        if most != self._most:
            self._most = most
            self._cached_lines = None
            self._reserve_lines(len(self.lines()))
            self.update()

    def set_lines(self, lines: int) -> None:
        """Change the number of lines that the label may have."""
        if lines != self._usual:
            self._most = lines if self._most == self._usual else max(lines, self._most)
            self._usual = lines
            self._cached_lines = None
            self._reserve_lines(len(self.lines()))
            self.update()

    @property
    def whole(self) -> str:
        """The whole text, not elided."""
        return self._whole

    def lines(self) -> list[str]:
        """The lines as they are drawn. The whole text is the tooltip if it is elided."""
        key = self._whole, self.width()
        if self._cached_lines is None or self._cached_lines[0] != key:
            lines = wrapped_lines(self._whole, self.fontMetrics(), self.width(), self._most)
            self._cached_lines = key, lines
            cut = lines[-1].endswith("…") and not self._whole.endswith("…")
            if cut or self._has_tip:
                self._has_tip = cut
                self.setToolTip(self._whole if cut else "")
        return self._cached_lines[1]

    def _reserve_lines(self, lines: int) -> None:
        if lines != self._lines:
            self._lines = lines
            self.updateGeometry()

    def sizeHint(self) -> QSize:  # noqa: N802
        """The height of the lines at the current width."""
        return QSize(self.fontMetrics().averageCharWidth(), self._lines * self.fontMetrics().height())

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """The same height; the width may shrink to 0."""
        return QSize(0, self.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Wrap the text to the new width."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._reserve_lines(len(self.lines()))

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Reduce the height to the lines of the current text."""
        super().showEvent(event)
        self._reserve_lines(len(self.lines()))

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Wrap the text in the new font."""
        self._cached_lines = None
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._reserve_lines(len(self.lines()))

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw the wrapped and elided text."""
        painter = QPainter(self)  # its pen has the colour of the foreground role
        painter.drawText(self.rect(), self.alignment(), "\n".join(self.lines()))


class MutedLabel(ElidedLabel):
    """Small text in the secondary colour, of up to two lines."""

    def __init__(self, parent: QWidget | None = None, lines: int = 2) -> None:
        super().__init__(parent, lines)
        self.setFont(theme.small())
        self.setForegroundRole(QPalette.ColorRole.PlaceholderText)


class TitleBar(QWidget):
    """A dock's title bar with buttons; the dock can be dragged by it. A double click is for the float button too."""

    double_clicked = Signal()

    def __init__(self, dock: QDockWidget) -> None:
        super().__init__(dock)
        name = QLabel(dock.windowTitle())
        name.setFont(theme.body(strong=True))
        title = dock.windowTitle()
        self.float_button = self._button(f"Float or dock {title}", "Float or dock this panel (Ctrl+Shift+F)")
        self.maximize_button = self._button(
            f"Maximize {title}", "Maximize this panel, or make it smaller again"
        )
        self.maximize_button.hide()  # a docked panel has no window to maximize
        self.close_button = self._button(
            f"Close {title}", "Close this panel (Ctrl+Shift+W); the Panels menu opens it again"
        )
        self.close_button.clicked.connect(dock.close)
        line = self._line = QHBoxLayout(self)
        line.setContentsMargins(12, 4, 8, 4)  # aligned with the caption of the photo
        line.setSpacing(4)
        line.addWidget(name)
        line.addStretch(1)
        line.addWidget(self.float_button)
        line.addWidget(self.maximize_button)
        line.addWidget(self.close_button)
        self._tint_icons()

    def add_button(self, button: QToolButton) -> None:
        """Add a button to the left of the others."""
        self._line.insertWidget(self._line.indexOf(self.float_button), button)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint the icons in the new palette."""
        if event.type() == QEvent.Type.PaletteChange:
            self._tint_icons()
        super().changeEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Emit `double_clicked`; accepted, because the dock would float exactly over its old place."""
        self.double_clicked.emit()
        event.accept()

    def _button(self, name: str, tip: str) -> QToolButton:
        button = QToolButton()
        button.setAutoRaise(True)
        button.setIconSize(QSize(14, 14))
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setToolTip(tip)
        button.setAccessibleName(name)
        return button

    def _tint_icons(self) -> None:
        self.float_button.setIcon(icons.icon("float", self.palette()))
        self.maximize_button.setIcon(icons.icon("fit", self.palette()))
        self.close_button.setIcon(icons.icon("close", self.palette()))
