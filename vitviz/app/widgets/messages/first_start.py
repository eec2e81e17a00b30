"""What the first start shows below the scene: a drop zone, scenes, models and a tip, until it is closed."""

from collections.abc import Sequence
from itertools import pairwise

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal
from PySide6.QtGui import (
    QAction,
    QCloseEvent,
    QColor,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import (
    QBoxLayout,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vitviz.app.ui import icons, theme
from vitviz.app.widgets.messages.welcome import Offer, hint_label, model_button, scene_button

_THUMBNAIL, _SMALL_THUMBNAIL = QSize(88, 66), QSize(21, 16)
_LOW = 800  # a window that is less high, in pixels, shows all in one line, so that the photo has room
_TIP = 220  # smallest width in pixels
_GAP, _GROUP_GAP = 4, 24


class FirstStart(QWidget):
    """A drop zone, scenes to open, models that need no download, and a tip.

    A narrow window shows fewer scenes, and a low one has all in one line, without the tip.
    """

    closed = Signal()

    def __init__(
        self,
        parent: QWidget,
        action: QAction,
        scenes: Sequence[Offer],
        models: Sequence[Offer],
        tip: str,
    ) -> None:
        super().__init__(parent)
        self.setAccessibleName("Welcome")
        self.zone = _DropZone(self, action)
        self.scenes = [scene_button(self, scene, _THUMBNAIL) for scene in scenes]
        self.models = [model_button(self, model) for model in models]
        self.tip = hint_label(tip)
        self.dismiss = QToolButton()
        self.dismiss.setAutoRaise(True)
        self.dismiss.setAccessibleName("Close the welcome screen")
        self.dismiss.setToolTip("Close")
        self.dismiss.clicked.connect(self.close)
        self._titles = [_title("Or open one of these scenes"), _title("Models that need no download")]
        self._low = False
        self._lay_out()
        in_order = [self.zone.button, *self.scenes, *self.models, self.dismiss]
        for before, after in pairwise(in_order):
            self.setTabOrder(before, after)
        self._tint_icons()

    def _lay_out(self) -> None:
        pictures, ready = QHBoxLayout(), QHBoxLayout()
        pictures.setSpacing(_GAP)
        for scene in self.scenes:
            pictures.addWidget(scene)
        ready.setSpacing(8)
        for model in self.models:
            ready.addWidget(model)
        ready.addStretch(1)
        self.tip.setMinimumWidth(_TIP)
        self.tip.setContentsMargins(0, 4, 0, 0)
        self.tip.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        line = QHBoxLayout(self)
        line.setContentsMargins(12, 8, 8, 8)
        line.setSpacing(_GROUP_GAP)
        line.addWidget(self.zone)
        line.addLayout(_titled(self._titles[0], pictures))
        line.addLayout(_titled(self._titles[1], ready, self.tip), 1)
        line.addWidget(self.dismiss, 0, Qt.AlignmentFlag.AlignTop)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Emit `closed` and delete the widget."""
        super().closeEvent(event)
        self.closed.emit()
        self.deleteLater()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Show as many scenes as fit."""
        super().resizeEvent(event)
        self._show_scenes()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Follow the height of the window."""
        super().showEvent(event)
        self.window().installEventFilter(self)
        self._fit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Follow the height of the window."""
        if event.type() == QEvent.Type.Resize and watched is self.window():
            self._fit()
        return False

    def _fit(self) -> None:
        low = self.window().height() < _LOW
        if low == self._low:
            return
        self._low = low
        style = Qt.ToolButtonStyle
        for scene in self.scenes:
            scene.setIconSize(_SMALL_THUMBNAIL if low else _THUMBNAIL)
            scene.setToolButtonStyle(style.ToolButtonTextBesideIcon if low else style.ToolButtonTextUnderIcon)
        for widget in (*self._titles, self.tip):
            widget.setHidden(low)
        self.zone.set_low(low)
        self._show_scenes()

    def _show_scenes(self) -> None:
        models = sum(model.sizeHint().width() + 8 for model in self.models)
        others = self.zone.sizeHint().width() + max(_TIP, models) + self.dismiss.sizeHint().width()
        available = self.width() - others - 4 * _GROUP_GAP
        for scene in self.scenes:
            available -= scene.sizeHint().width() + _GAP
            scene.setVisible(available >= 0)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint the icon in the new palette."""
        if event.type() == QEvent.Type.PaletteChange:
            self._tint_icons()
        super().changeEvent(event)

    def _tint_icons(self) -> None:
        self.dismiss.setIcon(icons.icon("close", self.palette()))

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw a line at the upper edge."""
        painter = QPainter(self)
        painter.fillRect(0, 0, self.width(), 1, QColor(theme.colors(self.palette()).line))


class _DropZone(QWidget):
    """Shows that photos can be dropped; the window accepts drops anywhere."""

    def __init__(self, parent: QWidget, action: QAction) -> None:
        super().__init__(parent)
        headline = QLabel("Drop a photo anywhere")
        headline.setFont(theme.body(strong=True))
        headline.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.button = QPushButton(action.text().replace("&", ""))
        self.button.setToolTip(action.toolTip())
        self.button.clicked.connect(action.trigger)
        self._box = QBoxLayout(QBoxLayout.Direction.TopToBottom, self)
        self._box.addStretch(1)
        self._box.addWidget(headline)
        self._box.addWidget(self.button, 0, Qt.AlignmentFlag.AlignCenter)
        self._box.addStretch(1)
        self.set_low(False)

    def set_low(self, low: bool) -> None:
        """Whether the button stands beside the words, not below them."""
        direction = QBoxLayout.Direction
        self._box.setDirection(direction.LeftToRight if low else direction.TopToBottom)
        self._box.setContentsMargins(*((0, 0, 0, 0) if low else (20, 12, 20, 12)))
        self._framed = not low

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw a dashed border where there is room for it."""
        if not self._framed:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(theme.colors(self.palette()).line), 2, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(self.rect().adjusted(1, 1, -1, -1), 12, 12)


def _title(text: str) -> QLabel:
    label = QLabel(text)
    label.setFont(theme.small())
    label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
    return label


def _titled(title: QLabel, content: QLayout, below: QWidget | None = None) -> QVBoxLayout:
    column = QVBoxLayout()
    column.setSpacing(4)
    column.addWidget(title)
    column.addLayout(content)
    if below is not None:
        column.addWidget(below)
    column.addStretch(1)
    return column
