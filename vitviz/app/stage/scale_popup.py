"""What the colours stand for: a button that says it, and the card that it opens."""

from PySide6.QtCore import QEvent, QLocale, QPoint, Qt
from PySide6.QtGui import QDoubleValidator, QGuiApplication, QPaintEvent, QPalette
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QRadioButton,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vitviz.app.session import colour_scale
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import ViewState
from vitviz.app.ui import theme
from vitviz.app.widgets.controls.segmented import Segmented

SCALES = {
    "auto": ("auto", "from 0; from the minimum where all is high or some is negative"),
    "zero": ("0 to max", "from 0 to the maximum of each map"),
    "range": ("min to max", "from the minimum to the maximum of each map"),
    "shared": ("shared", "one scale for all layers and heads, so that they compare"),
    "fixed": ("fixed", "from one number to another, for every map"),
}
TEMPERATURES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
_NOTE = "Colours follow weight^(1/T), as if the softmax had been T times as warm. Numbers stay as they are."


class ScalePopup(QFrame):
    """All that can be chosen about the colour scale; opened by the button, closed by a click elsewhere or Escape."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self._session = session
        self.setAccessibleName("Colour scale")
        heading = QLabel("Colour scale")
        heading.setFont(theme.body(strong=True))
        self.kinds: dict[str, QRadioButton] = {}
        self._group = QButtonGroup(self)
        self.low, self.high = _field("Lower end of the colours"), _field("Upper end of the colours")
        self.bend = Segmented("How colours follow values", [("linear", "linear"), ("log", "logarithmic")])
        self.temperature = QSlider(Qt.Orientation.Horizontal)
        self.temperature.setRange(0, len(TEMPERATURES) - 1)
        self.temperature.setPageStep(1)
        self.temperature.setFixedWidth(132)
        self.temperature.setAccessibleName("Temperature of the display")
        self.temperature.setToolTip(_NOTE)
        self.warmth = QLabel()
        self.note = QLabel()
        self.note.setFont(theme.small())
        self.note.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.note.setWordWrap(True)
        self._lay_out(heading)
        self.bend.chosen.connect(lambda key: session.change(log=key == "log"))
        self.temperature.valueChanged.connect(lambda step: session.change(temperature=TEMPERATURES[step]))
        for field in (self.low, self.high):
            field.editingFinished.connect(self._fix)
        session.view_changed.connect(lambda _before, _now: self._follow() if self.isVisible() else None)
        self._apply_palette()

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw the outline."""
        theme.draw_outline(self)

    def _lay_out(self, heading: QLabel) -> None:
        rows = QGridLayout()
        rows.setHorizontalSpacing(12)
        rows.setVerticalSpacing(4)
        for place, (key, (name, about)) in enumerate(SCALES.items()):
            button = QRadioButton(name)
            button.setAccessibleDescription(about)
            self.kinds[key] = button
            self._group.addButton(button)
            button.clicked.connect(lambda _=False, key=key: self._choose(key))
            rows.addWidget(button, place, 0)
            words = QLabel(about)
            words.setForegroundRole(QPalette.ColorRole.PlaceholderText)
            rows.addWidget(words, place, 1)
        ends = QHBoxLayout()
        ends.setSpacing(8)
        for part in (QLabel("from"), self.low, QLabel("to"), self.high):
            ends.addWidget(part)
        ends.addStretch(1)
        rows.addLayout(ends, len(SCALES), 1)
        warm = QHBoxLayout()
        warm.setSpacing(8)
        warm.addWidget(QLabel("temperature"))
        warm.addWidget(self.temperature)
        warm.addWidget(self.warmth)
        warm.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 12)
        column.setSpacing(12)
        column.addWidget(heading)
        column.addLayout(rows)
        column.addWidget(self.bend, 0, Qt.AlignmentFlag.AlignLeft)
        column.addLayout(warm)
        column.addWidget(self.note)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Calm the slider in the new colours."""
        if event.type() == QEvent.Type.PaletteChange:
            self._apply_palette()
        super().changeEvent(event)

    def open_at(self, button: QWidget) -> None:
        """Show above a button, or below where there is no room above."""
        self._follow()
        self.adjustSize()
        place = button.mapToGlobal(QPoint(0, -self.height() - 4))
        screen = QGuiApplication.screenAt(button.mapToGlobal(QPoint(0, 0))) or self.screen()
        room = screen.availableGeometry()
        if place.y() < room.top():
            place = button.mapToGlobal(QPoint(0, button.height() + 4))
        place.setX(max(room.left(), min(place.x(), room.right() - self.width())))
        self.move(place)
        self.show()
        self.kinds[self._session.view.scale].setFocus(Qt.FocusReason.PopupFocusReason)

    def _apply_palette(self) -> None:
        theme.mute_accent(self.temperature)

    def _choose(self, key: str) -> None:
        session = self._session
        ends = self._drawn()
        if key == "fixed" and session.view.scale != "fixed" and ends is not None:
            session.change(scale="fixed", fixed=ends)  # nothing jumps until a number is typed
        else:
            session.change(scale=key)

    def _drawn(self) -> colour_scale.Range | None:
        """What the colours go from and to now."""
        session, heat = self._session, self._session.heatmap
        if heat is None:
            return None
        view = session.view
        values = colour_scale.extent(colour_scale.painted(view, heat))
        low, high = colour_scale.scale(view, values, session.shared_range)
        return (low, high) if low < high else None

    def _fix(self) -> None:
        """Take the typed numbers, if they rise."""
        try:
            low, high = float(self.low.text()), float(self.high.text())
        except ValueError:
            low, high = 0.0, 0.0
        ends = self._texts(self._session.view)
        if (self.low.text(), self.high.text()) == ends:
            return
        if low < high:
            self._session.change(scale="fixed", fixed=(low, high))
        else:
            self.note.setText("A scale goes from a lower to a higher number.")

    def _texts(self, view: ViewState) -> tuple[str, str]:
        ends = view.fixed if view.scale == "fixed" else self._drawn() or view.fixed
        low, high = (f"{end:.4g}" for end in ends)
        return low, high

    def _follow(self) -> None:
        now = self._session.view
        self.kinds[now.scale].setChecked(True)
        for field, text in zip((self.low, self.high), self._texts(now), strict=True):
            field.setText(text)
        self.bend.set_current("log" if now.log else "linear")
        nearest = min(TEMPERATURES, key=lambda one: abs(one - now.temperature))
        self.temperature.blockSignals(True)  # a temperature between the steps stays as it is
        self.temperature.setValue(TEMPERATURES.index(nearest))
        self.temperature.blockSignals(False)
        self.temperature.setEnabled(not now.log)
        self.warmth.setText(f"{now.temperature:g}")
        self.note.setText("A logarithmic scale looks the same at every temperature." if now.log else _NOTE)


class ScaleButton(QToolButton):
    """Says what the colours stand for; opens the card."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._card: ScalePopup | None = None
        self.setAutoRaise(True)
        self.setMinimumHeight(28)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setToolTip("What the colours stand for: scale, logarithm, temperature")
        self.clicked.connect(lambda: self.card.open_at(self))
        session.view_changed.connect(self._follow)
        self._follow(session.view, session.view)

    @property
    def card(self) -> ScalePopup:
        """The card, made when it is first wanted."""
        if self._card is None:
            self._card = ScalePopup(self._session, self)
        return self._card

    def _follow(self, _: ViewState, now: ViewState) -> None:
        text = SCALES[now.scale][0]
        self.setText(f"scale: {text} ▾")
        self.setAccessibleName(f"Colour scale: {text}")


def _field(name: str) -> QLineEdit:
    field = QLineEdit()
    field.setAccessibleName(name)
    field.setToolTip(name)
    field.setFixedWidth(84)
    numbers = QDoubleValidator()
    numbers.setLocale(QLocale.c())
    field.setValidator(numbers)
    return field
