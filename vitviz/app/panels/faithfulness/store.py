"""What is known of the scores of one trace's maps, what is to be drawn of it, and what is still missing."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vitviz.app.panels.faithfulness import scoring
from vitviz.app.panels.faithfulness.scoring import Question, RandomOrders, Scored
from vitviz.app.panels.faithfulness.view import FaithfulnessView
from vitviz.app.session.view_state import ViewState
from vitviz.explain.registry import METHODS

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.measures.faithfulness import Baseline, Scores
    from vitviz.explain.measures.truth import OnObject


class ScoreStore:
    """The scores of the maps of one trace; another trace needs a new store."""

    def __init__(self, trace: "Trace | None" = None) -> None:
        self.trace = trace
        self.questions: tuple[Question, ...] = ()
        """What is to be drawn: the selected method first, then the compared ones in the order of all methods."""
        self.running: tuple[Question | RandomOrders, ...] = ()
        """What is being computed of `missing`."""
        self.scores: dict[Question, Scores] = {}
        self.baselines: dict[RandomOrders, Baseline] = {}
        self.aims: dict[Question, OnObject] = {}
        """How a map lies on the class's object, where a bundled scene says where that is."""
        self.problems: dict[Question, str] = {}
        """Why a map has no scores, as a sentence."""

    def ask(self, view: ViewState, chosen: FaithfulnessView, reasons: Mapping[str, str | None]) -> None:
        """Set what is to be drawn. `reasons` has None for each method that applies, as `Session.methods` does."""
        target = None if self.trace is None else scoring.target_of(self.trace, view)
        if target is None:
            self.questions = ()
            return
        names = [
            name
            for name in (method.name for method in METHODS)
            if name in chosen.compared and name != view.method and reasons.get(name, "") is None
        ]
        self.questions = tuple(
            scoring.question(view, name, target, chosen.replacement) for name in (view.method, *names)
        )

    @property
    def selected(self) -> Question | None:
        """What is asked of the selected method."""
        return self.questions[0] if self.questions else None

    @property
    def missing(self) -> tuple[Question | RandomOrders, ...]:
        """What is to be drawn, not known, and not known to be impossible.

        The random orders are those of the selected map's grid, which is known once the map has scores.
        """
        lacking = [one for one in self.questions if one not in self.scores and one not in self.problems]
        orders = self.orders_of(self.selected)
        return (*lacking, orders) if orders is not None and orders not in self.baselines else tuple(lacking)

    @property
    def found(self) -> tuple["Scores", ...]:
        """The scores that are known of what is to be drawn, the selected method's first."""
        return tuple(self.scores[one] for one in self.questions if one in self.scores)

    @property
    def baseline(self) -> "Baseline | None":
        """The random orders that the selected map is compared with, where they are known."""
        orders = self.orders_of(self.selected)
        return None if orders is None else self.baselines.get(orders)

    def orders_of(self, one: Question | None) -> RandomOrders | None:
        """The random orders that a map is compared with; None as long as it has no scores."""
        found = None if one is None else self.scores.get(one)
        if one is None or found is None:
            return None
        return RandomOrders(found.patches, one.target, one.replacement)

    def take(self, news: Scored) -> None:
        """Keep an answer. While work runs, the random orders of a map follow its scores."""
        if isinstance(news.key, RandomOrders):
            if news.baseline is not None:
                self.baselines[news.key] = news.baseline
        elif news.scores is None:
            self.problems[news.key] = news.problem
        else:
            self.scores[news.key] = news.scores
            if news.aim is not None:
                self.aims[news.key] = news.aim
        if self.running:
            self.running = self.missing

    def fail(self, problem: str) -> None:
        """End what runs with a problem, so that it is not asked for again."""
        for one in self.running:
            if isinstance(one, Question):
                self.problems.setdefault(one, problem)
        self.running = ()
