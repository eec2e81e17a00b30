"""Statistics over the photos of a folder: a job with progress, and its result as long as it is valid."""

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from vitviz.app.session.view_state import Framing
from vitviz.app.sources.folder import photos_in
from vitviz.app.work.jobs import Job, JobQueue
from vitviz.app.work.progress import Progress
from vitviz.app.work.worker import Stopped, Ticket
from vitviz.errors import PhotoError

if TYPE_CHECKING:
    from vitviz.batch.statistics import Summary
    from vitviz.models.model import Model


class FolderStatistics(QObject):
    """Computes mean and standard deviation over a folder and keeps them for one model and framing."""

    changed = Signal()  # `summary` is another one, or None
    progressed = Signal(object)  # Progress while the job waits or runs, None when it has ended

    def __init__(self, jobs: JobQueue, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.summary: Summary | None = None
        self.folder = ""
        """The name of the folder that `summary` is of."""
        self._basis: tuple[Model, Framing] | None = None
        self._jobs = jobs
        self._job: Job | None = None

    @property
    def busy(self) -> bool:
        """Whether the job waits or runs."""
        return self._job is not None and self._job.active

    def start(self, model: "Model", framing: Framing, folder: Path) -> None:
        """Start the job; one that runs already is cancelled. The summary before stays until there is another.

        A failure is told by the queue.
        """

        def work(ticket: Ticket) -> "Summary":
            return over_folder(model, folder, framing, ticket)

        def take(summary: "Summary") -> None:
            self.summary, self.folder = summary, folder.name
            self.changed.emit()

        self.cancel()
        self._basis = model, framing
        self._job = self._jobs.start(f"Statistics over {folder.name}", work, take)
        self._job.progressed.connect(self.progressed)
        self._job.ended.connect(lambda: self.progressed.emit(None))
        self.progressed.emit(self._job.progress)

    def cancel(self) -> None:
        """Cancel the job, if one waits or runs."""
        if self._job is not None:
            self._job.cancel()

    def forget(self) -> None:
        """Drop the summary."""
        if self.summary is not None:
            self.summary = None
            self.changed.emit()

    def keep_for(self, model: "Model | None", framing: Framing) -> None:
        """Cancel the job and drop the summary unless they are of this model and framing.

        The model itself is compared: another one may have the same name.
        """
        if self._basis is not None and self._basis != (model, framing):
            self._basis = None
            self.cancel()
            self.forget()


def over_folder(model: "Model", folder: Path, framing: Framing, ticket: Ticket) -> "Summary":
    """The statistics over all photos of a folder; tells Progress.

    Raises PhotoError where the folder has no photo or none can be read, and Stopped.
    """
    from vitviz.attention.recording.recorder import Cancelled
    from vitviz.batch.statistics import over_photos

    names = photos_in(folder)
    if not names:
        raise PhotoError(f"There is no picture in the folder {folder.name or folder}.")

    def tell(text: str, done: float | None) -> None:
        ticket.tell(Progress(text, done))

    try:
        return over_photos(
            model, [folder / name for name in names], framing=framing, cancel=ticket.stopped, progress=tell
        )
    except Cancelled as cancelled:
        raise Stopped from cancelled
