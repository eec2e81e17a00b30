"""Heatmap and head maps of what is asked for: at once where that is quick, else from a thread while the old ones stay."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from vitviz.app.session import compute, prefetch
from vitviz.app.session.compute import Drawn
from vitviz.app.session.view_state import Direction, Query, Selection
from vitviz.app.work.failure import Failure, failure
from vitviz.app.work.thread_budget import budget
from vitviz.app.work.worker import Stopped, Ticket, Worker

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap

_PATIENCE = 120  # milliseconds; what comes sooner should not flicker
_KEPT = 64  # heatmaps of readouts and prefix tokens that are kept: its layers and heads


@dataclass(frozen=True, eq=False)
class ShownHeat:
    """A heatmap with what it was asked for by."""

    selection: Selection
    heatmap: "Heatmap"


@dataclass(frozen=True, eq=False)
class Tiles:
    """The maps of all layers and heads of one query: what the mosaic and the strip of layers are made of.

    Layers that are alike lie in one array (layers, heads, rows, cols), so that what panels need of every layer and head
    (ranges, means over heads, colours) is computed for all at once.
    """

    query: Query
    direction: Direction
    stacks: compute.Stacks

    @cached_property
    def maps(self) -> compute.HeadMaps:
        """Per layer float32 (heads, rows, cols)."""
        return [layer for stack in self.stacks for layer in stack]


class Maps(QObject):
    """The maps of one trace. Those of the readout are kept for when the pointer leaves the photo."""

    heat_changed = Signal()
    tiles_changed = Signal()
    late_changed = Signal()
    failed = Signal(object)  # Failure

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.trace: Trace | None = None
        self.shown: ShownHeat | None = None
        self.problem = ""  # why there is no heatmap for this selection
        self.tiles_problem = ""
        self._asked: Selection | None = None
        self._heats: dict[Selection, Heatmap] = {}
        self._readouts: dict[tuple[Query, Direction], Tiles] = {}
        self._latest: Tiles | None = None
        self._ready: prefetch.Ready | None = None
        self._wanted: tuple[Query, Direction] | None = None  # tiles that are being computed
        self._lacking: tuple[Query, Direction] | None = None  # tiles that could not be computed just now
        self._warm = False
        self._late = False
        self._heat_worker = Worker("heat", self)
        self._tiles_worker = Worker("heads", self)
        self._ready_worker = Worker("ready", self, background=True)
        self._patience = QTimer(self, interval=_PATIENCE, singleShot=True)
        self._patience.timeout.connect(self._be_late)

    @property
    def busy(self) -> bool:
        """Whether the selected heatmap is being computed in a thread."""
        return self._heat_worker.busy

    @property
    def heat_late(self) -> bool:
        """Whether the heatmap that is asked for has kept the user waiting and is not there yet."""
        return self._late and self._heat_worker.busy

    @property
    def tiles_late(self) -> bool:
        """The same for the head maps."""
        return self._late and self._wanted is not None

    @property
    def lacking(self) -> tuple[Query, Direction] | None:
        """The query and direction whose head maps could not be computed; `tiles_problem` says why."""
        return self._lacking

    @property
    def preparing(self) -> bool:
        """Whether what makes moves of the pointer quick is still being computed."""
        return self._ready_worker.busy

    @property
    def ready(self) -> prefetch.Ready | None:
        """The weights that lie ready for the pointer; None where there are none, or not yet."""
        return self._ready

    def start(self, trace: "Trace | None", drawn: Drawn | None) -> None:
        """Go on with another trace, of which something may have been drawn already."""
        self._heat_worker.cancel()
        self._tiles_worker.cancel()
        self._ready_worker.cancel()
        self.trace, self.shown, self._asked = trace, None, None
        self._heats, self._readouts, self._latest, self._ready = {}, {}, None, None
        self.problem = self.tiles_problem = ""
        self._wanted, self._lacking, self._warm = None, None, False
        if drawn is not None:
            chosen = drawn.selection
            if drawn.maps is not None:
                self._latest = Tiles(chosen.query, chosen.direction, compute.stacked(drawn.maps))
                self._keep_tiles(self._latest)
            if drawn.heatmap is not None:
                self._heats[chosen] = drawn.heatmap
        self._settle()
        if trace is not None:
            budget.use_one_thread()
            self._ready_worker.submit(lambda ticket: _prepared(trace, ticket), self._prepare, self._ignore)

    def forget(self) -> None:
        """Compute maps anew when they are asked for next: what they may be computed for has changed."""
        self._heat_worker.cancel()
        self._heats, self._readouts, self._latest = {}, {}, None

    def close(self) -> None:
        """Stop all work and end the threads."""
        self._heat_worker.close()
        self._tiles_worker.close()
        self._ready_worker.close()

    def stop(self) -> None:
        """Stop computing the heatmap that is asked for; the one that is shown stays."""
        self._heat_worker.cancel()
        self._settle()

    def ask(self, chosen: Selection) -> None:
        """Show the heatmap of a selection as soon as it can be."""
        trace, self._asked = self.trace, chosen
        if trace is None:
            return
        known = self._heats.get(chosen)
        if known is None and not self._quick(trace, chosen):
            self._heat_worker.submit(
                lambda ticket: compute.computed(trace, chosen, ticket),
                lambda found: self._show(chosen, found),
                self._have_none,
            )
            self._wait()
            return
        self._heat_worker.cancel()
        try:
            found = compute.heatmap(trace, chosen) if known is None else known
        except Exception as problem:
            self._have_none(problem)
        else:
            self._show(chosen, found)

    def tiles(self) -> Tiles | None:
        """The head maps of what is asked for; None while they are computed, which `tiles_changed` ends."""
        trace, chosen = self.trace, self._asked
        if trace is None or chosen is None:
            return None
        key = chosen.query, chosen.direction
        latest = self._latest
        if latest is None or (latest.query, latest.direction) != key:
            latest = self._readouts.get(key)
        if latest is None and key == self._lacking:
            return None
        if latest is None and self._ready is not None:
            ready = self._ready.maps(*key)
            latest = None if ready is None else Tiles(*key, ready)
        if latest is None and compute.quick(trace, trace.layers, *key, self._warm):
            try:
                latest = Tiles(*key, compute.stacked(compute.head_maps(trace, *key)))
            except Exception as problem:
                self._lack_tiles(key, problem)
                return None
        if latest is not None:
            self._have_tiles(latest)
        elif self._wanted != key:
            self._compute_tiles(trace, *key)
        return latest

    def _quick(self, trace: "Trace", chosen: Selection) -> bool:
        layers = (trace.layers[chosen.layer],)
        return chosen.method == "attention" and compute.quick(
            trace, layers, chosen.query, chosen.direction, self._warm
        )

    def _compute_tiles(self, trace: "Trace", query: Query, direction: Direction) -> None:
        def work(ticket: Ticket) -> Tiles:
            if direction == "by":
                compute.warm(trace, ticket)
            return Tiles(query, direction, compute.stacked(compute.head_maps(trace, query, direction)))

        self._wanted = query, direction
        self._tiles_worker.submit(
            work, self._take_tiles, lambda problem: self._lack_tiles((query, direction), problem)
        )
        self._wait()

    def _take_tiles(self, tiles: Tiles) -> None:
        self._warm = self._warm or tiles.direction == "by"
        self._keep_tiles(tiles)
        self._have_tiles(tiles)
        self.tiles_changed.emit()

    def _have_tiles(self, tiles: Tiles) -> None:
        self._latest, self._wanted, self._lacking, self.tiles_problem = tiles, None, None, ""
        self._settle()

    def _lack_tiles(self, key: tuple[Query, Direction], problem: BaseException) -> None:
        told = failure(problem)
        self._wanted, self._lacking, self.tiles_problem = None, key, told.message
        self._settle()
        self.tiles_changed.emit()
        self._report(told)

    def _keep_tiles(self, tiles: Tiles) -> None:
        if not isinstance(tiles.query, tuple):
            self._readouts[tiles.query, tiles.direction] = tiles

    def _prepare(self, prepared: tuple[list[Tiles], prefetch.Ready | None]) -> None:
        self._warm = True
        self._ready = prepared[1]
        for tiles in prepared[0]:
            self._keep_tiles(tiles)

    def _ignore(self, _: BaseException) -> None:
        """Nothing to report: what could not be prepared is computed when it is needed, and then a problem is reported."""

    def _show(self, chosen: Selection, found: "Heatmap") -> None:
        if not isinstance(chosen.query, tuple) and chosen not in self._heats:
            while len(self._heats) >= _KEPT:
                self._heats.pop(next(iter(self._heats)))
            self._heats[chosen] = found
        self.shown, self.problem = ShownHeat(chosen, found), ""
        self._settle()
        self.heat_changed.emit()

    def _have_none(self, problem: BaseException) -> None:
        told = failure(problem)
        self.shown, self.problem = None, told.message
        self._settle()
        self.heat_changed.emit()
        self._report(told)

    def _report(self, told: Failure) -> None:
        if told.details:
            self.failed.emit(told)

    def _wait(self) -> None:
        if self._late:
            self.late_changed.emit()
        elif not self._patience.isActive():
            self._patience.start()

    def _be_late(self) -> None:
        self._late = True
        self.late_changed.emit()

    def _settle(self) -> None:
        """End being late once both heatmap and head maps are there."""
        if self._heat_worker.busy or self._wanted is not None:
            if self._late:
                self.late_changed.emit()
            return
        self._patience.stop()
        if self._late:
            self._late = False
            self.late_changed.emit()


def _prepared(trace: "Trace", ticket: Ticket) -> tuple[list[Tiles], prefetch.Ready | None]:
    """What the user may ask for next: columns and rows ready for the pointer, the readout's maps in both directions."""
    compute.warm(trace, ticket)
    directions: tuple[Direction, ...] = ("to", "by") if trace.readout_problem is None else ()
    found = []
    for direction in directions:
        if ticket.stopped():
            raise Stopped
        maps = compute.head_maps(trace, None, direction)
        found.append(Tiles(None, direction, compute.stacked(maps)))
    return found, prefetch.prepare(trace, ticket)
