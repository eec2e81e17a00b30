"""The logit lens: what the model would predict after each layer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QAction, QPalette
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from vitviz.app.panels.base import Panel
from vitviz.app.panels.lens import compute
from vitviz.app.session.facts import Facts, Shown, of_trace
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Hover, ViewState
from vitviz.app.ui import number_format, theme
from vitviz.app.widgets.base.title_bar import MutedLabel
from vitviz.app.widgets.charts.bar_list import Bar
from vitviz.app.widgets.matrix.heat_table import EMPTY, Cell, HeatCells, HeatTable
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.work.failure import failure
from vitviz.render.colors import lookup_table

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.internals.lens import Lens

TOP = 5
"""How many of the model's own likeliest classes have a row."""
_ARROWS = ("up", "down", "left", "right")


@dataclass(frozen=True, eq=False)
class ShownLens(Shown):
    """The table of classes and layers."""

    head: str
    """The head of a distilled model that was read; "both" for any other model."""
    classes: tuple[int, ...]
    """The class of each row, by number."""
    layers: tuple[int | None, ...]
    """The layer of the trace after which each column reads; None before the first layer."""
    cells: HeatCells


class LensPanel(Panel):
    """Classes × layers. Pointing previews a layer on the photo, a click selects it; a class's name makes it the target."""

    name = "lens"

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._of: Trace | None = None  # the trace whose lens is shown or awaited
        self._lens: Lens | None = None
        self._facts: Facts | None = (
            None  # what the table was filled for; its trace may be older than the awaited one
        )
        self._classes: list[int] = []
        self._head = "both"  # the head that was read
        self.says = MutedLabel()
        self.note = QLabel()
        self.note.setFont(theme.small())
        self.note.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.note.setWordWrap(True)
        self.view = HeatTable()
        self.view.setAccessibleName("Logit lens, classes by layers")
        self.view.names_pickable = True
        # Arrow keys move between cells here, not between patches.
        self.view.addActions([key for key in keys if key.objectName() not in _ARROWS])
        self.empty = EmptyState(self.view, [])
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 0, 12, 8)
        column.setSpacing(4)
        column.addWidget(self.says)
        column.addWidget(self.view, 1)
        column.addWidget(self.note)
        self.view.hover_changed.connect(self._point)
        self.view.clicked.connect(self._click)
        self.view.room_changed.connect(self._fill)
        session.trace_changed.connect(self._take_trace)
        session.view_changed.connect(self._change_view)
        session.hover_changed.connect(self._light)
        self.view.set_colors(lookup_table(session.view.colormap))

    # From the session.

    def _take_trace(self) -> None:
        if self.session.trace is None or not self.isVisible():
            # A hidden panel must not keep the memory of a trace that is not shown any more.
            self.worker.cancel()
            self._of = self._lens = self._facts = None
        self.follow()

    def draw(self) -> None:
        """Show the lens of the trace, and ask for it where it is not known yet."""
        trace = self.session.trace
        if trace is None:
            self._clear(
                "Layer by layer", "Open a photo and choose a model: what it would predict after each layer."
            )
            return
        if trace is not self._of:
            if self._of is None or self._of.model is not trace.model:
                self._lens = None  # the pointer must not find layers and classes of the model before
                self._wipe()
            self._of = trace
            self.worker.submit(
                lambda ticket: compute.lens_of(trace, ticket),
                lambda lens: self._take(trace, lens),
                self._fail,
            )
        self._fill()
        self._light()

    def _take(self, trace: "Trace", lens: "Lens") -> None:
        self._lens, self._facts = lens, of_trace(trace)
        self.empty.hide()
        self.dim()
        self._fill()

    def _fail(self, problem: BaseException) -> None:
        self._lens = None
        self.dim()
        self._clear("No lens", failure(problem).message)

    def _clear(self, headline: str, hint: str) -> None:
        self._wipe()
        self.empty.show_message(headline, hint)

    def _wipe(self) -> None:
        self._classes, self._facts = [], None
        self.view.set_table(EMPTY)
        self.view.set_selected()
        self.says.set_text("")
        self.note.hide()

    def dim(self) -> None:
        """Dim the table while another is computed."""
        self.view.set_dimmed(self.worker.busy or self.session.busy is not None)

    def _change_view(self, before: ViewState, now: ViewState) -> None:
        if before.colormap != now.colormap:
            self.view.set_colors(lookup_table(now.colormap))
        if (before.class_head, before.target) != (now.class_head, now.target):
            self.follow()
        self._mark()

    def _fill(self) -> None:
        """Fill the table from the lens that is known, as many rows as there is room for."""
        lens, facts = self._lens, self._facts
        if lens is None or facts is None:
            return
        target, head = self.session.view.target, self.session.view.class_head
        self._head = head if head in lens.heads_logits else "both"
        self._facts = of_trace(facts.trace, target, part=self._head)
        leaders = lens.leaders(TOP, self._head)
        room = max(self.view.room, 3)
        shown = leaders[:room]
        if target is not None and target not in shown:
            shown = [*shown[: room - 1], target]
        self._classes = shown
        shares = lens.probabilities(self._head)
        count = shares.shape[1]
        likeliest = int(np.argmax(lens.logits[-1]))
        self.view.set_table(
            HeatCells(
                _heat(shares[:, shown].T, count),
                tuple(lens.labels[index] for index in shown),
                ("start", *(str(layer) for layer in lens.layers[1:])),
                corner="after layer →",
                words=tuple(tuple(_short(share) for share in row) for row in shares[:, shown].T.tolist()),
                marks=tuple(
                    "dot" if index == target else "ring" if target is None and index == likeliest else ""
                    for index in shown
                ),
                dotted=tuple(
                    (shown.index(best), row)
                    for row, best in enumerate(shares.argmax(1).tolist())
                    if best in shown
                ),
            )
        )
        more = len(set(leaders) - set(shown))
        self.note.setText(
            f"Colours from even ({_percent(1 / count)} for each of {count:,} classes) to 100 %, logarithmic; numbers in %; "
            "dots: the likeliest after each layer. " + _hidden(more) + lens.sentence.partition("skipped. ")[2]
        )
        self.note.show()
        self._mark()
        self._say(self.view.hovered)

    def _mark(self) -> None:
        lens, layer = self._lens, self.session.view.layer
        column = None if lens is None else self._column(layer)
        self.view.set_selected(columns=() if column is None else (column,))

    def _column(self, layer: int) -> int | None:
        """The column that reads after a layer; where one block holds several layers, after that block."""
        assert self._lens is not None
        after = [(index, last) for index, last in enumerate(self._lens.layers) if last is not None]
        return next((index for index, last in after if layer <= last), None)

    def shown(self) -> ShownLens:
        """The table as it is drawn."""
        return ShownLens(
            caption=self.says.whole,
            dimmed=self.view.dimmed,
            head=self._head,
            classes=tuple(self._classes),
            layers=() if self._lens is None else self._lens.layers,
            cells=self.view.table,
            facts=self._facts,
        )

    def _light(self) -> None:
        tile = self.session.hover.tile
        self.view.set_lit(None if tile is None or self._lens is None else self._column(tile[0]))

    # From the user.

    def _point(self, cell: Cell | None) -> None:
        layer = None if cell is None else self._layer(cell)
        self.session.point(Hover() if layer is None else Hover(tile=(layer, None)))
        self._say(cell)

    def _layer(self, cell: Cell) -> int | None:
        return None if self._lens is None or cell.column is None else self._lens.layers[cell.column]

    def _click(self, cell: Cell) -> None:
        if cell.column is None and cell.row is not None:
            index = self._classes[cell.row]
            self.session.change(target=None if index == self.session.view.target else index)
            return
        layer = self._layer(cell)
        if layer is not None:
            self.session.change(layer=layer, head=None)

    def _say(self, cell: Cell | None) -> None:
        lens, facts = self._lens, self._facts
        if lens is None or facts is None:
            return
        text = f"What {self._reader} would predict after each layer, read off {facts.trace.readout.sentence}"
        if cell is not None and cell.row is not None and cell.row < len(self._classes):
            index = self._classes[cell.row]
            label = lens.labels[index]
            shares = lens.probabilities(self._head)
            if cell.column is None:
                at = int(shares[:, index].argmax())
                text = f"{label}: {self._when(at)} at its likeliest, {_percent(shares[at, index])} · click to explain"
            else:
                share = float(shares[cell.column, index])
                rank = int((shares[cell.column] > share).sum()) + 1
                times = number_format.compared(share, 1 / shares.shape[1]).partition(", ")[2]
                text = f"{label} {self._when(cell.column)}: {_percent(share)}, {times}, rank {rank:,} of {shares.shape[1]:,}"
        elif cell is not None and cell.column is not None:
            best = lens.predictions(cell.column, 1, self._head)[0]
            text = f"Likeliest {self._when(cell.column)}: {best.label}, {_percent(best.probability)}"
        self.says.set_text(text)
        self.view.setAccessibleDescription(text)

    @property
    def _reader(self) -> str:
        return {"both": "the model", "class": "the class head", "distillation": "the distillation head"}[
            self._head
        ]

    def _when(self, row: int) -> str:
        assert self._lens is not None
        layer = self._lens.layers[row]
        return "before the first layer" if layer is None else f"after layer {layer} ({self._lens.names[row]})"


def _percent(share: float) -> str:
    return Bar("", share).percent


def _hidden(count: int) -> str:
    """How to see the leading classes for which there is no room."""
    if not count:
        return ""
    classes = "1 more class leads" if count == 1 else f"{count} more classes lead"
    return f"{classes} in early layers: a taller panel shows {'it' if count == 1 else 'them'}. "


def _short(share: float) -> str:
    return f"{share * 100:.0f}" if share >= 0.01 else ""


def _heat(shares: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """0 where a class has no more than its even share of `count` classes, 1 where it has all; logarithmic between."""
    heat: NDArray[np.float64] = 1 + np.log(np.maximum(shares, 1e-12)) / np.log(max(count, 2))
    return np.clip(heat, 0.0, 1.0)
