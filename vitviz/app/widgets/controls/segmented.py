"""A row of choices of which one holds: drawn as one piece, usable by keyboard."""

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from vitviz.app.ui import theme

_PAD = 12
_HEIGHT = 28


class Segmented(QWidget):
    """Choices side by side; `chosen` tells the key of the one that was picked by the user."""

    chosen = Signal(str)

    def __init__(self, name: str, choices: Sequence[tuple[str, str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._choices = list(choices)
        self._barred: dict[str, str] = {}
        self._current = self._choices[0][0] if self._choices else ""
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setFont(theme.body())
        self.setMouseTracking(True)
        self._tell()

    @property
    def current(self) -> str:
        """The key of the choice that holds."""
        return self._current

    def set_current(self, key: str) -> None:
        """Show a choice without telling anyone."""
        if key != self._current:
            self._current = key
            self._tell()
            self.update()

    @property
    def barred(self) -> dict[str, str]:
        """The choices that cannot be picked, each with the reason."""
        return dict(self._barred)

    def set_barred(self, barred: dict[str, str]) -> None:
        """Choices that cannot be picked, each with the reason, shown when the pointer rests on it."""
        if barred != self._barred:
            self._barred = barred
            self._tell()
            self.update()

    def cell(self, key: str) -> QRectF:
        """Where a choice is drawn."""
        left = 0.0
        for other, label in self._choices:
            width = self._width(label)
            if other == key:
                return QRectF(left, 0, width, _HEIGHT)
            left += width
        return QRectF()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Exactly its labels."""
        return QSize(sum(self._width(label) for _, label in self._choices), _HEIGHT)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Labels are never cut off."""
        return self.sizeHint()

    def _width(self, label: str) -> int:
        return self.fontMetrics().horizontalAdvance(label) + 2 * _PAD

    def _tell(self) -> None:
        labels = dict(self._choices)
        self.setAccessibleName(self._name)
        told = [f"{labels.get(self._current, '')} is chosen; left and right arrow keys choose another"]
        told += [
            f"{labels[key]} cannot be chosen: {reason}"
            for key, reason in self._barred.items()
            if key in labels
        ]
        self.setAccessibleDescription("; ".join(told))

    def _pick(self, key: str) -> None:
        if key != self._current and key not in self._barred:
            self.set_current(key)
            self.chosen.emit(key)

    def _at(self, x: float) -> str | None:
        return next((key for key, _ in self._choices if self.cell(key).contains(x, _HEIGHT / 2)), None)

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """A quiet track with the chosen one raised."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        scheme = theme.colors(self.palette())
        track = QRectF(0.5, (self.height() - _HEIGHT) / 2 + 0.5, self.sizeHint().width() - 1, _HEIGHT - 1)
        painter.setPen(QPen(QColor(scheme.accent if self.hasFocus() else scheme.line), 1))
        painter.setBrush(QColor(scheme.base))
        painter.drawRoundedRect(track, 6, 6)
        for key, label in self._choices:
            box = self.cell(key).translated(0, (self.height() - _HEIGHT) / 2)
            chosen = key == self._current
            if chosen:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor(scheme.line))
                painter.drawRoundedRect(box.adjusted(3, 3, -3, -3), 4, 4)
            barred = key in self._barred or not self.isEnabled()
            group = QPalette.ColorGroup.Disabled if barred else QPalette.ColorGroup.Active
            text = self.palette().color(group, QPalette.ColorRole.WindowText)
            painter.setPen(text if chosen or barred else QColor(scheme.quiet))
            painter.setFont(theme.body())
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, label)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Pick what is under the pointer."""
        key = self._at(event.position().x())
        if key is not None and event.button() == Qt.MouseButton.LeftButton:
            self._pick(key)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Arrow keys go to the neighbour that can be picked."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        if step is None:
            super().keyPressEvent(event)
            return
        open_keys = [key for key, _ in self._choices if key not in self._barred]
        if self._current in open_keys:
            place = open_keys.index(self._current) + step
            if 0 <= place < len(open_keys):
                self._pick(open_keys[place])

    def event(self, event: QEvent) -> bool:
        """Say why a barred choice cannot be picked."""
        if event.type() == QEvent.Type.ToolTip:
            at = self.mapFromGlobal(self.cursor().pos())
            reason = self._barred.get(self._at(at.x()) or "", "")
            QToolTip.showText(self.cursor().pos(), reason, self)
            return True
        return super().event(event)
