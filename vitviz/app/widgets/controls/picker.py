"""A button that opens a list of choices, each with a sentence that explains it."""

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QPainter
from PySide6.QtWidgets import (
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from vitviz.app.ui import theme
from vitviz.app.widgets.controls.popover import PopButton

_WIDTH = 460  # pixels
_PAD = 12
_Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True)
class Pick:
    """A choice. `about` explains it, `keys` is its shortcut; `disabled` is the reason why it is disabled, or empty."""

    key: str
    label: str
    about: str = ""
    keys: str = ""
    disabled: str = ""


class _Rows(QStyledItemDelegate):
    """Draws a row: a name with its shortcut, and below it the explanation or the reason why it is disabled."""

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:  # noqa: N802
        pick: Pick = index.data(Qt.ItemDataRole.UserRole)
        name = QFontMetrics(theme.body()).height()
        return QSize(_WIDTH, name + self._text_rect(pick).height() + 18)

    def _text_rect(self, pick: Pick) -> QRect:
        flags = Qt.TextFlag.TextWordWrap
        available = QRect(0, 0, _WIDTH - 2 * _PAD, 1000)
        return QFontMetrics(theme.small()).boundingRect(available, flags, pick.disabled or pick.about)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        pick: Pick = index.data(Qt.ItemDataRole.UserRole)
        view = self.parent()
        assert isinstance(view, _List)
        scheme = theme.colors(view.palette())
        box = QRect(option.rect)
        painter.save()
        if option.state & (QStyle.StateFlag.State_MouseOver | QStyle.StateFlag.State_HasFocus):
            painter.fillRect(box, QColor(scheme.raised))
        if pick.key == view.current_key:
            painter.fillRect(box.x(), box.y(), 3, box.height(), QColor(scheme.accent))
        inner = box.adjusted(_PAD, 8, -_PAD, -8)
        quiet = QColor(scheme.muted)
        painter.setFont(theme.body(strong=pick.key == view.current_key))
        painter.setPen(quiet if pick.disabled else QColor(scheme.text))
        painter.drawText(inner, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, pick.label)
        painter.setPen(quiet)
        painter.setFont(theme.small())
        painter.drawText(inner, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignRight, pick.keys)
        inner.setTop(inner.top() + QFontMetrics(theme.body()).height() + 2)
        painter.drawText(inner, Qt.TextFlag.TextWordWrap, pick.disabled or pick.about)
        painter.restore()


class _List(QListWidget):
    def __init__(self, picks: Sequence[Pick], current: str, name: str) -> None:
        super().__init__()
        self.current_key = current
        self.setAccessibleName(name)
        self.setFrameShape(QListWidget.Shape.NoFrame)
        self.setItemDelegate(_Rows(self))
        self.setMouseTracking(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        for pick in picks:
            item = QListWidgetItem(pick.label)
            item.setData(Qt.ItemDataRole.UserRole, pick)
            text = ". ".join(part.rstrip(".") for part in (pick.label, pick.disabled or pick.about) if part)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, text)
            if pick.disabled:
                item.setFlags(Qt.ItemFlag.ItemIsEnabled)
            self.addItem(item)
            if pick.key == current:
                self.setCurrentItem(item)

    def sizeHint(self) -> QSize:  # noqa: N802
        """The height of all rows, limited by the screen."""
        rows = sum(self.sizeHintForRow(row) for row in range(self.count()))
        return QSize(_WIDTH, min(rows + 2, self.screen().availableGeometry().height() - 80))


class Picker(PopButton):
    """A button that shows the current choice and opens the list of choices."""

    chosen = Signal(str)  # the key of the choice that the user picked

    def __init__(self, name: str, picks: Sequence[Pick], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._picks = tuple(picks)
        self._current = ""
        self.setAccessibleName(name)
        self.set_current(self._picks[0].key)

    @property
    def current(self) -> str:
        """The key of the current choice."""
        return self._current

    @property
    def picks(self) -> tuple[Pick, ...]:
        """The choices, with the reasons why some are disabled."""
        return self._picks

    def set_current(self, key: str) -> None:
        """Set the current choice without emitting `chosen`."""
        if key == self._current:
            return
        self._current = key
        pick = next((pick for pick in self._picks if pick.key == key), None)
        if pick is not None:
            self.setText(pick.label)
            self.setToolTip(f"{self._name}: {pick.about}")
            self.setAccessibleDescription(f"{pick.label} is chosen")

    def disable_choices(self, disabled: dict[str, str]) -> None:
        """Disable choices: the reasons by key. A reason is shown instead of the explanation."""
        self._picks = tuple(
            Pick(pick.key, pick.label, pick.about, pick.keys, disabled.get(pick.key, ""))
            for pick in self._picks
        )

    def content(self) -> QWidget:
        """The list of choices."""
        choices = _List(self._picks, self._current, self._name)
        choices.itemClicked.connect(self._choose)
        choices.itemActivated.connect(self._choose)
        return choices

    def _choose(self, item: QListWidgetItem) -> None:
        pick: Pick = item.data(Qt.ItemDataRole.UserRole)
        if pick.disabled:
            return
        self.close_popover()
        if pick.key != self._current:
            self.set_current(pick.key)
            self.chosen.emit(pick.key)
