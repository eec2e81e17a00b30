"""Work off the GUI thread: one thread, the newest request wins, and a request can be stopped."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any, TypeVar

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


@dataclass(frozen=True)
class _Callbacks:
    done: Callable[[Any], None]
    failed: Callable[[BaseException], None]
    news: Callable[[Any], None]


def _ignore(_: object) -> None:
    """Take no notice."""


class Worker(QObject):
    """Runs one request at a time in its own thread; a new request stops the one before and drops its answer.

    `behind`: panels fill themselves with its answers while the user does something else, which it makes way for.
    """

    _answered = Signal(int, object)
    _failed = Signal(int, object)
    _news = Signal(int, object)

    def __init__(self, name: str, parent: QObject | None = None, behind: bool = False) -> None:
        super().__init__(parent)
        self._behind = behind
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
        self.cancel()
        if self._closed:
            return
        ticket = Ticket(self._generation, self._news.emit, self._behind)
        self._ticket = ticket
        self._callbacks = _Callbacks(done, failed, news)
        self._executor.submit(self._run, work, ticket)

    def cancel(self) -> None:
        """Stop the running request at its next chance; its answer no longer counts from this moment on."""
        self._generation += 1
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
