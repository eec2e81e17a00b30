"""Patches pulled apart as the model sees them, the filters that embed them, and how long their embeddings are."""

from typing import TYPE_CHECKING, Any

from PySide6.QtGui import QAction, QColor
from PySide6.QtWidgets import QVBoxLayout, QWidget

from vitviz.app.panels.base import Panel
from vitviz.app.panels.patches import compute
from vitviz.app.panels.plate_panel import legend, row, save_plate, save_plates, show_scale
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Hover, ViewState, patches_in
from vitviz.app.ui import icons, number_format, theme
from vitviz.app.widgets.base.title_bar import MutedLabel
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.app.widgets.controls.tool_button import tool
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.widgets.photo.colour_bar import ColorBar
from vitviz.app.widgets.pictures.gallery import Gallery, GalleryPicture, Spot
from vitviz.app.work.failure import failure
from vitviz.render.picture_rows import colored, tiled

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace

_VIEWS = [("patches", "patches"), ("filters", "filters"), ("embedding", "length"), ("stem", "stem")]
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
_PLATES = ["patches", "filters", "embedding", "stem"]


class PatchesPanel(Panel):
    """What the model is given of the photo."""

    name = "patches"

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._trace: Trace | None = None
        self._cut: compute.Cut | None = None
        self._shown: list[GalleryPicture] = []
        self.says = MutedLabel()
        self.mode = Segmented("What is shown of patches", _VIEWS)
        self.export = tool("Save this picture as PNG")
        self.export_all = tool("Save all pictures of this panel, of every layer, into a folder", text="all")
        self.view = Gallery()
        self.view.setAccessibleName("Patches")
        self.view.addActions(keys)
        self.bar = ColorBar()
        self.legend = legend()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(row(self.says, self.export, self.export_all, wide=self.says))
        column.addLayout(row(self.mode))
        column.addWidget(self.view, 1)
        column.addLayout(row(self.bar, wide=self.bar))
        column.addWidget(self.legend)
        self.empty = EmptyState(self.view, [])
        self.mode.chosen.connect(lambda _: self._show())
        self.export.clicked.connect(self._save)
        self.export_all.clicked.connect(lambda: save_plates(self, session, _PLATES))
        self.view.hover_changed.connect(self._point)
        self.view.clicked.connect(self._click)
        session.trace_changed.connect(self._forget)
        session.selection_changed.connect(self.follow)
        session.view_changed.connect(self._change_view)
        self.tint()
        self.follow()

    def tint(self) -> None:
        """Take colours from the palette."""
        self.export.setIcon(icons.icon("save", self.palette()))
        if self._cut is not None:
            self._show()  # the ground between patches

    # From the session.

    def _forget(self) -> None:
        """Another trace: nothing of the old one is kept, even where nobody looks."""
        self._trace = self._cut = None
        self.follow()

    def _change_view(self, before: ViewState, now: ViewState) -> None:
        if before.colormap != now.colormap and self._cut is not None:
            self._show()

    def draw(self) -> None:
        """Draw what the session asks for now."""
        trace = self.session.trace
        if trace is None:
            self._trace = self._cut = None
            self._clear(
                "Patches", "Open a photo and a model to see the squares that the model cuts the photo into."
            )
            return
        if trace is not self._trace:
            self._trace, self._cut = trace, None
            self.view.set_dimmed(True)
            self.worker.submit(lambda _: compute.cut(trace), self._take, self._fail)
        elif self._cut is not None:
            self._show_patch()

    def _take(self, cut: compute.Cut) -> None:
        self._cut = cut
        self.mode.disable_choices(cut.reasons)
        open_views = [key for key, _ in _VIEWS if key not in cut.reasons]
        if self.mode.current in cut.reasons and open_views:
            self.mode.set_current(open_views[0])
        self._show()

    def _fail(self, problem: BaseException) -> None:
        self.session.failed.emit(failure(problem))

    def _clear(self, headline: str, hint: str) -> None:
        self._shown = []
        self.view.set_pictures([])
        self.view.set_dimmed(False)
        self.says.set_text("")
        self.legend.setText("")
        self.bar.hide()
        self.empty.show_message(headline, hint)

    def _show(self) -> None:
        cut, mode = self._cut, self.mode.current
        if cut is None:
            return
        if mode in cut.reasons:
            self._clear("Nothing to show", cut.reasons[mode])
            return
        self.empty.hide()
        hybrid = mode == "patches" and cut.embedding is not None and cut.embedding.stem is not None
        self.legend.setText(_LEGEND["hybrid" if hybrid else mode])
        self._shown = {"patches": self._patches, "filters": self._filters}.get(mode, self._lengths)(cut)
        self.view.set_pictures(self._shown)
        self.view.set_dimmed(False)
        self._show_patch()

    def _patches(self, cut: compute.Cut) -> list[GalleryPicture]:
        assert cut.tiles is not None
        rows, cols, height, width = cut.tiles.shape[:4]
        gap = max(2, height // 6)
        ground = QColor(theme.colors(self.palette()).window)
        pixels = tiled(cut.tiles, gap, (ground.red(), ground.green(), ground.blue()))
        low, high = cut.ends
        self.bar.hide()
        aspect = pixels.shape[1] / pixels.shape[0]
        caption = f"{height}×{width} pixels each, normalised {low:.1f} to {high:.1f}".replace("-", "−")
        return [GalleryPicture(pixels, caption, (rows, cols), gap, aspect=aspect, lead=True)]

    def _filters(self, cut: compute.Cut) -> list[GalleryPicture]:
        assert cut.filters is not None
        self.bar.hide()
        return [
            GalleryPicture(tile, f"{share:.1%}")
            for tile, share in zip(cut.filters.tiles(), cut.filters.shares, strict=True)
        ]

    def _lengths(self, cut: compute.Cut) -> list[GalleryPicture]:
        assert cut.embedding is not None
        stem = self.mode.current == "stem"
        values = cut.embedding.stem if stem else cut.embedding.norms
        assert values is not None
        low, high = float(values.min()), float(values.max())
        name = self.session.view.colormap
        show_scale(self.bar, low, high, "length", name)
        grid = self._trace.patches if self._trace is not None else None
        rows, cols = values.shape if grid is None else (grid.rows, grid.cols)
        what = f"embeddings of {cut.embedding.dim} numbers"
        if stem:
            down, across = values.shape[0] // rows, values.shape[1] // cols
            own = f", {down}×{across} to a token" if down * across > 1 else ""
            what = f"{values.shape[0]}×{values.shape[1]} cells of {cut.embedding.stem_channels} numbers{own}"
        # To point at are tokens, on the stem's finer grid too.
        pixels = colored(values, low, high, name)
        return [GalleryPicture(pixels, what, (rows, cols), aspect=values.shape[1] / values.shape[0])]

    def _patch(self) -> tuple[int, int] | None:
        if self.session.hover.patch is not None:
            return self.session.hover.patch
        chosen = patches_in(self.session.selection.query)
        return chosen[0] if chosen else None

    def _show_patch(self) -> None:
        """The chosen patch: outlined, large beside the others, its numbers in the line above."""
        cut, trace, patch = self._cut, self._trace, self._patch()
        if cut is None or trace is None or not self._shown:
            return
        mode = self.mode.current
        pictures = list(self._shown)
        if mode == "patches" and patch is not None and cut.tiles is not None:
            pictures.append(GalleryPicture(cut.tiles[patch], f"patch ({patch[0]}, {patch[1]})"))
        if len(pictures) != len(self.view.pictures) or mode == "patches":
            self.view.set_pictures(pictures)
        marks = []
        if patch is not None and mode != "filters":
            cells = trace.patches.divided(*self._shown[0].cells)
            marks = [(Spot(0, *trace.patches.nearest_in(cells, *patch)), True)]
        self.view.set_marks(marks)
        self.says.set_text(self._words(trace, cut, patch))

    def _words(self, trace: "Trace", cut: compute.Cut, patch: tuple[int, int] | None) -> str:
        if self.mode.current == "filters" and cut.filters is not None:
            found = cut.filters
            return (
                f"{len(found.images)} components of {found.filters} filters of the {found.whose}: "
                f"{float(found.shares.sum()):.0%} of their variance"
            )
        if self.mode.current == "stem" and cut.embedding is not None:
            return "What the stem gives: the length of its features in each cell"
        grid = trace.patches
        if patch is None or cut.embedding is None:
            return f"{trace.model.name} cuts the photo into {grid.rows}×{grid.cols} patches"
        norms = cut.embedding.norms
        ratio = float(norms[patch]) / max(float(norms.mean()), 1e-12)
        return (
            f"Patch ({patch[0]}, {patch[1]}): embedding of length {number_format.number(float(norms[patch]))}, "
            f"{ratio:.2f}× the mean"
        )

    # Pointing.

    def _at(self, spot: Spot) -> tuple[int, int] | None:
        trace = self._trace
        if trace is None or self.mode.current == "filters" or spot.picture != 0:
            return None
        cells = trace.patches.divided(*self._shown[0].cells)
        return cells.nearest_in(trace.patches, spot.row, spot.column)

    def _point(self, spot: Spot | None) -> None:
        self.session.point(Hover(patch=None if spot is None else self._at(spot)))

    def _click(self, spot: Spot) -> None:
        patch = self._at(spot)
        if patch is not None:
            self.session.pin(patch)

    def _save(self) -> None:
        trace, session = self._trace, self.session
        if trace is None or not self._shown:
            return
        options: dict[str, Any] = {"colormap": session.view.colormap}
        save_plate(self, session, trace, self.mode.current, options)
