"""The empty stage: a place to drop a photo, and what one can start with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QAction, QIcon, QImageReader, QPalette, QPixmap
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QToolButton, QWidget

from vitviz.app.ui import theme
from vitviz.app.widgets.messages.empty_state import Invitation

_THUMBNAIL = QSize(120, 90)
_COLUMNS = 4
_GAP = 4


@dataclass(frozen=True)
class Offer:
    """Something to start with; scenes have a picture."""

    title: str
    about: str
    act: Callable[[], object]
    picture: Path | None = None


class Welcome(Invitation):
    """An invitation with pictures to try, models that are ready, and one tip."""

    widest = 620

    def __init__(self, parent: QWidget, actions: Sequence[QAction]) -> None:
        super().__init__(parent, actions)
        self.scenes: list[QToolButton] = []
        self.models: list[QPushButton] = []

    def offer(self, scenes: Sequence[Offer], models: Sequence[Offer], tip: str) -> None:
        """Fill in, once."""
        if self.scenes or self.models:
            return
        column = self._column
        column.setContentsMargins(24, 28, 24, 24)
        if scenes:
            self._heading("Or try one of these scenes")
            grid = QGridLayout()
            grid.setSpacing(_GAP)
            for number, scene in enumerate(scenes[: 2 * _COLUMNS]):
                button = scene_button(self, scene, _THUMBNAIL)
                grid.addWidget(button, number // _COLUMNS, number % _COLUMNS, Qt.AlignmentFlag.AlignHCenter)
                self.scenes.append(button)
            column.addLayout(grid)
        if models:
            self._heading("Models that are ready")
            line = QHBoxLayout()
            line.setSpacing(8)
            line.addStretch(1)
            for model in models:
                made = model_button(self, model)
                line.addWidget(made)
                self.models.append(made)
            line.addStretch(1)
            column.addLayout(line)
        column.addSpacing(12)
        self.tip = words(tip)
        column.addWidget(self.tip)
        # Made late, they would come after all panels.
        for before, after in pairwise([*self.buttons, *self.scenes, *self.models]):
            self.setTabOrder(before, after)
        self._place()

    def _place(self) -> None:
        """Where a second row of scenes has no room it gives way: the menu has them all."""
        second = self.scenes[_COLUMNS:]
        if second:
            shown = not second[0].isHidden()
            needed = self._needed()[1] + (0 if shown else second[0].sizeHint().height() + _GAP)
            if shown != (needed <= self._room.height()):
                for button in second:
                    button.setHidden(shown)
                self._column.invalidate()
        super()._place()

    def _heading(self, text: str) -> None:
        self._column.addSpacing(16)
        label = words(text)
        self._column.addWidget(label)


def words(text: str) -> QLabel:
    """Quiet words in the middle."""
    label = QLabel(text)
    label.setFont(theme.small())
    label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
    label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
    label.setWordWrap(True)
    return label


def model_button(parent: QWidget, model: Offer) -> QPushButton:
    """A button that loads a model."""
    made = QPushButton(model.title, parent)
    made.setToolTip(model.about)
    made.setAccessibleName(f"Load the model {model.title}")
    made.clicked.connect(lambda _=False: model.act())
    return made


def scene_button(parent: QWidget, scene: Offer, size: QSize) -> QToolButton:
    """A button with a scene's picture that opens it."""
    made = QToolButton(parent)
    made.setAutoRaise(True)
    made.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    made.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
    made.setText(scene.title)
    made.setFont(theme.small())
    made.setToolTip(scene.about)
    made.setAccessibleName(f"Open the scene {scene.title}")
    made.setIconSize(size)
    if scene.picture is not None:
        made.setIcon(QIcon(_cropped(scene.picture, size, parent.devicePixelRatioF())))
    made.clicked.connect(lambda _=False: scene.act())
    return made


def _cropped(path: Path, size: QSize, ratio: float) -> QPixmap:
    """The middle of a picture in the thumbnail's aspect; empty where it cannot be read."""
    reader = QImageReader(str(path))
    wanted = size * ratio
    whole = reader.size().scaled(wanted, Qt.AspectRatioMode.KeepAspectRatioByExpanding)
    reader.setScaledSize(whole)
    left, top = (whole.width() - wanted.width()) // 2, (whole.height() - wanted.height()) // 2
    made = QPixmap.fromImage(reader.read()).copy(QRect(left, top, wanted.width(), wanted.height()))
    made.setDevicePixelRatio(ratio)
    return made
