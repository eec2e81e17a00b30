"""The whole attention matrix of the chosen layer and head: every token to every token."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QTimer
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from vitviz.app.panels.base import Panel
from vitviz.app.panels.tokens import matrix
from vitviz.app.panels.tokens.matrix import Asked, MatrixPicture
from vitviz.app.session.facts import Facts, Shown, of_attention
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Hover, ViewState, panel_view, selection
from vitviz.app.ui import icons, number_format, theme
from vitviz.app.widgets.base.title_bar import ElidedLabel, MutedLabel
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.app.widgets.matrix.number_table import NumberRow, NumberTable
from vitviz.app.widgets.matrix.view import MatrixView
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.widgets.photo.colour_bar import ColorBar
from vitviz.app.work.failure import failure
from vitviz.app.work.worker import Ticket
from vitviz.render import colors

if TYPE_CHECKING:
    from vitviz.explain.internals.matrix import PrefixShare

_REST = 60  # milliseconds that the pointer rests on a head before its matrix is computed
_PATIENCE = 120  # milliseconds before the old matrix is dimmed, so that quick answers do not flicker
_KEPT_BYTES = 96 << 20
_TALL = 540  # pixels of the panel from which there is room for a line per prefix token
_OWN = "the query's window"
_HINT = "Point at a cell to see its weight; click it to select its query"


@dataclass(frozen=True)
class TokensView:
    """What is chosen in the panel."""

    log: bool = True
    """Whether the colours are on a logarithmic scale."""
    window: int | None = None
    """The window whose matrix is shown, in layers that have windows; None, or one that a layer lacks: the query's own."""


@dataclass(frozen=True, eq=False)
class ShownTokens(Shown):
    """The matrix that is drawn."""

    picture: MatrixPicture | None
    """The weights with their rows and columns, and the colours; None where nothing is drawn."""
    cells: NDArray[np.uint8] | None
    """The colour indices that are drawn (rows, columns)."""
    selected: tuple[int | None, int | None]
    """The row and the column of the query."""
    marked: tuple[int | None, int | None]
    """The row and the column of the patch that is pointed at in another view."""
    weight: str
    """The sentence about one weight."""


class TokensPanel(Panel):
    """Queries are rows, keys are columns; prefix tokens are drawn larger, as they are few and get much attention."""

    name = "tokens"

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._wanted: tuple[Asked, bool] | None = None
        self._wanted_facts: Facts | None = None
        self._shown: MatrixPicture | None = None
        self._facts: Facts | None = None  # what the drawn matrix was computed for
        self._kept: dict[tuple[Asked, bool], MatrixPicture] = {}
        self._rest = QTimer(self, interval=_REST, singleShot=True)
        self._rest.timeout.connect(self._compute)
        self._patience = QTimer(self, interval=_PATIENCE, singleShot=True)
        self._patience.timeout.connect(self.dim)
        self.says = MutedLabel()
        self.windows = QComboBox()
        self.windows.setAccessibleName("Window of the layer")
        self.windows.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.windows.setToolTip("Which window's matrix is shown")
        self.scale = Segmented("Scale of the matrix", [("log", "log"), ("linear", "linear")])
        self.bar = ColorBar()
        self.out = _button("−", "Show more of the matrix (wheel)")
        self.into = _button("+", "Show the matrix larger (wheel; drag moves it)")
        self.whole = _button("", "Show the whole matrix")
        self.view = MatrixView()
        self.view.setAccessibleName("Attention of every token to every token")
        self.view.addActions(keys)
        self.reading = ElidedLabel()
        self.reading.setFont(theme.body())
        self.numbers = NumberTable(("receives on average", "keeps", "to patches", "to other prefix"))
        self.empty = EmptyState(self.view, [])
        self._lay_out()
        self.tint()
        self.scale.chosen.connect(lambda key: session.change_panel(self.name, log=key == "log"))
        self.windows.activated.connect(self._choose_window)
        self.into.clicked.connect(lambda: self.view.zoom(1.5))
        self.out.clicked.connect(lambda: self.view.zoom(1 / 1.5))
        self.whole.clicked.connect(self.view.fit)
        self.view.zoom_changed.connect(self._say)
        self.view.hover_changed.connect(self._point)
        self.view.clicked.connect(self._click)
        self.numbers.picked.connect(self._pick)
        session.trace_changed.connect(self._take_trace)
        session.selection_changed.connect(self.follow)
        session.view_changed.connect(self._change_view)
        session.hover_changed.connect(self._mark)
        self._take_trace()

    def _lay_out(self) -> None:
        line, foot = QHBoxLayout(), QHBoxLayout()
        line.setContentsMargins(12, 4, 12, 8)
        line.setSpacing(8)
        line.addWidget(self.scale)
        line.addSpacing(12)
        line.addWidget(self.bar, 1)
        for button in (self.out, self.into, self.whole):
            line.addWidget(button)
        head = QHBoxLayout()
        head.setContentsMargins(12, 0, 12, 0)
        head.setSpacing(8)
        head.addWidget(self.says, 1)
        head.addWidget(self.windows)
        foot.setContentsMargins(12, 4, 12, 8)
        foot.addWidget(self.reading)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 8)
        column.setSpacing(0)
        column.addLayout(head)
        column.addLayout(line)
        column.addWidget(self.view, 1)
        column.addLayout(foot)
        column.addWidget(self.numbers)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Show a line per prefix token where there is room, else their mean."""
        super().resizeEvent(event)
        self._show_numbers()

    def tint(self) -> None:
        """Take colours from the palette."""
        self.whole.setIcon(icons.icon("fit", self.palette()))

    # What to show.

    def _take_trace(self) -> None:
        self.worker.cancel()
        self._kept, self._wanted, self._wanted_facts = {}, None, None
        there = self.session.trace is not None
        if not there or not self.isVisible():
            self._shown = self._facts = None
        for widget in (self.scale, self.bar, self.out, self.into, self.whole, self.reading):
            widget.setVisible(there)
        if not there:
            self.windows.hide()
            self.numbers.hide()
            self.says.set_text("")
            self.view.set_cells(None)
            self.empty.show_message(
                "Token to token",
                "Open a photo and choose a model: each row will be what one token attends to.",
            )
        self.follow()

    def draw(self) -> None:
        """Show the matrix of what is selected, from those that are kept or computed in the thread."""
        session = self.session
        trace = session.trace
        if trace is None:
            return
        chosen = self._chosen
        self.scale.set_current("log" if chosen.log else "linear")
        wanted = matrix.asked(trace, session.selection, chosen.window), chosen.log
        asked = wanted[0]
        own = asked.window is not None and asked.window != chosen.window
        self._wanted_facts = of_attention(
            trace,
            replace(session.selection, layer=asked.layer, head=asked.head, fusion=asked.fusion),
            part=_OWN if own else "",
            window=asked.window,
            scale="log" if chosen.log else "linear",
        )
        if wanted == self._wanted and self._is_current and not self.worker.busy and not self._rest.isActive():
            self._facts = self._wanted_facts  # another query of the same matrix
            self._say()
        if wanted != self._wanted:
            self._wanted = wanted
            self.worker.cancel()
            self._rest.stop()
            if wanted in self._kept:
                self._show(self._kept[wanted])
            elif session.hover.tile is not None:
                # Each head of the mosaic that the pointer passes would be a matrix.
                self._rest.start()
            else:
                self._compute()
        self._mark()

    @property
    def _is_current(self) -> bool:
        """Whether the drawn matrix is of the trace that is open, so that its rows can be queries."""
        return self._facts is not None and self._facts.trace is self.session.trace

    @property
    def _chosen(self) -> TokensView:
        return panel_view(self.session.view, self.name, TokensView)

    @property
    def busy(self) -> bool:
        """Whether a matrix is being computed, or will be once the pointer rests."""
        return super().busy or self._rest.isActive()

    def _compute(self) -> None:
        trace, wanted = self.session.trace, self._wanted
        if trace is None or wanted is None:
            return
        known = next((drawn.matrix for drawn in self._kept.values() if drawn.matrix.asked == wanted[0]), None)

        def work(ticket: Ticket) -> MatrixPicture:
            return matrix.draw(known or matrix.make(trace, wanted[0], ticket), wanted[1])

        self.worker.submit(work, lambda drawn: self._take(wanted, drawn), self._fail)
        if not self._patience.isActive():
            self._patience.start()

    def _take(self, wanted: tuple[Asked, bool], drawn: MatrixPicture) -> None:
        self._kept[wanted] = drawn
        while (
            len(self._kept) > 1 and sum(one.matrix.values.nbytes for one in self._kept.values()) > _KEPT_BYTES
        ):
            self._kept.pop(next(iter(self._kept)))
        self._show(drawn)

    def _fail(self, problem: BaseException) -> None:
        self._shown = self._facts = None
        self.view.set_cells(None)
        self.numbers.hide()
        self.says.set_text("")
        self.empty.show_message("No matrix to show", failure(problem).message)
        self._settle()

    def _show(self, drawn: MatrixPicture) -> None:
        self._shown, self._facts = drawn, self._wanted_facts
        made = drawn.matrix
        self.empty.hide()
        self._show_colors()
        self.view.set_cells(drawn.cells, made.names, made.first, made.ticks, ("queries ↓", "keys →"))
        bar = colors.bar(drawn.low, drawn.high, drawn.log)
        first, last = number_format.ends(drawn.low, drawn.high)
        self.bar.set_bar(bar, (first, number_format.ends(0, bar.middle)[1], last))
        self._show_windows()
        self._show_numbers()
        self._settle()
        self._mark()
        self._say()

    def _show_colors(self) -> None:
        signed = self._shown is not None and self._shown.signed
        table = colors.lookup_table(colors.SIGNED_COLORMAP if signed else self.session.view.colormap)
        self.view.set_colors(table)
        self.bar.set_colors(table)

    def _show_windows(self) -> None:
        facts, drawn = self._facts, self._shown
        windows = None if facts is None else facts.trace.layers[facts.selection.layer].layout.windows
        self.windows.setVisible(windows is not None)
        if windows is None or drawn is None:
            return
        count = len(windows.index)
        if self.windows.count() != count + 1:
            self.windows.clear()
            self.windows.addItem(_OWN, None)
            for number in range(count):
                self.windows.addItem(f"window {number}", number)
        chosen = self._chosen.window
        self.windows.setCurrentIndex(0 if chosen is None or not 0 <= chosen < count else chosen + 1)

    def _show_numbers(self) -> None:
        drawn = self._shown
        shares = [] if drawn is None else drawn.matrix.shares
        self.numbers.setVisible(bool(shares))
        if drawn is None or not shares:
            return
        many = len(shares) > 2 and self.height() < _TALL + 20 * len(shares)
        self.numbers.set_rows(
            [self._row(share) for share in (_all(shares) if many else shares)], self._chosen_prefix()
        )

    def _row(self, share: "PrefixShare") -> NumberRow:
        """What a prefix token receives and gives."""
        uniform = None if self._shown is None else self._shown.matrix.uniform
        parts = (share.kept, share.to_patches, share.to_prefix)
        gives = ["–" if part is None else number_format.number(part) for part in parts]
        received = number_format.compared(share.received, uniform)
        told = f"{share.name}: receives {received} of each token's attention on average"
        if share.kept is not None:
            told += (
                f", gives {gives[0]} to itself, {gives[1]} to the patches, {gives[2]} to other prefix tokens"
            )
        return NumberRow(share.name, (number_format.compared(share.received, uniform), *gives), told)

    def _chosen_prefix(self) -> str | None:
        query = self.session.selection.query
        return query if isinstance(query, str) else None

    def _say(self) -> None:
        facts, drawn = self._facts, self._shown
        if facts is None or drawn is None:
            return
        chosen = facts.selection
        layer = facts.trace.layers[chosen.layer]
        head = f"{chosen.fusion} of {layer.heads} heads" if chosen.head is None else f"head {chosen.head}"
        said = f"{layer.name}, {head}"
        if facts.window is not None:
            said += f", window {facts.window}"
            if facts.part == _OWN and not matrix.rows_of(facts.trace, drawn.matrix, chosen.query):
                said += " (the query is spread over all)"
        rows, columns = drawn.matrix.values.shape
        said += f" · {rows:,} × {columns:,} tokens"
        if self.view.merged > 1:
            said += f" · each pixel the largest of {self.view.merged}×{self.view.merged}"
        self.says.set_text(said)
        self.view.setAccessibleDescription(said)
        self.out.setEnabled(self.view.zoomed_in)
        self.whole.setEnabled(self.view.zoomed_in)

    def _change_view(self, before: ViewState, now: ViewState) -> None:
        if before.colormap != now.colormap:
            self._show_colors()
        if before.panels.get(self.name) != now.panels.get(self.name):
            self.follow()
        self._mark()

    def _mark(self) -> None:
        """Row and column of the query and of the patch under the pointer, and their weight in a line."""
        session, drawn = self.session, self._shown
        trace = session.trace
        if trace is None or drawn is None or not self._is_current or not self.isVisible():
            return
        made, patch = drawn.matrix, session.hover.patch
        # A row that is pointed at is a query for now, and not the one that is selected.
        query = selection(session.view, replace(session.hover, query=None)).query
        if session.hover.query is not None and not session.view.pinned:
            query = None
        chosen = _one(matrix.rows_of(trace, made, query)), _one(matrix.columns_of(trace, made, query))
        there: tuple[int | None, int | None] = (None, None)
        if patch is not None and patch != query:
            there = _one(matrix.rows_of(trace, made, patch)), _one(matrix.columns_of(trace, made, patch))
        self.view.set_marks(chosen, there)
        self.numbers.set_chosen(self._chosen_prefix())
        cell = self.view.hovered or (chosen[0], there[1])
        if cell[0] is not None and cell[1] is not None:
            self.reading.set_text(matrix.weight(trace, made, cell[0], cell[1]))
        else:
            self.reading.set_text(_HINT)

    def shown(self) -> ShownTokens:
        """The matrix as it is drawn."""
        return ShownTokens(
            caption=self.says.whole,
            dimmed=self.view.dimmed,
            picture=self._shown,
            cells=self.view.cells,
            selected=self.view.selected,
            marked=self.view.marked,
            weight=self.reading.whole,
            facts=self._facts,
        )

    # Waiting.

    def _settle(self) -> None:
        self._patience.stop()
        self.dim()

    def dim(self) -> None:
        """Dim the matrix while another is computed for longer than a moment."""
        late = self.worker.busy and not self._patience.isActive()
        self.view.set_dimmed(self.session.busy is not None or late)

    # From the user.

    def _point(self, cell: tuple[int, int] | None) -> None:
        session, drawn = self.session, self._shown
        trace = session.trace
        if trace is None or drawn is None or not self._is_current:
            return
        made = drawn.matrix
        query = None if cell is None else matrix.query_of(trace, made, made.rows[cell[0]])
        if cell is None or query is None:
            session.point(Hover())
        else:
            key = matrix.query_of(trace, made, made.columns[cell[1]])
            session.point(Hover(query=query, patch=key if isinstance(key, tuple) else None))  # type: ignore[arg-type]
        self._mark()

    def _click(self, row: int) -> None:
        trace, drawn = self.session.trace, self._shown
        if trace is None or drawn is None or not self._is_current:
            return
        query = matrix.query_of(trace, drawn.matrix, drawn.matrix.rows[row])
        if query is not None:
            self._toggle(query)

    def _pick(self, name: str) -> None:
        trace = self.session.trace
        if trace is not None and name in trace.prefix:
            self._toggle(name)
        else:
            self._mark()

    def _toggle(self, query: object) -> None:
        view = self.session.view
        if view.pinned and view.query == query:
            self.session.unpin()
        else:
            self.session.pin(query)  # type: ignore[arg-type]
        self._mark()

    def _choose_window(self, place: int) -> None:
        self.session.change_panel(self.name, window=self.windows.itemData(place))


def _one(places: list[int]) -> int | None:
    """The only one, or none: a query of many tokens has no row of its own."""
    return places[0] if len(places) == 1 else None


def _all(shares: "list[PrefixShare]") -> "list[PrefixShare]":
    """All prefix tokens as one, on average, where there is no room for each."""

    def mean(name: str) -> float | None:
        known = [getattr(share, name) for share in shares if getattr(share, name) is not None]
        return sum(known) / len(known) if known else None

    parts = {name: mean(name) for name in ("kept", "to_patches", "to_prefix")}
    received = sum(share.received for share in shares) / len(shares)
    return [replace(shares[0], name=f"each of {len(shares)} prefix", received=received, **parts)]


def _button(text: str, what: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setAutoRaise(True)
    button.setFont(theme.body())
    button.setMinimumSize(28, 28)
    button.setToolTip(what)
    button.setAccessibleName(what)
    return button
