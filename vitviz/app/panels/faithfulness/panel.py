"""Faithfulness of the selected map: whether the prediction depends on the patches that it marks.

Beside its curves are those of other methods and of random orders.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QTimer
from PySide6.QtGui import QAction, QColor, QImage
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from vitviz.app.dialogs import files
from vitviz.app.panels.base import Panel
from vitviz.app.panels.faithfulness import save, scoring
from vitviz.app.panels.faithfulness.save import Sheet
from vitviz.app.panels.faithfulness.scoring import Question, Scored
from vitviz.app.panels.faithfulness.store import ScoreStore
from vitviz.app.panels.faithfulness.view import FaithfulnessView
from vitviz.app.session.facts import Facts, Shown
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import ViewState, panel_view, same_selection
from vitviz.app.ui import theme
from vitviz.app.widgets.base.title_bar import MutedLabel
from vitviz.app.widgets.charts.curves import CurvesView, Spot
from vitviz.app.widgets.charts.score_list import LegendRow, ScoreList
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.work.failure import failure
from vitviz.app.work.progress import Progress
from vitviz.explain.registry import METHODS, find, stroke_of
from vitviz.render.plot import Chart
from vitviz.render.strokes import RANDOM, Stroke

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.measures.faithfulness import Baseline, Scores
    from vitviz.explain.measures.truth import OnObject

_TITLES = ("Deletion: lower is better", "Insertion: higher is better")
_REST = 150  # milliseconds without a change before a map is scored


@dataclass(frozen=True, eq=False)
class ShownCurves(Shown):
    """The curves and the list of methods."""

    scores: "tuple[Scores, ...]"
    """What is drawn: the selected method's first, if it is known."""
    baseline: "Baseline | None"
    """The random orders that are drawn."""
    charts: tuple[Chart, ...]
    rows: tuple[LegendRow, ...]
    """A row per method, and the random orders."""
    aim: str
    """How the map lies on the class's object; empty where that is not known."""


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The curves that are drawn, and what they were computed for."""

    trace: "Trace"
    question: Question
    scores: "tuple[Scores, ...]"
    baseline: "Baseline | None"
    aim: "OnObject | None"

    @property
    def label(self) -> str:
        """The class or output that is measured."""
        return self.trace.model.labels[self.question.target]

    @property
    def quantity(self) -> str:
        """What is measured: "probability", "logit" or "output"."""
        return self.trace.model.quantity

    @property
    def own(self) -> "Scores":
        """The scores of the map that was asked for."""
        return self.scores[0]


class FaithfulnessPanel(Panel):
    """Deletion and insertion curves; a check mark adds a method, pointing shows the model's input at a step."""

    name = "faithfulness"

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.addActions(keys)
        self.store = ScoreStore(session.trace)
        self._drawn: _Drawn | None = None
        self._input: scoring.ModelInput | None = None
        self.says = MutedLabel()
        self.view = CurvesView()
        self.view.setAccessibleName("Deletion and insertion curves")
        self.list = ScoreList(
            "Methods to compare, with the areas under their curves",
            ("Area under the curve", "deletion ↓", "insertion ↑"),
        )
        self.aim = MutedLabel()
        self.replacement = Segmented(
            "What stands where patches are removed", [("mean", "mean colour"), ("blur", "blurred")]
        )
        self.replacement.setToolTip("What the model is given where patches are removed")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(4)
        self.bar.setAccessibleName("Progress of scoring")
        self.news = MutedLabel()
        self.save = QPushButton("Save curves…")
        self.save.setToolTip("Save the curves as a picture (.png) or as numbers (.csv)")
        self.empty = EmptyState(self.view, [])
        self._rest = QTimer(self, interval=_REST, singleShot=True)
        self._rest.timeout.connect(self._start)
        self._lay_out()
        self.view.hover_changed.connect(self._point)
        self.list.toggled.connect(self._check)
        self.replacement.chosen.connect(lambda key: session.change_panel(self.name, replacement=key))
        self.save.clicked.connect(self._save)
        session.trace_changed.connect(self._take_trace)
        session.view_changed.connect(self._change_view)
        session.busy_changed.connect(self.follow)
        self.tint()
        self._tell(None)

    def _lay_out(self) -> None:
        line, charts, middle = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        below, foot = QHBoxLayout(), QHBoxLayout()
        line.setContentsMargins(12, 0, 12, 4)
        line.addWidget(self.says)
        charts.setContentsMargins(12, 0, 0, 0)
        charts.addWidget(self.view)
        middle.setContentsMargins(8, 4, 8, 0)
        middle.addWidget(self.list)
        below.setContentsMargins(12, 4, 12, 0)
        below.addWidget(self.aim)
        foot.setContentsMargins(12, 8, 12, 8)
        foot.setSpacing(8)
        foot.addWidget(self.replacement)
        foot.addWidget(self.news, 1)
        foot.addWidget(self.bar)
        foot.addWidget(self.save)
        self.bar.setFixedWidth(64)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(line)
        column.addLayout(charts, 1)
        column.addLayout(middle)
        column.addLayout(below)
        column.addLayout(foot)

    @property
    def busy(self) -> bool:
        """Whether something is being scored, or will be once the user has stopped changing the view."""
        return super().busy or self._rest.isActive()

    def end(self) -> None:
        """Stop all work and end the thread."""
        self._rest.stop()
        super().end()

    # Following the session.

    def rest(self) -> None:
        """Stop scoring; what is missing is asked for again when the panel is seen."""
        self._stop()
        self._behind = True

    def tint(self) -> None:
        """Take the colours of the progress bar and of the curves from the palette."""
        theme.mute_accent(self.bar)
        self.follow()

    def _take_trace(self) -> None:
        """Forget the scores of another trace, also while the panel is hidden."""
        if self.session.trace is not self.store.trace:
            self._stop()
            self.store = ScoreStore(self.session.trace)
            if self.session.trace is None or not self.isVisible():
                self._drawn = self._input = None  # a hidden panel must not keep the memory of a closed trace
        self.follow()

    def _change_view(self, before: ViewState, now: ViewState) -> None:
        if not same_selection(before, now):
            self.follow()

    @property
    def _chosen(self) -> FaithfulnessView:
        return panel_view(self.session.view, self.name, FaithfulnessView)

    def draw(self) -> None:
        """Show the scores that are known, and compute the missing ones once the view has not changed for a while."""
        session, store = self.session, self.store
        store.ask(session.view, self._chosen, session.methods())
        self.replacement.set_current(self._chosen.replacement)
        # While a photo or model is loading nothing is scored: its maps will replace these.
        if store.missing != store.running or session.busy is not None:
            self._stop()
        if store.missing and not store.running and session.busy is None:
            self._rest.start()
        self._show()

    def _start(self) -> None:
        store, missing = self.store, self.store.missing
        trace = store.trace
        if trace is None or not missing:
            return
        store.running = missing
        known = set(store.baselines)
        self.worker.submit(
            lambda ticket: scoring.answer(trace, missing, known, ticket),
            lambda _: self._settle(),
            self._fail,
            self._hear,
        )
        self._tell(Progress("Scoring"))
        self._show()

    def _stop(self) -> None:
        self._rest.stop()
        self.worker.cancel()
        self._settle()

    def _settle(self) -> None:
        self.store.running = ()
        self._tell(None)

    def _fail(self, problem: BaseException) -> None:
        self.store.fail(failure(problem).message)
        self._settle()
        self._show()
        self.session.failed.emit(failure(problem))

    def _hear(self, news: Any) -> None:
        if isinstance(news, Progress):
            self._tell(news)
            return
        assert isinstance(news, Scored)
        self.store.take(news)
        self._show()

    def _tell(self, news: Progress | None) -> None:
        self.bar.setVisible(news is not None)
        self.news.set_text("" if news is None else news.text)
        if news is not None:
            self.bar.setRange(0, 0 if news.done is None else 100)
            self.bar.setValue(round(100 * (news.done or 0)))

    # Drawing.

    def _show(self) -> None:
        store, trace, selected = self.store, self.store.trace, self.store.selected
        self.list.setEnabled(selected is not None)
        self.list.set_rows(self._rows())
        problem = "" if selected is None else store.problems.get(selected, "")
        if trace is None or selected is None or problem:
            self._drawn = None
        elif selected in store.scores:
            self._drawn = _Drawn(trace, selected, store.found, store.baseline, store.aims.get(selected))
        if trace is None:
            self.empty.show_message(
                "Does the prediction depend on what the map marks?",
                "Open a photo and choose a model: its hottest patches will be removed, and revealed, step by step.",
            )
        elif selected is None:
            self.empty.show_message("No output to follow", f"{trace.model.name} has no classifier.")
        elif problem:
            self.empty.show_message("No curves for this map", problem)
        else:
            self.empty.hide()
        self._show_curves()

    def _show_curves(self) -> None:
        """The curves that are known; until those that are asked for are there, the ones before with their own words."""
        drawn = self._drawn
        aim = "" if drawn is None else scoring.aim_in_short(drawn.aim, drawn.label)
        self.aim.set_text(aim)
        self.aim.setVisible(bool(aim))
        self.save.setEnabled(drawn is not None)
        self.view.set_plots(() if drawn is None else self._plots(drawn))
        self.says.set_text(
            ""
            if drawn is None
            else f"{drawn.quantity.capitalize()} of “{drawn.label}”, the map's hottest patches first · "
            f"grey: {scoring.ORDERS} random orders ± 95 %"
        )
        self._describe()
        self.dim()

    def dim(self) -> None:
        """Dim the curves until those of what is selected are there."""
        store, selected = self.store, self.store.selected
        waiting = selected is not None and selected not in store.scores and selected not in store.problems
        self.view.set_dimmed(waiting or self.session.busy is not None)

    def _plots(self, drawn: _Drawn) -> list[Chart]:
        dark = theme.is_dark(self.palette())
        made = save.charts(drawn.scores, drawn.baseline, drawn.label, drawn.quantity, drawn.own.method, dark)
        return [replace(one, title=title) for one, title in zip(made, _TITLES, strict=True)]

    def _stroke(self, stroke: Stroke) -> tuple[str, tuple[float, ...]]:
        color = stroke.dark if theme.is_dark(self.palette()) else stroke.light
        return QColor(*color).name(), stroke.dashes

    def _describe(self) -> None:
        """The two areas in words, for screen readers."""
        drawn = self._drawn
        if drawn is None:
            self.view.setAccessibleDescription("")
            return
        found, chance = drawn.own, drawn.baseline
        beside = "" if chance is None else f", random orders {chance.deletion.area}"
        self.view.setAccessibleDescription(
            f"{find(found.method).label}: area under deletion {found.deletion.area:.3f}, under insertion "
            f"{found.insertion.area:.3f}{beside}"
        )

    def shown(self) -> ShownCurves:
        """The curves and the list as they are drawn."""
        drawn = self._drawn
        return ShownCurves(
            caption=self.says.whole,
            dimmed=self.view.dimmed,
            scores=() if drawn is None else drawn.scores,
            baseline=None if drawn is None else drawn.baseline,
            charts=self.view.plots,
            rows=self.list.rows,
            aim=self.aim.whole,
            facts=None if drawn is None else _facts_of(drawn),
        )

    # The list of methods.

    def _rows(self) -> list[LegendRow]:
        """A row per method, and the random orders of the selected one's grid."""
        view, store, apply = self.session.view, self.store, self.session.methods()
        by_method = {one.selection.method: one for one in store.questions}
        selected = None if store.selected is None else store.scores.get(store.selected)
        rows = []
        for method in METHODS:
            name, stroke = method.name, stroke_of(method.name)
            one, current = by_method.get(name), name == view.method
            found = None if one is None else store.scores.get(one)
            numbers = ("…", "…") if one is not None and one in store.running else ("", "")
            if found is not None:
                numbers = f"{found.deletion.area:.3f}", f"{found.insertion.area:.3f}"
            aim = None if one is None else store.aims.get(one)
            color, dashes = self._stroke(stroke)
            color = theme.colors(self.palette()).accent if current else color
            tip = "" if one is None else store.problems.get(one, "")
            tip = tip or scoring.other_grid(found, selected)
            tip = tip or scoring.aim_in_words(aim)
            tip = tip or ("The selected method" if current else "Check to draw its curves too")
            disabled = (apply.get(name) or "") if apply else ""
            rows.append(
                LegendRow(
                    name,
                    method.label,
                    numbers,
                    (color, dashes),
                    checked=one is not None,
                    fixed=current,
                    strong=current,
                    disabled=disabled,
                    tip=tip,
                )
            )
        chance = store.baseline
        numbers = ("", "") if chance is None else (str(chance.deletion.area), str(chance.insertion.area))
        tip = "Random orders of the same patches: the mean of their areas and its 95 % confidence interval"
        return [
            *rows,
            LegendRow(
                "random", "Random order", numbers, self._stroke(RANDOM), checked=True, fixed=True, tip=tip
            ),
        ]

    def _check(self, name: str, checked: bool) -> None:
        others = tuple(one for one in self._chosen.compared if one != name)
        self.session.change_panel(self.name, compared=(*others, name) if checked else others)

    # Pointing and saving.

    def _point(self, spot: Spot | None) -> None:
        drawn = self._drawn
        if spot is None or drawn is None:
            self.view.set_card((), None)
            return
        found, replacement = drawn.own, drawn.question.replacement
        revealed = spot.plot == 1
        curve = found.insertion if revealed else found.deletion
        words = [
            f"{curve.shares[spot.step]:.0%} {'revealed' if revealed else 'removed'}".replace("%", " %"),
            f"{drawn.quantity} {curve.probabilities[spot.step]:.3f}",
        ]
        if drawn.baseline is not None:
            band = drawn.baseline.insertion if revealed else drawn.baseline.deletion
            words.append(f"random {band.mean[spot.step]:.3f} ± {band.half[spot.step]:.3f}")
        known = self._input
        if known is None or (known.trace, known.replacement) != (drawn.trace, replacement):
            self._input = known = scoring.model_input(drawn.trace, replacement)
        pixels = scoring.at_step(known, found, spot.step, revealed)
        height, width = pixels.shape[:2]
        image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
        self.view.set_card(words, image)
        self.view.setAccessibleDescription(", ".join(words))

    def sheet(self) -> Sheet | None:
        """The curves that are drawn, to be saved; None where none are."""
        drawn = self._drawn
        if drawn is None:
            return None
        return save.sheet(drawn.trace, drawn.scores, drawn.baseline, drawn.question.replacement)

    def _save(self) -> None:
        sheet, photo = self.sheet(), self.session.photo
        if sheet is None or photo is None:
            return
        path = files.ask_curves(self, f"{photo.path.stem if photo.path else photo.name}-faithfulness.png")
        if path is None:
            return
        self.session.save(
            lambda: save.save(sheet, path),
            lambda: self.session.message.emit(f"Saved {path.name} in {path.parent}"),
        )


def _facts_of(drawn: _Drawn) -> Facts:
    """What the drawn curves were computed for."""
    chosen = replace(drawn.question.selection, target=drawn.question.target)
    return Facts(drawn.trace, chosen, scale=drawn.question.replacement)
