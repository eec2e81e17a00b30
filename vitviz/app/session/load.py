"""Opens the requested photo and model in a thread: returns a trace and its first maps. torch is first imported here."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtGui import QImage

from vitviz.app.session.view_state import (
    Framing,
    ViewState,
)
from vitviz.app.sources.folder import Walk, walk
from vitviz.app.ui.pixels import levels, photo_of
from vitviz.app.work.worker import Stopped, Ticket
from vitviz.errors import DeviceMemoryError, ModelError, PhotoError, VitvizError
from vitviz.explain.registry import find
from vitviz.images.photo import Photo, open_image
from vitviz.models.settings import ModelSettings

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.models.model import Model
from vitviz.app.session.compute import Drawn, draw
from vitviz.app.work.progress import Progress, progress_of


@dataclass(frozen=True, eq=False)
class OpenedPhoto:
    """A photo, its images in the sizes that the stage draws, and the names of unreadable files that were skipped."""

    photo: Photo
    levels: list[QImage]
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model, its source (a name or a file), the `stamp` of the file when it was loaded, and what it was loaded with."""

    model: "Model"
    source: str
    stamp: tuple[int, int] | None = None
    settings: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, eq=False)
class Request:
    """Everything that `produce` needs, so that the thread shares no state with the window.

    `photo` and `model` are requested: something to open, or an already opened one. `shown` and `held` are the current
    photo and model, which are used if one of two new ones cannot be opened. `view` is the view to draw first.
    """

    photo: Path | Walk | Photo | QImage | OpenedPhoto | None
    model: "str | Loaded"
    device: str
    framing: Framing = "crop"
    settings: ModelSettings = field(default_factory=ModelSettings)
    view: ViewState = field(default_factory=ViewState)
    shown: OpenedPhoto | None = None
    held: Loaded | None = None


@dataclass(frozen=True, eq=False)
class OpenResult:
    """The result of a request; parts that were not requested are None. `problem` says what could not be opened."""

    request: Request
    picture: OpenedPhoto | None
    loaded: Loaded | None = None
    trace: "Trace | None" = None
    drawn: Drawn | None = None
    problem: VitvizError | None = None


def stamp(source: str) -> tuple[int, int] | None:
    """Modification time (ns) and size (bytes) of a weights file; None if `source` is not a file."""
    path = Path(source).expanduser()
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def produce(request: Request, ticket: Ticket) -> OpenResult:
    """Open the photo, load the model, run it once and draw the first maps.

    Reports Progress, and the OpenedPhoto as soon as it is read. If both photo and model are new and only one of them can
    be opened, the result has that one and the problem. Raises PhotoError, ModelError or VitvizError otherwise.
    """
    problem: VitvizError | None = None
    picture = loaded = None
    new_model = bool(request.model) and request.model is not request.held
    try:
        picture = _picture(request, ticket)
    except PhotoError as error:
        if not new_model:
            raise
        problem, picture = error, request.shown
    try:
        loaded = _model(request, ticket)
    except ModelError as error:
        if problem is not None:
            raise VitvizError(f"{problem.message} {error.message}", error.details) from error
        if picture is None or picture is request.shown:
            raise
        problem, loaded = error, request.held
    if picture is None or loaded is None:
        return OpenResult(request, picture, loaded, problem=problem)
    traced = _run(loaded.model, picture.photo, request, ticket)
    ticket.report(Progress(f"Drawing the maps of {loaded.model.name}"))
    view = request.view
    if request.held is not None and request.held.model.labels != loaded.model.labels:
        view = replace(view, target=None)  # the other model numbers its classes differently
    return OpenResult(request, picture, loaded, traced, draw(traced, view, ticket), problem)


def _picture(request: Request, ticket: Ticket) -> OpenedPhoto | None:
    photo = request.photo
    skipped: tuple[str, ...] = ()
    if isinstance(photo, Walk):
        ticket.report(Progress(f"Opening a photo in {photo.folder.name}"))
        found = walk(photo)
        photo, skipped = found.photo, found.skipped
    elif isinstance(photo, Path):
        ticket.report(Progress(f"Opening {photo.name}"))
        photo = open_image(photo)
    elif isinstance(photo, QImage):
        photo = photo_of(photo)
    if isinstance(photo, Photo):
        photo = OpenedPhoto(photo, levels(photo.pixels), skipped)
    if photo is not None:
        ticket.report(photo)
    return photo


def _model(request: Request, ticket: Ticket) -> Loaded | None:
    if not isinstance(request.model, str):
        return request.model
    if not request.model:
        return None
    ticket.report(Progress(f"Loading {Path(request.model).name}"))
    from vitviz.models.loading import load_model

    # Taken before loading, so that a file that changes during loading is loaded again next time.
    state = stamp(request.model)
    options = request.settings.options(request.device)
    model = load_model(request.model, **options, progress=progress_of(ticket))
    return Loaded(model, request.model, state, request.settings)


def _run(model: "Model", photo: Photo, request: Request, ticket: Ticket) -> "Trace":
    ticket.report(Progress(f"Running {model.name} on {photo.name}"))
    from vitviz.attention.trace import Cancelled, trace

    traced = partial(
        trace,
        model,
        photo,
        defer=True,
        framing=request.framing,
        cancel=ticket.stopped,
        progress=progress_of(ticket),
    )
    try:
        if find(request.view.method).gradient:
            with suppress(DeviceMemoryError):  # then the trace without gradients, which needs less memory
                return traced(gradients=True)
        return traced()
    except Cancelled as cancelled:
        raise Stopped from cancelled
