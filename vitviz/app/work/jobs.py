"""Jobs: work that takes its time. They run one after the other, each with progress, a cancel and one result."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from PySide6.QtCore import QObject, Signal

from vitviz.app.work.failure import failure
from vitviz.app.work.progress import Progress
from vitviz.app.work.worker import Ticket, Worker

State = Literal["waiting", "running", "finished", "failed", "cancelled"]


class Job(QObject):
    """One piece of work in a `JobQueue`. All signals are emitted in the GUI thread; exactly one job ends with `ended`."""

    progressed = Signal(object)  # Progress
    finished = Signal(object)  # the result
    ended = Signal()  # finished, failed or cancelled

    def __init__(self, queue: "JobQueue", title: str, work: Callable[[Ticket], Any]) -> None:
        super().__init__()
        self.title = title
        self.state: State = "waiting"
        self.progress = Progress(title)
        self.work = work
        self._queue = queue

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("waiting", "running")

    def cancel(self) -> None:
        """Stop it, or take it out of the queue; it has no result then. Nothing happens once it has ended."""
        self._queue.cancel(self)


class JobQueue(QObject):
    """Runs jobs in the order they were started, in one thread.

    `behind`: jobs take half of torch's threads and wait while the pointer moves.
    """

    changed = Signal()  # a job was started, told its progress, or ended
    failed = Signal(object)  # Failure of a job

    def __init__(self, name: str, parent: QObject | None = None, behind: bool = True) -> None:
        super().__init__(parent)
        self._worker = Worker(name, self, behind=behind)
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._closed = False

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The job that runs, then those that wait."""
        running = () if self._running is None else (self._running,)
        return (*running, *self._waiting)

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return bool(self.jobs)

    def start(
        self, title: str, work: Callable[[Ticket], Any], finished: Callable[[Any], object] | None = None
    ) -> Job:
        """Queue `work` under a title for the user; `finished` gets its result. A failure goes to `failed`.

        `work` tells Progress by `ticket.tell` and ends by Stopped where `ticket.stopped()`.
        """
        job = Job(self, title, work)
        if finished is not None:
            job.finished.connect(finished)
        if self._closed:
            job.state = "cancelled"
            return job
        self._waiting.append(job)
        self._next()
        self.changed.emit()
        return job

    def cancel(self, job: Job) -> None:
        """Stop a job of this queue, or take it out of it."""
        if job is self._running:
            self._worker.cancel()
            self._end(job, "cancelled")
        elif job in self._waiting:
            self._waiting.remove(job)
            self._end(job, "cancelled")

    def close(self, finish: bool = False) -> None:
        """Cancel all jobs and wait for the thread to end; none can follow. With `finish` those that wait are done first."""
        self._closed = True
        waiting = list(self._waiting)
        for job in reversed(self.jobs):
            self.cancel(job)
        self._worker.close()
        for job in waiting if finish else ():
            try:
                job.work(Ticket(0, lambda *_: None))
            except Exception as problem:
                self.failed.emit(failure(problem))

    def _next(self) -> None:
        if self._running is None and self._waiting:
            job = self._running = self._waiting.popleft()
            job.state = "running"
            self._worker.submit(
                job.work, partial(self._finish, job), partial(self._fail, job), partial(self._hear, job)
            )

    def _hear(self, job: Job, news: Any) -> None:
        if isinstance(news, Progress):
            job.progress = news
            job.progressed.emit(news)
            self.changed.emit()

    def _finish(self, job: Job, result: Any) -> None:
        job.state = "finished"
        job.finished.emit(result)
        self._end(job, "finished")

    def _fail(self, job: Job, problem: BaseException) -> None:
        self._end(job, "failed")
        self.failed.emit(failure(problem))

    def _end(self, job: Job, state: State) -> None:
        job.state = state
        if job is self._running:
            self._running = None
        self._next()
        job.ended.emit()
        self.changed.emit()
