"""What the model says the photo shows, and which class is explained."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from vitviz.app.panels.base import Panel
from vitviz.app.panels.predictions.demo_note import DemoNote
from vitviz.app.session.facts import Facts, Shown, of_trace
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import ViewState
from vitviz.app.widgets.base.title_bar import MutedLabel
from vitviz.app.widgets.charts.bar_list import Bar, BarList
from vitviz.app.widgets.controls.search_field import SearchField
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.app.widgets.messages.empty_state import EmptyState

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace

MOST = 200
"""How many matches of a search are listed."""


@dataclass(frozen=True, eq=False)
class ShownPredictions(Shown):
    """The listed classes."""

    head: str
    """The head of a distilled model that the shares are of; "both" for any other model."""
    classes: tuple[int, ...]
    """The listed classes by number, from top to bottom."""
    bars: tuple[Bar, ...]
    """Their bars in the same order."""


class PredictionsPanel(Panel):
    """The likeliest classes, or those that are searched for; a click makes one the target of class-specific methods."""

    name = "predictions"

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.addActions(keys)
        self._of: tuple[Trace, str] | None = None  # the trace and the head that the shares are of
        self._facts: Facts | None = None  # what the list was filled for
        self._shares: NDArray[np.float64] = np.zeros(0)
        self._order: NDArray[np.intp] = np.zeros(0, np.intp)  # classes, likeliest first
        self._ranks: NDArray[np.intp] = np.zeros(0, np.intp)  # of each class, from 0
        self._labels: tuple[str, ...] = ()
        self._plain: tuple[str, ...] = ()  # labels as they are searched
        self._listed: list[int] = []
        self.note = DemoNote(session)
        self.says = MutedLabel()
        self.heads = Segmented(
            "Which head of the model",
            [("both", "both heads"), ("class", "class"), ("distillation", "distillation")],
        )
        self.search = SearchField("Find a class by name or number")
        self.list = BarList()
        self.list.setAccessibleName("Predictions")
        self.target = MutedLabel()
        self.likeliest = QPushButton("Likeliest")
        self.likeliest.setToolTip("Explain the likeliest class again")
        self.likeliest.setAccessibleName("Explain the likeliest class")
        self.empty = EmptyState(self.list, [])
        self._lay_out()
        self.heads.chosen.connect(lambda key: session.change(class_head=key))
        self.search.textChanged.connect(lambda _: self._list())
        self.search.entered.connect(lambda: self._pick(0))
        self.search.left_down.connect(self._go_down)
        self.list.picked.connect(self._pick)
        self.list.room_changed.connect(self._list)
        self.likeliest.clicked.connect(lambda: session.change(target=None))
        session.trace_changed.connect(self._take_trace)
        session.view_changed.connect(self._change_view)
        session.busy_changed.connect(self._dim)

    def _lay_out(self) -> None:
        line, below, foot = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        for each in (line, below, foot):
            each.setSpacing(8)
        line.setContentsMargins(12, 0, 12, 8)
        line.addWidget(self.says, 1)
        line.addWidget(self.heads)
        below.setContentsMargins(12, 0, 12, 4)
        below.addWidget(self.search)
        foot.setContentsMargins(12, 4, 12, 0)
        foot.addWidget(self.target, 1)
        foot.addWidget(self.likeliest)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 8)
        column.setSpacing(0)
        column.addWidget(self.note)
        column.addLayout(line)
        column.addLayout(below)
        column.addWidget(self.list, 1)
        column.addLayout(foot)

    # From the session.

    def _take_trace(self) -> None:
        """Forget the trace before, also while the panel is hidden."""
        trace, self._of, self._facts = self.session.trace, None, None
        if trace is not None and trace.model.labels != self._labels:
            self.search.clear()
        self.follow()

    def _change_view(self, before: ViewState, now: ViewState) -> None:
        if (before.class_head, before.target) != (now.class_head, now.target):
            self.follow()

    def _dim(self) -> None:
        self.list.setEnabled(self.session.busy is None)

    def draw(self) -> None:
        """Show the shares of the trace, or of one of its heads."""
        trace, view = self.session.trace, self.session.view
        self.note.follow(trace)
        distilled = trace is not None and len(trace.heads_logits) > 1
        self.heads.setVisible(distilled)
        self.heads.set_current(view.class_head)
        self._labels = trace.model.labels if trace is not None else ()
        if trace is None or not len(self._labels) or len(self._labels) != len(trace.logits):
            self._have_none(trace)
            return
        wanted = trace, view.class_head if distilled else "both"
        if self._of != wanted:
            self._of = wanted
            self._shares = trace.probabilities(wanted[1])
            self._order = np.argsort(-self._shares, kind="stable")
            self._ranks = np.empty_like(self._order)
            self._ranks[self._order] = np.arange(len(self._order))
            self._plain = tuple(label.casefold() for label in self._labels)
            self.search.setPlaceholderText(f"Find a class among {len(self._labels):,}, by name or number")
        self.empty.hide()
        for widget in (self.search, self.target):
            widget.setVisible(True)
        self.list.pickable = True
        self._list()

    def _have_none(self, trace: "Trace | None") -> None:
        self._of, self._facts, self._listed = None, None, []
        self.list.pickable = False
        self.list.rows.set_bars(())
        for widget in (self.search, self.target, self.likeliest):
            widget.setVisible(False)
        self._caption("")
        if trace is None:
            self.empty.show_message(
                "What the model sees", "Open a photo and choose a model: its likeliest classes will be here."
            )
        else:
            self.empty.show_message(
                "No classes", "This model has no classifier: it gives features, not classes to choose from."
            )

    def _caption(self, text: str) -> None:
        self.says.set_text(text)
        self.list.setAccessibleDescription(text)

    def shown(self) -> ShownPredictions:
        """The listed classes, and whether those of another photo or model are awaited."""
        return ShownPredictions(
            caption=self.says.whole,
            dimmed=not self.list.isEnabled(),
            head="both" if self._of is None else self._of[1],
            classes=tuple(self._listed),
            bars=self.list.rows.bars,
            facts=self._facts,
        )

    def _list(self) -> None:
        """Fill the list with the likeliest classes, or with those that are searched for."""
        if self._of is None:
            return
        words = self.search.text().split()
        target = self.session.view.target
        self._facts = of_trace(self._of[0], target, part=self._of[1])
        count = len(self._shares)
        if words:
            found = self.matches(words)
            self._listed = found[:MOST]
            which = f"{len(found):,} of {count:,} classes match{'es' if len(found) == 1 else ''}"
            which += f", the {MOST} likeliest are listed" if len(found) > MOST else ""
            self._caption(f"{which} · likeliest first" if found else f"None of {count:,} classes matches")
        else:
            self._listed = self._order[: min(self.list.room, count)].tolist()
            many = f"{len(self._listed)} likeliest"
            if target is not None and target not in self._listed:
                self._listed[-1] = target  # the chosen class is always listed
                many = f"{len(self._listed) - 1} likeliest and the chosen one"
            self._caption(f"{many} of {count:,} classes · bars from 0 to 100 %")
        current = self.list.currentIndex().row()
        self.list.rows.set_bars(
            [self._bar(index, bool(words), place) for place, index in enumerate(self._listed)]
        )
        if 0 <= current < len(self._listed):
            self.list.setCurrentIndex(self.list.rows.index(current))
        self._say_target()

    def matches(self, words: list[str]) -> list[int]:
        """The classes whose label has all words, likeliest first; before them the class whose number is the only word."""
        plain = [word.casefold() for word in words]
        hits = [place for place, label in enumerate(self._plain) if all(word in label for word in plain)]
        found: list[int] = sorted(hits, key=self._ranks.__getitem__)
        if len(words) == 1 and words[0].isdecimal() and int(words[0]) < len(self._plain):
            number = int(words[0])
            found = [number, *(place for place in found if place != number)]
        return found

    def _bar(self, index: int, searched: bool, place: int) -> Bar:
        rank, share, target = int(self._ranks[index]), float(self._shares[index]), self.session.view.target
        note = f"{index} · rank {rank + 1:,}" if searched else f"rank {rank + 1:,}" if rank != place else ""
        tip = f"class {index}: {self._labels[index]}, {share:.4g}, rank {rank + 1:,} of {len(self._shares):,}"
        return Bar(
            self._labels[index],
            share,
            f"{tip}\nClick to explain {'the likeliest again' if index == target else 'this class'}",
            note,
            "dot" if index == target else "ring" if target is None and index == self._explained else "",
        )

    @property
    def _explained(self) -> int:
        """The class that is explained by default: the model's own likeliest one, whatever head is shown."""
        assert self._of is not None
        return int(np.argmax(self._of[0].logits))  # not of the session's trace, which may have other classes

    def _say_target(self) -> None:
        target = self.session.view.target
        self.likeliest.setVisible(target is not None)
        if target is None:
            name = self._labels[self._explained]
            self.target.set_text(f"Class-specific methods explain {name}; click another to choose it.")
        else:
            rank, share = int(self._ranks[target]) + 1, float(self._shares[target])
            percent = Bar("", share).percent
            self.target.set_text(
                f"Class-specific methods explain {self._labels[target]}: {percent}, rank {rank:,}."
            )

    # From the user.

    def _pick(self, row: int) -> None:
        if 0 <= row < len(self._listed):
            index = self._listed[row]
            self.session.change(target=None if index == self.session.view.target else index)

    def _go_down(self) -> None:
        if self._listed:
            self.list.setFocus(Qt.FocusReason.TabFocusReason)
            self.list.setCurrentIndex(self.list.rows.index(0))
