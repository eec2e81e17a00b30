"""The photo with the heatmap over it: the stage."""

from collections.abc import Mapping
from dataclasses import replace

from PySide6.QtCore import QRectF, QTimer
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vitviz.app import drawing, readings, theme
from vitviz.app.controls import Controls
from vitviz.app.session import Session
from vitviz.app.state import Hover, ViewState
from vitviz.app.widgets.canvas import Canvas, Grid
from vitviz.app.widgets.colorbar import ColorBar
from vitviz.app.widgets.invitation import Invitation
from vitviz.app.widgets.progress import ProgressCard
from vitviz.app.widgets.titlebar import ElidedLabel, Quiet
from vitviz.images.framing import Framing, PatchGrid
from vitviz.render.colors import lookup_table
from vitviz.render.overlay import heat_rgba

_SMOOTH_SIDE = 256  # pixels of an interpolated map; the screen's own scaling does the rest
_PATIENCE = 300  # milliseconds
_REST = 60  # milliseconds after the last step of zooming or resizing


def grid_area(framing: Framing, patches: PatchGrid) -> QRectF:
    """The rectangle that a patch grid covers, in photo pixels."""
    top, left = patches.origin
    right, bottom = left + patches.cols * patches.cell[1], top + patches.rows * patches.cell[0]
    (x0, y0), (x1, y1) = framing.to_photo([[left, top], [right, bottom]])
    return QRectF(x0, y0, x1 - x0, y1 - y0)


class PhotoPanel(QWidget):
    """Shows the session's heatmap on its photo; the pointer sets the query."""

    def __init__(
        self, session: Session, actions: Mapping[str, QAction], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        self.title = ElidedLabel()
        self.title.setFont(theme.body(strong=True))
        self.scale = Quiet()
        self.canvas = Canvas()
        self.canvas.setAccessibleName("Photo")
        self.bar = ColorBar()
        self._chips = QHBoxLayout()
        self._chips.setSpacing(4)
        self._chip_buttons: dict[str, QToolButton] = {}
        self._patches = QLabel()
        self._patches.setFont(theme.body())
        self.controls = Controls(session, actions)
        self.welcome = Invitation(self.canvas, [actions["open"], actions["choose_model"]])
        self.no_model = Invitation(self.canvas, [actions["choose_model"], actions["open_weights"]], low=True)
        self.progress = ProgressCard(self.canvas)
        self.progress.cancelled.connect(session.cancel)
        # What is done at once should not flash a card.
        self._patience = QTimer(self, interval=_PATIENCE, singleShot=True)
        self._patience.timeout.connect(self._show_progress)
        self._lay_out()
        for name in ("up", "down", "left", "right"):
            self.canvas.addAction(actions[name])

        # Contours are drawn for the screen's own pixels, once zooming or resizing has come to rest.
        self._rest = QTimer(self, interval=_REST, singleShot=True)
        self._rest.timeout.connect(self._show_heat)
        self.canvas.zoom_changed.connect(self._follow_zoom)
        self.canvas.pointed.connect(self._point)
        self.canvas.left.connect(lambda: session.point(Hover()))
        self.canvas.clicked.connect(self._click)
        session.photo_changed.connect(self._show_photo)
        session.trace_changed.connect(self._show_trace)
        session.model_changed.connect(self._invite)
        session.heatmap_changed.connect(self._show_heat)
        session.view_changed.connect(self._change_view)
        session.hover_changed.connect(self._show_marks)
        session.busy_changed.connect(self._show_busy)
        session.maps.late_changed.connect(self._dim)
        self._show_colors()
        self._show_heat()
        self._invite()

    def _lay_out(self) -> None:
        heading = QHBoxLayout()
        heading.setSpacing(8)
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(self.title)
        words.addWidget(self.scale)
        heading.addLayout(words, 1)
        heading.addLayout(self._chips)
        heading.addWidget(self._patches)
        head = QWidget()
        head.setLayout(heading)
        heading.setContentsMargins(12, 8, 12, 8)
        foot = QHBoxLayout()
        foot.setContentsMargins(12, 4, 12, 4)
        foot.setSpacing(16)
        foot.addWidget(self.controls)
        foot.addWidget(self.bar, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(head)
        column.addWidget(self.canvas, 1)
        column.addLayout(foot)

    # From the session.

    def _show_photo(self) -> None:
        photo, picture = self._session.photo, self._session.picture
        self.canvas.set_photo([] if picture is None else picture.levels)
        self.canvas.setAccessibleDescription(
            "" if photo is None else f"{photo.name}, {photo.width} × {photo.height} pixels"
        )
        self._invite()
        self._show_trace()

    def _show_trace(self) -> None:
        trace = self._session.trace
        if trace is None:
            self.canvas.set_seen(None)
        else:
            left, top, right, bottom = trace.framing.seen()
            self.canvas.set_seen(QRectF(left, top, right - left, bottom - top))
        self._show_heat()

    def _change_view(self, before: ViewState, now: ViewState) -> None:
        if before.colormap != now.colormap:
            self._show_colors()
        if replace(before, query=None, pinned=False, grid=False) != replace(
            now, query=None, pinned=False, grid=False
        ):
            self._show_heat()
        self._show_marks()

    def _show_colors(self) -> None:
        self.bar.set_colors(lookup_table(self._session.view.colormap))

    def _show_heat(self) -> None:
        session = self._session
        trace, heat, view = session.trace, session.heatmap, session.view
        if trace is None or heat is None:
            self.canvas.set_heat(None, QRectF(), False)
            self.bar.set_ends("", "")
            self.title.set_text(
                session.maps.problem or (session.photo.name if session.photo is not None else "Photo")
            )
            self.scale.set_text("")
            self._show_prefix({}, None)
            self._show_marks()
            return
        area = grid_area(heat.framing, heat.patches)
        size = None
        if view.style == "contour":
            size = self.canvas.device_size(area)
        elif view.smooth:
            tall = area.height() >= area.width()
            ratio = area.width() / area.height()
            size = (
                (_SMOOTH_SIDE, round(_SMOOTH_SIDE * ratio))
                if tall
                else (round(_SMOOTH_SIDE / ratio), _SMOOTH_SIDE)
            )
        rgba = heat_rgba(heat.values, **drawing.style(view, heat.values), size=size)
        self.canvas.set_heat(rgba, area, size is not None)
        low, high = drawing.scale(view, heat.values)
        self.bar.set_ends(*readings.ends(low, high))
        self.title.set_text(heat.title)
        self.scale.set_text(f"{heat.unit} · {drawing.scale_words(view, heat.values)}")
        self._show_prefix(heat.prefix, heat.total)
        self._show_marks()

    def _show_prefix(self, prefix: Mapping[str, float], patches: float | None) -> None:
        if list(prefix) != list(self._chip_buttons):
            for button in self._chip_buttons.values():
                self._chips.removeWidget(button)
                button.deleteLater()
            self._chip_buttons = {}
            for name in prefix:
                button = QToolButton()
                button.setAutoRaise(True)
                button.setCheckable(True)
                button.setFont(theme.body())
                button.clicked.connect(lambda _=False, name=name: self._pick_prefix(name))
                self._chips.addWidget(button)
                self._chip_buttons[name] = button
        shown = self._session.maps.shown
        given = shown is not None and shown.heatmap.options.get("direction") == "by"
        chosen = self._session.selection.query
        for name, weight in prefix.items():
            button = self._chip_buttons[name]
            does = "gives" if given else "receives"
            button.setToolTip(f"What the {name} token {does}; click to make it the query")
            button.setText(f"{name} {readings.number(weight)}")
            button.setAccessibleName(f"{name} token, weight {readings.number(weight)}")
            button.setChecked(chosen == name)
        self._patches.setText("" if patches is None else f"Σ patches {readings.number(patches)}")

    def _show_marks(self) -> None:
        session = self._session
        trace, heat = session.trace, session.heatmap
        if trace is None:
            self.canvas.set_grid(None, False)
            self.canvas.set_marks(None, False, None)
            return
        patches = trace.patches if heat is None else heat.patches
        grid = Grid(grid_area(trace.framing, patches), patches.rows, patches.cols)
        self.canvas.set_grid(grid, session.view.grid)

        def cell(patch: object) -> QRectF | None:
            if not isinstance(patch, tuple):
                return None
            place = patch if heat is None else readings.cell_of(heat, trace, (patch[0], patch[1]))
            return None if place is None else grid.cell(*place)

        pinned = session.view.pinned
        hover = cell(session.hover.patch) if pinned else None
        self.canvas.set_marks(cell(session.selection.query), pinned, hover)

    def _show_busy(self) -> None:
        busy = self._session.busy
        self._dim()
        if busy is None:
            self._patience.stop()
            self.progress.hide()
        elif self.progress.isVisible():
            self.progress.show_progress(busy.text, busy.done)
        elif not self._patience.isActive():
            self._patience.start()
        self._invite()

    def _dim(self) -> None:
        """What is shown is about to be replaced."""
        session = self._session
        waits = session.busy is not None or session.maps.heat_late
        self.canvas.set_dimmed(waits and session.trace is not None)

    def _follow_zoom(self) -> None:
        if self._session.view.style == "contour":
            self._rest.start()

    def _show_progress(self) -> None:
        busy = self._session.busy
        if busy is not None:
            self.progress.show_progress(busy.text, busy.done)

    def _invite(self) -> None:
        session = self._session
        self.welcome.hide()
        self.no_model.hide()
        if session.busy is not None:
            return
        if session.photo is None:
            ready = (
                f"{session.model.name} is ready."
                if session.model is not None
                else "Then choose a model to look with."
            )
            self.welcome.invite("Drop a photo here", f"or open one (Ctrl+O), or paste one (Ctrl+V). {ready}")
        elif session.trace is None:
            self.no_model.invite("No model yet", "Choose one to see what it attends to in this photo.")

    # From the user.

    def _point(self, x: float, y: float) -> None:
        trace = self._session.trace
        if trace is not None:
            self._session.point(Hover(patch=trace.framing.patch_at(trace.patches, x, y)))

    def _click(self, x: float, y: float) -> None:
        trace = self._session.trace
        patch = None if trace is None else trace.framing.patch_at(trace.patches, x, y)
        if patch is None:
            return
        if self._session.view.pinned and self._session.view.query == patch:
            self._session.free()
        else:
            self._session.pin(patch)

    def _pick_prefix(self, name: str) -> None:
        if self._session.view.pinned and self._session.view.query == name:
            self._session.free()
        else:
            self._session.pin(name)
        self._show_heat()
