"""Work in a thread: a `Worker` runs one request at a time; a `Policy` says what a new request does to the running one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any, Literal, TypeVar

from PySide6.QtCore import QObject, Signal

from vitviz.app.work.thread_budget import budget

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818
    """Raised inside work whose request was cancelled or replaced, so that its result is not used."""


class Ticket:
    """Passed to work in a thread: says whether the work should stop, and reports progress and partial results."""

    def __init__(
        self, generation: int, report: Callable[[int, object], None], background: bool = False
    ) -> None:
        self.generation = generation
        self._background = background
        self._report = report
        self._stop = Event()

    def stop(self) -> None:
        """Ask the work to stop; can be called from any thread."""
        self._stop.set()

    def stopped(self) -> bool:
        """Whether the work should stop. Background work waits here while the pointer moves."""
        if self._background:
            budget.wait_for_pointer(self._stop)
        return self._stop.is_set()

    def report(self, update: object) -> None:
        """Send progress or a partial result to the GUI thread; raises Stopped if the work should stop."""
        if self._stop.is_set():
            raise Stopped
        self._report(self.generation, update)


Policy = Literal["newest", "finish"]
"""What a new request does to the running one.

"newest" stops it and drops its result: for selections, where only the last one matters. "finish" lets it end and then runs
the latest of the requests made meanwhile: for a stream, such as camera frames or a pointer that keeps moving, for which
"newest" would never give a result."""


@dataclass(frozen=True)
class _Callbacks:
    done: Callable[[Any], None]
    failed: Callable[[BaseException], None]
    update: Callable[[Any], None]


def _ignore(_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class _Request:
    work: Callable[[Ticket], Any]
    callbacks: _Callbacks


class Worker(QObject):
    """Runs one request at a time in its own thread; see `Policy` for what a new request does.

    With `background` it does background work, which waits while the pointer moves and uses half of torch's threads.
    """

    _done = Signal(int, object)
    _failed = Signal(int, object)
    _updated = Signal(int, object)

    def __init__(
        self, name: str, parent: QObject | None = None, background: bool = False, policy: Policy = "newest"
    ) -> None:
        super().__init__(parent)
        self._background = background
        self._policy = policy
        self._waiting: _Request | None = None
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"vitviz-{name}")
        self._generation = 0
        self._closed = False
        self._ticket: Ticket | None = None
        self._callbacks: _Callbacks | None = None
        self._done.connect(self._on_done)
        self._failed.connect(self._on_failed)
        self._updated.connect(self._on_update)

    @property
    def busy(self) -> bool:
        """Whether a request is running that was not cancelled."""
        return self._callbacks is not None

    def submit(
        self,
        work: Callable[[Ticket], T],
        done: Callable[[T], None],
        failed: Callable[[BaseException], None],
        update: Callable[[Any], None] = _ignore,
    ) -> None:
        """Run `work` in the thread, then call `done` with its result or `failed` with its exception in the GUI thread.

        `update` is called with each object that the work sends by `Ticket.report`. No callback is called after the request
        was cancelled or replaced. Nothing is run after `close`: a timer may submit work while the window closes.
        """
        if self._closed:
            return
        request = _Request(work, _Callbacks(done, failed, update))
        if self._policy == "finish" and self.busy:
            self._waiting = request
        else:
            self.cancel()
            self._begin(request)

    def _begin(self, request: _Request) -> None:
        ticket = Ticket(self._generation, self._updated.emit, self._background)
        self._ticket, self._callbacks = ticket, request.callbacks
        self._executor.submit(self._run, request.work, ticket)

    def cancel(self) -> None:
        """Ask the running request to stop and drop a waiting one; no callback is called from now on."""
        self._generation += 1
        self._waiting = None
        self._callbacks = None
        if self._ticket is not None:
            self._ticket.stop()
            self._ticket = None

    def close(self) -> None:
        """Cancel, and wait for the thread to end; later requests are ignored."""
        self.cancel()
        self._closed = True
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _run(self, work: Callable[[Ticket], object], ticket: Ticket) -> None:
        if ticket.stopped():
            return
        budget.use_threads(self._background)
        try:
            result = work(ticket)
        except Stopped:
            return
        # Every exception is reported in the window; in the thread it would be lost.
        except BaseException as problem:
            self._failed.emit(ticket.generation, problem)
        else:
            self._done.emit(ticket.generation, result)

    def _end(self, generation: int) -> _Callbacks | None:
        """End the running request and begin the waiting one; the callbacks of the ended one, None if it was cancelled."""
        if generation != self._generation:
            return None
        callbacks, self._callbacks, self._ticket = self._callbacks, None, None
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not self._closed:
            self._generation += 1
            self._begin(waiting)
        return callbacks

    def _on_done(self, generation: int, result: object) -> None:
        callbacks = self._end(generation)
        if callbacks is not None:
            callbacks.done(result)

    def _on_failed(self, generation: int, problem: BaseException) -> None:
        callbacks = self._end(generation)
        if callbacks is not None:
            callbacks.failed(problem)

    def _on_update(self, generation: int, update: object) -> None:
        if generation == self._generation and self._callbacks is not None:
            self._callbacks.update(update)
