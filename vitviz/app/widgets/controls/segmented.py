"""A segmented button: a row of choices, one of which is current."""

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from vitviz.app.ui import theme

_PAD, _LEAST_PAD = 12, 4  # pixels beside each label; fewer where there is no room for more
_HEIGHT = 28


class Segmented(QWidget):
    """Choices side by side, as (key, label); chosen by mouse or arrow keys."""

    chosen = Signal(str)  # the key of the choice that the user picked

    def __init__(self, name: str, choices: Sequence[tuple[str, str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._choices = list(choices)
        self._disabled: dict[str, str] = {}
        self._current = self._choices[0][0] if self._choices else ""
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setFont(theme.body())
        self.setMouseTracking(True)
        self._describe()

    @property
    def choices(self) -> tuple[tuple[str, str], ...]:
        """All choices, as (key, label)."""
        return tuple(self._choices)

    @property
    def current(self) -> str:
        """The key of the current choice."""
        return self._current

    def set_current(self, key: str) -> None:
        """Set the current choice without emitting `chosen`."""
        if key != self._current:
            self._current = key
            self._describe()
            self.update()

    @property
    def disabled(self) -> dict[str, str]:
        """The choices that cannot be picked, each with the reason."""
        return dict(self._disabled)

    def disable_choices(self, disabled: dict[str, str]) -> None:
        """Disable choices: the reasons by key. A reason is shown as the tooltip of the choice."""
        if disabled != self._disabled:
            self._disabled = disabled
            self._describe()
            self.update()

    def cell(self, key: str) -> QRectF:
        """The rectangle of a choice in widget coordinates; empty for an unknown key."""
        left = 0.0
        for other, label in self._choices:
            width = self._width(label)
            if other == key:
                return QRectF(left, 0, width, self._high)
            left += width
        return QRectF()

    def sizeHint(self) -> QSize:  # noqa: N802
        """The size of all labels."""
        return QSize(self._text_width() + 2 * _PAD * len(self._choices), self._high)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """With less room beside the labels, which are never cut off."""
        return QSize(self._text_width() + 2 * _LEAST_PAD * len(self._choices), self._high)

    @property
    def _high(self) -> int:
        return theme.scaled(_HEIGHT)

    def _width(self, label: str) -> int:
        return self.fontMetrics().horizontalAdvance(label) + 2 * self._pad

    @property
    def _pad(self) -> int:
        spare = self.width() - self._text_width()
        return min(_PAD, max(_LEAST_PAD, spare // (2 * max(len(self._choices), 1))))

    def _text_width(self) -> int:
        return sum(self.fontMetrics().horizontalAdvance(label) for _, label in self._choices)

    def _describe(self) -> None:
        labels = dict(self._choices)
        self.setAccessibleName(self._name)
        parts = [f"{labels.get(self._current, '')} is chosen; left and right arrow keys choose another"]
        parts += [
            f"{labels[key]} cannot be chosen: {reason}"
            for key, reason in self._disabled.items()
            if key in labels
        ]
        self.setAccessibleDescription("; ".join(parts))

    def _pick(self, key: str) -> None:
        if key != self._current and key not in self._disabled:
            self.set_current(key)
            self.chosen.emit(key)

    def _at(self, x: float) -> str | None:
        return next((key for key, _ in self._choices if self.cell(key).contains(x, self._high / 2)), None)

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw the labels, with the current choice highlighted."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        scheme = theme.colors(self.palette())
        whole = sum(self._width(label) for _, label in self._choices)
        track = QRectF(0.5, (self.height() - self._high) / 2 + 0.5, whole - 1, self._high - 1)
        painter.setPen(QPen(QColor(scheme.accent if self.hasFocus() else scheme.line), 1))
        painter.setBrush(QColor(scheme.base))
        painter.drawRoundedRect(track, 6, 6)
        for key, label in self._choices:
            box = self.cell(key).translated(0, (self.height() - self._high) / 2)
            chosen = key == self._current
            if chosen:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor(scheme.line))
                painter.drawRoundedRect(box.adjusted(3, 3, -3, -3), 4, 4)
            disabled = key in self._disabled or not self.isEnabled()
            group = QPalette.ColorGroup.Disabled if disabled else QPalette.ColorGroup.Active
            text = self.palette().color(group, QPalette.ColorRole.WindowText)
            painter.setPen(text if chosen or disabled else QColor(scheme.muted))
            painter.setFont(theme.body())
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, label)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Pick the choice under the pointer."""
        key = self._at(event.position().x())
        if key is not None and event.button() == Qt.MouseButton.LeftButton:
            self._pick(key)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Left and right arrow keys pick the next enabled choice."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        if step is None:
            super().keyPressEvent(event)
            return
        enabled = [key for key, _ in self._choices if key not in self._disabled]
        if self._current in enabled:
            place = enabled.index(self._current) + step
            if 0 <= place < len(enabled):
                self._pick(enabled[place])

    def event(self, event: QEvent) -> bool:
        """Show in the tooltip why a choice is disabled."""
        if event.type() == QEvent.Type.ToolTip:
            at = self.mapFromGlobal(self.cursor().pos())
            reason = self._disabled.get(self._at(at.x()) or "", "")
            QToolTip.showText(self.cursor().pos(), reason, self)
            return True
        return super().event(event)
