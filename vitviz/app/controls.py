"""The controls of how the heat is drawn."""

from collections.abc import Mapping

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QSizePolicy, QSlider, QToolButton, QWidget

from vitviz.app import icons, theme
from vitviz.app.session import Session
from vitviz.app.state import ViewState
from vitviz.app.widgets.segmented import Segmented
from vitviz.render.colors import COLORMAPS, STYLES

_STYLE_NAMES = {"glow": "glow", "tint": "even tint", "contour": "contours", "dim": "dim the rest"}
_SCALE_NAMES = {"auto": "auto scale", "zero": "0 to max", "range": "min to max"}


class Controls(QWidget):
    """How the heat is drawn."""

    def __init__(self, session: Session, actions: Mapping[str, QAction]) -> None:
        super().__init__()
        self._session = session
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setFixedWidth(112)
        self.opacity.setToolTip("How strong the heat is ([ and ])")
        self.opacity.setAccessibleName("Opacity of the heat")
        self.colormap = _choice("Colour map", {name: name for name in COLORMAPS})
        self.style_ = _choice("How the heat is drawn", {key: _STYLE_NAMES.get(key, key) for key in STYLES})
        self.scale = _choice("Colour scale of this map", _SCALE_NAMES)
        self.smooth = Segmented("Between patches", [("patches", "patches"), ("smooth", "smooth")])
        self.grid = _toggle(actions["grid"])
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(8)
        for widget in (self.opacity, self.style_, self.colormap, self.scale, self.smooth, self.grid):
            line.addWidget(widget)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        self.opacity.valueChanged.connect(lambda value: session.change(opacity=value / 100))
        self.colormap.currentIndexChanged.connect(
            lambda _: session.change(colormap=self.colormap.currentData())
        )
        self.style_.currentIndexChanged.connect(lambda _: session.change(style=self.style_.currentData()))
        self.scale.currentIndexChanged.connect(lambda _: session.change(scale=self.scale.currentData()))
        self.smooth.chosen.connect(lambda key: session.change(smooth=key == "smooth"))
        session.view_changed.connect(self._follow)
        self._follow(session.view, session.view)
        self._dress()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint again."""
        if event.type() == QEvent.Type.PaletteChange:
            self._dress()
        super().changeEvent(event)

    def _dress(self) -> None:
        theme.calm(self.opacity)
        self.grid.setIcon(icons.icon("grid", self.palette()))

    def _follow(self, _: ViewState, now: ViewState) -> None:
        self.opacity.setValue(round(now.opacity * 100))
        self.colormap.setCurrentIndex(self.colormap.findData(now.colormap))
        self.style_.setCurrentIndex(self.style_.findData(now.style))
        self.scale.setCurrentIndex(self.scale.findData(now.scale))
        self.smooth.set_current("smooth" if now.smooth else "patches")
        # Contours run between patches and are always smooth; stepped ones do not exist.
        self.smooth.setEnabled(now.style != "contour")


def _choice(name: str, items: Mapping[str, str]) -> QComboBox:
    box = QComboBox()
    box.setAccessibleName(name)
    box.setToolTip(name)
    for key, text in items.items():
        box.addItem(text, key)
    return box


def _toggle(action: QAction) -> QToolButton:
    button = QToolButton()
    button.setAutoRaise(True)
    button.setCheckable(True)
    button.setChecked(action.isChecked())
    button.setText("grid")
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    button.setIconSize(QSize(16, 16))
    button.setMinimumHeight(28)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.setToolTip(action.toolTip())
    button.setAccessibleName(action.text().replace("&", ""))
    action.toggled.connect(button.setChecked)
    button.clicked.connect(action.trigger)
    return button
