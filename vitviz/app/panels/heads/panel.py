"""The mosaic of the query's maps: every layer, every head."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from vitviz.app.panels.base import Panel
from vitviz.app.panels.choices import Choices
from vitviz.app.panels.heads.view import HeadsView, Mark
from vitviz.app.session import describe, measures
from vitviz.app.session.facts import Facts, Shown
from vitviz.app.session.heatmaps import Tiles
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Hover, Selection, ViewState
from vitviz.app.widgets.base.title_bar import MutedLabel
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.widgets.mosaic.labels import Labels
from vitviz.app.widgets.mosaic.layout import Target
from vitviz.app.widgets.mosaic.view import MosaicView
from vitviz.app.work.failure import failure
from vitviz.app.work.worker import Ticket
from vitviz.explain.registry import find
from vitviz.render.colors import bending, lookup_table
from vitviz.render.mosaic import indices

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace

_SCALES = {"each": "own scales", "layer": "layers' scales", "all": "one scale"}
_MEANING = "Colours go from 0 to the maximum of the tile itself, of its layer, or of all tiles"
MARKS: dict[tuple[Mark, bool], str] = {
    ("", False): "by number",
    ("distance", False): "mark distance",
    ("entropy", False): "mark entropy",
    ("distance", True): "sort by distance",
    ("entropy", True): "sort by entropy",
}
"""What marks the tiles and whether it sorts them, as the control says it."""
_ABOUT_MARKS = (
    "Mark heads, or sort those of each layer, by how far they reach (mean attention distance) or how "
    "spread their attention is (entropy), as means over all patches"
)
_ALONG = {"distance": "heads, near to far", "entropy": "heads, sharp to spread"}


@dataclass(frozen=True, eq=False)
class Measured:
    """Distance in input pixels and entropy (0 to 1) of each head of each layer, NaN where it has no meaning."""

    trace: "Trace"
    distance: list[list[float]]
    entropy: list[list[float]]
    even: list[float]
    """Each layer's distance if attention were even: what distances compare to."""

    def of(self, name: str) -> list[list[float]]:
        """The distances or the entropies."""
        return self.distance if name == "distance" else self.entropy


def measure(trace: "Trace", ticket: Ticket) -> Measured:
    """The statistics of all heads of a trace; runs in a thread."""
    layers = measures.statistics_of(trace, ticket).layers
    return Measured(
        trace,
        [[float(value) for value in layer.distance] for layer in layers],
        [[float(value) for value in layer.entropy] for layer in layers],
        [float(layer.uniform_distance) for layer in layers],
    )


def order_of(numbers: list[list[float]]) -> list[list[int]]:
    """The heads of each layer from the smallest number to the largest; what has none comes last, as it was."""
    return [np.argsort(np.array(layer), kind="stable").tolist() for layer in numbers]


@dataclass(frozen=True, eq=False)
class HeadsShown(Shown):
    """The mosaic as it is drawn."""

    tiles: Tiles | None
    """The maps, heads in the layers' own order; None where there are none."""
    order: list[list[int]] | None
    """Which head is at each place of each layer; None for their own order."""
    measured: Measured | None
    """What marks and sorts the heads; None where nothing was measured."""
    cells: NDArray[np.uint8] | None
    """The colour indices that are drawn (layers, places, rows, columns); None where nothing is."""


def _where(facts: Facts, layer: int, head: int | None) -> str:
    """The layer and head of a tile, or all heads of a layer, in words."""
    return describe.where(facts.trace, replace(facts.selection, layer=layer, head=head))


class HeadsPanel(Panel):
    """Layers × heads; pointing previews a head on the photo, a click selects it.

    A layer's number selects all its heads fused; a head's number selects that head of the selected layer.
    """

    name = "heads"

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._tiles: Tiles | None = None
        self._facts: Facts | None = None  # what the tiles were computed and coloured for
        self._measured: Measured | None = None
        self._order: list[list[int]] | None = None
        self._drawn: tuple[object, ...] | None = None  # what the tiles were made of
        self._said: tuple[object, ...] | None = None  # what the sentence was made of
        self.choices = Choices(session, self.name, HeadsView)
        self.says = MutedLabel()
        self.scale = QComboBox()
        self.scale.setAccessibleName("Scale of the tiles")
        self.scale.setToolTip(_MEANING)
        for key, text in _SCALES.items():
            self.scale.addItem(text, key)
        self.marks = QComboBox()
        self.marks.setAccessibleName("Marks and order of the heads")
        self.marks.setToolTip(_ABOUT_MARKS)
        for choice, text in MARKS.items():
            self.marks.addItem(text, choice)
        # Shown where a head was clicked of which the method has no map.
        self.no_map = MutedLabel()
        self.show_attention = QPushButton("Show attention")  # of which head is added
        self.no_map.hide()
        self.show_attention.hide()
        self._refused: tuple[int, int] | None = None  # the layer and head that were clicked
        self.view = MosaicView()
        self.view.setAccessibleName("Heads, layers by heads")
        self.view.addActions(keys)
        self.empty = EmptyState(self.view, [])
        choices = QWidget()
        choices.setObjectName("choices")  # what a presentation hides
        boxes = QHBoxLayout(choices)
        boxes.setContentsMargins(0, 0, 0, 0)
        boxes.setSpacing(8)
        boxes.addWidget(self.scale)
        boxes.addWidget(self.marks)
        boxes.addStretch(1)
        head = QVBoxLayout()
        head.setContentsMargins(12, 0, 12, 4)
        head.setSpacing(4)
        head.addWidget(self.says)
        head.addWidget(choices)
        refusal = QHBoxLayout()
        refusal.setSpacing(8)
        refusal.addWidget(self.no_map, 1)
        refusal.addWidget(self.show_attention)
        head.addLayout(refusal)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 4)
        column.setSpacing(0)
        column.addLayout(head)
        tiles = QHBoxLayout()
        tiles.setContentsMargins(0, 0, 8, 0)
        tiles.addWidget(self.view)
        column.addLayout(tiles, 1)
        self.scale.currentIndexChanged.connect(lambda _: self.choices.change(tiles=self.scale.currentData()))
        self.marks.currentIndexChanged.connect(self._choose_marks)
        self.view.hover_changed.connect(self._point)
        self.view.clicked.connect(self._click)
        self.view.place_clicked.connect(self._click_place)
        self.show_attention.clicked.connect(self._show_attention)
        session.head_refused.connect(self._refuse)
        session.trace_changed.connect(self._forget)
        session.selection_changed.connect(self.follow)
        session.view_changed.connect(self._change_view)
        session.hover_changed.connect(self._say)
        session.maps.tiles_changed.connect(self.follow)
        session.maps.late_changed.connect(self.dim)
        self.view.set_colors(lookup_table(session.view.colormap))
        self._show_choices()
        self.follow()

    def shown(self) -> HeadsShown:
        """The mosaic as it is drawn."""
        return HeadsShown(
            self.says.whole,
            self.view.dimmed,
            self._tiles,
            self._order,
            self._measured,
            cells=self.view.tiles,
            facts=self._facts,
        )

    def _forget(self) -> None:
        """Another trace: forget the tiles of the one before, and what was measured of it."""
        self.worker.cancel()
        self._measured = self._order = self._tiles = self._facts = self._drawn = None
        self.view.set_tiles(None, (), 1.0)
        self._refuse(None, None)
        self.follow()

    def draw(self) -> None:
        """Draw what the session asks for now."""
        session, view = self.session, self.session.view
        trace = session.trace
        for box in (self.scale, self.marks):
            box.setVisible(trace is not None)
        if trace is None:
            self._clear(
                "Every head at once", "Open a photo and choose a model: each tile will be one head's map."
            )
            return
        tiles = session.maps.tiles()
        if tiles is None:
            if session.maps.tiles_problem:
                self._clear("No heads to show", session.maps.tiles_problem)
            return  # The old tiles stay, dimmed after a moment, until the new ones are there.
        # The number of no single layer or head: all are drawn.
        asked = Selection(tiles.query, 0, None, view.fusion, tiles.direction, "attention")
        bent = bending(1.0, view.log, view.temperature)
        self._facts = Facts(trace, asked, part=self.choices.now.tiles, scale=bent)
        drawn = tiles, self.choices.now, view.log, view.temperature, self._measured
        if drawn != self._drawn:
            self.empty.hide()
            self._drawn, self._tiles = drawn, tiles
            self._show_tiles(trace, tiles)
        self._mark()
        self._say()

    def _show_tiles(self, trace: "Trace", tiles: Tiles) -> None:
        view = self.session.view
        labels = self._sort(tiles)
        shown = indices(tiles.stacks, self.choices.now.tiles, view.log, view.temperature)
        if self._order is not None:
            for layer, order in enumerate(self._order):
                shown[layer, : len(order)] = shown[layer, order]
        grid = trace.patches
        aspect = (grid.cols * grid.cell[1]) / (grid.rows * grid.cell[0])
        heads = tuple([stack.shape[1] for stack in tiles.stacks for _ in stack])
        self.view.set_tiles(shown, heads, aspect)
        self.view.set_labels(labels)

    def _clear(self, headline: str, hint: str) -> None:
        self._tiles = self._facts = self._drawn = None
        self.view.set_tiles(None, (), 1.0)
        self.empty.show_message(headline, hint)
        self._say()

    def _sort(self, tiles: Tiles) -> Labels:
        """Labels, with marks and order by what was measured; starts measuring where nothing was yet."""
        grids = [f"{stack.shape[2]}×{stack.shape[3]}" for stack in tiles.stacks for _ in stack]
        plain = Labels(tuple(grids)) if len(set(grids)) > 1 else Labels()
        trace, measured, choices = self.session.trace, self._measured, self.choices.now
        self._order = None
        if trace is None or not choices.mark:
            return plain
        if measured is None or measured.trace is not trace:
            if not self.worker.busy:
                self.worker.submit(lambda ticket: measure(trace, ticket), self._take, self._have_none)
            return plain
        numbers = measured.of(choices.mark)
        known = [value for layer in numbers for value in layer if not np.isnan(value)]
        top = 1.0 if choices.mark == "entropy" else max(known, default=1.0) or 1.0
        order = order_of(numbers) if choices.ordered else [list(range(len(layer))) for layer in numbers]
        self._order = order if choices.ordered else None
        marks = (
            tuple(layer[head] / top for head in heads) for layer, heads in zip(numbers, order, strict=True)
        )
        return replace(
            plain,
            order=tuple(map(tuple, order)) if choices.ordered else None,
            along=_ALONG[choices.mark] if choices.ordered else "heads",
            marks=tuple(marks),
        )

    def _take(self, measured: Measured) -> None:
        self._measured = measured
        self.follow()

    def _have_none(self, problem: BaseException) -> None:
        self.choices.change(mark="", ordered=False)
        self.session.failed.emit(failure(problem))

    def _change_view(self, before: ViewState, now: ViewState) -> None:
        if before.colormap != now.colormap:
            self.view.set_colors(lookup_table(now.colormap))
        if (before.method, before.layer, before.head) != (now.method, now.layer, now.head):
            self._refuse(None, None)
        chosen = self.choices.differ(before, now)
        if chosen:
            self._show_choices()
        if chosen or (before.log, before.temperature) != (now.log, now.temperature):
            self.follow()
        self._mark()
        self._say()

    def _show_choices(self) -> None:
        choices = self.choices.now
        for box in (self.scale, self.marks):
            box.blockSignals(True)
        self.scale.setCurrentIndex(self.scale.findData(choices.tiles))
        # Not by findData, which compares tuples by identity.
        self.marks.setCurrentIndex(list(MARKS).index((choices.mark, choices.ordered and choices.mark != "")))
        for box in (self.scale, self.marks):
            box.blockSignals(False)

    def _choose_marks(self, index: int) -> None:
        mark, ordered = list(MARKS)[index]
        self.choices.change(mark=mark, ordered=ordered)

    def _place_of(self, layer: int, head: int | None) -> int | None:
        """Where a head is drawn."""
        return head if head is None or self._order is None else self._order[layer].index(head)

    def _head_at(self, layer: int, place: int | None) -> int | None:
        """Which head is drawn at a place."""
        return place if place is None or self._order is None else self._order[layer][place]

    def _mark(self) -> None:
        view = self.session.view
        known = self.session.trace is not None and self._tiles is not None
        self.view.set_selected(Target(view.layer, self._place_of(view.layer, view.head)) if known else None)

    def _say(self) -> None:
        """Say what the tiles are of, or which one is pointed at and its numbers."""
        facts, tile, view = self._facts, self.session.hover.tile, self.session.view
        if facts is None:
            self._said = None
            self.says.set_text("")
            return
        late = bool(self.choices.now.mark) and self._measured is None
        said = facts, tile, late, self.choices.now, view.layer, view.head
        if said == self._said:
            return
        self._said = said
        if tile is not None and tile[0] < len(facts.trace.layers):
            numbers, where = self._numbers(*tile), _where(facts, *tile)
            self.says.set_text(f"{numbers} · {where}" if numbers else where)
        else:
            verb = "attends to" if facts.selection.direction == "to" else "is attended by"
            name = describe.query_name(facts.trace, facts.selection.query)
            measuring = "measuring heads …" if late else ""
            self.says.set_text(" · ".join(filter(None, (f"What {name} {verb}", facts.scale, measuring))))
        self.view.setAccessibleDescription(_where(facts, *(tile or (view.layer, view.head))))

    def _numbers(self, layer: int, head: int | None) -> str:
        """What was measured of a head, or on average of a layer's heads."""
        measured = self._measured
        if measured is None or measured.trace is not self.session.trace or not self.choices.now.mark:
            return ""
        pair = [measured.distance[layer], measured.entropy[layer]]
        distance, entropy = (float(np.mean(one)) if head is None else one[head] for one in pair)
        if np.isnan(distance):
            return "no distance, no entropy"
        return (
            f"{distance:.0f} px, {distance / measured.even[layer]:.1f}× uniform; entropy {entropy:.2f} of 1"
        )

    def dim(self) -> None:
        """Dim the tiles while those of another query are awaited."""
        self.view.set_dimmed(self.session.busy is not None or self.session.maps.tiles_late)

    # From the user.

    def _refuse(self, layer: int | None, head: int | None) -> None:
        """Say that the method has no map of a head that was chosen, and offer its attention; None: no more."""
        self._refused = None if layer is None or head is None else (layer, head)
        if self._refused is not None:
            self.no_map.set_text(f"{find(self.session.view.method).label} has no map of a single head.")
            self.show_attention.setText(f"Show attention of layer {layer}, head {head}")
        self.no_map.setVisible(self._refused is not None)
        self.show_attention.setVisible(self._refused is not None)

    def _show_attention(self) -> None:
        if self._refused is not None:
            layer, head = self._refused
            self.view.setFocus(Qt.FocusReason.OtherFocusReason)
            self.session.change(method="attention", layer=layer, head=head)

    def _point(self, target: Target | None) -> None:
        if target is None:
            self.session.point(Hover())
        else:
            self.session.point(Hover(tile=(target.layer, self._head_at(target.layer, target.head))))

    def _click(self, target: Target) -> None:
        self._select(target.layer, self._head_at(target.layer, target.head))

    def _click_place(self, place: int) -> None:
        """The number of a head: that head of the selected layer, or its last one."""
        tiles, layer = self._tiles, self.session.view.layer
        if tiles is not None:
            self._select(layer, self._head_at(layer, min(place, len(tiles.maps[layer]) - 1)))

    def _select(self, layer: int, head: int | None) -> None:
        self.view.setFocus(Qt.FocusReason.MouseFocusReason)
        self.session.choose_head(layer, head)
