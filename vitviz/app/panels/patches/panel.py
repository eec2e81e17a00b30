"""The patches as the model sees them, the filters that embed them, and the lengths of their embeddings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QAction, QColor
from PySide6.QtWidgets import QVBoxLayout, QWidget

from vitviz.app.panels.patches.data import PatchData, patch_data, values_of
from vitviz.app.panels.plate_panel import Plate, PlatePanel, row, show_scale
from vitviz.app.session.facts import Facts, Shown, of_attention
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Hover, patches_in
from vitviz.app.ui import number_format, theme
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.widgets.photo.colour_bar import ColorBar
from vitviz.app.widgets.pictures.gallery import Gallery, GalleryPicture, Spot
from vitviz.render.picture_rows import colored, tiled

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace

Mode = Literal["patches", "filters", "embedding", "stem"]

_MODES = [("patches", "patches"), ("filters", "filters"), ("embedding", "length"), ("stem", "stem")]
_LEGEND = {
    "patches": "Each square becomes one token. The model sees every channel less its mean, over its standard deviation; it "
    "never sees the photo as a whole, and has to learn which square lies beside which.",
    "hybrid": "Each square is where one token lies. A hybrid looks at the normalised photo through convolutions first, "
    "which see beyond the square; see its stem.",
    "filters": "What the filters that turn a patch into numbers look for, as their principal components: stripes, spots and "
    "colours that differ. Grey is 0. Left to right, top to bottom: from the most to the least of their variance.",
    "embedding": "The length of each patch's embedding, before its position is added: what stands out to the first layer.",
    "stem": "A hybrid looks at the photo through convolutions first. This is what they give; its cells become the "
    "tokens, several together where it is finer than their grid.",
}


@dataclass(frozen=True)
class PatchesView:
    """What the user chose in the panel."""

    mode: Mode = "patches"


@dataclass(frozen=True, eq=False)
class PatchesShown(Shown):
    """What the panel has drawn."""

    mode: str
    pictures: tuple[GalleryPicture, ...]
    values: Mapping[str, NDArray[np.float32]]
    """The numbers that the pictures show."""


class PatchesPanel(PlatePanel[PatchesView]):
    """What the model is given of the photo."""

    name = "patches"
    plates = ("patches", "filters", "embedding", "stem")

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(session, PatchesView, "What is shown of patches", _MODES, parent)
        self._trace: Trace | None = None
        self._data: PatchData | None = None
        self._pictures: list[GalleryPicture] = []  # without the chosen patch
        self._values: dict[str, NDArray[np.float32]] = {}  # the numbers of these pictures
        self._mode = ""  # of these pictures
        self._drawn: tuple[object, ...] | None = None  # what they depend on
        self._facts: Facts | None = None  # what pictures and sentence are of
        self.view = Gallery()
        self.view.setAccessibleName("Patches")
        self.view.addActions(keys)
        self.bar = ColorBar()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(self.head())
        column.addLayout(row(self.mode))
        column.addWidget(self.view, 1)
        column.addLayout(row(self.bar, wide=self.bar))
        column.addWidget(self.legend)
        self.empty = EmptyState(self.view, [])
        self.mode.chosen.connect(lambda mode: self.choices.change(mode=mode))
        self.view.hover_changed.connect(self._point)
        self.view.clicked.connect(self._click)
        # Beside a pinned query the pointer does not change the selection.
        session.hover_changed.connect(self.follow)
        self.tint()
        self.follow()

    def shown(self) -> PatchesShown:
        """What is drawn now."""
        pictures = tuple(self.view.pictures)
        return PatchesShown(
            self.says.whole, self.view.dimmed, self._mode, pictures, self._values, facts=self._facts
        )

    def plate(self) -> Plate | None:
        """What is shown, as a plate."""
        if self._trace is None or self._data is None or not self._pictures:
            return None
        return Plate(self._trace, self._mode, {"colormap": self.session.view.colormap})

    def tint(self) -> None:
        """Take colours from the palette."""
        super().tint()
        if self._data is not None:
            self.follow()  # the ground between patches

    # From the session.

    def forget(self) -> None:
        """Drop all that belongs to the trace before."""
        self._trace = self._data = self._drawn = None
        if self.session.trace is None or not self.isVisible():
            self._facts = None

    def draw(self) -> None:
        """Draw what the session asks for now."""
        trace = self.session.trace
        if trace is None:
            self._clear(
                "Patches", "Open a photo and a model to see the squares that the model cuts the photo into."
            )
            return
        if trace is not self._trace:
            self._trace = trace
            self.worker.submit(lambda _: patch_data(trace), self._take, self.fail)
        elif self._data is not None:
            self._show(self._data)
            self._show_patch()

    def dim(self) -> None:
        """Dim the pictures of the trace before until those of this one are there."""
        self.view.set_dimmed(self.late)

    def _take(self, data: PatchData) -> None:
        self._data = data
        self.follow()

    def _clear(self, headline: str, hint: str) -> None:
        self._pictures, self._values, self._facts = [], {}, None
        self.view.set_pictures([])
        self.says.set_text("")
        self.legend.setText("")
        self.bar.hide()
        self.empty.show_message(headline, hint)

    def _show(self, data: PatchData) -> None:
        """Draw the pictures of the mode, unless they are there already."""
        mode = self.offer(self.choices.now.mode, data.reasons)
        ground = theme.colors(self.palette()).window
        key = (data, mode, self.session.view.colormap, ground)
        if key == self._drawn:
            return
        self._drawn, self._mode, self._facts = key, mode, None
        if mode in data.reasons:
            self._clear("Nothing to show", data.reasons[mode])
            return
        self.empty.hide()
        hybrid = mode == "patches" and data.embedding is not None and data.embedding.stem is not None
        low, high = data.ends
        values = f" Normalised values from {low:.1f} to {high:.1f}.".replace("-", "−")
        self.legend.setText(_LEGEND["hybrid" if hybrid else mode] + (values if mode == "patches" else ""))
        self._pictures = {"patches": self._patches, "filters": self._filters}.get(mode, self._lengths)(data)
        self._values = values_of(data, mode)
        self.view.set_pictures(self._pictures)

    def _patches(self, data: PatchData) -> list[GalleryPicture]:
        assert data.tiles is not None
        rows, cols, height, width = data.tiles.shape[:4]
        gap = max(2, height // 6)
        ground = QColor(theme.colors(self.palette()).window)
        pixels = tiled(data.tiles, gap, (ground.red(), ground.green(), ground.blue()))
        self.bar.hide()
        aspect = pixels.shape[1] / pixels.shape[0]
        return [
            GalleryPicture(
                pixels, f"{height}×{width} pixels each", (rows, cols), gap, aspect=aspect, lead=True
            )
        ]

    def _filters(self, data: PatchData) -> list[GalleryPicture]:
        assert data.filters is not None
        self.bar.hide()
        return [
            GalleryPicture(tile, f"{share:.1%}")
            for tile, share in zip(data.filters.tiles(), data.filters.shares, strict=True)
        ]

    def _lengths(self, data: PatchData) -> list[GalleryPicture]:
        assert data.embedding is not None
        stem = self._mode == "stem"
        values = data.embedding.stem if stem else data.embedding.norms
        assert values is not None
        low, high = float(values.min()), float(values.max())
        name = self.session.view.colormap
        show_scale(self.bar, low, high, "length", name)
        grid = self._trace.patches if self._trace is not None else None
        rows, cols = values.shape if grid is None else (grid.rows, grid.cols)
        what = f"embeddings of {data.embedding.dim} numbers"
        if stem:
            down, across = values.shape[0] // rows, values.shape[1] // cols
            own = f", {down}×{across} to a token" if down * across > 1 else ""
            what = f"{values.shape[0]}×{values.shape[1]} cells of {data.embedding.stem_channels} numbers{own}"
        # The pointer picks tokens, on the finer grid of the stem too.
        pixels = colored(values, low, high, name)
        return [GalleryPicture(pixels, what, (rows, cols), aspect=values.shape[1] / values.shape[0])]

    def _patch(self) -> tuple[int, int] | None:
        if self.session.hover.patch is not None:
            return self.session.hover.patch
        chosen = patches_in(self.session.selection.query)
        return chosen[0] if chosen else None

    def _show_patch(self) -> None:
        """Outline the chosen patch, show it large beside the others, and say its numbers."""
        data, trace, patch = self._data, self._trace, self._patch()
        if data is None or trace is None or not self._pictures:
            return
        mode = self._mode
        asked = replace(self.session.selection, query=patch, layer=0, head=None)
        facts = of_attention(trace, asked, part=mode)
        if facts == self._facts:
            return
        self._facts = facts
        pictures = list(self._pictures)
        if mode == "patches" and patch is not None and data.tiles is not None:
            pictures.append(GalleryPicture(data.tiles[patch], f"patch ({patch[0]}, {patch[1]})"))
        if len(pictures) != len(self.view.pictures) or mode == "patches":
            self.view.set_pictures(pictures)
        marks = []
        if patch is not None and mode != "filters":
            cells = trace.patches.divided(*self._pictures[0].cells)
            marks = [(Spot(0, *trace.patches.nearest_in(cells, *patch)), True)]
        self.view.set_marks(marks)
        self.says.set_text(self._words(trace, data, patch))

    def _words(self, trace: "Trace", data: PatchData, patch: tuple[int, int] | None) -> str:
        if self._mode == "filters" and data.filters is not None:
            found = data.filters
            return (
                f"{len(found.images)} components of {found.filters} filters of the {found.whose}: "
                f"{float(found.shares.sum()):.0%} of their variance"
            )
        if self._mode == "stem" and data.embedding is not None:
            return "What the stem gives: the length of its features in each cell"
        grid = trace.patches
        if patch is None or data.embedding is None:
            return f"{trace.model.name} cuts the photo into {grid.rows}×{grid.cols} patches"
        norms = data.embedding.norms
        ratio = float(norms[patch]) / max(float(norms.mean()), 1e-12)
        return (
            f"Patch ({patch[0]}, {patch[1]}): embedding of length {number_format.number(float(norms[patch]))}, "
            f"{ratio:.2f}× the mean"
        )

    # Pointing.

    def _at(self, spot: Spot) -> tuple[int, int] | None:
        trace = self._trace
        if trace is None or self._data is None or self._mode == "filters" or spot.picture != 0:
            return None  # also while pictures of another trace are drawn
        cells = trace.patches.divided(*self._pictures[0].cells)
        return cells.nearest_in(trace.patches, spot.row, spot.column)

    def _point(self, spot: Spot | None) -> None:
        self.session.point(Hover(patch=None if spot is None else self._at(spot)))

    def _click(self, spot: Spot) -> None:
        patch = self._at(spot)
        if patch is not None:
            self.session.pin(patch)
