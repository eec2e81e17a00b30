"""Work off the GUI thread: one request at a time, which can be stopped; what a further request does is a policy."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any, Literal, TypeVar

from PySide6.QtCore import QObject, Signal

from vitviz.app.work.thread_budget import cores

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818
    """Raised inside work whose request was cancelled or overtaken; nobody waits for its answer."""


class Ticket:
    """What a piece of work is given: whether it still counts, and where to tell how far it is."""

    def __init__(self, generation: int, told: Callable[[int, object], None], behind: bool = False) -> None:
        self.generation = generation
        self._behind = behind
        self._told = told
        self._stop = Event()

    def stop(self) -> None:
        """Ask the work to end; safe from any thread."""
        self._stop.set()

    def stopped(self) -> bool:
        """Whether the work should end; work behind the window waits here while the pointer moves."""
        if self._behind:
            cores.make_way(self._stop)
        return self._stop.is_set()

    def tell(self, news: object) -> None:
        """Hand something to the GUI thread before the end; raises Stopped where nobody wants it any more."""
        if self._stop.is_set():
            raise Stopped
        self._told(self.generation, news)


Policy = Literal["newest", "finish"]
"""What a request does to the one that runs: "newest" stops it and drops its answer, which suits choices that replace each
other; "finish" lets it end and then takes the latest of those that came meanwhile, which suits a stream (frames of a camera,
a pointer that never rests), where "newest" alone would never answer."""


@dataclass(frozen=True)
class _Callbacks:
    done: Callable[[Any], None]
    failed: Callable[[BaseException], None]
    news: Callable[[Any], None]


def _ignore(_: object) -> None:
    """Take no notice."""


@dataclass(frozen=True)
class _Request:
    work: Callable[[Ticket], Any]
    callbacks: _Callbacks


class Worker(QObject):
    """Runs one request at a time in its own thread; see `Policy` for what a further request does.

    `behind`: its answers fill panels while the user does something else, so it waits while the pointer moves.
    """

    _answered = Signal(int, object)
    _failed = Signal(int, object)
    _news = Signal(int, object)

    def __init__(
        self, name: str, parent: QObject | None = None, behind: bool = False, policy: Policy = "newest"
    ) -> None:
        super().__init__(parent)
        self._behind = behind
        self._policy = policy
        self._waiting: _Request | None = None
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"vitviz-{name}")
        self._generation = 0
        self._closed = False
        self._ticket: Ticket | None = None
        self._callbacks: _Callbacks | None = None
        self._answered.connect(self._take_answer)
        self._failed.connect(self._take_failure)
        self._news.connect(self._take_news)

    @property
    def busy(self) -> bool:
        """Whether a request is under way whose answer still counts."""
        return self._callbacks is not None

    def submit(
        self,
        work: Callable[[Ticket], T],
        done: Callable[[T], None],
        failed: Callable[[BaseException], None],
        news: Callable[[Any], None] = _ignore,
    ) -> None:
        """Run `work` in the thread; exactly one of `done` and `failed` is called in the GUI thread, unless overtaken.

        Once closed nothing is run any more: a timer may ask while the window closes.
        """
        if self._closed:
            return
        request = _Request(work, _Callbacks(done, failed, news))
        if self._policy == "finish" and self.busy:
            self._waiting = request
        else:
            self.cancel()
            self._begin(request)

    def _begin(self, request: _Request) -> None:
        ticket = Ticket(self._generation, self._news.emit, self._behind)
        self._ticket, self._callbacks = ticket, request.callbacks
        self._executor.submit(self._run, request.work, ticket)

    def cancel(self) -> None:
        """Stop the running request at its next chance and drop a waiting one; no answer counts from this moment on."""
        self._generation += 1
        self._waiting = None
        self._callbacks = None
        if self._ticket is not None:
            self._ticket.stop()
            self._ticket = None

    def close(self) -> None:
        """Stop and wait for the thread to end; no request can follow."""
        self.cancel()
        self._closed = True
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _run(self, work: Callable[[Ticket], object], ticket: Ticket) -> None:
        if ticket.stopped():
            return
        cores.thread_computes(self._behind)
        try:
            answer = work(ticket)
        except Stopped:
            return
        # Whatever went wrong belongs in the window, not in a silent thread.
        except BaseException as problem:
            self._failed.emit(ticket.generation, problem)
        else:
            self._answered.emit(ticket.generation, answer)

    def _take(self, generation: int) -> _Callbacks | None:
        if generation != self._generation:
            return None
        callbacks, self._callbacks, self._ticket = self._callbacks, None, None
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not self._closed:
            self._generation += 1
            self._begin(waiting)
        return callbacks

    def _take_answer(self, generation: int, answer: object) -> None:
        callbacks = self._take(generation)
        if callbacks is not None:
            callbacks.done(answer)

    def _take_failure(self, generation: int, problem: BaseException) -> None:
        callbacks = self._take(generation)
        if callbacks is not None:
            callbacks.failed(problem)

    def _take_news(self, generation: int, news: object) -> None:
        if generation == self._generation and self._callbacks is not None:
            self._callbacks.news(news)
