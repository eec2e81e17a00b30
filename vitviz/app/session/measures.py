"""What the lens and statistics panels ask of a thread: numbers of a trace, or over the photos of a folder."""

from pathlib import Path
from typing import TYPE_CHECKING

from vitviz.app.session.view_state import Framing
from vitviz.app.sources.folder import photos_in
from vitviz.app.work.progress import Progress
from vitviz.app.work.worker import Stopped, Ticket
from vitviz.errors import PhotoError

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.batch.statistics import Summary
    from vitviz.explain.internals.lens import Lens
    from vitviz.explain.measures.statistics import Statistics
    from vitviz.models.model import Model


def lens_of(trace: "Trace", ticket: Ticket) -> "Lens":
    """The logit lens of a trace. Raises MethodError where it does not apply."""
    from vitviz.attention.recording.recorder import Cancelled
    from vitviz.explain.internals.lens import lens

    try:
        return lens(trace, cancel=ticket.stopped)
    except Cancelled as cancelled:
        raise Stopped from cancelled


def statistics_of(trace: "Trace", ticket: Ticket) -> "Statistics":
    """The statistics of a trace."""
    from vitviz.attention.recording.recorder import Cancelled
    from vitviz.explain.measures.statistics import statistics

    try:
        return statistics(trace, cancel=ticket.stopped)
    except Cancelled as cancelled:
        raise Stopped from cancelled


def over_folder(model: "Model", folder: Path, framing: Framing, ticket: Ticket) -> "Summary":
    """The statistics over all photos of a folder; tells Progress. Raises PhotoError where none can be read."""
    from vitviz.attention.recording.recorder import Cancelled
    from vitviz.batch.statistics import over_photos

    names = photos_in(folder)
    if not names:
        raise PhotoError(f"There is no picture in the folder {folder.name or folder}.")

    def tell(text: str, done: float | None) -> None:
        ticket.report(Progress(text, done))

    try:
        return over_photos(
            model, [folder / name for name in names], framing=framing, cancel=ticket.stopped, progress=tell
        )
    except Cancelled as cancelled:
        raise Stopped from cancelled
