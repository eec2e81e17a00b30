"""Positions: a table's similarity, components and norm, stored and as used; a query's logits as content and position."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QVBoxLayout, QWidget

from vitviz.app.panels.plate_panel import Plate, PlatePanel, legend, row, show_scale, token_query
from vitviz.app.panels.positions import compute
from vitviz.app.panels.positions.pictures import (
    LEGEND,
    beside,
    changed,
    key_words,
    maps,
    on_photo,
    on_table,
    prefix_keys,
    sentence,
)
from vitviz.app.session.facts import Facts, Shown, of_attention
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Hover, Query, Selection, patches_in, with_panel
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.widgets.photo.colour_bar import ColorBar
from vitviz.app.widgets.pictures.gallery import Gallery, GalleryPicture, Spot
from vitviz.errors import MethodError

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.internals.logit_parts import Split

Mode = Literal["similarity", "components", "norm", "split", "bias"]
WhichTable = Literal["used", "stored", "both"]

_MODES = [
    ("similarity", "similarity"),
    ("components", "colours"),
    ("norm", "length"),
    ("split", "in the logits"),
    ("bias", "by head"),
]
_OF_TABLES = ("similarity", "components", "norm")
_OF_LOGITS = ("split", "bias")
_STORED: dict[str, bool | str] = {
    "used": False,
    "stored": True,
    "both": "both",
}  # as `vitviz.plate` names them


@dataclass(frozen=True)
class PositionsView:
    """What the user chose in the panel."""

    mode: Mode = "similarity"
    table: WhichTable = "used"
    """Which table is shown where the model interpolates it to the size of its input."""


@dataclass(frozen=True, eq=False)
class PositionsShown(Shown):
    """What the panel has drawn."""

    mode: str
    table: str
    pictures: tuple[GalleryPicture, ...]
    values: Mapping[str, NDArray[np.float32]]
    """The numbers of the pictures, where they show tables, by the name of the table."""
    split: "Split | None"
    """The numbers of the pictures, where they show logits."""
    note: str
    """The sentence about the stored table, or about keys without a place."""


@dataclass(frozen=True)
class _Asked:
    """What pictures of one trace depend on, beside the position that is pointed at."""

    mode: str
    colormap: str
    table: str = "used"
    layer: int = -1
    head: int | None = None
    query: Query = None


class PositionsPanel(PlatePanel[PositionsView]):
    """How the model knows where its patches are."""

    name = "positions"
    plates = ("similarity", "prefix", "components", "norm", "split", "bias")

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(session, PositionsView, "What is shown of positions", _MODES, parent)
        self._trace: Trace | None = None  # whose tables are there
        self._tables: compute.PositionTables | None = None
        self._no_split: tuple[int, str] = -1, ""  # a layer, and why its logits are not split
        self._asked: _Asked | None = None
        self._drawn: _Asked | None = None
        self._facts: Facts | None = None  # what the drawn pictures are of
        self._maps: list[GalleryPicture] = []
        self._values: dict[str, NDArray[np.float32]] = {}  # the numbers of tables that are drawn
        self._logits: compute.LogitPictures | None = None  # where they are drawn
        self.which = Segmented("Which table", [("used", "as used"), ("stored", "stored"), ("both", "both")])
        self.view = Gallery()
        self.view.setAccessibleName("Positions")
        self.view.addActions(keys)
        self.bar = ColorBar()
        self.changed = legend()
        self._lay_out()
        self.empty = EmptyState(self.view, [])
        self.mode.chosen.connect(lambda mode: self.choices.change(mode=mode))
        self.which.chosen.connect(lambda table: self.choices.change(table=table))
        self.view.hover_changed.connect(self._point)
        self.view.clicked.connect(self._click)
        self.tint()
        self.follow()

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(self.head())
        column.addLayout(row(self.mode))
        column.addLayout(row(self.which))
        column.addWidget(self.view, 1)
        column.addLayout(row(self.bar, wide=self.bar))
        column.addWidget(self.changed)
        column.addWidget(self.legend)

    def shown(self) -> PositionsShown:
        """What is drawn now."""
        mode, table = ("", "") if self._drawn is None else (self._drawn.mode, self._drawn.table)
        split = None if self._logits is None else self._logits.split
        pictures = tuple(self.view.pictures)
        return PositionsShown(
            self.says.whole,
            self.view.dimmed,
            mode,
            table,
            pictures,
            self._values,
            split,
            self.changed.text(),
            facts=self._facts,
        )

    def plate(self) -> Plate | None:
        """What is shown, as a plate."""
        drawn, facts = self._drawn, self._facts
        if facts is None or drawn is None or not self.view.pictures:
            return None
        # In tables the position is the one that is selected.
        query = drawn.query if drawn.mode in _OF_LOGITS else self.session.selection.query
        options: dict[str, Any] = {
            "layer": drawn.layer,
            "head": drawn.head,
            "query": query,
            "stored": _STORED[drawn.table],
            "colormap": drawn.colormap,
        }
        return Plate(facts.trace, drawn.mode, options)

    # From the session.

    def forget(self) -> None:
        """Drop what belongs to the trace before; what is drawn and can be seen stays with its facts until it is replaced."""
        self._trace = self._tables = self._asked = None
        self._no_split = -1, ""
        self.settle()
        if self.session.trace is None or not self.isVisible():
            self._facts = self._drawn = self._logits = None
            self._values = {}

    def draw(self) -> None:
        """Draw what the session asks for now."""
        trace = self.session.trace
        if trace is None:
            self._clear(
                "Positions", "Open a photo and a model to see how the model knows where its patches are."
            )
            return
        if trace is not self._trace:
            self._trace = trace
            self.worker.submit(lambda _: compute.tables(trace), self._take_tables, self.fail)
            return
        if self._tables is None:
            return
        mode = self.offer(self.choices.now.mode, self._disabled(trace, self._tables))
        if mode in _OF_LOGITS:
            self._ask_logits(trace, mode)
        else:
            self._show_table(trace, self._tables, mode)

    def _take_tables(self, tables: compute.PositionTables) -> None:
        self._tables = tables
        self.follow()

    def _disabled(self, trace: "Trace", tables: compute.PositionTables) -> dict[str, str]:
        """The modes that this model or layer has nothing for, each with the reason."""
        layer = self.session.selection.layer
        if self._no_split[0] != layer:
            self._no_split = layer, compute.split_reason(trace, layer)
        no_split = self._no_split[1]
        of_tables = dict.fromkeys(_OF_TABLES, tables.reason) if tables.reason else {}
        return of_tables | (dict.fromkeys(_OF_LOGITS, no_split) if no_split else {})

    def _clear(self, headline: str, hint: str) -> None:
        self._asked = self._drawn = self._logits = self._facts = None
        self._values = {}
        self.worker.cancel()  # what was asked for before
        self.settle()
        self.view.set_pictures([])
        self.says.set_text("")
        self.bar.hide()
        self.which.hide()
        self.changed.hide()
        self.legend.setText("")
        self.empty.show_message(headline, hint)

    # Tables.

    def _show_table(self, trace: "Trace", tables: compute.PositionTables, mode: str) -> None:
        used, stored, change = tables.used, tables.stored, tables.change
        if used is None or stored is None or change is None:
            self._clear(
                "No table of positions", f"{tables.reason} Open a ViT or DeiT, such as demo/vit, to see one."
            )
            return
        colormap = self.session.view.colormap
        resized = change.stored_grid != change.used_grid
        self.which.set_current(self.choices.now.table)
        which = self.choices.now.table if resized else "used"
        compared = which == "both" and mode != "similarity"
        table = stored if which == "stored" else used
        chosen = {"stored": [("as stored", stored)], "both": [("as stored", stored), ("as used", used)]}.get(
            which, [("as used", used)]
        )
        norms = [one.norm for _, one in chosen]
        scale = min(float(norm.min()) for norm in norms), max(float(norm.max()) for norm in norms)
        asked = _Asked(mode, colormap, which)
        if asked != self._asked:
            self.worker.cancel()  # logits that were asked for before
            self.settle()
            self._asked = self._drawn = asked
            self._logits = None
            self.empty.hide()
            self.view.set_walks(False)
            self.which.setVisible(resized)
            self.changed.setVisible(resized)
            self.changed.setText(change.sentence[0].upper() + change.sentence[1:] + ".")
            self.legend.setText(LEGEND[mode] + (LEGEND["likeness"] if compared else ""))
            self._maps = [
                picture
                for name, one in chosen
                for picture in maps(mode, name, one, scale, colormap, len(chosen) == 1)
            ]
            if compared:
                self._maps.append(changed(change, colormap))
            self._values = compute.values_of(mode, chosen, change if compared else None)
            self.view.set_pictures(self._maps)
        patch = self._patch()
        self._facts = of_attention(
            trace, replace(self.session.selection, query=patch, layer=0, head=None), part=mode, scale=which
        )
        place = None if patch is None else on_table(table.norm.shape, trace, patch)
        if mode == "similarity":
            own = [
                picture
                for name, one in chosen
                for picture in beside(
                    one,
                    None if patch is None else on_table(one.norm.shape, trace, patch),
                    name if len(chosen) > 1 else "",
                )
            ]
            self.view.set_pictures([*self._maps, *own])
        if patch is not None:
            cells = [picture.cells for picture in self.view.pictures]
            self.view.set_marks(
                [(Spot(i, *on_table(one, trace, patch)), True) for i, one in enumerate(cells)]
            )
        else:
            self.view.set_marks([])
        self.says.set_text(sentence(mode, table, place, len(trace.prefix)))
        if mode == "similarity":
            show_scale(self.bar, -1, 1, "cosine", colormap)
        elif mode == "norm":
            show_scale(self.bar, *scale, "length", colormap)
        else:
            self.bar.hide()

    def _patch(self) -> tuple[int, int] | None:
        chosen = patches_in(self.session.selection.query)
        return chosen[0] if chosen else None

    # Logits.

    def _ask_logits(self, trace: "Trace", mode: str) -> None:
        chosen = self.session.selection
        query = token_query(trace, chosen.query)
        asked = _Asked(mode, self.session.view.colormap, layer=chosen.layer, head=chosen.head, query=query)
        if asked == self._asked:
            return
        self._asked = asked
        self.wait()

        def work(_: object) -> compute.LogitPictures:
            return compute.logit_pictures(
                trace, asked.layer, asked.query, asked.mode, asked.head, asked.colormap
            )

        self.worker.submit(work, lambda made: self._show_logits(trace, asked, made), self._lack_logits)

    def dim(self) -> None:
        """Dim the pictures while others are computed."""
        self.view.set_dimmed(self.late)

    def _lack_logits(self, problem: BaseException) -> None:
        if isinstance(problem, MethodError):
            self._clear("Not in the logits", problem.message)
        else:
            self.fail(problem)

    def _show_logits(self, trace: "Trace", asked: _Asked, made: compute.LogitPictures) -> None:
        self._drawn, self._logits, self._values = asked, made, {}
        of = Selection(asked.query, asked.layer, made.head, "mean", "to", "attention")
        self._facts = of_attention(trace, of, part=asked.mode)
        self.settle()
        found = made.split
        self.empty.hide()
        self.which.hide()
        self.view.set_walks(True)
        self.view.set_pictures(made.pictures)
        told = prefix_keys(found, made.head) if asked.mode == "split" else ""
        self.changed.setText(told)
        self.changed.setVisible(bool(told))
        show_scale(self.bar, -made.limit, made.limit, "logits", asked.colormap)
        about = LEGEND["bias" if asked.mode == "bias" else found.kind]
        self.legend.setText(" ".join([about, made.note]).strip())
        self._read(self.view.hovered)

    # Pointing.

    @property
    def _is_current(self) -> bool:
        """Whether what is drawn is of the trace that is open, so that its cells are patches of the photo."""
        return self._facts is not None and self._facts.trace is self._trace

    def _patch_at(self, spot: Spot) -> tuple[int, int] | None:
        """The patch of the photo that a cell stands for; None while pictures of another trace are drawn."""
        trace = self._trace
        if trace is None or not self._is_current or spot.picture >= len(self.view.pictures):
            return None
        cells = self.view.pictures[spot.picture].cells
        if self._logits is None:
            return on_photo(cells, trace, spot.row, spot.column)
        split = self._logits.split
        token = int(split.keys[len(split.prefix) + spot.row * cells[1] + spot.column])
        layer = next(one for one in trace.layers if one.name == split.layer)
        place = None if token < 0 else layer.layout.place(token)
        if place is None:
            return None
        grid = layer.layout.patches
        return grid.nearest_in(trace.patches, *place)

    def _point(self, spot: Spot | None) -> None:
        if self._logits is not None:
            self._read(spot)  # the keys of one query: pointing at them must not change the query
            return
        patch = None if spot is None else self._patch_at(spot)
        self.session.point(Hover(patch=patch))

    def _read(self, spot: Spot | None) -> None:
        """Say the numbers of a key, and outline it in each picture beside the query itself."""
        made, drawn, facts = self._logits, self._drawn, self._facts
        if made is None or drawn is None or facts is None:
            return
        found, head, told = made.split, made.head, ""
        whole_split = drawn.mode == "split"
        every = range(len(self.view.pictures))
        marks = [] if found.place is None else [(Spot(one, *found.place), True) for one in every]
        if spot is not None:
            shown = head if whole_split else spot.picture
            told = key_words(facts.trace, found, shown, (spot.row, spot.column), whole_split)
            marks += [(Spot(one, spot.row, spot.column), False) for one in every]
        self.view.set_marks(marks)
        heads = f"head {head}" if head is not None else f"mean of {len(found.content)} heads"
        heads = heads if whole_split else f"{len(found.content)} heads"
        whole = f"Logits of {found.subject} in {found.layer}, {heads}"
        self.says.set_text(told or whole)
        names = "; ".join(picture.caption for picture in self.view.pictures)
        self.view.setAccessibleDescription(told or f"{whole}: {names}. Arrow keys go from key to key.")

    def _click(self, spot: Spot) -> None:
        if self._is_current and self._drawn is not None and self._drawn.mode == "bias":
            view = replace(self.session.view, head=spot.picture)
            self.session.show_view(with_panel(view, self.name, mode="split"))
            return
        patch = self._patch_at(spot)
        if patch is not None:
            self.session.pin(patch)
