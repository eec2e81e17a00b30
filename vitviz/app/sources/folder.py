"""The photos of a folder in the order in which people count, and the way from one to the next."""

import re
from dataclasses import dataclass
from pathlib import Path

from vitviz.errors import PhotoError
from vitviz.images.photo import SUFFIXES, Photo, open_image


class FolderEnd(PhotoError):  # noqa: N818
    """There is no further photo; nothing went wrong."""


@dataclass(frozen=True)
class Walk:
    """A photo of a folder: `steps` on from `current`, which is left out of the counting if it is None."""

    folder: Path
    current: str | None = None
    steps: int = 1


@dataclass(frozen=True, eq=False)
class Found:
    """The photo a walk led to, and the names of files that could not be read on the way."""

    photo: Photo
    skipped: tuple[str, ...] = ()


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts "img2" before "img10", whatever the case."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def photos_in(folder: Path) -> list[str]:
    """The names of the pictures of a folder by their endings, in natural order. Raises PhotoError if it cannot be read."""
    try:
        names = [
            entry.name
            for entry in folder.iterdir()
            if entry.suffix.lower() in SUFFIXES and not entry.name.startswith(".") and entry.is_file()
        ]
    except OSError as error:
        raise PhotoError(f"The folder {folder.name or folder} cannot be read.", str(error)) from error
    return sorted(names, key=lambda name: (natural(name), name))


def walk(way: Walk) -> Found:
    """Open the photo a walk leads to; files that cannot be read are skipped in the direction of the walk.

    Raises FolderEnd where there is no further photo, and PhotoError where the folder holds no picture.
    """
    names = photos_in(way.folder)
    here = way.folder.name or str(way.folder)
    if not names:
        raise PhotoError(f"There is no picture in the folder {here}.")
    ahead = 1 if way.steps >= 0 else -1
    place = way.steps - 1 if way.current is None else _place(names, way.current, ahead) + way.steps
    # Several steps may lead past the end; the last photo is meant then, unless it is the one that is shown.
    place = min(max(place, 0), len(names) - 1)
    skipped: list[str] = []
    while 0 <= place < len(names) and names[place] != way.current:
        try:
            return Found(open_image(way.folder / names[place]), tuple(skipped))
        except PhotoError:
            skipped.append(names[place])
            place += ahead
    end = "last" if ahead > 0 else "first"
    if way.current is None:
        raise PhotoError(f"None of the {len(names)} pictures in the folder {here} can be read.")
    unread = f"; {', '.join(skipped)} cannot be read" if skipped else ""
    raise FolderEnd(f"{way.current} is the {end} photo of the folder {here}{unread}.")


def _place(names: list[str], current: str, ahead: int) -> int:
    """Where a photo is, or between which two it was if it is gone."""
    if current in names:
        return names.index(current)
    before = sum(natural(name) < natural(current) for name in names)
    return before - 1 if ahead > 0 else before
