"""The photo with the heatmap over it, its title, its colour scale and the controls of how it is drawn."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, Qt, QTimer
from PySide6.QtGui import QAction, QPainter, QPalette, QPixmap, QResizeEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QHBoxLayout,
    QLabel,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vitviz.app.commands import of_stage
from vitviz.app.session import colour_scale, describe
from vitviz.app.session.facts import Facts, Shown
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Patch, ViewState, follows_pointer, patches_in
from vitviz.app.stage.appearance_bar import AppearanceBar
from vitviz.app.stage.folder_index import FolderIndex
from vitviz.app.stage.query_tool import QueryTool
from vitviz.app.ui import number_format, terms, theme
from vitviz.app.ui.pixels import grid_area, smooth_size
from vitviz.app.widgets.base.title_bar import ElidedLabel, MutedLabel
from vitviz.app.widgets.controls.help_button import HelpButton
from vitviz.app.widgets.messages.empty_state import EmptyState
from vitviz.app.widgets.messages.progress_card import ProgressCard
from vitviz.app.widgets.messages.welcome import Welcome
from vitviz.app.widgets.photo.canvas import Canvas
from vitviz.app.widgets.photo.colour_bar import ColorBar
from vitviz.app.widgets.photo.grid import Grid
from vitviz.app.widgets.photo.token_chips import TokenChips
from vitviz.images.framing import PatchGrid
from vitviz.render.colors import SIGNED_COLORMAP, Bar, bar, bending, is_signed, lookup_table, to_unit
from vitviz.render.overlay import heat_rgba, pixel_grid

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap

_BENT = {"logarithmic": "log"}  # short, for beside the bar
_PATIENCE = 300  # milliseconds
_LOW = 240  # pixels of height below which the heading has as few lines as possible
_SCALE = 24  # characters that the sentence of the scale has room for beside the numbers
_REST = 60  # milliseconds after the last step of zooming or resizing


@dataclass(frozen=True, eq=False)
class PhotoShown(Shown):
    """The map on the photo; its title is the caption."""

    heatmap: "Heatmap | None"
    scale: str
    """The sentence about the colour scale."""
    ends: tuple[float, float] | None
    """The values at the ends of the colour bar; None without a map."""
    prefix: tuple[str, ...]
    """Each prefix token with its number."""


class PhotoView(QWidget):
    """Shows the session's heatmap on its photo; the pointer sets the query.

    `name` tells it from another one in the same window for those who cannot see it.
    """

    def __init__(
        self,
        session: Session,
        actions: Mapping[str, QAction],
        parent: QWidget | None = None,
        name: str = "Photo",
    ) -> None:
        super().__init__(parent)
        self._session = session
        self.setAccessibleName(name)
        self.title = ElidedLabel(lines=2)
        self.title.setFont(theme.body(strong=True))
        self.scale = MutedLabel()
        self.folder = FolderIndex(session, self)
        self.place = QLabel()
        self.place.setFont(theme.body())
        self.place.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.place.setToolTip("The place in the folder; Alt+Left and Alt+Right go to its other photos")
        self.folder.changed.connect(self._show_place)
        self.canvas = Canvas()
        self.canvas.setAccessibleName(name)
        self.bar = ColorBar()
        self.bar.setAccessibleName(f"Colour scale of the {name.lower()}")
        self.chips = TokenChips()
        self.chips.picked.connect(self._pick_prefix)
        self._bar: Bar | None = None  # what the colours of the heat stand for
        self._grid: tuple[Trace, PatchGrid, Grid] | None = None
        self._marks: tuple[object, ...] | None = None  # what marks and marker were drawn of
        self._has_keys = not actions["open"].shortcut().isEmpty()  # those of a second photo have none
        self.help = HelpButton("the photo's map", terms.explained("photo"))
        self.sums = QLabel()
        self.sums.setFont(theme.body())
        self.controls = AppearanceBar(session, actions)
        self.welcome = Welcome(self.canvas, [actions["open"], actions["choose_model"]])
        self.no_model = EmptyState(self.canvas, [actions["choose_model"], actions["open_weights"]], low=True)
        self.progress = ProgressCard(self.canvas)
        self.progress.cancelled.connect(session.cancel)
        # Work that ends at once shows no progress card.
        self._patience = QTimer(self, interval=_PATIENCE, singleShot=True)
        self._patience.timeout.connect(self._show_progress)
        self._lay_out()
        self.canvas.addActions(of_stage(actions))
        # Contours are drawn for the screen's own pixels, once zooming or resizing has ended.
        self._rest = QTimer(self, interval=_REST, singleShot=True)
        self._rest.timeout.connect(self._show_heat)
        self.canvas.zoom_changed.connect(self._follow_zoom)
        self.tool = QueryTool(session, self.canvas)
        self.tool.sweeping.connect(self._preview)
        self.tool.swept.connect(self._mark_again)
        session.photo_changed.connect(self._show_photo)
        session.trace_changed.connect(self._show_trace)
        session.model_changed.connect(self._invite)
        session.heatmap_changed.connect(self._show_heat)
        session.view_changed.connect(self._change_view)
        session.hover_changed.connect(self._show_marks)
        session.scale_changed.connect(self._show_heat)
        session.maps.tiles_changed.connect(self._follow_tiles)
        session.busy_changed.connect(self._show_busy)
        session.maps.late_changed.connect(self._show_busy)
        self._show_heat()
        self._invite()

    def _lay_out(self) -> None:
        # The title has a line of its own: beside a second photo there is little room.
        heading = QVBoxLayout()
        heading.setSpacing(0)
        heading.setContentsMargins(12, 8, 12, 4)
        numbers = QHBoxLayout()
        numbers.setSpacing(8)
        numbers.addStrut(QToolButton().sizeHint().height())  # the stage must not jump when the chips come
        numbers.addWidget(self.chips)
        numbers.addWidget(self.sums)
        numbers.addWidget(self.help)
        numbers.addStretch(0)  # where the numbers have a line of their own
        self._line = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._line.setSpacing(8)
        self._line.addWidget(self.scale, 1)
        self._line.addLayout(numbers)
        titles = QHBoxLayout()
        titles.setSpacing(12)
        titles.addWidget(self.title, 1)
        titles.addWidget(self.place, 0, Qt.AlignmentFlag.AlignTop)
        heading.addLayout(titles)
        heading.addLayout(self._line)
        head = QWidget()
        head.setLayout(heading)
        self.foot = QHBoxLayout()
        self.foot.setContentsMargins(12, 4, 12, 4)
        self.foot.setSpacing(16)
        self.foot.addWidget(self.controls)
        self.foot.addWidget(self.bar, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(head)
        column.addWidget(self.canvas, 1)
        column.addLayout(self.foot)

    def _show_place(self) -> None:
        self.place.setText(self.folder.text)
        self.place.setAccessibleName(f"Place in the folder: {self.folder.text}" if self.folder.text else "")

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Put the numbers below the scale where they would leave it no room; on a low stage the photo needs the height."""
        super().resizeEvent(event)
        self._stack()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """The same in another font."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._stack()

    def _stack(self) -> None:
        low = self.height() < _LOW
        self.title.set_lines(1 if low else 2)
        numbers = self.chips.sizeHint().width() + self.sums.sizeHint().width()
        room = self.width() - numbers - 32
        narrow = not low and numbers > 0 and room < _SCALE * self.scale.fontMetrics().averageCharWidth()
        direction = QBoxLayout.Direction
        self._line.setDirection(direction.TopToBottom if narrow else direction.LeftToRight)

    def picture(self) -> QPixmap:
        """What is copied: the title, the photo and the colour bar, without the controls."""
        top = self.grab(QRect(0, 0, self.width(), self.canvas.geometry().bottom() + 1))
        bar, ratio = self.bar.grab(), self.devicePixelRatioF()
        made = QPixmap(top.width(), top.height() + bar.height())
        made.setDevicePixelRatio(ratio)
        made.fill(self.palette().color(QPalette.ColorRole.Window))
        painter = QPainter(made)
        painter.drawPixmap(0, 0, top)
        painter.drawPixmap(QPointF((top.width() - bar.width()) / ratio, top.height() / ratio), bar)
        painter.end()
        return made

    def shown(self) -> PhotoShown:
        """The map as it is drawn."""
        session, drawn = self._session, self._bar
        shown, trace = session.maps.shown, session.trace
        facts = None if shown is None or trace is None else Facts(trace, shown.selection)
        return PhotoShown(
            caption=self.title.whole,
            dimmed=self.canvas.dimmed,
            heatmap=session.heatmap,
            scale=self.scale.whole,
            ends=None if drawn is None else (drawn.low, drawn.high),
            prefix=tuple(button.text() for button in self.chips.buttons.values()),
            facts=facts,
        )

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
        shown = self._session.trace or self._session.heatmap
        if shown is None:
            self.canvas.set_seen(None)
        else:
            left, top, right, bottom = shown.framing.seen()
            self.canvas.set_seen(QRectF(left, top, right - left, bottom - top))
        self._show_heat()

    def _change_view(self, before: ViewState, now: ViewState) -> None:
        if replace(before, query=None, pinned=False, grid=False) != replace(
            now, query=None, pinned=False, grid=False
        ):
            self._show_heat()
        self._show_marks()

    def _show_heat(self) -> None:
        session = self._session
        heat, view = session.heatmap, session.view
        if heat is None:
            self.canvas.set_heat(None, QRectF(), False)
            self._bar = None
            self.bar.set_bar(None)
            self.title.set_text(
                session.maps.problem or (session.photo.name if session.photo is not None else "Photo")
            )
            self.scale.set_text("")
            self._show_prefix({}, None, 0.0)
            self._show_marks()
            return
        shared = session.shared_range
        values = colour_scale.painted(view, heat)
        extent = colour_scale.extent(values)
        ends = colour_scale.scale(view, extent, shared)
        fine = values is not heat.values
        patches = pixel_grid(values) if fine else heat.patches
        area = grid_area(heat.framing, patches)
        size = None
        if view.style == "contour":
            size = self.canvas.device_size(area)
        elif view.smooth and not fine:
            size = smooth_size(area)
        self.canvas.set_heat(
            heat_rgba(values, **colour_scale.style(view, ends), size=size), area, size is not None
        )
        self._show_bar(*ends)
        # The title is that of the values per patch; where pixels are drawn, the line below says so.
        self.title.set_text(heat.title.removesuffix(", summed over each patch") if fine else heat.title)
        what = f"{heat.unit}, each pixel" if fine else heat.unit
        self.scale.set_text(f"{what} · {colour_scale.scale_words(view, extent, shared, session.sharers)}")
        self.controls.follow_map(pixels=heat.pixels is not None, signed=is_signed(*ends))
        self._show_prefix(heat.prefix, heat.total, heat.leak)
        self._show_marks()

    def _show_bar(self, low: float, high: float) -> None:
        view = self._session.view
        colors = SIGNED_COLORMAP if is_signed(low, high) else view.colormap
        self.bar.set_colors(lookup_table(colors))
        self._bar = shown = bar(low, high, view.log, view.temperature)
        first, last = number_format.ends(low, high)
        bent = bending(low, view.log, view.temperature)
        self.bar.set_bar(
            shown,
            (first, number_format.short(shown.middle), last),
            _BENT.get(bent) or bent.replace("temperature", "T ="),
        )

    def _show_marker(self) -> None:
        """Where the value of the patch under the pointer lies on the bar."""
        session, view = self._session, self._session.view
        trace, heat, patch = session.trace, session.heatmap, session.hover.patch
        cell = (
            None if trace is None or heat is None or patch is None else describe.cell_of(heat, trace, patch)
        )
        scale = self._bar
        if (
            heat is None
            or cell is None
            or scale is None
            or colour_scale.painted(view, heat) is not heat.values
        ):
            self.bar.set_marker(None)
        else:
            value = heat.values[cell]
            place = float(to_unit(value, scale.low, scale.high, view.log, view.temperature))
            self.bar.set_marker(min(max((place - scale.first) / (scale.last - scale.first), 0.0), 1.0))

    def _follow_tiles(self) -> None:
        """The shared scale may have waited for the maps of all heads."""
        if self._session.view.scale == "shared":
            self._show_heat()

    def _show_prefix(self, prefix: Mapping[str, float], patches: float | None, leak: float) -> None:
        shown = self._session.maps.shown
        given = shown is not None and shown.heatmap.options.get("direction") == "by"
        self.chips.show_numbers(
            {name: number_format.number(weight) for name, weight in prefix.items()},
            self._session.selection.query,
            f"What the {{name}} token {'gives' if given else 'receives'}; click to make it the query",
        )
        shares = {"Σ patches": patches, "padding": leak or None}
        self.sums.setText(
            " · ".join(
                f"{name} {number_format.number(value)}" for name, value in shares.items() if value is not None
            )
        )

    def _show_marks(self) -> None:
        session = self._session
        trace, heat = session.trace, session.heatmap
        marks = trace, heat, session.view, session.hover, self._bar
        if marks == self._marks:
            return
        self._marks = marks
        if trace is None:
            self._grid = None  # with it the trace that was closed
            self.canvas.set_grid(None, False)
            self.canvas.set_marks((), False, None)
            self.bar.set_marker(None)
            return
        self.canvas.set_grid(
            self._grid_of(trace, trace.patches if heat is None else heat.patches), session.view.grid
        )
        preview = session.hover.query is not None  # a row of the matrix of tokens, with a patch as its key
        pinned, patch = session.view.pinned, session.hover.patch
        held = preview or not follows_pointer(session.view)
        hover = self._cells([patch]) if held and patch is not None else ()
        self.canvas.set_marks(
            self._cells(patches_in(session.selection.query)), pinned and not preview, next(iter(hover), None)
        )
        self._show_marker()

    def _grid_of(self, trace: "Trace", patches: PatchGrid) -> Grid:
        """A grid of patches as it lies on the photo; made once for all maps of a trace that have the same."""
        kept = self._grid
        if kept is None or kept[0] is not trace or kept[1] != patches:
            area = grid_area(trace.framing, patches)
            kept = self._grid = trace, patches, Grid(area, patches.rows, patches.cols)
        return kept[2]

    def _preview(self, patches: set[Patch]) -> None:
        """Outline the patches of a rectangle that is being drawn."""
        self.canvas.set_marks(self._cells(patches), True, None)

    def _mark_again(self) -> None:
        """Outline what is selected, in place of the rectangle that was being drawn."""
        self._marks = None
        self._show_marks()

    def _pick_prefix(self, name: str) -> None:
        self.tool.pick(name)
        self._show_heat()  # a chip that is clicked checks itself

    def _cells(self, patches: Iterable[Patch]) -> set[Patch]:
        """The cells of the map's grid, which may be coarser, that hold patches of the photo."""
        trace, heat = self._session.trace, self._session.heatmap
        if trace is None or heat is None or heat.patches == trace.patches:
            return set(patches)
        found = (describe.cell_of(heat, trace, patch) for patch in patches)
        return {cell for cell in found if cell is not None}

    def _show_busy(self) -> None:
        busy = self._session.working
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
        busy = self._session.working
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
            keys = "or open one (Ctrl+O), or paste one (Ctrl+V)." if self._has_keys else "or open one."
            self.welcome.show_message("Drop a photo here", f"{keys} {ready}")
        elif session.trace is None:
            self.no_model.show_message("No model yet", "Choose one to see what it attends to in this photo.")
