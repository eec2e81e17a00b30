"""Statistics of attention: a dot per head by layer, and how alike the heads of a layer are."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtGui import QAction, QPalette, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QBoxLayout, QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from vitviz.app.dialogs import files
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
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Framing, Hover, ViewState, of_one_head
from vitviz.app.ui import theme
from vitviz.app.widgets.base.title_bar import MutedLabel
from vitviz.app.widgets.charts.scatter import NOTHING, Dots, ScatterView
from vitviz.app.widgets.matrix.heat_table import EMPTY, Cell, HeatTable, TableData
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.widgets.messages.progress_card import ProgressCard
from vitviz.app.widgets.mosaic.layout import Target
from vitviz.app.work.failure import failure
from vitviz.app.work.progress import Progress
from vitviz.app.work.worker import Worker
from vitviz.render.colors import lookup_table

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.batch.statistics import Summary
    from vitviz.explain.measures.statistics import Statistics
    from vitviz.models.model import Model

_ARROWS = ("up", "down", "left", "right")


class StatisticsPanel(QWidget):
    """Pointing at a dot previews the head on the photo, a click selects it; over the photo at hand or a folder."""

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self._worker = Worker("statistics", self, background=True)
        self._folder_worker = Worker("folder", self, background=True)
        self._of: Trace | None = None
        self._found: Statistics | None = None
        self._summary: Summary | None = None
        self._folder = ""
        self._basis: tuple[Model, Framing] | None = None  # what the folder's numbers are of
        self.says = MutedLabel()
        self.quantity = QComboBox()
        self.quantity.setAccessibleName("What the dots show")
        self.plot = ScatterView()
        self.plot.setAccessibleName("Statistics, one dot per head")
        self.alike = MutedLabel()
        self.matrix = HeatTable()
        self.matrix.setAccessibleName("How alike heads are, heads by heads")
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
        self.quantity.currentIndexChanged.connect(lambda _: self._draw())
        self.plot.hover_changed.connect(self._point)
        self.plot.clicked.connect(self._click)
        self.matrix.hover_changed.connect(self._point_pair)
        self.matrix.clicked.connect(self._click_pair)
        self.over.clicked.connect(self._ask_folder)
        self.back.clicked.connect(self._forget_folder)
        self.export.clicked.connect(self._ask_export)
        self.card.cancelled.connect(self._stop_folder)
        session.trace_changed.connect(self._follow)
        session.model_changed.connect(self._follow)
        session.view_changed.connect(self._change_view)
        session.hover_changed.connect(self._preview)
        session.busy_changed.connect(self._dim)
        self.matrix.set_colors(lookup_table(session.view.colormap))
        self._follow()

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

    def end(self) -> None:
        """Stop all work and end the threads."""
        self._worker.close()
        self._folder_worker.close()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Catch up with what changed while nobody looked."""
        super().showEvent(event)
        self._follow()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """The two pictures side by side where there is room, else one below the other; what can be done fills the rest."""
        super().resizeEvent(event)
        wide = event.size().width() > 1.25 * event.size().height()
        aside, below = QBoxLayout.Direction.LeftToRight, QBoxLayout.Direction.TopToBottom
        self._halves.setDirection(aside if wide else below)
        self._lower.setDirection(below if wide else aside)

    # From the session.

    def _follow(self) -> None:
        session, trace = self.session, self.session.trace
        if self._basis is not None and self._basis != (session.model, session.framing):
            self._stop_folder()
            self._summary = self._basis = None  # by the model itself: another one may have its name
            self._wipe()
            self._draw()
        if trace is None:
            self._worker.cancel()
            self._stop_folder()
            self._of = self._found = self._summary = self._basis = None
            self._clear(
                "Every head in numbers",
                "Open a photo and choose a model: how far each head looks, and how evenly.",
            )
        elif not self.isVisible():
            if trace is not self._of:
                self._worker.cancel()
                self._of = self._found = None  # an old trace is not kept for nobody
        elif trace is not self._of:
            heads = [layer.heads for layer in trace.layers]
            if self._found is not None and heads != [layer.heads for layer in self._found.layers]:
                self._found = None  # heads that are not there cannot be pointed at
                self._wipe()
            self._of = trace
            self._worker.submit(lambda ticket: measures.statistics_of(trace, ticket), self._take, self._fail)
            self._dim()

    def _take(self, found: "Statistics") -> None:
        self._found = found
        self.empty.hide()
        self._offer(max((layer.prefix_names for layer in found.layers), key=len))
        self._dim()
        self._draw()

    def _fail(self, problem: BaseException) -> None:
        self._found = None
        self._dim()
        self._clear("No numbers", failure(problem).message)

    def _clear(self, headline: str, hint: str) -> None:
        self._wipe()
        self.empty.show_message(headline, hint)

    def _wipe(self) -> None:
        self.plot.set_dots(NOTHING)
        self.matrix.set_table(EMPTY)
        for line in (self.says, self.alike):
            line.set_text("")
        self._offer_buttons()

    def _offer(self, prefix: tuple[str, ...]) -> None:
        """The quantities that this model has."""
        offered = list(QUANTITIES)
        if len(prefix) > 1:
            offered.append(share_of("prefix", "all prefix tokens"))
        offered += [share_of(f"prefix {number}", f"the {name} token") for number, name in enumerate(prefix)]
        if self._found is not None and any(
            np.nan_to_num(layer.padding).any() for layer in self._found.layers
        ):
            offered.append(share_of("padding", "padding"))
        if [one.key + one.name for one in offered] == [one.key + one.name for one in self._offered()]:
            return
        before = self.quantity.currentData()
        self.quantity.blockSignals(True)
        self.quantity.clear()
        for one in offered:
            self.quantity.addItem(one.name, one)
        keys = [one.key for one in offered]
        self.quantity.setCurrentIndex(keys.index(before.key) if before and before.key in keys else 0)
        self.quantity.blockSignals(False)

    def _offered(self) -> list[Quantity]:
        return [self.quantity.itemData(index) for index in range(self.quantity.count())]

    def _dim(self) -> None:
        dimmed = self._worker.busy or self.session.busy is not None
        self.plot.set_dimmed(dimmed)
        self.matrix.set_dimmed(dimmed)

    def _change_view(self, before: ViewState, now: ViewState) -> None:
        if before.colormap != now.colormap:
            self.matrix.set_colors(lookup_table(now.colormap))
        if before.layer != now.layer:
            self._draw_matrix()
        self._mark()

    def _preview(self) -> None:
        tile = self.session.hover.tile
        self.plot.set_preview(None if tile is None else Target(*tile))

    # Drawing.

    @property
    def _shown(self) -> "Statistics | None":
        return self._found if self._summary is None else self._summary.mean

    def _draw(self) -> None:
        shown = self._shown
        self._offer_buttons()
        if shown is None:
            return
        asked: Quantity = self.quantity.currentData()
        spread = None if self._summary is None else self._summary.deviation
        self.plot.set_dots(
            Dots(
                tuple(values_of(layer, asked.key) for layer in shown.layers),
                asked.axis,
                None if spread is None else tuple(values_of(layer, asked.key) for layer in spread.layers),
                tuple(even_of(layer, asked.key) for layer in shown.layers),
                highest=1.0 if asked.key == "entropy" else None,
            )
        )
        self._draw_matrix()
        self._mark()
        self._say(None)

    def _draw_matrix(self) -> None:
        shown, layer = self._shown, self.session.view.layer
        if shown is None or not 0 <= layer < len(shown.layers):
            return
        one = shown.layers[layer]
        names = tuple(str(head) for head in range(one.heads))
        words = tuple(tuple(f"{value:.2f}" for value in row) for row in one.similarity.tolist())
        self.matrix.set_table(
            TableData(np.clip(one.similarity, 0, 1), names, names, square=True, words=words)
        )
        self._say_alike(None)

    def _mark(self) -> None:
        view = self.session.view
        self.plot.set_selected(None if self._shown is None else Target(view.layer, view.head))
        self.matrix.set_selected(rows=() if view.head is None else (view.head,))

    def _offer_buttons(self) -> None:
        self.back.setVisible(self._summary is not None)
        for button in (self.over, self.export):
            button.setEnabled(self._shown is not None)
        summary = self._summary
        if summary is None:
            self._note("")
            return
        photos = f"{summary.count} photo" + ("s" if summary.count != 1 else "")
        skipped = ", ".join(name for name, _ in summary.skipped)
        unread = f" · cannot be read: {skipped}" if skipped else ""
        self._note(f"Mean over {photos} of the folder {self._folder}, lines: ± standard deviation{unread}")

    # Words.

    def _note(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _say(self, target: Target | None) -> None:
        shown = self._shown
        if shown is None:
            return
        asked: Quantity = self.quantity.currentData()
        text = f"A dot per head: {asked.meaning}"
        if target is not None and target.head is not None:
            layer = shown.layers[target.layer]
            value = float(values_of(layer, asked.key)[target.head])
            text = f"Layer {target.layer}, head {target.head}: {reading(asked, layer, value)}"
            if self._summary is not None:
                more = float(values_of(self._summary.deviation.layers[target.layer], asked.key)[target.head])
                text += "" if math.isnan(more) else f", ± {number(asked, more)} between photos"
        elif target is not None:
            values = values_of(shown.layers[target.layer], asked.key)
            if not np.isnan(values).all():
                words = reading(asked, shown.layers[target.layer], float(np.nanmean(values)))
                text = f"Layer {target.layer}, mean of {len(values)} heads: {words}"
        self.says.set_text(text)
        self.plot.setAccessibleDescription(text)

    def _say_alike(self, pair: tuple[int, int] | None) -> None:
        layer, shown = self.session.view.layer, self._shown
        if shown is None:
            return
        text = f"Layer {layer}: how alike its heads are, cosine of their rows · 0 to 1"
        if pair is not None:
            text = f"Layer {layer}, {alike(shown.layers[layer], pair)}"
        self.alike.set_text(text)
        self.matrix.setAccessibleDescription(text)

    # From the user.

    def _point(self, target: Target | None) -> None:
        self.session.point(Hover() if target is None else Hover(tile=(target.layer, target.head)))
        self._say(target)

    def _click(self, target: Target) -> None:
        method = self.session.view.method
        method = method if target.head is None else of_one_head(method)
        self.session.change(layer=target.layer, head=target.head, method=method)

    def _point_pair(self, cell: Cell | None) -> None:
        head = None if cell is None else cell.row if cell.row is not None else cell.column
        layer = self.session.view.layer
        self.session.point(Hover() if head is None else Hover(tile=(layer, head)))
        pair = None if cell is None or cell.row is None or cell.column is None else (cell.row, cell.column)
        self._say_alike(pair)

    def _click_pair(self, cell: Cell) -> None:
        head = cell.row if cell.row is not None else cell.column
        self.session.change(head=head, method=of_one_head(self.session.view.method))

    def _ask_folder(self) -> None:
        photo = self.session.photo
        start = "" if photo is None or photo.path is None else str(photo.path.parent)
        folder = files.ask_folder(self, start, "Statistics over the photos of a folder")
        if folder is not None:
            self.over_folder(folder)

    def over_folder(self, folder: Path) -> None:
        """Compute mean and standard deviation over the photos of a folder, and show them."""
        session = self.session
        model, framing = session.model, session.framing
        if model is None:
            return

        def take(summary: "Summary") -> None:
            self.card.hide()
            self._summary, self._folder = summary, folder.name
            self._draw()

        def fail(problem: BaseException) -> None:
            self.card.hide()
            session.failed.emit(failure(problem))

        def hear(news: Progress) -> None:
            self.card.show_progress(news.text, news.done)

        self._basis = model, framing
        self.card.show_progress(f"Statistics over {folder.name}", None)
        self._folder_worker.submit(
            lambda ticket: measures.over_folder(model, folder, framing, ticket), take, fail, hear
        )

    def _stop_folder(self) -> None:
        self._folder_worker.cancel()
        self.card.hide()

    def _forget_folder(self) -> None:
        self._summary = None
        self._draw()

    def _ask_export(self) -> None:
        shown = self._summary or self._found
        if shown is None:
            return
        name = "" if self._found is None else f"{self._found.model_name} statistics.csv"
        path = files.ask_table(self, name)
        if path is not None:
            self.save(path)

    def save(self, path: Path) -> None:
        """Write what is shown as a table."""
        shown = self._summary or self._found
        if shown is not None:
            self.session.save(
                lambda: shown.save(path),
                lambda: self.session.message.emit(f"Saved {path.name} in {path.parent}"),
            )
