"""The controls of how the heat is drawn."""

from collections.abc import Mapping

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QComboBox, QSizePolicy, QSlider, QToolButton, QWidget

from vitviz.app.session.session import Session
from vitviz.app.session.view_state import ViewState
from vitviz.app.stage.scale_popup import ScaleButton
from vitviz.app.ui import icons, theme
from vitviz.app.widgets.base.flow_layout import FlowLayout
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.render.colors import COLORMAPS, STYLES

_BETWEEN = [("patches", "patches"), ("smooth", "smooth"), ("pixels", "pixels")]
_SIGNED = "Values on both sides of zero are blue below it and red above, in any colour map"
_STYLE_NAMES = {"glow": "glow", "tint": "even tint", "contour": "contours", "dim": "dim the rest"}


class AppearanceBar(QWidget):
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
        self.scale = ScaleButton(session)
        self.smooth = Segmented("Between patches", _BETWEEN[:2])
        self.fine = Segmented("Pixels, patches or between them", _BETWEEN)
        self.fine.hide()
        self.grid = _toggle(actions["grid"])
        line = FlowLayout(self, spacing=8)
        for widget in (
            self.opacity,
            self.style_,
            self.colormap,
            self.smooth,
            self.fine,
            self.grid,
            self.scale,
        ):
            line.addWidget(widget)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        self.opacity.valueChanged.connect(lambda value: session.change(opacity=value / 100))
        self.colormap.currentIndexChanged.connect(
            lambda _: session.change(colormap=self.colormap.currentData())
        )
        self.style_.currentIndexChanged.connect(lambda _: session.change(style=self.style_.currentData()))
        for choice in (self.smooth, self.fine):
            choice.chosen.connect(self._choose_between)
        session.view_changed.connect(self._follow)
        self._follow(session.view, session.view)
        self._apply_palette()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint again."""
        if event.type() == QEvent.Type.PaletteChange:
            self._apply_palette()
        super().changeEvent(event)

    def _apply_palette(self) -> None:
        theme.mute_accent(self.opacity)
        self.grid.setIcon(icons.icon("grid", self.palette()))

    def _follow(self, _: ViewState, now: ViewState) -> None:
        self.opacity.setValue(round(now.opacity * 100))
        self.colormap.setCurrentIndex(self.colormap.findData(now.colormap))
        self.style_.setCurrentIndex(self.style_.findData(now.style))
        between = "smooth" if now.smooth else "patches"
        self.smooth.set_current(between)
        self.fine.set_current("pixels" if now.pixels else between)
        # Contours run between patches and are always smooth; stepped ones do not exist.
        self.smooth.setEnabled(now.style != "contour")

    def follow_map(self, pixels: bool, signed: bool) -> None:
        """What the map that is shown has: a value for each pixel, values on both sides of zero."""
        if pixels == self.fine.isHidden():
            self.fine.setVisible(pixels)
            self.smooth.setVisible(not pixels)
        if signed == self.colormap.isEnabled():
            self.colormap.setEnabled(not signed)
            self.colormap.setToolTip(_SIGNED if signed else self.colormap.accessibleName())

    def _choose_between(self, key: str) -> None:
        if self.fine.isHidden():
            self._session.change(smooth=key == "smooth")
        else:
            self._session.change(smooth=key == "smooth", pixels=key == "pixels")


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
