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


def _ends(trace: "Trace", scores: NDArray[np.float64]) -> tuple[float, float]:
    """Where bars begin and end: 0 and 1 for probabilities, else what the numbers span, 0 included."""
    if trace.model.quantity == "probability":
        return 0.0, 1.0
    low, high = min(0.0, float(scores.min())), max(0.0, float(scores.max()))
    return (low, high) if low < high else (0.0, 1.0)


def _a(noun: str) -> str:
    return f"an {noun}" if noun.startswith("o") else f"a {noun}"


class PredictionsPanel(Panel):
    """The likeliest classes, or those that are searched for; a click makes one the target of class-specific methods."""

    name = "predictions"

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.addActions(keys)
        self._of: tuple[Trace, str] | None = None  # the trace and the head that the shares are of
        self._facts: Facts | None = None  # what the list was filled for
        self._scores: NDArray[np.float64] = np.zeros(0)  # in the model's quantity
        self._low, self._high = 0.0, 1.0  # where bars begin and end
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

    def dim(self) -> None:
        """Nothing can be chosen while another photo or model is opened."""
        self.list.setEnabled(self.session.busy is None or self.session.trace is None)

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
            self._scores = trace.scores(wanted[1])
            self._low, self._high = _ends(trace, self._scores)
            self._order = np.argsort(-self._scores, kind="stable")
            self._ranks = np.empty_like(self._order)
            self._ranks[self._order] = np.arange(len(self._order))
            self._plain = tuple(label.casefold() for label in self._labels)
            self.search.setPlaceholderText(
                f"Find {_a(trace.model.noun)} among {len(self._labels):,}, by name or number"
            )
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
            count = len(trace.logits)
            gives = f"an embedding of {count:,} numbers" if count else "tokens"
            self.empty.show_message(
                "No classes", f"This model has no classifier: it gives {gives}, not classes to choose from."
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
        count = len(self._scores)
        if words:
            found = self.matches(words)
            self._listed = found[:MOST]
            which = f"{len(found):,} of {count:,} {self._classes} match{'es' if len(found) == 1 else ''}"
            which += f", the {MOST} {self._first} are listed" if len(found) > MOST else ""
            self._caption(
                f"{which} · {self._first} first" if found else f"None of {count:,} {self._classes} matches"
            )
        else:
            self._listed = self._order[: min(self.list.room, count)].tolist()
            many = f"{len(self._listed)} {self._first}"
            if target is not None and target not in self._listed:
                self._listed[-1] = target  # the chosen class is always listed
                many = f"{len(self._listed) - 1} {self._first} and the chosen one"
            self._caption(self._single or f"{many} of {count:,} {self._classes} · bars from {self._ends}")
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
        assert self._of is not None
        rank, score, target = int(self._ranks[index]), float(self._scores[index]), self.session.view.target
        model = self._of[0].model
        note = f"{index} · rank {rank + 1:,}" if searched else f"rank {rank + 1:,}" if rank != place else ""
        tip = f"{model.noun} {index}: {self._labels[index]}, {score:.4g}, rank {rank + 1:,} of {len(self._scores):,}"
        return Bar(
            self._labels[index],
            (score - self._low) / (self._high - self._low),
            f"{tip}\nClick to explain {f'the {self._first} again' if index == target else f'this {model.noun}'}",
            note,
            "dot" if index == target else "ring" if target is None and index == self._explained else "",
            "" if model.quantity == "probability" else model.score_text(score),
        )

    @property
    def _classes(self) -> str:
        """What the listed things are called."""
        assert self._of is not None
        return "classes" if self._of[0].model.outputs == "classes" else "outputs"

    @property
    def _first(self) -> str:
        """What those are called that are listed first."""
        assert self._of is not None
        return "likeliest" if self._of[0].model.quantity == "probability" else "largest"

    @property
    def _ends(self) -> str:
        assert self._of is not None
        likely = self._of[0].model.quantity == "probability"
        return "0 to 100 %" if likely else f"{self._low:.3g} to {self._high:.3g}"

    @property
    def _single(self) -> str:
        """What is said of a model with a single class; empty for any other."""
        assert self._of is not None
        if self._of[0].model.quantity != "logit":
            return ""
        return "A single class, whose probability by softmax is always 1: its logit is shown"

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
            another = "; click another to choose it" if len(self._labels) > 1 else ""
            self.target.set_text(f"Class-specific methods explain {name}{another}.")
        else:
            rank, score = int(self._ranks[target]) + 1, float(self._scores[target])
            assert self._of is not None
            model = self._of[0].model
            number = Bar("", score).percent if model.quantity == "probability" else model.score_text(score)
            self.target.set_text(
                f"Class-specific methods explain {self._labels[target]}: {number}, rank {rank:,}."
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
