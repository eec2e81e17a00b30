"""Faithfulness of the selected map: does the prediction hang on what it marks? Beside it other methods and chance."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QTimer
from PySide6.QtGui import QAction, QColor, QHideEvent, QImage, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from vitviz.app.dialogs import files
from vitviz.app.panels.faithfulness import save, scoring
from vitviz.app.panels.faithfulness.save import Sheet
from vitviz.app.panels.faithfulness.scoring import Chance, Found, Question
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import ViewState, same_selection
from vitviz.app.ui import theme
from vitviz.app.widgets.base.title_bar import MutedLabel
from vitviz.app.widgets.charts.curves import CurvesView, Spot
from vitviz.app.widgets.charts.score_list import ScoreList, ScoreRow
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.work.failure import failure
from vitviz.app.work.progress import Progress
from vitviz.app.work.worker import Worker
from vitviz.explain.registry import METHODS, find, stroke_of
from vitviz.render.plot import Chart
from vitviz.render.strokes import RANDOM, Stroke

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.measures.faithfulness import Baseline, Scores
    from vitviz.explain.measures.truth import OnObject

_TITLES = ("Deletion: lower is better", "Insertion: higher is better")
_REST = 150  # milliseconds; who steps through layers waits for none of them


class FaithfulnessPanel(QWidget):
    """Deletion and insertion curves, live; a check mark adds a method, pointing shows what the model was given."""

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.addActions(keys)
        self.session = session
        self.worker = Worker("scores", self, background=True)
        self._trace: Trace | None = None
        self._scores: dict[Question, Scores] = {}
        self._chances: dict[Chance, Baseline] = {}
        self._aims: dict[Question, OnObject] = {}
        self._problems: dict[Question, str] = {}
        self._running: tuple[Question | Chance, ...] = ()  # what is being computed of what lacks
        self._given: scoring.Given | None = None
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
        self.replacement.chosen.connect(lambda key: session.change(replacement=key))
        self.save.clicked.connect(self._save)
        session.trace_changed.connect(self.follow)
        session.view_changed.connect(self._change_view)
        session.busy_changed.connect(self.follow)
        self.tint()
        self._tell(None)
        self.follow()

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

    def end(self) -> None:
        """Stop all work and end the thread."""
        self._rest.stop()
        self.worker.close()

    # Following the session.

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Catch up with what changed while nobody looked."""
        super().showEvent(event)
        self.follow()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Nobody looks: stop."""
        super().hideEvent(event)
        self._stop()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Take the new colours."""
        if event.type() == QEvent.Type.PaletteChange:
            self.tint()
            self._show()
        super().changeEvent(event)

    def tint(self) -> None:
        """Take colours from the palette."""
        theme.mute_accent(self.bar)

    def _change_view(self, before: ViewState, now: ViewState) -> None:
        if not same_selection(before, now) or (before.compared, before.replacement) != (
            now.compared,
            now.replacement,
        ):
            self.follow()

    def follow(self) -> None:
        """Show what is known of what is asked for, and ask for the rest once the user has come to rest."""
        trace = self.session.trace
        if trace is not self._trace:
            self._stop()
            self._trace, self._given = trace, None
            self._scores, self._chances, self._aims, self._problems = {}, {}, {}, {}
        self.replacement.set_current(self.session.view.replacement)
        lacking = self._lacking()
        # What is loading comes first; its maps will be others.
        if lacking != self._running or self.session.busy is not None:
            self._stop()
        if lacking and not self._running and self.isVisible() and self.session.busy is None:
            self._rest.start()
        self._show()

    def _questions(self) -> tuple[Question, ...]:
        """What is to be drawn: the selected method first, then those with a check mark that apply."""
        trace, view = self._trace, self.session.view
        target = None if trace is None else scoring.target_of(trace, view)
        if target is None:
            return ()
        apply = self.session.methods()
        names = [
            name
            for name in (method.name for method in METHODS)
            if name in view.compared and name != view.method and apply.get(name, "") is None
        ]
        return tuple(scoring.question(view, name, target) for name in (view.method, *names))

    def _lacking(self) -> tuple[Question | Chance, ...]:
        """What is to be drawn and neither known nor known to be impossible; random orders once their grid is known."""
        asked = self._questions()
        lacking = tuple(one for one in asked if one not in self._scores and one not in self._problems)
        chance = self._chance_of(asked[0]) if asked else None
        return (*lacking, chance) if chance is not None and chance not in self._chances else lacking

    def _start(self) -> None:
        trace, lacking = self._trace, self._lacking()
        if trace is None or not lacking:
            return
        self._running = lacking
        known = set(self._chances)
        self.worker.submit(
            lambda ticket: scoring.answer(trace, lacking, known, ticket),
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
        self._running = ()
        self._tell(None)

    def _fail(self, problem: BaseException) -> None:
        for one in self._running:
            if isinstance(one, Question):
                self._problems.setdefault(one, failure(problem).message)
        self._settle()
        self._show()
        self.session.failed.emit(failure(problem))

    def _hear(self, news: Any) -> None:
        if isinstance(news, Progress):
            self._tell(news)
            return
        assert isinstance(news, Found)
        if news.baseline is not None and isinstance(news.key, Chance):
            self._chances[news.key] = news.baseline
        elif news.scores is not None and isinstance(news.key, Question):
            self._scores[news.key] = news.scores
            if news.aim is not None:
                self._aims[news.key] = news.aim
        elif isinstance(news.key, Question):
            self._problems[news.key] = news.problem
        # The scores of a map are followed by the random orders of its grid.
        self._running = self._lacking()
        self._show()

    def _tell(self, news: Progress | None) -> None:
        self.bar.setVisible(news is not None)
        self.news.set_text("" if news is None else news.text)
        if news is not None:
            self.bar.setRange(0, 0 if news.done is None else 100)
            self.bar.setValue(round(100 * (news.done or 0)))

    # Drawing.

    def _show(self) -> None:
        trace, asked = self._trace, self._questions()
        self.save.setEnabled(any(one in self._scores for one in asked))
        self.list.setEnabled(bool(asked))
        self.list.set_rows(self._rows(asked))
        aim = scoring.aim_in_short(self._aims.get(asked[0]), self._label(asked[0])) if asked else ""
        self.aim.set_text(aim)
        self.aim.setVisible(bool(aim))
        if trace is None or not asked:
            self.view.set_plots(())
            self.says.set_text("")
            if trace is None:
                self.empty.show_message(
                    "Does the prediction hang on what the map marks?",
                    "Open a photo and choose a model: its hottest patches will be removed, and revealed, step by step.",
                )
            else:
                self.empty.show_message("No probability to follow", f"{trace.model.name} has no classifier.")
            return
        problem = self._problems.get(asked[0], "")
        if problem:
            self.empty.show_message("No curves for this map", problem)
        else:
            self.empty.hide()
        label = self._label(asked[0])
        self.says.set_text(
            f"Probability of “{label}”, the map's hottest patches first · grey: {scoring.ORDERS} random orders ± 95 %"
        )
        self.view.set_plots([] if problem else self._plots(asked, label))
        self._describe(asked[0])
        self._dim()

    def _label(self, one: Question) -> str:
        """The class whose probability is followed."""
        return self._trace.model.labels[one.target] if self._trace is not None else ""

    def _plots(self, asked: tuple[Question, ...], label: str) -> list[Chart]:
        found = [self._scores[one] for one in asked if one in self._scores]
        selected, dark = asked[0].selection.method, theme.is_dark(self.palette())
        made = save.charts(found, self._chance(asked[0]), label, selected, dark)
        return [replace(one, title=title) for one, title in zip(made, _TITLES, strict=True)]

    def _chance_of(self, one: Question) -> Chance | None:
        """What a map's scores are compared with; None as long as there are no scores."""
        found = self._scores.get(one)
        return None if found is None else Chance(found.patches, one.target, one.replacement)

    def _chance(self, one: Question) -> "Baseline | None":
        chance = self._chance_of(one)
        return None if chance is None else self._chances.get(chance)

    def _stroke(self, stroke: Stroke) -> tuple[str, tuple[float, ...]]:
        color = stroke.dark if theme.is_dark(self.palette()) else stroke.light
        return QColor(*color).name(), stroke.dashes

    def _describe(self, one: Question) -> None:
        """The two areas in words, for those who do not see the curves."""
        found, chance = self._scores.get(one), self._chance(one)
        if found is None:
            self.view.setAccessibleDescription("")
            return
        beside = "" if chance is None else f", random orders {chance.deletion.area}"
        self.view.setAccessibleDescription(
            f"{find(found.method).label}: area under deletion {found.deletion.area:.3f}, under insertion "
            f"{found.insertion.area:.3f}{beside}"
        )

    def _dim(self) -> None:
        asked = self._questions()
        waiting = self.session.busy is not None or (bool(asked) and asked[0] not in self._scores)
        self.view.set_dimmed(waiting)

    # The list of methods.

    def _rows(self, asked: tuple[Question, ...]) -> list[ScoreRow]:
        """A row per method, and the random orders of the selected one's grid."""
        view, apply = self.session.view, self.session.methods()
        by_method = {one.selection.method: one for one in asked}
        rows = []
        for method in METHODS:
            name, stroke = method.name, stroke_of(method.name)
            one, current = by_method.get(name), name == view.method
            found = None if one is None else self._scores.get(one)
            numbers = ("…", "…") if one is not None and one in self._running else ("", "")
            if found is not None:
                numbers = f"{found.deletion.area:.3f}", f"{found.insertion.area:.3f}"
            aim = None if one is None else self._aims.get(one)
            color, dashes = self._stroke(stroke)
            color = theme.colors(self.palette()).accent if current else color
            tip = "" if one is None else self._problems.get(one, "")
            tip = tip or scoring.other_grid(found, self._scores.get(asked[0]) if asked else None)
            tip = tip or scoring.aim_in_words(aim)
            tip = tip or ("The selected method" if current else "Check to draw its curves too")
            disabled = (apply.get(name) or "") if apply else ""
            rows.append(
                ScoreRow(
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
        chance = self._chance(asked[0]) if asked else None
        numbers = ("", "") if chance is None else (str(chance.deletion.area), str(chance.insertion.area))
        tip = "Random orders of the same patches: the mean of their areas and its 95 % confidence interval"
        return [
            *rows,
            ScoreRow(
                "random", "Random order", numbers, self._stroke(RANDOM), checked=True, fixed=True, tip=tip
            ),
        ]

    def _check(self, name: str, checked: bool) -> None:
        others = tuple(one for one in self.session.view.compared if one != name)
        self.session.change(compared=(*others, name) if checked else others)

    # Pointing and saving.

    def _point(self, spot: Spot | None) -> None:
        asked = self._questions()
        found = self._scores.get(asked[0]) if asked else None
        if spot is None or found is None or self._trace is None:
            self.view.set_card((), None)
            return
        revealed = spot.plot == 1
        curve = found.insertion if revealed else found.deletion
        words = [
            f"{curve.shares[spot.step]:.0%} {'revealed' if revealed else 'removed'}".replace("%", " %"),
            f"probability {curve.probabilities[spot.step]:.3f}",
        ]
        chance = self._chance(asked[0])
        if chance is not None:
            band = chance.insertion if revealed else chance.deletion
            words.append(f"random {band.mean[spot.step]:.3f} ± {band.half[spot.step]:.3f}")
        if self._given is None or self._given.replacement != asked[0].replacement:
            self._given = scoring.given(self._trace, asked[0].replacement)
        pixels = scoring.at_step(self._given, found, spot.step, revealed)
        height, width = pixels.shape[:2]
        image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
        self.view.set_card(words, image)
        self.view.setAccessibleDescription(", ".join(words))

    def sheet(self) -> Sheet | None:
        """What is shown, as it can be saved."""
        asked = self._questions()
        if self._trace is None or not asked:
            return None
        return save.sheet(self._trace, asked, self._scores, self._chance(asked[0]))

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
