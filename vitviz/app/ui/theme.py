"""Colours and fonts of the window: a light and a dark palette, two text sizes, two weights, one accent colour."""

from dataclasses import dataclass
from functools import lru_cache

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QFontInfo, QPainter, QPalette, QPen
from PySide6.QtWidgets import QApplication, QWidget

THEMES = ("system", "light", "dark")

_OUTLINED = (
    "QMenu",
    "QCheckBox",
    "QRadioButton",
    "QLineEdit",
    "QAbstractSpinBox",
    "QComboBoxPrivateContainer",
)
"""Classes whose outlines Fusion draws darker than their `Window` colour, which they use for nothing else. With that of the
dark theme they could not be seen."""
_DARKER = 140  # percent, as in Fusion

_Group = QPalette.ColorGroup
_Role = QPalette.ColorRole


@dataclass(frozen=True)
class Colors:
    """A colour scheme. The accent colour means "selected" and nothing else."""

    window: str
    base: str
    raised: str
    line: str
    outline: str
    popup: str
    text: str
    muted: str
    accent: str
    on_accent: str


DARK = Colors(
    "#17181b",
    "#101113",
    "#26282d",
    "#34373d",
    "#5b606a",
    "#2e3138",
    "#e9eaec",
    "#9a9fa8",
    "#ff8f2b",
    "#2b1400",
)
LIGHT = Colors(
    "#f6f6f7",
    "#ffffff",
    "#e8e9ec",
    "#d3d5da",
    "#aeb2ba",
    "#ffffff",
    "#1b1d21",
    "#5d636d",
    "#bf4d00",
    "#ffffff",
)


def is_dark(palette: QPalette) -> bool:
    """Whether a palette has light text on a dark window."""
    return palette.color(_Role.Window).lightness() < palette.color(_Role.WindowText).lightness()


_known: dict[int, Colors] = {}  # by QPalette.cacheKey; cached, because it is needed in each paint event
_KNOWN = 256


def colors(palette: QPalette) -> Colors:
    """The colour scheme of a palette."""
    key = palette.cacheKey()
    found = _known.get(key)
    if found is None:
        if len(_known) >= _KNOWN:
            _known.clear()
        found = _known[key] = DARK if is_dark(palette) else LIGHT
    return found


def palette(scheme: Colors) -> QPalette:
    """The Qt palette of a colour scheme."""
    made = QPalette(QColor(scheme.raised), QColor(scheme.window))
    text, quiet = QColor(scheme.text), QColor(scheme.muted)
    for role, color in (
        (_Role.Window, scheme.window),
        (_Role.Base, scheme.base),
        (_Role.AlternateBase, scheme.window),
        (_Role.Button, scheme.raised),
        (_Role.Mid, scheme.line),
        (_Role.Midlight, scheme.raised),
        (_Role.Dark, scheme.line),
        (_Role.Light, scheme.raised),
        (_Role.Highlight, scheme.accent),
        (_Role.Accent, scheme.accent),
        (_Role.HighlightedText, scheme.on_accent),
        (_Role.Link, scheme.accent),
        (_Role.ToolTipBase, scheme.raised),
    ):
        made.setColor(role, QColor(color))
    for role in (_Role.WindowText, _Role.Text, _Role.ButtonText, _Role.ToolTipText, _Role.BrightText):
        made.setColor(role, text)
    made.setColor(_Role.PlaceholderText, quiet)
    for role in (_Role.WindowText, _Role.Text, _Role.ButtonText):
        made.setColor(_Group.Disabled, role, QColor(quiet.red(), quiet.green(), quiet.blue(), 130))
    made.setColor(_Group.Disabled, _Role.Highlight, QColor(scheme.line))
    return made


def apply(app: QApplication, theme: str) -> None:
    """Apply a theme of `THEMES` to the application: the Fusion style with our light or dark palette."""
    if app.style().name().lower() != "fusion":
        app.setStyle("fusion")
    dark = theme == "dark"
    if theme == "system":
        dark = app.styleHints().colorScheme() == Qt.ColorScheme.Dark
    scheme = DARK if dark else LIGHT
    app.setPalette(palette(scheme))
    for kind in _OUTLINED:
        _set_palette(app, _outlined(scheme), kind)
    _set_palette(app, _raised(scheme), "QMenu")  # lists of combo boxes have it too


def _set_palette(app: QApplication, made: QPalette, kind: str) -> None:
    app.setPalette(made, kind)  # type: ignore[arg-type]  # the stub says bytes, which PySide6 refuses


def _raised(scheme: Colors) -> QPalette:
    """The palette of menus, whose ground sets them apart in the dark theme, where Fusion's outline cannot be seen."""
    made = palette(scheme)
    for role in (_Role.Window, _Role.Base):
        made.setColor(role, QColor(scheme.popup))
    return made


def _outlined(scheme: Colors) -> QPalette:
    """The palette of widgets whose outline has to be seen."""
    made = palette(scheme)
    made.setColor(_Role.Window, QColor(scheme.outline).lighter(_DARKER))
    return made


def mute_accent(widget: QWidget) -> None:
    """Replace the accent colour of a slider or progress bar by the muted one. Call it again when the palette changes."""
    set_muted(widget, _Role.Highlight, _Role.Accent)


def set_muted(widget: QWidget, *roles: QPalette.ColorRole) -> None:
    """Set roles of a widget's palette to the muted text colour. Call it again when the palette changes."""
    quiet = QColor(colors(QApplication.palette()).muted)
    # Only these roles: a widget whose palette sets all roles gets no PaletteChange event for another theme.
    made = QPalette()
    for role in roles:
        made.setColor(_Group.All, role, quiet)
    if any(widget.palette().color(role) != quiet for role in roles):
        widget.setPalette(made)


def paint_card(widget: QWidget) -> None:
    """Paint the background of a card with rounded corners; for `paintEvent`."""
    scheme = colors(widget.palette())
    painter = QPainter(widget)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(scheme.line), 1))
    painter.setBrush(QColor(scheme.raised))
    painter.drawRoundedRect(widget.rect().adjusted(0, 0, -1, -1), 8, 8)


def draw_outline(widget: QWidget) -> None:
    """Draw the outline of a popup; for `paintEvent`."""
    painter = QPainter(widget)
    painter.setPen(QColor(colors(widget.palette()).outline))
    painter.drawRect(widget.rect().adjusted(0, 0, -1, -1))


def _tabular(font: QFont) -> QFont:
    font.setFeature(QFont.Tag.fromString("tnum"), 1)
    return font


def body(strong: bool = False) -> QFont:
    """The font of normal text; `strong` for titles."""
    font = _tabular(QFont(QApplication.font()))
    font.setWeight(QFont.Weight.DemiBold if strong else QFont.Weight.Normal)
    return font


def ink_on(ground: QColor) -> QColor:
    """Black or white, whichever can be read on a colour."""
    light = ground.red() * 0.299 + ground.green() * 0.587 + ground.blue() * 0.114 > 140
    return QColor("#101113" if light else "#ffffff")


def small() -> QFont:
    """The font of small text: scales, axes, hints."""
    return QFont(_small(QApplication.font().toString()))


def scale() -> float:
    """The size of the text, 1 unless a presentation enlarges it; lengths that leave room for text are multiplied by it."""
    return _scale(QApplication.font().toString())


def scaled(pixels: float) -> int:
    """A length that leaves room for text, at the current size of the text."""
    return round(pixels * scale())


@lru_cache(maxsize=8)
def _scale(_: str) -> float:
    usual = QFontInfo(QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont))
    return max(1.0, round(QFontInfo(QApplication.font()).pointSizeF() / usual.pointSizeF(), 2))


@lru_cache(maxsize=8)
def _small(_: str) -> QFont:
    """`small` by the description of the application's font; cached, because it is called in each paint event."""
    font = body()
    font.setPointSizeF(round(QApplication.font().pointSizeF() * 0.88, 1))
    return font
