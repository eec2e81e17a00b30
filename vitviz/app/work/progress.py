"""The progress of work in a thread."""

from collections.abc import Callable
from dataclasses import dataclass

from vitviz.app.work.worker import Ticket


@dataclass(frozen=True)
class Progress:
    """What is being done, and the fraction that is done (0 to 1), or None if it is unknown."""

    text: str
    done: float | None = None


def progress_of(ticket: Ticket) -> Callable[[str, float | None], None]:
    """A `progress` callback for the library's functions that reports to the GUI thread."""

    def progress(text: str, done: float | None) -> None:
        ticket.report(Progress(text, done))

    return progress
