"""The statistics of a trace, computed in a panel's thread."""

from typing import TYPE_CHECKING

from vitviz.app.work.worker import Stopped, Ticket

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.measures.statistics import Statistics


def statistics_of(trace: "Trace", ticket: Ticket) -> "Statistics":
    """The statistics of a trace. Raises Stopped."""
    from vitviz.attention.recording.recorder import Cancelled
    from vitviz.explain.measures.statistics import statistics

    try:
        return statistics(trace, cancel=ticket.stopped)
    except Cancelled as cancelled:
        raise Stopped from cancelled
