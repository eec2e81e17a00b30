"""Swin's windows over the photo: the cyclic shift as it happens, regions, padding, merging, a window's matrices."""

from typing import TYPE_CHECKING

from PySide6.QtCore import QEasingCurve, Qt, QVariantAnimation
from PySide6.QtGui import QAction, QImage
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QSlider, QVBoxLayout, QWidget

from vitviz.app.panels.base import Panel
from vitviz.app.panels.plate_panel import legend, row, save_plate, save_plates
from vitviz.app.panels.windows import compute
from vitviz.app.panels.windows.scene import crop, focus, matrix_pictures, matrix_words, scene, sentence
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Hover, ViewState, of_one_head, patches_in
from vitviz.app.ui import icons, theme
from vitviz.app.widgets.base.title_bar import MutedLabel
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.app.widgets.controls.tool_button import tool
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.widgets.pictures.gallery import Gallery, Spot
from vitviz.app.widgets.windows.scene import Focus
from vitviz.app.widgets.windows.shift_view import ShiftView
from vitviz.app.work.failure import failure

if TYPE_CHECKING:
    from vitviz.attention.layer import Layer
    from vitviz.attention.trace import Trace

_STEPS = 200  # of the slider: half of it rolls, the other half closes the windows
_LONG = 2600  # milliseconds from the photo to the windows
_LEGEND = {
    "shift": "A, B, C: pieces that go round the edges (down, across, both), so that shifted windows join what regular ones "
    "cut apart. Hatched: padding. Heat: what the outlined token attends to inside its window.",
    "regions": "Colours: regions of one window, as the model's mask has them. Tokens of different colours may not see each "
    "other: −100 is added to their logits, so their attention is 0.",
    "merge": "Between stages 2 × 2 tokens become one. Nested cells: the tokens of earlier stages that became the outlined "
    "token, down to the first patches.",
    "matrix": "Row: a token that looks; column: one that is looked at. Attention: to its own maximum. Bias: red adds to a "
    "logit, blue takes from it. White: masked; grey: padding.",
}
_PADDED = " On a padded grid mask and pieces are out of step: some from opposite edges of the photo do see each other."
_PLATES = ["windows", "shifted", "merge", "matrix"]


class WindowsPanel(Panel):
    """Windows of the selected layer, and of the next one beside it."""

    name = "windows"

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._trace: Trace | None = None
        self._layer = -1
        self._shown: tuple[object, ...] | None = None  # what stands out already
        self._cropped: QImage | None = None
        self._matrices: compute.Matrices | None = None
        self._matrix_layer: Layer | None = None
        self._matrix_told = ""
        self._heads: list[int] = []
        self.says = MutedLabel()
        self.mode = Segmented(
            "What is shown of the windows", [("shift", "shift"), ("regions", "regions"), ("merge", "merge")]
        )
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, _STEPS)
        self.slider.setAccessibleName("From the photo over the shift to the windows")
        self.slider.setToolTip("Left: as on the photo. Middle: shifted. Right: cut into windows.")
        self.play = tool("Play the shift")
        self.both = tool("Show the next layer beside this one", checkable=True, text="next layer too")
        self.export = tool("Save this picture as PNG")
        self.export_all = tool("Save all pictures of this panel, of every layer, into a folder", text="all")
        self.view, self.other = ShiftView(), ShiftView()
        self.view.setAccessibleName("Windows of the selected layer")
        self.other.setAccessibleName("Windows of the next layer")
        self.other.hide()
        self.matrix = Gallery()
        self.matrix.setAccessibleName("The window's matrices, query down by key across")
        self.matrix.set_walks(True)
        self.matrix_says = MutedLabel()
        self.close_matrix = tool("Close the window's matrices")
        self.legend = legend()
        for widget in (self.view, self.other, self.matrix):
            widget.addActions(keys)
        self._animation = QVariantAnimation(self, duration=_LONG, startValue=0, endValue=_STEPS)
        self._animation.setEasingCurve(QEasingCurve.Type.InOutSine)
        self._lay_out()
        self.empty = EmptyState(self, [])
        self._connect()
        self.tint()
        self._show_matrix_part(False)
        self._change_mode()
        self.follow()

    def _lay_out(self) -> None:
        self._views = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._views.setSpacing(0)
        self._views.addWidget(self.view, 1)
        self._views.addWidget(self.other, 1)
        stage = QHBoxLayout()
        stage.setSpacing(0)
        stage.addLayout(self._views, 2)
        stage.addWidget(self.matrix, 3)
        self._body = QWidget()
        column = QVBoxLayout(self._body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(row(self.says, self.export, self.export_all, wide=self.says))
        column.addLayout(row(self.mode, self.play, self.slider, self.both, wide=self.slider))
        column.addLayout(row(self.matrix_says, self.close_matrix, wide=self.matrix_says))
        column.addLayout(stage, 1)
        column.addWidget(self.legend)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self._body)

    def _connect(self) -> None:
        session = self.session
        self.mode.chosen.connect(lambda _: self._change_mode())
        self.slider.valueChanged.connect(self._set_progress)
        self.slider.sliderPressed.connect(self._animation.stop)
        self.play.clicked.connect(self._play)
        self._animation.valueChanged.connect(lambda value: self.slider.setValue(round(value)))
        self._animation.stateChanged.connect(lambda *_: self.tint())
        self.both.toggled.connect(self._show_both)
        self.export.clicked.connect(self._save)
        self.export_all.clicked.connect(lambda: save_plates(self, session, _PLATES))
        self.close_matrix.clicked.connect(lambda: self._show_matrix_part(False))
        self.matrix.clicked.connect(self._pick_head)
        self.matrix.hover_changed.connect(self._read_matrix)
        for view in (self.view, self.other):
            view.hover_changed.connect(lambda cell, view=view: self._point(view, cell))
            view.clicked.connect(lambda row, column, view=view: self._click(view, row, column))
        session.trace_changed.connect(self._forget)
        session.selection_changed.connect(self.follow)
        session.hover_changed.connect(self.follow)
        session.view_changed.connect(self._change_view)

    def end(self) -> None:
        """Stop all work and end the thread."""
        self._animation.stop()
        super().end()

    def tint(self) -> None:
        """Take colours from the palette."""
        playing = self._animation.state() == QVariantAnimation.State.Running
        self.play.setIcon(icons.icon("pause" if playing else "play", self.palette()))
        self.export.setIcon(icons.icon("save", self.palette()))
        self.close_matrix.setIcon(icons.icon("close", self.palette()))
        theme.mute_accent(self.slider)

    # From the session.

    def _forget(self) -> None:
        """Another trace: nothing of the old one is kept, even where nobody looks."""
        self._trace, self._layer, self._cropped, self._shown = None, -1, None, None
        self._show_matrix_part(False)
        for view in (self.view, self.other):
            view.set_scene(None)
        self.follow()

    def _change_view(self, before: ViewState, now: ViewState) -> None:
        if before.colormap != now.colormap or before.opacity != now.opacity:
            self.follow()
        if self._matrices is not None and (before.colormap, before.head) != (now.colormap, now.head):
            self._show_matrices(self._matrices)

    def draw(self) -> None:
        """Draw what the session asks for now."""
        session = self.session
        trace = session.trace
        if trace is None:
            self._clear(
                "Windows", "Open a photo and a Swin model, such as demo/swin, to see how it cuts the photo."
            )
            return
        layer = trace.layers[session.selection.layer]
        if layer.layout.windows is None:
            self._clear(
                "No windows here",
                f"{trace.model.name} lets every token see all others, so it has no windows: open a Swin, such as demo/swin.",
            )
            return
        self.empty.hide()
        self._body.show()
        if trace is not self._trace or session.selection.layer != self._layer:
            self._show_layer(trace, session.selection.layer)
        self._show_focus(trace)

    def _clear(self, headline: str, hint: str) -> None:
        self._trace, self._layer, self._shown = None, -1, None
        self._animation.stop()
        self.worker.cancel()
        self._body.hide()
        self.empty.show_message(headline, hint)

    def _show_layer(self, trace: "Trace", layer: int) -> None:
        if trace is not self._trace or self._cropped is None:
            picture = self.session.picture
            self._cropped = crop(trace, [] if picture is None else picture.levels)
        self._trace, self._layer, self._shown = trace, layer, None
        self.view.set_scene(scene(trace, layer, self._cropped))
        following = layer + 1 if layer + 1 < len(trace.layers) else None
        self.other.set_scene(None if following is None else scene(trace, following, self._cropped))
        self.both.setEnabled(following is not None)
        self.other.setVisible(self.both.isChecked() and following is not None)
        shown = [trace.layers[layer]]
        if self.both.isChecked() and following is not None:
            shown.append(trace.layers[following])
        shifted = any(any(part.layout.windows.shift) for part in shown if part.layout.windows is not None)
        reason = "" if shifted else "This layer's windows are not shifted; the layer after it may be."
        self.play.setToolTip(reason or "Play the shift")
        if self._matrices is not None:
            self._show_matrix_part(False)
        self._change_mode()

    def _show_focus(self, trace: "Trace") -> None:
        patch, session = self._patch(), self.session
        style = {"colormap": session.view.colormap, "opacity": session.view.opacity}
        shown = (patch, self.mode.current, session.selection.head, self.both.isChecked(), *style.values())
        if shown == self._shown:
            return
        self._shown = shown
        for view, number in ((self.view, self._layer), (self.other, self._layer + 1)):
            if view.scene is not None and (view is self.view or self.both.isChecked()):
                view.set_focus(
                    Focus()
                    if patch is None
                    else focus(trace, number, patch, self.mode.current, session.selection.head, style)
                )
        self._say(trace, patch)

    def _patch(self) -> tuple[int, int] | None:
        """The patch that stands out: under the pointer, else the query."""
        session = self.session
        if session.hover.patch is not None:
            return session.hover.patch
        chosen = patches_in(session.selection.query)
        return chosen[0] if chosen else None

    def _say(self, trace: "Trace", patch: tuple[int, int] | None) -> None:
        layer = trace.layers[self._layer]
        windows = layer.layout.windows
        assert windows is not None
        grid = layer.layout.patches
        text = f"{layer.name} cuts {grid.rows}×{grid.cols} tokens into {len(windows.index)} windows"
        if patch is not None:
            text = sentence(trace, self._layer, patch, self.mode.current)
        self.says.set_text(text)

    # From the controls.

    def _change_mode(self) -> None:
        mode = self.mode.current
        self._explain()
        if mode == "merge":
            self._animation.stop()
        for view in (self.view, self.other):
            view.set_regions(mode == "regions")
            view.set_padded(mode != "merge")
        for control in (self.play, self.slider):
            control.setEnabled(mode != "merge")
        if mode == "regions" and self.slider.value() < _STEPS:
            self.slider.setValue(_STEPS)
        if mode == "merge" and self.slider.value() > 0:
            self.slider.setValue(0)
        if self._trace is not None:
            self._show_focus(self._trace)

    def _explain(self) -> None:
        mode, scene = self.mode.current, self.view.scene
        odd = mode == "regions" and scene is not None and bool(scene.padding) and bool(scene.regions)
        about = _LEGEND[mode] + (_PADDED if odd else "")
        self.legend.setText(about if self._matrices is None else _LEGEND["matrix"])

    def _set_progress(self, value: int) -> None:
        for view in (self.view, self.other):
            view.set_progress(2 * value / _STEPS)

    def _play(self) -> None:
        if self._animation.state() == QVariantAnimation.State.Running:
            self._animation.stop()
            return
        backwards = self.slider.value() == _STEPS
        self._animation.setStartValue(_STEPS if backwards else 0)
        self._animation.setEndValue(0 if backwards else _STEPS)
        self._animation.start()

    def _show_both(self, shown: bool) -> None:
        self.other.setVisible(shown and self.other.scene is not None)
        if self._trace is not None:
            self._show_focus(self._trace)

    def _point(self, view: ShiftView, cell: tuple[int, int] | None) -> None:
        self.session.point(Hover() if cell is None else Hover(patch=self._finest(view, *cell)))

    def _finest(self, view: ShiftView, row: int, column: int) -> tuple[int, int]:
        """The patch of the photo in the middle of a token's cell."""
        assert self._trace is not None
        number = self._layer if view is self.view else self._layer + 1
        grid, finest = self._trace.layers[number].layout.patches, self._trace.patches
        return grid.nearest_in(finest, row, column)

    def _click(self, view: ShiftView, row: int, column: int) -> None:
        trace = self._trace
        if trace is None:
            return
        view.setFocus(Qt.FocusReason.MouseFocusReason)
        number = self._layer if view is self.view else self._layer + 1
        self.session.pin(self._finest(view, row, column))
        layer = trace.layers[number]
        if layer.layout.windows is None:
            return
        window, _ = layer.layout.windows.slot(layer.layout.token(row, column))
        self.worker.submit(
            lambda _: compute.matrices(trace, number, window),
            lambda found: self._take_matrices(layer, found),
            lambda problem: self.session.failed.emit(failure(problem)),
        )

    # The window's matrices.

    def _take_matrices(self, layer: "Layer", found: compute.Matrices) -> None:
        self._matrices, self._matrix_layer = found, layer
        self._show_matrix_part(True)
        self._show_matrices(found)

    def _show_matrices(self, found: compute.Matrices) -> None:
        """All heads, or the selected one large."""
        head = self.session.view.head
        one = head is not None and head < len(found.attention)
        self._heads = [head] if one and head is not None else list(range(len(found.attention)))
        pictures, told = matrix_pictures(found, self._heads, self.session.view.colormap)
        self.matrix.set_pictures(pictures)
        name = "" if self._matrix_layer is None else self._matrix_layer.name
        self._matrix_told = f"Window {found.window} of {name}: {told}"
        self._read_matrix(self.matrix.hovered)

    def _read_matrix(self, spot: Spot | None) -> None:
        """Say the numbers of a cell, and outline it in each matrix; without one, what the matrices are."""
        found, layer, told = self._matrices, self._matrix_layer, ""
        if found is None or layer is None:
            return
        if spot is not None:
            place = spot.picture // (1 if found.bias is None else 2)
            head = self._heads[place] if place < len(self._heads) else None
            told = matrix_words(layer, found, head, spot.row, spot.column)
            every = range(len(self.matrix.pictures))
            self.matrix.set_marks([(Spot(one, spot.row, spot.column), False) for one in every])
        else:
            self.matrix.set_marks([])
        self.matrix_says.set_text(told or self._matrix_told)
        self.matrix.setAccessibleDescription(told or f"{self._matrix_told}. Arrow keys go from cell to cell.")

    def _show_matrix_part(self, shown: bool) -> None:
        if not shown:
            self._matrices = self._matrix_layer = None
        for widget in (self.matrix, self.matrix_says, self.close_matrix):
            widget.setVisible(shown)
        # Beside the matrices there is room for one view above the other.
        direction = QBoxLayout.Direction
        self._views.setDirection(direction.TopToBottom if shown else direction.LeftToRight)
        self._explain()

    def _pick_head(self, spot: Spot) -> None:
        found = self._matrices
        place = spot.picture // (2 if found is not None and found.bias is not None else 1)
        if found is None or place >= len(self._heads):
            return
        # The head that is shown alone gives way to all of them again.
        alone = len(self._heads) == 1 and len(found.attention) > 1
        method = of_one_head(self.session.view.method)
        self.session.change(head=None if alone else self._heads[place], method=method)

    def _save(self) -> None:
        trace, session = self._trace, self.session
        if trace is None:
            return
        rolled = self.mode.current == "regions" or self.slider.value() >= _STEPS // 2
        what = "merge" if self.mode.current == "merge" else "shifted" if rolled else "windows"
        what = "matrix" if self._matrices is not None else what
        options = {"layer": self._layer, "query": self._patch(), "colormap": session.view.colormap}
        save_plate(self, session, trace, what, options)
