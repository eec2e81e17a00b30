"""The status line: the query, the weight with what it compares to, the layer, and whether the numbers are proved."""

from html import escape
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QMetaObject, QObject, QPoint, QSize, Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QWhatsThis, QWidget

from vitviz.app.session import describe
from vitviz.app.session.facts import Facts, Shown
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import follows_pointer
from vitviz.app.ui import icons, theme
from vitviz.app.widgets.base.title_bar import ElidedLabel
from vitviz.explain.registry import find

if TYPE_CHECKING:
    from vitviz.attention.self_check.claims import Claim
    from vitviz.attention.self_check.outputs import Check


class StatusBar(QWidget):
    """One line of facts about what is pointed at, and about the trace."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._said: tuple[object, ...] | None = None  # what the numbers were made of
        self._facts: Facts | None = None  # what the line speaks of
        self._bare = False
        self.query = QLabel()
        self.weight = QLabel()
        self.weight.setFont(theme.body(strong=True))
        self.where = ElidedLabel()
        self.about = ElidedLabel()
        self.about.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.badge = QToolButton()
        self.badge.setAutoRaise(True)
        self.badge.setIconSize(QSize(14, 14))
        self.badge.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.badge.clicked.connect(self._explain_badge)
        for label in (self.where, self.about):
            label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.setMinimumHeight(36)  # the stage must not jump when the badge comes
        line = QHBoxLayout(self)
        line.setContentsMargins(12, 4, 12, 4)
        line.setSpacing(16)
        line.addWidget(self.query)
        line.addWidget(self.weight)
        line.addWidget(self.where, 1)
        line.addWidget(self.about, 1)
        line.addWidget(self.badge)
        self._links = self._connect()
        self._show_trace()

    def set_session(self, session: Session) -> None:
        """Show this session, that of the current side."""
        if session is self._session:
            return
        for link in self._links:
            QObject.disconnect(link)
        self._session, self._said = session, None
        self._links = self._connect()
        self._show_trace()

    def _connect(self) -> list[QMetaObject.Connection]:
        session = self._session
        numbers = (
            session.heatmap_changed,
            session.maps.late_changed,
            session.hover_changed,
            session.view_changed,
        )
        trace = session.trace_changed, session.model_changed, session.check_changed
        return [signal.connect(self._show_numbers) for signal in numbers] + [
            signal.connect(self._show_trace) for signal in trace
        ]

    def set_bare(self, bare: bool) -> None:
        """Show only the weight, as in a presentation, whose caption says the rest; or show everything again."""
        self._bare = bare
        self.query.setVisible(not bare)
        self.about.setVisible(not bare)
        self._show_trace()
        self._show_place()

    def _show_place(self) -> None:
        """The place has no caption elsewhere where it says why there is no map."""
        self.where.setVisible(not self._bare or not self.weight.text())

    def shown(self) -> Shown:
        """The query, the weight and the place as they are said; dimmed while the weight is being computed."""
        parts = self.query.text(), self.weight.text(), self.where.whole
        late = self._facts is not None and self._session.maps.heat_late
        return Shown(" · ".join(filter(None, parts)), late, facts=self._facts)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint the badge again."""
        if event.type() == QEvent.Type.PaletteChange:
            self._show_trace()
        super().changeEvent(event)

    def _show_numbers(self) -> None:
        session = self._session
        trace, heat = session.trace, session.heatmap
        shown = session.maps.shown
        if trace is None or heat is None or shown is None:
            self._said = self._facts = None
            for label in (self.query, self.weight):
                label.clear()
            self.where.set_text(session.maps.problem)
            self._show_place()
            return
        late = session.maps.heat_late
        said = trace, shown, late, session.view, session.hover
        if said == self._said:
            return
        self._said = said
        # Names and numbers of one map: the one that is shown, or without a number the one that is on its way.
        chosen = session.selection if late else shown.selection
        self._facts = Facts(trace, chosen)
        asked = session.view.pinned and chosen.query == session.view.query
        pinned = " · pinned" if asked and find(chosen.method).takes("query") else ""
        name = describe.awaited(trace, chosen) if late else describe.subject(trace, heat, chosen)
        held = not follows_pointer(session.view) or session.hover.query is not None
        self.query.setText(f"{name[0].upper()}{name[1:]}{pinned}")
        self.weight.setText(
            "computing …" if late else describe.weight(trace, heat, chosen, session.hover, pinned=held)
        )
        self.where.set_text(describe.where(trace, chosen, None if late else heat))
        if self._bare:
            self._show_place()

    def _show_trace(self) -> None:
        session = self._session
        trace, check = session.trace, session.check
        self.badge.setVisible(trace is not None and check is not None and not self._bare)
        if trace is None:
            self.about.set_text(
                "" if session.model is None else f"{session.model.full_name} on {session.model.device}"
            )
        else:
            self.about.set_text(" · ".join(describe.run(trace)))
        if check is not None:
            self.badge.setText(badge_text(check))
            self.badge.setIcon(icons.icon("check" if check.proved else "warning", self.palette()))
            self.badge.setToolTip("What is proved of these maps: click for the five claims")
            self.badge.setAccessibleName(f"Self-check: {self.badge.text()}")
        self._show_numbers()

    def _explain_badge(self) -> None:
        check = self._session.check
        if check is not None:
            text = badge_details(check, theme.colors(self.palette()).muted)
            QWhatsThis.showText(self.badge.mapToGlobal(QPoint(0, -8)), text, self.badge)


def badge_text(check: "Check") -> str:
    """The badge: "exact" only if all five claims hold, with the largest error of the recomputed attention."""
    if not check.exact:
        return f"not exact, {_error(check.worst)}"
    proved = sum(claim.holds for claim in check.claims)
    if check.proved:
        return f"exact, {_error(check.worst)}"
    return f"{proved} of {len(check.claims)} claims proved, {_error(check.worst)}"


def badge_details(check: "Check", muted: str = "") -> str:
    """Each claim with what was proved, how and when, as rich text; `muted` is the colour of how and when."""
    failing = sum(claim.fails for claim in check.claims)
    proved = sum(claim.holds for claim in check.claims)
    if check.proved:
        headline = "All five claims are proved: the maps are exact."
    elif failing:
        which, them = ("One claim fails", "it") if failing == 1 else (f"{failing} claims fail", "them")
        headline = f"{which}: maps that need {them} are refused."
    else:
        headline = f"{proved} of {len(check.claims)} claims are proved so far."
    rows = [_row(check, claim, muted) for claim in check.claims]
    return (
        f"<p style='margin-bottom: 6px'><b>{headline}</b></p><table cellpadding='3'>{''.join(rows)}</table>"
    )


def _row(check: "Check", claim: "Claim", muted: str) -> str:
    mark = {"holds": "✓", "fails": "✗"}.get(claim.verdict, "–")
    sentence = f"{claim.sentence[0].upper()}{claim.sentence[1:].rstrip('.')}."
    told = ""
    if claim.how and claim.when is not None:
        how = f"{'Found' if claim.fails else 'Proved'} {claim.how}, at {claim.when:%H:%M:%S}"
        if claim.name == "weights":
            how += f". Largest relative error {_error(check.worst)}, allowed {_error(check.tolerance)} ({check.precision})"
        style = f" style='color: {muted}'" if muted else ""
        told = f"<br><small><span{style}>{escape(how)}.</span></small>"
    name = f"{mark}&nbsp;<b>{claim.name}</b>"
    if claim.fails:
        name += "<br><small>fails</small>"
    return f"<tr><td>{name}&nbsp;&nbsp;</td><td>{escape(sentence)}{told}</td></tr>"


def _error(worst: float) -> str:
    return "0" if worst == 0 else f"{worst:.0e}".replace("e-0", "e-")
