"""The mosaic of the query's maps: every layer, every head."""

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QShowEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from vitviz.app import readings
from vitviz.app.maps import Tiles
from vitviz.app.session import Session
from vitviz.app.state import Hover, ViewState
from vitviz.app.widgets.invitation import Invitation
from vitviz.app.widgets.mosaic import MosaicView
from vitviz.app.widgets.mosaic_plan import Target
from vitviz.app.widgets.titlebar import Quiet
from vitviz.render.colors import lookup_table
from vitviz.render.mosaic import mosaic

_SCALES = {"each": "each tile its own", "layer": "each layer its own", "all": "one for all"}
_MEANING = "Colour scale: from 0 to the maximum of the tile itself, of its layer, or of all tiles"


class HeadsPanel(QWidget):
    """Layers × heads; pointing previews a head on the photo, a click selects it, a layer's number all its heads."""

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._behind = True
        self._tiles: Tiles | None = None
        self.says = Quiet()
        self.scale = QComboBox()
        self.scale.setAccessibleName("Scale of the tiles")
        self.scale.setToolTip(_MEANING)
        for key, text in _SCALES.items():
            self.scale.addItem(f"scale: {text}", key)
        self.view = MosaicView()
        self.view.setAccessibleName("Heads, layers by heads")
        self.view.addActions(keys)
        self.empty = Invitation(self.view, [])
        line = QHBoxLayout()
        line.setContentsMargins(12, 0, 12, 8)
        line.setSpacing(8)
        line.addWidget(self.says, 1)
        line.addWidget(self.scale)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(line)
        column.addWidget(self.view, 1)
        self.scale.currentIndexChanged.connect(lambda _: session.change(tile_scale=self.scale.currentData()))
        self.view.pointed.connect(self._point)
        self.view.clicked.connect(self._click)
        session.trace_changed.connect(self._follow)
        session.selection_changed.connect(self._follow)
        session.view_changed.connect(self._change_view)
        session.hover_changed.connect(self._say)
        session.busy_changed.connect(self._dim)
        session.maps.tiles_changed.connect(self._follow)
        session.maps.late_changed.connect(self._dim)
        self.view.set_colors(lookup_table(session.view.colormap))
        self._follow()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Catch up with what changed while nobody looked."""
        super().showEvent(event)
        if self._behind:
            self._draw()

    def _follow(self) -> None:
        self._behind = True
        if self.isVisible():
            self._draw()

    def _draw(self) -> None:
        session = self._session
        self._behind = False
        trace = session.trace
        self.scale.setVisible(trace is not None)
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
        self.empty.hide()
        self._tiles, maps = tiles, tiles.maps
        silent = [layer for layer, values in enumerate(maps) if np.isnan(values).all()]
        made = mosaic([np.nan_to_num(values) for values in maps], gap=0, scale=session.view.tile_scale)
        height, width = made.tile
        layers, most = len(made.heads), max(made.heads)
        # In the widget 255 means no tile, which leaves 254 for the maximum; nan is where a layer has no such head.
        shown = made.image.reshape(most, height, layers, width).transpose(2, 0, 1, 3)
        tiles = np.nan_to_num(shown * 254 + 0.5).astype(np.uint8)
        tiles[silent] = 255  # layers in which the query does not attend
        grid = trace.patches
        aspect = (grid.cols * grid.cell[1]) / (grid.rows * grid.cell[0])
        self.view.set_tiles(tiles, made.heads, aspect)
        self._mark()
        self._say()

    def _clear(self, headline: str, hint: str) -> None:
        self._tiles = None
        self.view.set_tiles(None, (), 1.0)
        self.empty.invite(headline, hint)
        self._say()

    def _change_view(self, before: ViewState, now: ViewState) -> None:
        if before.colormap != now.colormap:
            self.view.set_colors(lookup_table(now.colormap))
        if before.tile_scale != now.tile_scale:
            self.scale.setCurrentIndex(self.scale.findData(now.tile_scale))
            self._follow()
        self._mark()
        self._say()

    def _mark(self) -> None:
        view = self._session.view
        self.view.set_selected(None if self._session.trace is None else Target(view.layer, view.head))

    def _say(self) -> None:
        session = self._session
        tiles = self._tiles
        if session.trace is None or tiles is None:
            self.says.set_text("")
            return
        chosen = session.selection
        arrows = (
            "heads →, layers ↓"
            if self.view.plan is not None and self.view.plan.turned
            else "layers →, heads ↓"
        )
        verb = "attends to" if tiles.direction == "to" else "is attended by"
        if session.hover.tile is not None:
            self.says.set_text(readings.where(session.trace, chosen))
        else:
            self.says.set_text(
                f"What {readings.name_of(tiles.query, session.trace.readout.sentence)} {verb} · {arrows}"
            )
        self.view.setAccessibleDescription(readings.where(session.trace, chosen))

    def _dim(self) -> None:
        self.view.set_dimmed(self._session.busy is not None or self._session.maps.tiles_late)

    def _point(self, target: Target | None) -> None:
        self._session.point(Hover() if target is None else Hover(tile=(target.layer, target.head)))

    def _click(self, target: Target) -> None:
        self.view.setFocus(Qt.FocusReason.MouseFocusReason)
        method = self._session.view.method if target.head is None else "attention"
        self._session.change(layer=target.layer, head=target.head, method=method)
