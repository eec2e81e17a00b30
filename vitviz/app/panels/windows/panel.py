"""Swin's windows over the photo: the cyclic shift, the mask's regions, padding, merging, and a window's matrices."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QEasingCurve, QSignalBlocker, Qt, QVariantAnimation
from PySide6.QtGui import QAction, QImage
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QSlider, QVBoxLayout, QWidget

from vitviz.app.panels.plate_panel import Plate, PlatePanel, row
from vitviz.app.panels.windows.matrices import WindowMatrices, window_matrices
from vitviz.app.panels.windows.matrix_part import MatrixPart
from vitviz.app.panels.windows.scene import crop, focus, scene, sentence
from vitviz.app.session.facts import Facts, Shown, of_attention
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Hover, patches_in, with_panel
from vitviz.app.ui import icons, theme
from vitviz.app.widgets.controls.tool_button import tool
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.widgets.pictures.gallery import GalleryPicture
from vitviz.app.widgets.windows.scene import Focus, Scene
from vitviz.app.widgets.windows.shift_view import ShiftView

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace

Mode = Literal["shift", "regions", "merge"]

_MODES = [("shift", "shift"), ("regions", "regions"), ("merge", "merge")]
_STEPS = 200  # of the slider: half of it shifts, the other half closes the windows
_DURATION = 2600  # milliseconds from the photo to the windows
_LEGEND = {
    "shift": "A, B, C: pieces that wrap around the edges (down, across, both), so that shifted windows join what regular "
    "ones separate. Hatched: padding. Heat: what the outlined token attends to inside its window.",
    "regions": "Letters: regions of one window, as the model's mask has them. Tokens of different letters may not see each "
    "other: −100 is added to their logits, so their attention is 0.",
    "merge": "Between stages 2 × 2 tokens become one. Nested cells: the tokens of earlier stages that became the outlined "
    "token, down to the first patches.",
    "matrix": "Row: query; column: key. Attention: each to its own maximum. Bias: red adds to a logit, blue subtracts "
    "from it. White: masked; grey: padding.",
}
_PADDED = " On a padded grid the model's mask does not follow the pieces: some tokens from opposite edges do see each other."


@dataclass(frozen=True)
class WindowsView:
    """What the user chose in the panel."""

    mode: Mode = "shift"
    progress: float = 0.0
    """0 the photo, 1 shifted, 2 cut into windows."""
    both: bool = False
    """Whether the next layer is shown beside the selected one."""
    window: tuple[int, int] | None = None
    """The (layer, window) whose matrices are shown, while that layer is."""


@dataclass(frozen=True, eq=False)
class WindowsShown(Shown):
    """What the panel has drawn."""

    mode: str
    layer: int
    progress: float
    scenes: tuple[Scene, ...]
    """Of the selected layer and, if it is shown, the next one."""
    focus: Focus
    """What is highlighted in the selected layer."""
    matrices: WindowMatrices | None
    pictures: tuple[GalleryPicture, ...]
    """Of the matrices."""
    head: int | None
    """The head whose matrices are drawn alone; None for all heads."""
    about: str
    """The sentence about the matrices, or about a cell of them."""


class WindowsPanel(PlatePanel[WindowsView]):
    """Windows of the selected layer, and of the next one beside it."""

    name = "windows"
    plates = ("windows", "shifted", "merge", "matrix")
    drawn_with = ("colormap", "opacity", "head")

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(session, WindowsView, "What is shown of the windows", _MODES, parent)
        self._trace: Trace | None = None
        self._layer = -1
        self._cropped: QImage | None = None
        self._controlled: tuple[object, ...] | None = None  # what the controls and views were set for
        self._progress = 0.0  # as it was chosen last
        self._focused: tuple[object, ...] | None = None  # what the highlight was drawn for
        self._facts: Facts | None = None  # what the scene, the highlight and the sentence are of
        self._asked: tuple[int, int] | None = None  # the (layer, window) whose matrices are there or computed
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, _STEPS)
        self.slider.setAccessibleName("From the photo through the shift to the windows")
        self.slider.setToolTip("Left: as on the photo. Middle: shifted. Right: cut into windows.")
        self.play = tool("Play the shift")
        self.both = tool("Show the next layer beside this one", checkable=True, text="next layer too")
        self.view, self.other = ShiftView(), ShiftView()
        self.view.setAccessibleName("Windows of the selected layer")
        self.other.setAccessibleName("Windows of the next layer")
        self.other.hide()
        self.matrix = MatrixPart(self)
        for widget in (self.view, self.other, self.matrix.view):
            widget.addActions(keys)
        self.animation = QVariantAnimation(self, duration=_DURATION, startValue=0, endValue=_STEPS)
        self.animation.setEasingCurve(QEasingCurve.Type.InOutSine)
        self._lay_out()
        self.empty = EmptyState(self, [])
        self._connect()
        self.tint()
        self.follow()

    def _lay_out(self) -> None:
        self._views = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._views.setSpacing(0)
        self._views.addWidget(self.view, 1)
        self._views.addWidget(self.other, 1)
        stage = QHBoxLayout()
        stage.setSpacing(0)
        stage.addLayout(self._views, 2)
        stage.addWidget(self.matrix.view, 3)
        self._body = QWidget()
        column = QVBoxLayout(self._body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(self.head())
        column.addLayout(row(self.mode, self.play, self.slider, self.both, wide=self.slider))
        column.addLayout(row(self.matrix.says, self.matrix.close, wide=self.matrix.says))
        column.addLayout(stage, 1)
        column.addWidget(self.legend)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self._body)

    def _connect(self) -> None:
        self.mode.chosen.connect(self._pick_mode)
        self.slider.valueChanged.connect(self._set_progress)
        self.slider.sliderPressed.connect(self.animation.stop)
        self.slider.sliderReleased.connect(self._keep_progress)
        self.play.clicked.connect(self._play)
        self.animation.valueChanged.connect(lambda value: self.slider.setValue(round(value)))
        self.animation.stateChanged.connect(self._change_playing)
        self.both.clicked.connect(lambda shown: self.choices.change(both=shown))
        self.matrix.close.clicked.connect(lambda: self.choices.change(window=None))
        self.matrix.picked.connect(self._pick_head)
        for view in (self.view, self.other):
            view.hover_changed.connect(lambda cell, view=view: self._point(view, cell))
            view.clicked.connect(lambda row, column, view=view: self._click(view, row, column))
        self.session.hover_changed.connect(self.follow)

    def end(self) -> None:
        """Stop all work and end the thread."""
        self._stop()
        super().end()

    def tint(self) -> None:
        """Take colours from the palette."""
        super().tint()
        self.play.setIcon(icons.icon("pause" if self.playing else "play", self.palette()))
        self.matrix.close.setIcon(icons.icon("close", self.palette()))
        theme.mute_accent(self.slider)

    @property
    def playing(self) -> bool:
        """Whether the shift is being played."""
        return self.animation.state() == QVariantAnimation.State.Running

    def shown(self) -> WindowsShown:
        """What is drawn now."""
        views = [self.view] + ([self.other] if not self.other.isHidden() else [])
        return WindowsShown(
            self.says.whole if self._trace is not None else "",
            self.matrix.view.dimmed,
            self.mode.current,
            self._layer,
            self.view.progress,
            tuple(view.scene for view in views if view.scene is not None),
            self.view.focus,
            self.matrix.found,
            tuple(self.matrix.view.pictures) if self.matrix.found is not None else (),
            self.matrix.head,
            self.matrix.says.whole if self.matrix.found is not None else "",
            facts=self._facts,
        )

    def plate(self) -> Plate | None:
        """What is shown, as a plate."""
        trace, found, mode = self._trace, self.matrix.found, self.mode.current
        if trace is None:
            return None
        colormap = self.session.view.colormap
        if found is not None:
            row, column = found.cell
            query = found.layer.layout.patches.nearest_in(trace.patches, row, column)
            options = {"layer": found.layer.name, "query": query, "head": self.matrix.head}
            return Plate(trace, "matrix", options | {"colormap": colormap})
        shifted = mode == "regions" or self.slider.value() >= _STEPS // 2
        kind = "merge" if mode == "merge" else "shifted" if shifted else "windows"
        return Plate(trace, kind, {"layer": self._layer, "query": self._patch(), "colormap": colormap})

    # From the session.

    def forget(self) -> None:
        """Drop all that belongs to the trace before."""
        self._cropped = None
        self._leave_layer()
        for view in (self.view, self.other):
            view.set_scene(None)

    def _leave_layer(self) -> None:
        self._trace, self._layer, self._facts = None, -1, None
        self._controlled = self._focused = None
        self._close_matrices()

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
        self._show_matrices(trace)
        self._show_choices(trace)
        self._show_focus(trace)

    def _clear(self, headline: str, hint: str) -> None:
        self._leave_layer()
        self._stop()
        self.worker.cancel()
        self._body.hide()
        self.empty.show_message(headline, hint)

    def _show_layer(self, trace: "Trace", layer: int) -> None:
        if trace is not self._trace or self._cropped is None:
            picture = self.session.picture
            self._cropped = crop(trace, [] if picture is None else picture.levels)
        self._trace, self._layer, self._focused = trace, layer, None
        self.view.set_scene(scene(trace, layer, self._cropped))
        following = layer + 1 if layer + 1 < len(trace.layers) else None
        self.other.set_scene(None if following is None else scene(trace, following, self._cropped))

    def _show_choices(self, trace: "Trace") -> None:
        """Set controls and views as the user chose, unless they are so already."""
        chosen = self.choices.now
        wanted = (trace, self._layer, chosen, self.matrix.found)
        if wanted == self._controlled:
            return
        self._controlled = wanted
        merges, regions, scene = chosen.mode == "merge", chosen.mode == "regions", self.view.scene
        if merges or chosen.progress != self._progress:
            self._stop()  # merging has no shift to play; undo asks for another progress
        self._progress = chosen.progress
        self.mode.set_current(chosen.mode)
        for view in (self.view, self.other):
            view.set_regions(regions)
            view.set_padded(not merges)
        for control in (self.play, self.slider):
            control.setEnabled(not merges)
        if not self.playing and not self.slider.isSliderDown():
            with QSignalBlocker(self.slider):
                self.slider.setValue(0 if merges else round(chosen.progress * _STEPS / 2))
            self._draw_progress()
        # Beside the matrices there is room for one view above the other.
        direction = QBoxLayout.Direction
        alone = self.matrix.found is None
        self._views.setDirection(direction.LeftToRight if alone else direction.TopToBottom)
        self.both.setChecked(chosen.both)
        self.both.setEnabled(self.other.scene is not None)
        self.other.setVisible(chosen.both and self.other.scene is not None)
        layouts = [trace.layers[number].layout for number in self._layers()]
        shifted = any(any(one.windows.shift) for one in layouts if one.windows is not None)
        reason = "" if shifted else "This layer's windows are not shifted; the layer after it may be."
        self.play.setToolTip(reason or "Play the shift")
        out_of_step = regions and scene is not None and bool(scene.padding) and bool(scene.regions)
        about = _LEGEND[chosen.mode] + (_PADDED if out_of_step else "")
        self.legend.setText(about if self.matrix.found is None else _LEGEND["matrix"])

    def _layers(self) -> list[int]:
        """The numbers of the layers that are shown."""
        shows_next = self.choices.now.both and self.other.scene is not None
        return [self._layer, self._layer + 1] if shows_next else [self._layer]

    def _show_focus(self, trace: "Trace") -> None:
        patch, session, mode = self._patch(), self.session, self.choices.now.mode
        style = {"colormap": session.view.colormap, "opacity": session.view.opacity}
        head, layers = session.selection.head, self._layers()
        wanted = (patch, mode, head, layers, *style.values())
        if wanted == self._focused:
            return
        self._focused = wanted
        asked = replace(session.selection, query=patch, layer=self._layer, head=head)
        self._facts = of_attention(trace, asked, part=mode)
        for view, number in zip((self.view, self.other), layers, strict=False):
            if view.scene is not None:
                view.set_focus(Focus() if patch is None else focus(trace, number, patch, mode, head, style))
        self._say(trace, patch)

    def _patch(self) -> tuple[int, int] | None:
        """The highlighted patch: under the pointer, otherwise the query."""
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
            text = sentence(trace, self._layer, patch, self.choices.now.mode)
        self.says.set_text(text)

    # From the controls.

    def _pick_mode(self, mode: str) -> None:
        """Regions are those of the closed windows, so they are shown closed; otherwise the shift stays where it is."""
        progress = 2.0 if mode == "regions" else self._reached if self.playing else self.choices.now.progress
        self._stop()
        self.choices.change(mode=mode, progress=progress)

    @property
    def _reached(self) -> float:
        """How far the slider has come: 0 the photo, 1 shifted, 2 cut into windows."""
        return 2 * self.slider.value() / _STEPS

    def _set_progress(self, _: int) -> None:
        """Draw the slider's progress; while it is dragged or played only where it ends is a choice."""
        self._draw_progress()
        if not self.playing and not self.slider.isSliderDown():
            self._keep_progress()

    def _draw_progress(self) -> None:
        for view in (self.view, self.other):
            view.set_progress(self._reached)

    def _keep_progress(self) -> None:
        if self._trace is not None:
            self.choices.change(progress=self._reached)

    def _play(self) -> None:
        if self.playing:
            self.animation.stop()
            return
        backwards = self.slider.value() == _STEPS
        with QSignalBlocker(self.animation):  # new ends change its value, which is not played yet
            self.animation.setStartValue(_STEPS if backwards else 0)
            self.animation.setEndValue(0 if backwards else _STEPS)
        self.animation.start()

    def _change_playing(self) -> None:
        self.tint()
        if not self.playing:
            self._keep_progress()

    def _stop(self) -> None:
        """Stop playing, without making a choice of where it stopped."""
        if self.playing:
            with QSignalBlocker(self.animation):
                self.animation.stop()
            self.tint()

    # Pointing.

    def _point(self, view: ShiftView, cell: tuple[int, int] | None) -> None:
        self.session.point(Hover() if cell is None else Hover(patch=self._finest(view, *cell)))

    def _finest(self, view: ShiftView, row: int, column: int) -> tuple[int, int]:
        """The patch of the photo in the middle of a token's cell."""
        assert self._trace is not None
        number = self._layer if view is self.view else self._layer + 1
        grid, finest = self._trace.layers[number].layout.patches, self._trace.patches
        return grid.nearest_in(finest, row, column)

    def _click(self, view: ShiftView, row: int, column: int) -> None:
        """Select the token, and show the matrices of its window: one step for undo."""
        trace, session = self._trace, self.session
        if trace is None:
            return
        view.setFocus(Qt.FocusReason.MouseFocusReason)
        number = self._layer if view is self.view else self._layer + 1
        chosen = replace(session.view, query=self._finest(view, row, column), pinned=True)
        layout = trace.layers[number].layout
        if layout.windows is not None:
            window, _ = layout.windows.slot(layout.token(row, column))
            chosen = with_panel(chosen, self.name, window=(number, window))
        session.show_view(chosen)

    # The window's matrices.

    def _show_matrices(self, trace: "Trace") -> None:
        """Show the matrices of the chosen window while its layer is shown; those before it stay until they are there."""
        chosen = self._window(trace)
        if chosen is None:
            if self._asked is not None:
                self.worker.cancel()
                self._close_matrices()
        elif chosen != self._asked:
            self._asked = chosen
            self.wait()
            self.worker.submit(lambda _: window_matrices(trace, *chosen), self._take_matrices, self.fail)
        elif self.matrix.found is not None:
            self._draw_matrices(self.matrix.found)

    def _window(self, trace: "Trace") -> tuple[int, int] | None:
        """The chosen window, if its layer is shown and has so many."""
        chosen = self.choices.now.window
        if chosen is None or chosen[0] not in self._layers():
            return None
        windows = trace.layers[chosen[0]].layout.windows
        return chosen if windows is not None and 0 <= chosen[1] < len(windows.index) else None

    def dim(self) -> None:
        """Dim the matrices of the window before while others are computed."""
        self.matrix.view.set_dimmed(self.late)

    def _take_matrices(self, found: WindowMatrices) -> None:
        self.settle()
        self._draw_matrices(found)
        if self._trace is not None:
            self._show_choices(self._trace)

    def _draw_matrices(self, found: WindowMatrices) -> None:
        view = self.session.view
        self.matrix.show(found, view.head, view.colormap)

    def _close_matrices(self) -> None:
        self._asked = None
        self.settle()
        self.matrix.clear()

    def _pick_head(self, head: int | None) -> None:
        self.session.change(head=head)  # matrices are of attention, whatever method the photo shows
