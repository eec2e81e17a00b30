"""What runs in the worker: from what the user asked for to a trace. torch is first imported here."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vitviz.app.state import Framing
from vitviz.app.worker import Stopped, Ticket
from vitviz.images.photo import Photo, open_image

if TYPE_CHECKING:
    from vitviz.attention.proof import Check
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap
    from vitviz.models.catalog import Entry
    from vitviz.models.model import Model


@dataclass(frozen=True)
class Progress:
    """What is happening, and which part of it is done (0 to 1) where that is known."""

    text: str
    done: float | None = None


@dataclass(frozen=True, eq=False)
class Request:
    """All that a piece of work needs, so that it shares nothing with the window.

    `loaded` is the model at hand if it is the one asked for, `check` its self-check; both save doing it again.
    """

    photo: Path | Photo | None
    model: str
    device: str
    framing: Framing = "crop"
    loaded: "Model | None" = None
    check: "Check | None" = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of a request; parts that were not asked for are None."""

    request: Request
    photo: Photo | None
    model: "Model | None" = None
    trace: "Trace | None" = None
    check: "Check | None" = None


def produce(request: Request, ticket: Ticket) -> Answer:
    """Open the photo, load the model, run it once; tells progress and, as soon as it is there, the photo."""
    photo = request.photo
    if isinstance(photo, Path):
        ticket.tell(Progress(f"Opening {photo.name}"))
        photo = open_image(photo)
    if photo is not None:
        ticket.tell(photo)
    if not request.model and request.loaded is None:
        return Answer(request, photo)

    def progress(text: str, done: float | None) -> None:
        ticket.tell(Progress(text, done))

    model = request.loaded
    if model is None:
        progress(f"Loading {Path(request.model).name}", None)
        from vitviz.models.loading import load_model

        model = load_model(request.model, device=request.device, progress=progress)
    if photo is None:
        return Answer(request, None, model)
    progress(f"Running {model.name} on {photo.name}", None)
    from vitviz.attention.trace import Cancelled, trace

    wants_check = request.check is None
    try:
        traced = trace(
            model, photo, framing=request.framing, check=wants_check, cancel=ticket.stopped, progress=progress
        )
    except Cancelled as cancelled:
        raise Stopped from cancelled
    return Answer(request, photo, model, traced, traced.check if wants_check else request.check)


def heatmap(trace: "Trace", method: str, options: dict[str, object]) -> "Heatmap":
    """One heatmap of a trace; what `vitviz.explain` gives."""
    from vitviz.explain import explain

    return explain(trace, method, **options)


def catalog(ticket: Ticket) -> "list[Entry]":
    """Everything that can be loaded by name; the first call imports timm."""
    ticket.tell(Progress("Reading the list of models"))
    from vitviz.models.catalog import entries

    return entries()
