"""The logit lens of a trace, computed in the panel's thread."""

from typing import TYPE_CHECKING

from vitviz.app.work.worker import Stopped, Ticket

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.internals.lens import Lens


def lens_of(trace: "Trace", ticket: Ticket) -> "Lens":
    """The logit lens of a trace. Raises MethodError where it does not apply, and Stopped."""
    from vitviz.attention.recording.recorder import Cancelled
    from vitviz.explain.internals.lens import lens

    try:
        return lens(trace, cancel=ticket.stopped)
    except Cancelled as cancelled:
        raise Stopped from cancelled
