"""The matrix of one head, the token of each row and column, and the conversion between tokens and queries."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitviz.app.session.view_state import Query, Selection, patches_in
from vitviz.app.ui import number_format
from vitviz.app.work.worker import Stopped, Ticket
from vitviz.render.colors import is_signed, to_index, to_unit, value_range

if TYPE_CHECKING:
    from vitviz.attention.layer import Layer
    from vitviz.attention.trace import Trace

    # For type checking only: the module imports torch.
    from vitviz.explain.internals.matrix import PrefixShare

PADDING = -1
"""A slot of a window that holds no token."""
POOL = -2
"""The row of an attention pool's first query, which is no token; its other queries have the numbers below."""


@dataclass(frozen=True)
class Asked:
    """Which matrix: of a layer, a head (None: all fused), and a window where the layer has windows."""

    layer: int
    head: int | None
    fusion: str
    window: int | None


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix and the tokens of its rows and columns."""

    asked: Asked
    values: NDArray[np.float32]
    rows: tuple[int, ...]
    """The token of each row, PADDING or POOL."""
    columns: tuple[int, ...]
    first: tuple[int, int]
    """How many rows and columns at the beginning are prefix tokens (or the pool)."""
    names: tuple[str, ...]
    """The names of these rows."""
    ticks: tuple[tuple[int, str], ...]
    """The first column of each row of patches, with its number."""
    shares: "list[PrefixShare]"
    uniform: float | None
    """The weight of each key if all had the same; None where a row's weights do not sum to 1."""


@dataclass(frozen=True, eq=False)
class MatrixPicture:
    """A matrix as indices of the colour table, and the scale of these."""

    matrix: Matrix
    cells: NDArray[np.uint8]
    low: float
    high: float
    log: bool
    signed: bool


def asked(trace: "Trace", chosen: Selection, window: int | None) -> Asked:
    """The matrix of what is selected. `window` None, or one that the layer lacks, is the query's own.

    Where the query lies in several windows it is the first one's.
    """
    layer = trace.layers[chosen.layer]
    fusion = chosen.fusion if chosen.head is None else "mean"
    windows = layer.layout.windows
    if windows is None:
        return Asked(chosen.layer, chosen.head, fusion, None)
    if window is None or not 0 <= window < len(windows.index):
        patches = patches_in(chosen.query)
        window = windows.slot(trace.token(layer, *patches[0]))[0] if patches else 0
    return Asked(chosen.layer, chosen.head, fusion, window)


def make(trace: "Trace", wanted: Asked, ticket: Ticket) -> Matrix:
    """Compute a matrix. Raises MethodError where it is too large, DeviceMemoryError, and Stopped."""
    from vitviz.explain.internals.matrix import matrix, prefix_shares
    from vitviz.models.devices import memory_guard

    layer = trace.layers[wanted.layer]
    with memory_guard(trace.model.name, trace.model.device):
        fusion: Any = wanted.fusion
        values = matrix(layer, wanted.head, fusion, wanted.window or 0, ticket.stopped)
    if ticket.stopped():
        raise Stopped
    prefix = layer.layout.prefix
    windows = layer.layout.windows
    if windows is not None and wanted.window is not None:
        slots = tuple(int(token) for token in windows.index[wanted.window])
        across = windows.size[1]
        ticks = tuple((row * across, f"row {row}") for row in range(windows.size[0]))
        return Matrix(
            wanted, values, slots, slots, (0, 0), (), ticks, [], _uniform(layer.is_distribution, values)
        )
    columns = tuple(range(layer.layout.tokens))
    rows = columns if layer.queries is None else layer.queries
    if layer.pooling:
        rows = tuple(POOL - number for number in range(layer.operations[0].shape[2]))
    large = sum(row < len(prefix) for row in rows)
    names = tuple(_pool_name(layer, row) if row <= POOL else layer.layout.name(row) for row in rows[:large])
    grid = layer.layout.patches
    ticks = tuple((len(prefix) + row * grid.cols, f"row {row}") for row in range(grid.rows))
    return Matrix(
        wanted,
        values,
        rows,
        columns,
        (large, len(prefix)),
        names,
        ticks,
        prefix_shares(layer, values),
        _uniform(layer.is_distribution, values),
    )


def draw(matrix: Matrix, log: bool) -> MatrixPicture:
    """Values as indices of the colour table: linear from 0, or with `log` from the least weight, four decades at most.

    Weights of both signs are drawn on a linear scale.
    """
    low, high = value_range(matrix.values)
    signed = is_signed(low, high)
    if not signed:
        low, high = value_range(matrix.values, (0.0, high) if high > 0 else None, log)
        if log and high > 0:  # from the least weight on
            low = max(low, float(matrix.values[matrix.values > 0].min()))
            low = low if low < high else 0.0
    log = log and not signed and low > 0
    return MatrixPicture(matrix, to_index(to_unit(matrix.values, low, high, log)), low, high, log, signed)


def _uniform(shares: bool, values: NDArray[np.float32]) -> float | None:
    return 1 / values.shape[1] if shares else None


def rows_of(trace: "Trace", matrix: Matrix, query: Query) -> list[int]:
    """The rows of a query's tokens; none where they are not in this matrix."""
    tokens = _tokens(trace, matrix, query)
    return [place for place, token in enumerate(matrix.rows) if token in tokens]


def columns_of(trace: "Trace", matrix: Matrix, query: Query) -> list[int]:
    """The columns of a query's tokens."""
    tokens = _tokens(trace, matrix, query)
    return [place for place, token in enumerate(matrix.columns) if token in tokens]


def _tokens(trace: "Trace", matrix: Matrix, query: Query) -> set[int]:
    layer = trace.layers[matrix.asked.layer]
    prefix = layer.layout.prefix
    if query is None and trace.readout_problem is not None:
        return set()
    reading = trace.reading(query)
    if reading is not None:
        if layer.pooling:
            return {POOL - number for number in reading.queries}
        return {prefix.index(name) for name in reading.prefix if name in prefix}
    if isinstance(query, str):
        return {prefix.index(query)} if query in prefix else set()
    return {trace.token(layer, *patch) for patch in patches_in(query)}


def _pool_name(layer: "Layer", row: int) -> str:
    return "the pool" if layer.operations[0].shape[2] == 1 else f"query {POOL - row + 1}"


def query_of(trace: "Trace", matrix: Matrix, token: int) -> Query:
    """A token as a query: a prefix token's name, or a patch of the finest grid in it.

    A query of the pool is a part of the readout; where it is the only one it is the readout, None, as padding is.
    """
    layout = trace.layers[matrix.asked.layer].layout
    if token < 0:
        own = f"query {POOL - token + 1}"
        return own if own in trace.parts else None
    place = layout.place(token)
    return layout.prefix[token] if place is None else layout.patches.cell_in(trace.patches, *place)


def name_of(trace: "Trace", matrix: Matrix, token: int) -> str:
    """A token in words, with its grid where that is not the photo's."""
    layout = trace.layers[matrix.asked.layer].layout
    if token <= POOL:
        return _pool_name(trace.layers[matrix.asked.layer], token)
    if token == PADDING:
        return "padding"
    place = layout.place(token)
    if place is None:
        return f"{layout.prefix[token]} token"
    grid = layout.patches
    what = "patch" if grid == trace.patches else f"token of {grid.rows}×{grid.cols}"
    return f"{what} ({place[0]}, {place[1]})"


def weight(trace: "Trace", matrix: Matrix, row: int, column: int) -> str:
    """One weight compared with the even weight, and the weight in the other direction."""
    first, second = name_of(trace, matrix, matrix.rows[row]), name_of(trace, matrix, matrix.columns[column])
    grid = first[: first.find("(")]
    if grid.startswith("token of"):
        second = second.removeprefix(grid)  # the grid is named once: there is little room
    said = f"{first} → {second}: {number_format.compared(float(matrix.values[row, column]), matrix.uniform)}"
    if row == column or matrix.rows != matrix.columns:
        return said
    return f"{said} · back {number_format.compared(float(matrix.values[column, row]), matrix.uniform)}"
