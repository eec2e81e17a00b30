"""What pointing, clicking, dragging and arrow keys on the photo make of the query."""

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QRectF, Signal

from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Hover, Patch, Query, ViewState, patches_in, query_of, rectangle
from vitviz.app.ui.pixels import grid_area
from vitviz.app.widgets.photo.canvas import Canvas
from vitviz.app.widgets.photo.grid import Grid

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace

Corners = tuple[Patch, Patch]
"""A rectangle of patches: the corner that stays, and the one that arrow keys move."""


def pinned_patches(view: ViewState) -> set[Patch]:
    """The patches of the pinned query."""
    return set(patches_in(view.query)) if view.pinned else set()


def picked(view: ViewState, query: Query) -> Query:
    """The query to pin after a click on a patch or a prefix token; None where the click frees the pinned one."""
    return None if view.pinned and view.query == query else query


def toggled(view: ViewState, patch: Patch) -> Query:
    """The query to pin after a click with Shift, which adds the patch or takes it out; None where nothing is left."""
    return query_of({patch} ^ pinned_patches(view))


def swept(view: ViewState, trace: "Trace", area: QRectF) -> set[Patch]:
    """The patches that a rectangle in photo pixels touches, and those that were pinned before."""
    patches = trace.patches
    grid = Grid(grid_area(trace.framing, patches), patches.rows, patches.cols)
    return grid.cells(area) | pinned_patches(view)


def extended(corners: Corners, rows: int, columns: int, grid: tuple[int, int]) -> Corners:
    """A rectangle with its second corner moved, within a grid of (rows, columns) patches."""
    fixed, (row, column) = corners
    row = min(max(row + rows, 0), grid[0] - 1)
    column = min(max(column + columns, 0), grid[1] - 1)
    return fixed, (row, column)


class QueryTool(QObject):
    """Points, pins and frees in the session what the user points at and picks on a canvas."""

    sweeping = Signal(object)  # the patches (a set) of a rectangle that is being drawn
    swept = Signal()  # it is drawn

    def __init__(self, session: Session, canvas: Canvas) -> None:
        super().__init__(canvas)
        self._session = session
        self._corners: Corners | None = None
        canvas.hover_changed.connect(self._point)
        canvas.left.connect(lambda: session.point(Hover()))
        canvas.clicked.connect(self._click)
        canvas.toggled.connect(self._toggle)
        canvas.sweeping.connect(self._preview)
        canvas.swept.connect(self._sweep)
        canvas.extended.connect(self._extend)

    def pick(self, query: Query) -> None:
        """Pin a patch or a prefix token, or free it where it is pinned."""
        self._pin(picked(self._session.view, query))

    def _pin(self, query: Query) -> None:
        if query is None:
            self._session.unpin()
        else:
            self._session.pin(query)

    def _patch_at(self, x: float, y: float) -> Patch | None:
        trace = self._session.trace
        return None if trace is None else trace.framing.patch_at(trace.patches, x, y)

    def _point(self, x: float, y: float) -> None:
        if self._session.trace is not None:
            self._session.point(Hover(patch=self._patch_at(x, y)))

    def _click(self, x: float, y: float) -> None:
        patch = self._patch_at(x, y)
        if patch is not None:
            self.pick(patch)

    def _toggle(self, x: float, y: float) -> None:
        patch = self._patch_at(x, y)
        if patch is not None:
            self._pin(toggled(self._session.view, patch))

    def _preview(self, area: QRectF) -> None:
        if self._session.trace is not None:
            self.sweeping.emit(swept(self._session.view, self._session.trace, area))

    def _sweep(self, area: QRectF) -> None:
        session = self._session
        found = None if session.trace is None else query_of(swept(session.view, session.trace, area))
        if found is not None and found != session.view.query:
            session.pin(found)
        self.swept.emit()

    def _extend(self, rows: int, columns: int) -> None:
        session, shape = self._session, self._session.shape
        if shape is None:
            return
        if self._corners is None or query_of(rectangle(*self._corners)) != session.view.query:
            patches = patches_in(session.selection.query)
            start = patches[-1] if patches else (shape.grid[0] // 2, shape.grid[1] // 2)
            self._corners = start, start
        self._corners = extended(self._corners, rows, columns, shape.grid)
        session.pin(query_of(rectangle(*self._corners)))
