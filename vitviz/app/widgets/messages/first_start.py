"""What the first start shows below the scene: a drop zone, scenes, models and a tip, until it is closed."""

from collections.abc import Sequence
from itertools import pairwise

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QAction, QCloseEvent, QColor, QPainter, QPaintEvent, QPalette, QPen, QResizeEvent
from PySide6.QtWidgets import (
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

_THUMBNAIL = QSize(88, 66)
_TIP = 220  # smallest width in pixels
_GAP, _GROUP_GAP = 4, 24


class FirstStart(QWidget):
    """A drop zone, scenes to open, models that need no download, and a tip. A narrow window shows fewer scenes."""

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
        self.tip.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        line = QHBoxLayout(self)
        line.setContentsMargins(12, 8, 8, 8)
        line.setSpacing(_GROUP_GAP)
        line.addWidget(self.zone)
        line.addLayout(_titled("Or open one of these scenes", pictures))
        line.addLayout(_titled("Models that need no download", ready, self.tip), 1)
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
        headline.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.button = QPushButton(action.text().replace("&", ""))
        self.button.setToolTip(action.toolTip())
        self.button.clicked.connect(action.trigger)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 12, 20, 12)
        column.addStretch(1)
        column.addWidget(headline)
        column.addWidget(self.button, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(1)

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw a dashed border."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(theme.colors(self.palette()).line), 2, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(self.rect().adjusted(1, 1, -1, -1), 12, 12)


def _titled(title: str, content: QLayout, below: QWidget | None = None) -> QVBoxLayout:
    column = QVBoxLayout()
    column.setSpacing(4)
    label = QLabel(title)
    label.setFont(theme.small())
    label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
    column.addWidget(label)
    column.addLayout(content)
    if below is not None:
        column.addSpacing(4)
        column.addWidget(below)
    column.addStretch(1)
    return column
