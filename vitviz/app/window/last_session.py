"""The photo, model and selection that the window showed when it was closed, which the next start shows again."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast, get_args

from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Choice, Direction, Framing, Query, checked, portable
from vitviz.app.settings import Settings
from vitviz.explain.registry import METHODS, Option

RESTORES = "restore"
"""The setting that says whether a start shows the last session; without it, the window starts empty."""


@dataclass(frozen=True)
class LastSelection:
    """The fields of `ViewState` that are restored together with the photo and the model."""

    query: Query = None
    pinned: bool = False
    layer: int = -1
    head: int | None = None
    direction: Direction = "to"
    layers: tuple[tuple[str, int], ...] = ()
    target: int | None = None
    choices: tuple[Choice, ...] = ()
    readout: str = ""


@dataclass(frozen=True)
class LastSession:
    """`photo` and `model` (a name or a file) are empty if there was none that can be opened again."""

    photo: str = ""
    model: str = ""
    framing: Framing = "crop"
    selection: LastSelection = LastSelection()


def of_session(session: Session) -> LastSession:
    """What a session shows. A pasted photo has no file and is left out."""
    photo, model = session.photo, session.model_source
    view = portable(session.view, session.shape)
    return LastSession(
        "" if photo is None or photo.path is None else str(photo.path.absolute()),
        str(Path(model).absolute()) if model and Path(model).exists() else model,
        session.framing,
        LastSelection(**{one.name: getattr(view, one.name) for one in fields(LastSelection)}),
    )


def store(settings: Settings, last: LastSession) -> None:
    """Store the last session."""
    settings.put("last_photo", last.photo)
    settings.put("last_model", last.model)
    settings.put("last_framing", last.framing)
    settings.put_choices("last_selection", {"view": asdict(last.selection)})


def read(settings: Settings) -> LastSession:
    """The stored last session; values that make no sense are replaced by their defaults."""
    framing = settings.text("last_framing")
    chosen = checked(LastSelection, settings.choices("last_selection").get("view", {}))
    numbers: list[Any] = [chosen.head or 0, chosen.target or 0]
    if isinstance(chosen.query, tuple):
        numbers += [
            number for part in chosen.query for number in (part if isinstance(part, tuple) else (part,))
        ]
    return LastSession(
        settings.text("last_photo"),
        settings.text("last_model"),
        cast(Framing, framing) if framing in get_args(Framing) else "crop",
        LastSelection()
        if chosen.query == () or min(numbers) < 0
        else LastSelection(**{**vars(chosen), "choices": tuple(filter(_is_valid, chosen.choices))}),
    )


def _is_valid(choice: Choice) -> bool:
    """Whether a method has this option and the option can have this value."""
    name, option_name, value = choice
    options = [
        option
        for method in METHODS
        for option in method.parameters
        if (method.name, option.name) == (name, option_name)
    ]
    return bool(options) and _can_be(options[0], value)


def _can_be(option: Option, value: object) -> bool:
    if option.kind == "flag":
        return isinstance(value, bool)
    if option.kind == "choice":
        return value in option.choices
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if option.kind == "layer":
        return isinstance(value, int) and number and value >= 0
    return number and 0 <= cast(float, value) < 1
