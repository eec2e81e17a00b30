"""Positions: a table's similarity, components and norm, stored and as used; a query's logits as content and position."""

from typing import TYPE_CHECKING, Any

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QVBoxLayout, QWidget

from vitviz.app.panels.base import Panel
from vitviz.app.panels.plate_panel import legend, row, save_plate, save_plates, show_scale
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
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Hover, Query, ViewState, patches_in
from vitviz.app.ui import icons
from vitviz.app.widgets.base.title_bar import MutedLabel
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.app.widgets.controls.tool_button import tool
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.widgets.photo.colour_bar import ColorBar
from vitviz.app.widgets.pictures.gallery import Gallery, GalleryPicture, Spot
from vitviz.app.work.failure import failure
from vitviz.errors import MethodError

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.internals.logit_parts import Split
    from vitviz.explain.plates.plates import Shown

_VIEWS = [
    ("similarity", "similarity"),
    ("components", "colours"),
    ("norm", "length"),
    ("split", "in the logits"),
    ("bias", "by head"),
]
_LOGITS = ("split", "bias")
_PLATES = ["similarity", "prefix", "components", "norm", "split", "bias"]


class PositionsPanel(Panel):
    """What the model knows of places."""

    name = "positions"

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._trace: Trace | None = None  # whose tables are there
        self._tables: compute.Tables | None = None
        self._split: Split | None = None
        self._asked: tuple[object, ...] | None = None
        self._maps: list[GalleryPicture] = []
        self.says = MutedLabel()
        self.mode = Segmented("What is shown of positions", _VIEWS)
        self.which = Segmented("Which table", [("used", "as used"), ("stored", "stored"), ("both", "both")])
        self.export = tool("Save this picture as PNG")
        self.export_all = tool("Save all pictures of this panel, of every layer, into a folder", text="all")
        self.view = Gallery()
        self.view.setAccessibleName("Positions")
        self.view.addActions(keys)
        self.bar = ColorBar()
        self.changed, self.legend = legend(), legend()
        self._lay_out()
        self.empty = EmptyState(self.view, [])
        self.mode.chosen.connect(self._pick)
        self.which.chosen.connect(lambda _: self.draw())
        self.export.clicked.connect(self._save)
        self.export_all.clicked.connect(lambda: save_plates(self, session, _PLATES))
        self.view.hover_changed.connect(self._point)
        self.view.clicked.connect(self._click)
        session.trace_changed.connect(self._forget)
        session.selection_changed.connect(self.follow)
        session.view_changed.connect(self._change_view)
        self.tint()
        self.follow()

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(row(self.says, self.export, self.export_all, wide=self.says))
        column.addLayout(row(self.mode))
        column.addLayout(row(self.which))
        column.addWidget(self.view, 1)
        column.addLayout(row(self.bar, wide=self.bar))
        column.addWidget(self.changed)
        column.addWidget(self.legend)

    def tint(self) -> None:
        """Take colours from the palette."""
        self.export.setIcon(icons.icon("save", self.palette()))

    # From the session.

    def _forget(self) -> None:
        """Another trace: nothing of the old one is kept, even where nobody looks."""
        self._trace = self._tables = self._split = self._asked = None
        self.follow()

    def _change_view(self, before: ViewState, now: ViewState) -> None:
        if before.colormap != now.colormap:
            self._asked = None
            self.follow()

    def _pick(self, _: str) -> None:
        self._asked = None
        self.draw()

    def draw(self) -> None:
        """Draw what the session asks for now."""
        session = self.session
        trace = session.trace
        if trace is None:
            self._trace = self._tables = None
            self._clear(
                "Positions", "Open a photo and a model to see how the model knows where its patches are."
            )
            return
        if trace is not self._trace:
            self._trace, self._tables, self._split, self._asked = trace, None, None, None
            self.view.set_dimmed(True)
            self.worker.submit(lambda _: compute.tables(trace), self._take_tables, self._fail)
            return
        if self._tables is None:
            return
        self._offer(trace, self._tables)
        in_logits = self.mode.current in _LOGITS
        self.view.set_walks(in_logits)
        if in_logits:
            self._ask_split(trace)
        else:
            self._show_table(trace, self._tables)

    def _take_tables(self, tables: compute.Tables) -> None:
        self._tables = tables
        self.draw()

    def _fail(self, problem: BaseException) -> None:
        self.session.failed.emit(failure(problem))

    def _offer(self, trace: "Trace", tables: compute.Tables) -> None:
        """Bar the views that this model or layer has nothing for, and leave one that it has not."""
        layer = self.session.selection.layer
        no_split = compute.split_reason(trace, layer)
        disabled = {key: tables.reason for key, _ in _VIEWS[:3]} if tables.reason else {}
        if no_split:
            disabled |= dict.fromkeys(_LOGITS, no_split)
        self.mode.disable_choices(disabled)
        open_views = [key for key, _ in _VIEWS if key not in disabled]
        if self.mode.current in disabled and open_views:
            self.mode.set_current(open_views[0])

    def _clear(self, headline: str, hint: str) -> None:
        self.view.set_pictures([])
        self.view.set_dimmed(False)
        self.says.set_text("")
        self.bar.hide()
        self.which.hide()
        self.changed.hide()
        self.legend.setText("")
        self.empty.show_message(headline, hint)

    # Tables.

    def _show_table(self, trace: "Trace", tables: compute.Tables) -> None:
        used, stored, change = tables.used, tables.stored, tables.change
        if used is None or stored is None or change is None:
            self._clear(
                "No table of positions", f"{tables.reason} Open a ViT or DeiT, such as demo/vit, to see one."
            )
            return
        self.empty.hide()
        mode, colormap = self.mode.current, self.session.view.colormap
        resized = change.stored_grid != change.used_grid
        self.which.setVisible(resized)
        self.changed.setVisible(resized)
        self.changed.setText(change.sentence[0].upper() + change.sentence[1:] + ".")
        which = self.which.current if resized else "used"
        compared = which == "both" and mode != "similarity"
        self.legend.setText(LEGEND[mode] + (LEGEND["likeness"] if compared else ""))
        table = stored if which == "stored" else used
        shown = {"stored": [("as stored", stored)], "both": [("as stored", stored), ("as used", used)]}
        chosen = shown.get(which, [("as used", used)])
        norms = [one.norm for _, one in chosen]
        scale = min(float(norm.min()) for norm in norms), max(float(norm.max()) for norm in norms)
        key = (trace, mode, which)
        if key != self._asked:
            self._asked = key
            self._maps = [
                picture
                for name, one in chosen
                for picture in maps(mode, name, one, scale, colormap, len(chosen) == 1)
            ]
            if compared:
                self._maps.append(changed(change, colormap))
            self.view.set_pictures(self._maps)
            self.view.set_dimmed(False)
        patch = self._patch()
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

    def _ask_split(self, trace: "Trace") -> None:
        chosen = self.session.selection
        self.which.hide()
        self.changed.hide()
        query: Query = chosen.query
        if query is None and len(trace.readout.prefix) != 1:
            query = (
                trace.patches.rows // 2,
                trace.patches.cols // 2,
            )  # a mean of patches has no logits of its own
        head, mode = chosen.head, self.mode.current
        key = (trace, mode, query, chosen.layer, head)
        if key == self._asked:
            return
        self._asked = key
        colormap = self.session.view.colormap

        def work(_: object) -> tuple["Split", "Shown"]:
            found = compute.split(trace, chosen.layer, query)
            shown = head if head is not None and head < len(found.content) else None
            return found, compute.split_plate(found, mode, shown, colormap)

        self.worker.submit(work, lambda made: self._take_split(made, mode), self._lack_split)

    def _lack_split(self, problem: BaseException) -> None:
        if isinstance(problem, MethodError):
            self._clear("Not in the logits", problem.message)
        else:
            self._fail(problem)

    def _take_split(self, made: tuple["Split", "Shown"], mode: str) -> None:
        found, (plates, limit, note) = made
        self._split = found
        self.empty.hide()
        self.view.set_dimmed(False)
        rows, columns = found.shape
        self.view.set_pictures(
            [
                GalleryPicture(
                    plate.pixels, plate.caption, cells=found.shape, joint=plate.joint, aspect=columns / rows
                )
                for plate in plates
            ]
        )
        told = prefix_keys(found, self._head(found)) if mode == "split" else ""
        self.changed.setText(told)
        self.changed.setVisible(bool(told))
        show_scale(self.bar, -limit, limit, "logits", self.session.view.colormap)
        self.legend.setText(" ".join([LEGEND["bias" if mode == "bias" else found.kind], note]).strip())
        self._read(self.view.hovered)

    def _head(self, found: "Split") -> int | None:
        """The selected head, if the layer has it; None for the mean of all."""
        head = self.session.selection.head
        return head if head is not None and head < len(found.content) else None

    # Pointing.

    def _patch_at(self, spot: Spot) -> tuple[int, int] | None:
        """The patch of the photo that a cell stands for."""
        trace = self._trace
        if trace is None or spot.picture >= len(self.view.pictures):
            return None
        cells = self.view.pictures[spot.picture].cells
        if self.mode.current not in _LOGITS or self._split is None:
            return on_photo(cells, trace, spot.row, spot.column)
        token = int(self._split.keys[len(self._split.prefix) + spot.row * cells[1] + spot.column])
        layer = next(one for one in trace.layers if one.name == self._split.layer)
        place = None if token < 0 else layer.layout.place(token)
        if place is None:
            return None
        grid = layer.layout.patches
        return grid.nearest_in(trace.patches, *place)

    def _point(self, spot: Spot | None) -> None:
        if self.mode.current in _LOGITS:
            self._read(spot)  # the keys of one query: pointing at them must not change the query
            return
        patch = None if spot is None else self._patch_at(spot)
        self.session.point(Hover(patch=patch))

    def _read(self, spot: Spot | None) -> None:
        """Say the numbers of a key, and outline it in each picture beside the query itself."""
        found, trace = self._split, self._trace
        if found is None or trace is None:
            return
        mode, head, told = self.mode.current, self._head(found), ""
        every = range(len(self.view.pictures))
        marks = [] if found.place is None else [(Spot(one, *found.place), True) for one in every]
        if spot is not None:
            shown = head if mode == "split" else spot.picture
            told = key_words(trace, found, shown, (spot.row, spot.column), mode == "split")
            marks += [(Spot(one, spot.row, spot.column), False) for one in every]
        self.view.set_marks(marks)
        heads = f"head {head}" if head is not None else f"mean of {len(found.content)} heads"
        heads = heads if mode == "split" else f"{len(found.content)} heads"
        whole = f"Logits of {found.subject} in {found.layer}, {heads}"
        self.says.set_text(told or whole)
        names = "; ".join(picture.caption for picture in self.view.pictures)
        self.view.setAccessibleDescription(told or f"{whole}: {names}. Arrow keys go from key to key.")

    def _click(self, spot: Spot) -> None:
        if self.mode.current == "bias":
            self.mode.set_current("split")
            self.session.change(head=spot.picture)
            self.draw()
            return
        patch = self._patch_at(spot)
        if patch is not None:
            self.session.pin(patch)

    def _save(self) -> None:
        trace, session = self._trace, self.session
        if trace is None or not self.view.pictures:
            return
        chosen = session.selection
        query = self._asked[2] if self.mode.current in _LOGITS and self._asked is not None else chosen.query
        which = self.which.current if self.which.isVisible() else "used"
        options: dict[str, Any] = {
            "layer": chosen.layer,
            "head": chosen.head,
            "query": query,
            "stored": {"stored": True, "both": "both"}.get(which, False),
            "colormap": session.view.colormap,
        }
        save_plate(self, session, trace, self.mode.current, options)
