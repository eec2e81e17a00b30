"""Statistics of attention: a dot per head by layer, and how similar the heads of a layer are."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtGui import QAction, QPalette, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from vitviz.app.dialogs import files
from vitviz.app.panels.base import Panel
from vitviz.app.panels.statistics.folder import FolderStatistics
from vitviz.app.panels.statistics.quantities import (
    QUANTITIES,
    Quantity,
    alike,
    even_of,
    number,
    reading,
    share_of,
    values_of,
)
from vitviz.app.session import measures
from vitviz.app.session.facts import Facts, Shown, of_trace
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Hover, ViewState, panel_view
from vitviz.app.ui import theme
from vitviz.app.widgets.base.title_bar import MutedLabel
from vitviz.app.widgets.charts.scatter import NOTHING, Dots, ScatterView
from vitviz.app.widgets.matrix.heat_table import EMPTY, Cell, HeatCells, HeatTable
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.widgets.messages.progress_card import ProgressCard
from vitviz.app.widgets.mosaic.layout import Target
from vitviz.app.work.failure import failure
from vitviz.app.work.progress import Progress
from vitviz.render.colors import lookup_table

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.measures.statistics import Statistics

_NARROWEST = 320
_ASIDE = 460  # the width from which chart and table have room side by side
_ARROWS = ("up", "down", "left", "right")


@dataclass(frozen=True)
class StatisticsView:
    """What is chosen in the panel."""

    quantity: str = "distance"
    """The key of a `Quantity`; a model that does not have it shows the first one."""


@dataclass(frozen=True, eq=False)
class ShownStatistics(Shown):
    """The dots of all heads and the table of one layer's heads."""

    quantity: str
    """The key of the `Quantity` that is drawn."""
    dots: Dots
    layer: int
    """The layer whose heads are compared; -1 where none are."""
    similarity: HeatCells
    """Heads × heads."""
    photos: int
    """The number of photos of a folder that the values are means over; 0 for the values of the photo that is open."""
    note: str
    """The sentence about these photos below the table."""


class StatisticsPanel(Panel):
    """Pointing at a dot previews the head on the photo, a click selects it. Values are of the photo or of a folder."""

    name = "statistics"

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._of: Trace | None = None  # the trace whose numbers are shown or awaited
        self._found: Statistics | None = None
        self._found_of: Trace | None = None  # older than the awaited one until its numbers are there
        self._quantities: tuple[Quantity, ...] = ()
        self._drawn: tuple[Statistics, Quantity] | None = None  # what the dots are of
        self._compared: tuple[Statistics, int] | None = None  # what the table is of
        self.folder = FolderStatistics(session.jobs, self)
        self.says = MutedLabel()
        self.quantity = QComboBox()
        self.quantity.setAccessibleName("What the dots show")
        self.plot = ScatterView()
        self.plot.setAccessibleName("Statistics, one dot per head")
        self.alike = MutedLabel()
        self.matrix = HeatTable()
        self.matrix.setAccessibleName("Similarity of heads, heads by heads")
        self.empty = EmptyState(self.plot, [])
        self.card = ProgressCard(self.plot)
        self.note = QLabel()
        self.note.setFont(theme.small())
        self.note.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.note.setWordWrap(True)
        self.over = QPushButton("Over a folder…")
        self.over.setToolTip("Mean and standard deviation over the photos of a folder")
        self.back = QPushButton("This photo")
        self.back.setToolTip("Show the numbers of this photo again")
        self.export = QPushButton("Export CSV…")
        self.export.setToolTip("Save all numbers as a table, one line per head")
        for view in (self.plot, self.matrix):
            view.addActions([key for key in keys if key.objectName() not in _ARROWS])
        self._lay_out()
        self._offer(())
        self._offer_buttons()
        self.quantity.currentIndexChanged.connect(self._choose)
        self.plot.hover_changed.connect(self._point)
        self.plot.clicked.connect(self._click)
        self.matrix.hover_changed.connect(self._point_pair)
        self.matrix.clicked.connect(self._click_pair)
        self.over.clicked.connect(self._ask_folder)
        self.back.clicked.connect(self.folder.forget)
        self.export.clicked.connect(self._ask_export)
        self.card.cancelled.connect(self.folder.cancel)
        self.folder.changed.connect(self.follow)
        self.folder.progressed.connect(self._show_progress)
        session.trace_changed.connect(self._take_trace)
        session.model_changed.connect(self._take_trace)
        session.view_changed.connect(self._change_view)
        session.hover_changed.connect(self._preview)
        self.matrix.set_colors(lookup_table(session.view.colormap))

    def _lay_out(self) -> None:
        choice, buttons, actions = QHBoxLayout(), QHBoxLayout(), QVBoxLayout()
        choice.addWidget(self.quantity)
        choice.addStretch(1)
        buttons.setSpacing(8)
        buttons.addStretch(1)
        for button in (self.back, self.over, self.export):
            buttons.addWidget(button)
        actions.setSpacing(8)
        actions.addStretch(1)
        actions.addWidget(self.note)
        actions.addLayout(buttons)
        self._lower = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._lower.addWidget(self.matrix, 1)
        self._lower.addLayout(actions)
        alike = QVBoxLayout()
        alike.setSpacing(4)
        alike.addWidget(self.alike)
        alike.addLayout(self._lower, 1)
        self._halves = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        for layout in (self._lower, self._halves):
            layout.setSpacing(8)
        self._halves.addWidget(self.plot, 3)
        self._halves.addLayout(alike, 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 0, 12, 8)
        column.setSpacing(8)
        column.addWidget(self.says)
        column.addLayout(choice)
        column.addLayout(self._halves, 1)
        self.setMinimumWidth(_NARROWEST)  # else one side by side could never be narrow enough to be stacked

    def end(self) -> None:
        """Stop all work and end the thread."""
        self.folder.cancel()
        super().end()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Put the chart and the table side by side where there is room, else one below the other."""
        super().resizeEvent(event)
        wide = event.size().width() > max(1.25 * event.size().height(), _ASIDE * theme.scale())
        aside, below = QBoxLayout.Direction.LeftToRight, QBoxLayout.Direction.TopToBottom
        self._halves.setDirection(aside if wide else below)
        self._lower.setDirection(below if wide else aside)

    # From the session.

    def _take_trace(self) -> None:
        session, trace = self.session, self.session.trace
        self.folder.keep_for(None if trace is None else session.model, session.framing)
        if trace is None or (not self.isVisible() and trace is not self._of):
            # A hidden panel must not keep the memory of a trace that is not shown any more.
            self.worker.cancel()
            self._of = self._found = self._found_of = None
        self.follow()

    def draw(self) -> None:
        """Show the numbers of a folder or of the trace; these are computed first where they are not known yet."""
        trace = self.session.trace
        if trace is None:
            self._clear(
                "Every head in numbers",
                "Open a photo and choose a model: how far each head looks, and how evenly.",
            )
            return
        if trace is not self._of:
            heads = [layer.heads for layer in trace.layers]
            if self._found is not None and heads != [layer.heads for layer in self._found.layers]:
                self._found = self._found_of = (
                    None  # the pointer must not find heads that this model does not have
                )
            self._of = trace
            self._show_parts(True)
            self.worker.submit(
                lambda ticket: measures.statistics_of(trace, ticket),
                lambda found: self._take(trace, found),
                self._fail,
            )
        self._fill()
        self._preview()

    def _take(self, trace: "Trace", found: "Statistics") -> None:
        self._found, self._found_of = found, trace
        self.empty.hide()
        self.dim()
        self._fill()

    def _fail(self, problem: BaseException) -> None:
        self._found = self._found_of = None
        self.dim()
        self._clear("No numbers", failure(problem).message)

    def _clear(self, headline: str, hint: str) -> None:
        self._wipe()
        self._show_parts(False)
        self.empty.show_message(headline, hint)

    def _show_parts(self, shown: bool) -> None:
        """Show or hide all but the chart and its sentence, so that an empty panel has room for its message."""
        for part in (self.quantity, self.alike, self.matrix, self.over, self.export):
            part.setVisible(shown)
        self._offer_buttons()

    def _wipe(self) -> None:
        self._drawn = self._compared = None
        self.plot.set_dots(NOTHING)
        self.matrix.set_table(EMPTY)
        for line in (self.says, self.alike):
            line.set_text("")

    def _offer(self, prefix: tuple[str, ...]) -> None:
        """Offer the quantities that this model has, and set the control to the one that is drawn."""
        offered = list(QUANTITIES)
        if len(prefix) > 1:
            offered.append(share_of("prefix", "all prefix tokens"))
        offered += [share_of(f"prefix {number}", f"the {name} token") for number, name in enumerate(prefix)]
        if self._found is not None and any(
            np.nan_to_num(layer.padding).any() for layer in self._found.layers
        ):
            offered.append(share_of("padding", "padding"))
        self.quantity.blockSignals(True)
        if tuple(offered) != self._quantities:
            self._quantities = tuple(offered)
            self.quantity.clear()
            self.quantity.addItems([one.name for one in offered])
        self.quantity.setCurrentIndex(self._quantities.index(self._quantity))
        self.quantity.blockSignals(False)

    @property
    def _quantity(self) -> Quantity:
        """The chosen quantity, or the first one where the model does not have it."""
        chosen = panel_view(self.session.view, self.name, StatisticsView).quantity
        return next((one for one in self._quantities if one.key == chosen), self._quantities[0])

    def dim(self) -> None:
        """Dim the numbers while others are computed."""
        dimmed = self.worker.busy or self.session.busy is not None
        self.plot.set_dimmed(dimmed)
        self.matrix.set_dimmed(dimmed)

    def _change_view(self, before: ViewState, now: ViewState) -> None:
        if before.colormap != now.colormap:
            self.matrix.set_colors(lookup_table(now.colormap))
        chosen = before.layer, before.panels.get(self.name)
        if not self.isVisible() or chosen != (now.layer, now.panels.get(self.name)):
            self.follow()
        else:
            self._mark()

    def _preview(self) -> None:
        if not self.isVisible():
            return
        tile = self.session.hover.tile
        self.plot.set_preview(None if tile is None else Target(*tile))

    # Drawing.

    @property
    def _numbers(self) -> "Statistics | None":
        """The numbers of the folder where there are some, else those of the photo."""
        summary = self.folder.summary
        return self._found if summary is None else summary.mean

    def _fill(self) -> None:
        """Draw the numbers that are known; what is drawn already is not drawn again."""
        numbers = self._numbers
        if numbers is None:
            self._offer_buttons()
            self._wipe()
            return
        self._show_parts(True)
        if self._found is not None:
            self._offer(max((layer.prefix_names for layer in self._found.layers), key=len))
        if self._drawn != (numbers, self._quantity):
            self._drawn = numbers, self._quantity
            self._draw_dots(numbers, self._quantity)
            self._say(self.plot.hovered)
        layer = self.session.view.layer
        if self._compared != (numbers, layer) and 0 <= layer < len(numbers.layers):
            self._compared = numbers, layer
            self._draw_matrix(numbers, layer)
            self._say_alike(self.matrix.hovered)
        self._mark()

    def _draw_dots(self, numbers: "Statistics", asked: Quantity) -> None:
        summary = self.folder.summary
        spread = None if summary is None else summary.deviation
        self.plot.set_dots(
            Dots(
                tuple(values_of(layer, asked.key) for layer in numbers.layers),
                asked.axis,
                None if spread is None else tuple(values_of(layer, asked.key) for layer in spread.layers),
                tuple(even_of(layer, asked.key) for layer in numbers.layers),
                highest=1.0 if asked.key == "entropy" else None,
            )
        )

    def _draw_matrix(self, numbers: "Statistics", layer: int) -> None:
        one = numbers.layers[layer]
        names = tuple(str(head) for head in range(one.heads))
        words = tuple(tuple(f"{value:.2f}" for value in row) for row in one.similarity.tolist())
        self.matrix.set_table(
            HeatCells(np.clip(one.similarity, 0, 1), names, names, square=True, words=words)
        )

    def _mark(self) -> None:
        view = self.session.view
        self.plot.set_selected(None if self._drawn is None else Target(view.layer, view.head))
        self.matrix.set_selected(rows=() if view.head is None else (view.head,))

    def _offer_buttons(self) -> None:
        summary = self.folder.summary
        self.back.setVisible(summary is not None)
        for button in (self.over, self.export):
            button.setEnabled(self._numbers is not None)
        if summary is None:
            self._note("")
            return
        photos = f"{summary.count} photo" + ("s" if summary.count != 1 else "")
        skipped = ", ".join(name for name, _ in summary.skipped)
        unread = f" · cannot be read: {skipped}" if skipped else ""
        self._note(
            f"Mean over {photos} of the folder {self.folder.folder}, lines: ± standard deviation{unread}"
        )

    def _show_progress(self, news: Progress | None) -> None:
        if news is None:
            self.card.hide()
        else:
            self.card.show_progress(news.text, news.done)

    def shown(self) -> ShownStatistics:
        """The dots and the table as they are drawn."""
        summary = self.folder.summary
        of_folder = summary is not None and self._drawn is not None and self._drawn[0] is summary.mean
        return ShownStatistics(
            caption=self.says.whole,
            dimmed=self.plot.dimmed,
            quantity="" if self._drawn is None else self._drawn[1].key,
            dots=self.plot.dots,
            layer=-1 if self._compared is None else self._compared[1],
            similarity=self.matrix.table,
            photos=summary.count if summary is not None and of_folder else 0,
            note=self.note.text(),
            facts=self._facts(self.folder.folder if of_folder else ""),
        )

    def _facts(self, folder: str) -> Facts | None:
        """What the numbers were computed for; those of a folder for its name, with the model and framing of the trace."""
        if self._drawn is None or self._found_of is None:
            return None
        layer = -1 if self._compared is None else self._compared[1]
        return of_trace(self._found_of, layer=layer, part=folder, scale=self._drawn[1].key)

    # Words.

    def _note(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _say(self, target: Target | None) -> None:
        if self._drawn is None:
            return
        numbers, asked = self._drawn
        summary = self.folder.summary
        text = f"A dot per head: {asked.meaning}"
        if target is not None and target.head is not None:
            layer = numbers.layers[target.layer]
            value = float(values_of(layer, asked.key)[target.head])
            text = f"Layer {target.layer}, head {target.head}: {reading(asked, layer, value)}"
            if summary is not None:
                more = float(values_of(summary.deviation.layers[target.layer], asked.key)[target.head])
                text += "" if math.isnan(more) else f", ± {number(asked, more)} between photos"
        elif target is not None:
            values = values_of(numbers.layers[target.layer], asked.key)
            if not np.isnan(values).all():
                words = reading(asked, numbers.layers[target.layer], float(np.nanmean(values)))
                text = f"Layer {target.layer}, mean of {len(values)} heads: {words}"
        self.says.set_text(text)
        self.plot.setAccessibleDescription(text)

    def _say_alike(self, cell: Cell | None) -> None:
        """Say which layer's heads the table compares, or the pair that is pointed at."""
        if self._compared is None:
            return
        numbers, layer = self._compared
        text = f"Layer {layer}: similarity of its heads, cosine of their rows · 0 to 1"
        if cell is not None and cell.row is not None and cell.column is not None:
            text = f"Layer {layer}, {alike(numbers.layers[layer], (cell.row, cell.column))}"
        self.alike.set_text(text)
        self.matrix.setAccessibleDescription(text)

    # From the user.

    def _point(self, target: Target | None) -> None:
        self.session.point(Hover() if target is None else Hover(tile=(target.layer, target.head)))
        self._say(target)

    def _choose(self, place: int) -> None:
        if 0 <= place < len(self._quantities):
            self.session.change_panel(self.name, quantity=self._quantities[place].key)

    def _click(self, target: Target) -> None:
        self.session.choose_head(target.layer, target.head)

    def _point_pair(self, cell: Cell | None) -> None:
        tile = self._tile_of(cell)
        self.session.point(Hover() if tile is None else Hover(tile=tile))
        self._say_alike(cell)

    def _click_pair(self, cell: Cell) -> None:
        tile = self._tile_of(cell)
        if tile is not None:
            self.session.choose_head(*tile)

    def _tile_of(self, cell: Cell | None) -> tuple[int, int] | None:
        """The head of the table's row, or of its column, in the layer that the table is of."""
        if cell is None or self._compared is None:
            return None
        head = cell.row if cell.row is not None else cell.column
        return None if head is None else (self._compared[1], head)

    def _ask_folder(self) -> None:
        photo = self.session.photo
        start = "" if photo is None or photo.path is None else str(photo.path.parent)
        folder = files.ask_folder(self, start, "Statistics over the photos of a folder")
        if folder is not None:
            self.over_folder(folder)

    def over_folder(self, folder: Path) -> None:
        """Compute mean and standard deviation over the photos of a folder, and show them."""
        session = self.session
        if session.model is not None:
            self.folder.start(session.model, session.framing, folder)

    def _ask_export(self) -> None:
        shown = self.folder.summary or self._found
        if shown is None:
            return
        name = "" if self._found is None else f"{self._found.model_name} statistics.csv"
        path = files.ask_table(self, name)
        if path is not None:
            self.save(path)

    def save(self, path: Path) -> None:
        """Write what is shown as a table."""
        shown = self.folder.summary or self._found
        if shown is not None:
            self.session.save(
                lambda: shown.save(path),
                lambda: self.session.message.emit(f"Saved {path.name} in {path.parent}"),
            )
