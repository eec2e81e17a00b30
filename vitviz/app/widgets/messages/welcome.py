"""The welcome screen on the empty stage: a drop zone, scenes, models and a tip."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QAction, QIcon, QImageReader, QPalette, QPixmap
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QToolButton, QWidget

from vitviz.app.ui import theme
from vitviz.app.widgets.messages.empty_state import EmptyState

_THUMBNAIL = QSize(120, 90)
_COLUMNS = 4
_GAP = 4


@dataclass(frozen=True)
class Offer:
    """A scene or a model to start with; only scenes have a picture. `act` opens it."""

    title: str
    about: str
    act: Callable[[], object]
    picture: Path | None = None
    tip: str = ""
    """More than `about`, for the tooltip."""


class Welcome(EmptyState):
    """The empty state of the stage, with scenes to open, models that need no download, and a tip."""

    widest = 620  # pixels

    def __init__(self, parent: QWidget, actions: Sequence[QAction]) -> None:
        super().__init__(parent, actions)
        self.scenes: list[QToolButton] = []
        self.models: list[QPushButton] = []
        self._spare: list[list[QWidget]] = []  # what can be done without, the first first
        self._fitted: tuple[QSize, int] | None = (
            None  # the room that this was decided for, and the height needed
        )

    def fill(self, scenes: Sequence[Offer], models: Sequence[Offer], tip: str) -> None:
        """Add scenes, models and the tip; only the first call has an effect."""
        if self.scenes or self.models:
            return
        column = self._column
        column.setContentsMargins(24, 28, 24, 24)
        if scenes:
            above_scenes = self._heading("Or open one of these scenes")
            grid = QGridLayout()
            grid.setSpacing(_GAP)
            for number, scene in enumerate(scenes[: 2 * _COLUMNS]):
                button = scene_button(self, scene, _THUMBNAIL)
                grid.addWidget(button, number // _COLUMNS, number % _COLUMNS, Qt.AlignmentFlag.AlignHCenter)
                self.scenes.append(button)
            column.addLayout(grid)
            self._spare = [list(self.scenes[_COLUMNS:]), [above_scenes]]
        if models:
            above_models = self._heading("Models that need no download")
            line = QHBoxLayout()
            line.setSpacing(8)
            line.addStretch(1)
            for model in models:
                load = model_button(self, model)
                line.addWidget(load)
                self.models.append(load)
            line.addStretch(1)
            column.addLayout(line)
            self._spare.insert(1, [above_models, *self.models])
        self.tip = hint_label(tip)
        self.tip.setContentsMargins(0, 12, 0, 0)
        column.addWidget(self.tip)
        self._spare.insert(1, [self.tip])
        # The tab order is set because these buttons were added after all panels.
        for before, after in pairwise([*self.buttons, *self.scenes, *self.models]):
            self.setTabOrder(before, after)
        self._place()

    def _place(self) -> None:
        """Hide what does not fit: the second row of scenes, the tip, the models. The menus list all scenes and models."""
        if self._spare and (self._area.size(), self._needed_size()[1]) != self._fitted:
            for number in range(len(self._spare) + 1):
                for place, part in enumerate(self._spare):
                    for widget in part:
                        widget.setHidden(place < number)
                self._column.invalidate()
                self._column.activate()  # measures the rows inside anew too
                if self._needed_size()[1] <= self._area.height():
                    break
            self._fitted = self._area.size(), self._needed_size()[1]
        super()._place()

    def _heading(self, text: str) -> QLabel:
        heading = hint_label(text)
        heading.setContentsMargins(0, 16, 0, 0)
        self._column.addWidget(heading)
        return heading


def hint_label(text: str) -> QLabel:
    """A centred label with small text in the secondary colour."""
    label = QLabel(text)
    label.setFont(theme.small())
    label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
    label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
    label.setWordWrap(True)
    return label


def model_button(parent: QWidget, model: Offer) -> QPushButton:
    """A button that loads a model."""
    button = QPushButton(model.title, parent)
    button.setToolTip(model.about)
    button.setAccessibleName(f"Load the model {model.title}")
    button.clicked.connect(lambda _=False: model.act())
    return button


def scene_button(parent: QWidget, scene: Offer, size: QSize) -> QToolButton:
    """A button with a scene's picture of `size` that opens the scene."""
    button = QToolButton(parent)
    button.setAutoRaise(True)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
    button.setText(scene.title)
    button.setFont(theme.small())
    button.setToolTip(scene.about)
    button.setAccessibleName(f"Open the scene {scene.title}")
    button.setIconSize(size)
    if scene.picture is not None:
        button.setIcon(QIcon(_cropped(scene.picture, size, parent.devicePixelRatioF())))
    button.clicked.connect(lambda _=False: scene.act())
    return button


def _cropped(path: Path, size: QSize, ratio: float) -> QPixmap:
    """The middle of an image file in the aspect ratio of `size`; empty if it cannot be read."""
    reader = QImageReader(str(path))
    wanted = size * ratio
    whole = reader.size().scaled(wanted, Qt.AspectRatioMode.KeepAspectRatioByExpanding)
    reader.setScaledSize(whole)
    left, top = (whole.width() - wanted.width()) // 2, (whole.height() - wanted.height()) // 2
    made = QPixmap.fromImage(reader.read()).copy(QRect(left, top, wanted.width(), wanted.height()))
    made.setDevicePixelRatio(ratio)
    return made
