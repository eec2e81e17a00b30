"""The chosen method after each layer, as a strip that can be played."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRect, QSize, Qt, QTimer
from PySide6.QtGui import QAction, QHideEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from vitviz.app.panels.base import Panel
from vitviz.app.panels.choices import Choices
from vitviz.app.panels.layers.strip import (
    NOTHING,
    Strip,
    box,
    facts_of,
    frames,
    from_tiles,
    scale_words,
    sentence,
    walk,
)
from vitviz.app.panels.layers.view import LayersView, Speed
from vitviz.app.session.facts import Facts, Shown
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import (
    Hover,
    Selection,
    ViewState,
    moved_layer,
    selection,
)
from vitviz.app.ui import icons, theme
from vitviz.app.widgets.base.title_bar import MutedLabel
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.widgets.pictures.filmstrip import FilmStrip, Frame
from vitviz.app.work.failure import failure
from vitviz.app.work.progress import Progress

# Text in the control, and milliseconds that a layer is shown.
_SPEEDS: dict[Speed, tuple[str, int]] = {
    "0.5": ("½×", 1000),
    "1": ("1×", 500),
    "2": ("2×", 250),
    "4": ("4×", 125),
}
_REST = 40  # milliseconds that the query rests before a strip is computed for it
_PATIENCE = 120  # milliseconds; what comes sooner should not flicker
_KEPT = 16  # strips
_ARROWS = ("up", "down", "left", "right")
_DRAWN = (
    "colormap",
    "opacity",
    "style",
    "scale",
    "fixed",
    "log",
    "temperature",
)


@dataclass(frozen=True, eq=False)
class LayersShown(Shown):
    """The strip as it is drawn."""

    frames: tuple[Frame, ...]
    maps: tuple[NDArray[np.float32] | None, ...]
    """Each layer's map (rows, cols) of values; None where the layer has none."""


class LayersPanel(Panel):
    """A frame per layer: pointing previews it on the photo, a click selects it, playing goes through them.

    Playing changes the layer that all panels show, and is one step of undo: back to where it began.
    """

    name = "layers"

    def __init__(self, session: Session, keys: list[QAction], parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._wanted: Facts | None = None  # what the strip is to show
        self._shown: Facts | None = None  # what the strip is of
        self._scale = ""  # the scale of the drawn frames, in words
        self._strip = NOTHING
        self._kept: dict[Selection, Strip] = {}
        self._problem = ""
        self._part = 0.0
        self.choices = Choices(session, self.name, LayersView)
        self._fresh = True  # whether playing has not moved yet
        self._rest = QTimer(self, interval=_REST, singleShot=True)
        self._rest.timeout.connect(self._compute)
        self._patience = QTimer(self, interval=_PATIENCE, singleShot=True)
        self._patience.timeout.connect(self._be_late)
        self._clock = QTimer(self)
        self._clock.timeout.connect(self._advance)
        self.play = _button("Play through the layers (Space)")
        self.loop = _button("Begin again after the last layer")
        self.loop.setCheckable(True)
        self.speed = QComboBox()
        self.speed.setAccessibleName("Speed of playing")
        self.speed.setToolTip("Speed: at 1× two layers a second")
        for speed, (text, _) in _SPEEDS.items():
            self.speed.addItem(text, speed)
        self.says = MutedLabel()
        self.over = Segmented("What frames lie on", [("photo", "photo"), ("plain", "plain")])
        self.scale = Segmented("Scale of the frames", [("own", "own scale"), ("common", "one scale")])
        self.scale.setToolTip(
            "Colours of each frame to its own maximum, or the same colours for the same value"
        )
        self.strip = FilmStrip()
        self.strip.setAccessibleName("Layers")
        self.strip.addActions([key for key in keys if key.objectName() not in _ARROWS])
        self.empty = EmptyState(self.strip, [])
        self._lay_out()
        self.tint()
        self.play.clicked.connect(self.toggle)
        self.speed.currentIndexChanged.connect(lambda _: self.choices.change(speed=self.speed.currentData()))
        self.loop.clicked.connect(lambda on: self.choices.change(loop=on))
        self.over.chosen.connect(lambda key: self.choices.change(photo=key == "photo"))
        self.scale.chosen.connect(lambda key: self.choices.change(scale=key))
        self.strip.hover_changed.connect(self._point)
        self.strip.picked.connect(self._pick)
        session.play_asked.connect(self.toggle)
        session.trace_changed.connect(self._take_trace)
        session.photo_changed.connect(self._show_backdrop)
        session.selection_changed.connect(self.follow)
        session.view_changed.connect(self._change_view)
        session.hover_changed.connect(self._mark)
        session.maps.tiles_changed.connect(self.follow)
        session.maps.late_changed.connect(self.dim)
        self._show_choices()
        self._take_trace()

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.setContentsMargins(8, 0, 12, 4)
        line.setSpacing(8)
        for widget in (self.play, self.speed, self.loop):
            line.addWidget(widget)
        line.addWidget(self.says, 1)
        line.addStretch(0)  # takes the space while a presentation shows the sentence in its own line
        line.addWidget(self.over)
        line.addWidget(self.scale)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 4)
        column.setSpacing(0)
        column.addLayout(line)
        column.addWidget(self.strip, 1)

    @property
    def busy(self) -> bool:
        """Whether a strip is being computed, or will be once the query rests."""
        return super().busy or self._rest.isActive()

    def end(self) -> None:
        """Stop all work and end the thread."""
        self._clock.stop()
        super().end()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Stop playing: a hidden panel has no button to stop it."""
        super().hideEvent(event)
        self._set_playing(False)

    def tint(self) -> None:
        """Take colours from the palette."""
        self.play.setIcon(icons.icon("pause" if self.playing else "play", self.palette()))
        self.loop.setIcon(icons.icon("loop", self.palette()))

    def shown(self) -> LayersShown:
        """The strip as it is drawn."""
        facts = None if self._shown is None else replace(self._shown, scale=self._scale)
        return LayersShown(
            self.says.whole, self.strip.dimmed, self.strip.frames, self._strip.maps, facts=facts
        )

    # What to show.

    def _take_trace(self) -> None:
        self.worker.cancel()
        self._set_playing(False)
        self._kept, self._shown, self._wanted, self._strip, self._problem = {}, None, None, NOTHING, ""
        there = self.session.trace is not None
        for widget in (self.play, self.speed, self.loop, self.over, self.scale):
            widget.setVisible(there)
        self._show_backdrop()
        self.follow()

    def _show_backdrop(self) -> None:
        """The part of the photo that the finest grid covers."""
        trace, picture = self.session.trace, self.session.picture
        if trace is None or picture is None or trace.photo is not picture.photo or not self.choices.now.photo:
            self.strip.set_backdrop(None)
            return
        level = picture.levels[-1]
        scale = level.width() / picture.photo.width
        left, top, width, height = box(trace.patches)
        (x0, y0), (x1, y1) = trace.framing.to_photo([[left, top], [left + width, top + height]]) * scale
        self.strip.set_backdrop(level.copy(QRect(round(x0), round(y0), round(x1 - x0), round(y1 - y0))))

    def draw(self) -> None:
        """Show the strip of what is asked for; hovered frames and tiles leave it as it is."""
        session = self.session
        trace = session.trace
        if trace is None:
            self.strip.set_frames((), 1.0)
            self.says.set_text("")
            self.empty.show_message(
                "Layer by layer", "Open a photo and choose a model: each frame will be one layer."
            )
            return
        self.empty.hide()
        wanted = facts_of(trace, self._asked)
        if wanted != self._wanted:
            self._wanted, self._problem = wanted, ""
            self.worker.cancel()
            self._rest.stop()
            if wanted == self._shown:  # what was asked for in between is not wanted any more
                self._settle()
                self._say()
        if wanted == self._shown:
            return
        if wanted.selection in self._kept:
            self._show(wanted, self._kept[wanted.selection])
        elif wanted.selection.method == "attention":
            self._show_tiles(wanted)
        elif not self._problem and not self.worker.busy and not self._rest.isActive():
            self._rest.start()
            self._wait()

    @property
    def _asked(self) -> Selection:
        """What is asked for, but for the layer or head that the pointer previews."""
        session = self.session
        if session.hover.tile is None:
            return session.selection
        return selection(session.view, replace(session.hover, tile=None))

    def _show_tiles(self, wanted: Facts) -> None:
        key = wanted.selection.query, wanted.selection.direction
        tiles = self.session.maps.tiles()
        if tiles is not None and (tiles.query, tiles.direction) == key:
            self._show(wanted, from_tiles(tiles.stacks, wanted.selection))
        elif self.session.maps.lacking == key:
            self._fail(self.session.maps.tiles_problem)
        else:
            self._wait()

    def _compute(self) -> None:
        wanted = self._wanted
        if wanted is None or wanted == self._shown:
            return
        self.worker.submit(
            lambda ticket: walk(wanted.trace, wanted.selection, ticket),
            lambda found: self._take(wanted, found),
            lambda problem: self._fail(failure(problem).message),
            self._hear,
        )

    def _hear(self, news: Any) -> None:
        if isinstance(news, Progress):
            self._part = news.done or 0.0
            self._say()

    def _take(self, wanted: Facts, found: Strip) -> None:
        while len(self._kept) >= _KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[wanted.selection] = found
        self._show(wanted, found)

    def _fail(self, told: str) -> None:
        self._problem = told
        self._shown, self._strip = None, NOTHING
        self._settle()
        self.strip.set_frames((), 1.0)
        self._say()

    def _show(self, wanted: Facts, found: Strip) -> None:
        self._shown, self._strip = wanted, found
        self._settle()
        self._show_frames()

    def _show_frames(self) -> None:
        """Frames in the colours of the view."""
        if self._shown is None or not self._strip.layers:
            return
        trace = self._shown.trace
        finest = trace.patches
        aspect = finest.cols * finest.cell[1] / (finest.rows * finest.cell[0])
        self.strip.set_frames(frames(trace, self._strip, self.session.view, self.choices.now), aspect)
        self._scale = scale_words(self.session.view, self.choices.now, self._strip)
        self._mark()
        self._say()

    def _say(self) -> None:
        """Say what the drawn frames are of, and how far the next ones are."""
        drawn, wanted = self._shown, self._wanted
        if wanted is None:
            return
        if self._problem:
            self.says.set_text(self._problem)
            return
        said = [] if drawn is None else [sentence(drawn)]
        if self.worker.busy and not self._patience.isActive() and drawn != wanted:
            layers = len(wanted.trace.layers)
            said.append(f"computing, {round(self._part * layers)} of {layers} layers")
        elif drawn is not None:
            said.append(self._scale)
        self.says.set_text(" · ".join(said))
        if drawn is not None:
            self.strip.setAccessibleDescription(
                f"{sentence(drawn)}; layer {self.session.view.layer} is chosen; arrow keys choose another"
            )

    def _change_view(self, before: ViewState, now: ViewState) -> None:
        chosen = self.choices.differ(before, now)
        if chosen:
            self._show_choices()
            self._show_backdrop()
        if chosen or any(getattr(before, name) != getattr(now, name) for name in _DRAWN):
            self._show_frames()
        # Where the pointer is on a tile or a frame, its layer and head hide a change of the view from the selection.
        self.follow()
        self._mark()
        self._say()

    def _show_choices(self) -> None:
        choices = self.choices.now
        self.over.set_current("photo" if choices.photo else "plain")
        self.scale.set_current(choices.scale)
        self.loop.setChecked(choices.loop)
        self.speed.blockSignals(True)
        self.speed.setCurrentIndex(self.speed.findData(choices.speed))
        self.speed.blockSignals(False)
        self._clock.setInterval(_SPEEDS[choices.speed][1])

    def _mark(self) -> None:
        session = self.session
        if session.trace is None:
            return
        tile = session.hover.tile
        self.strip.set_marks(session.view.layer, None if tile is None else tile[0])

    # Waiting.

    def _wait(self) -> None:
        if not self._patience.isActive() and not self.strip.dimmed:
            self._patience.start()

    def _be_late(self) -> None:
        self.dim()
        self._say()

    def _settle(self) -> None:
        self._patience.stop()
        self._part = 0.0
        self.dim()

    def dim(self) -> None:
        """Dim the strip while another is awaited."""
        late = self._shown != self._wanted and not self._problem and not self._patience.isActive()
        self.strip.set_dimmed(self.session.busy is not None or late)

    # From the user.

    def _tile(self, layer: int) -> tuple[int, int | None]:
        """What pointing at a frame previews: the head that is chosen, as long as it is attention that is shown."""
        session = self.session
        head = session.view.head if session.view.method == "attention" else None
        most = 0 if session.trace is None else session.trace.layers[layer].heads
        return layer, head if head is not None and head < most else None

    def _point(self, layer: int | None) -> None:
        self.session.point(Hover() if layer is None else Hover(tile=self._tile(layer)))

    def _pick(self, layer: int) -> None:
        shape = self.session.shape
        if shape is not None:
            self.strip.setFocus(Qt.FocusReason.MouseFocusReason)
            self.session.show_view(moved_layer(self.session.view, shape, layer - self.session.view.layer))

    # Playing.

    @property
    def pace(self) -> int:
        """Milliseconds that each layer is shown while playing."""
        return self._clock.interval()

    @property
    def playing(self) -> bool:
        """Whether the layers are being played."""
        return self._clock.isActive()

    def toggle(self) -> None:
        """Play, from the first layer where the last is chosen, or stop."""
        self._set_playing(not self.playing and self.session.trace is not None)

    def _set_playing(self, playing: bool) -> None:
        if playing == self.playing:
            return
        if playing:
            self._fresh = True
            self._clock.start()
            self._advance()
        else:
            self._clock.stop()
        self.play.setToolTip("Stop (Space)" if playing else "Play through the layers (Space)")
        self.play.setAccessibleName(self.play.toolTip())
        self.tint()

    def _advance(self) -> None:
        session = self.session
        shape, shown = session.shape, session.maps.shown
        if shape is None:
            return
        if shown is not None and shown.selection != session.selection:
            return  # The map of this layer is still being computed.
        last = len(shape.heads) - 1
        if session.view.layer == last and not (self._fresh or self.choices.now.loop):
            self._set_playing(False)
            return
        step = 1 if session.view.layer < last else -last
        session.show_view(moved_layer(session.view, shape, step), remembered=self._fresh)
        self._fresh = False


def _button(what: str) -> QToolButton:
    button = QToolButton()
    button.setAutoRaise(True)
    button.setIconSize(QSize(16, 16))
    button.setMinimumSize(28, 28)
    button.setFont(theme.body())
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.setToolTip(what)
    button.setAccessibleName(what)
    return button
