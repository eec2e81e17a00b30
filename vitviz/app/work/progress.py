"""How far a piece of work is."""

from collections.abc import Callable
from dataclasses import dataclass

from vitviz.app.work.worker import Ticket


@dataclass(frozen=True)
class Progress:
    """What is happening, and which part of it is done (0 to 1) where that is known."""

    text: str
    done: float | None = None


def progress_of(ticket: Ticket) -> Callable[[str, float | None], None]:
    """What the library's functions take as `progress`, told to the GUI thread."""

    def progress(text: str, done: float | None) -> None:
        ticket.tell(Progress(text, done))

    return progress
