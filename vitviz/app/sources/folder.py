"""The photos of a folder in natural order, their thumbnails, and steps to the next or previous photo."""

import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vitviz.errors import PhotoError
from vitviz.images.colors import to_upright_rgb
from vitviz.images.photo import FORMATS, PIXEL_LIMIT, SUFFIXES, Photo, open_image


class FolderEnd(PhotoError):  # noqa: N818
    """There is no next or previous photo; not an error, but a message for the user."""


@dataclass(frozen=True)
class Walk:
    """A request for a photo of a folder: `steps` after the photo `current`; if that is None, the `steps`-th photo."""

    folder: Path
    current: str | None = None
    steps: int = 1


@dataclass(frozen=True, eq=False)
class Found:
    """The photo that a walk found, and the names of unreadable files that were skipped."""

    photo: Photo
    skipped: tuple[str, ...] = ()


def natural(name: str) -> list[tuple[int, int, str]]:
    """A sort key that puts "img2" before "img10" and ignores case."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def photos_in(folder: Path) -> list[str]:
    """The names of a folder's images, found by suffix, in natural order. Raises PhotoError if the folder cannot be read."""
    try:
        names = [
            entry.name
            for entry in folder.iterdir()
            if entry.suffix.lower() in SUFFIXES and not entry.name.startswith(".") and entry.is_file()
        ]
    except OSError as error:
        raise PhotoError(f"The folder {folder.name or folder} cannot be read.", str(error)) from error
    return sorted(names, key=lambda name: (natural(name), name))


def thumbnail(path: Path, size: tuple[int, int]) -> Image.Image | None:
    """A photo upright in RGB, scaled down to at most (width, height); None if the file cannot be read.

    A JPEG is decoded at a fraction of its size. Slow for large files of other formats: for a thread.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > PIXEL_LIMIT:
                return None
            image.draft("RGB", (2 * max(size), 2 * max(size)))  # upright it may be turned
            image.load()
            upright = to_upright_rgb(image)
            upright.thumbnail(size)
            return upright
    # Decoders raise SyntaxError, ValueError, struct.error, IndexError and more for a damaged file.
    except Exception:
        return None


def walk(request: Walk) -> Found:
    """Open the photo that a walk asks for; unreadable files are skipped in the direction of the walk.

    Raises FolderEnd if there is no such photo, and PhotoError if no image of the folder can be read.
    """
    names = photos_in(request.folder)
    here = request.folder.name or str(request.folder)
    if not names:
        raise PhotoError(f"There is no picture in the folder {here}.")
    direction = 1 if request.steps >= 0 else -1
    start = -1 if request.current is None else _place(names, request.current, direction)
    place = start + request.steps
    # Several steps past the end lead to the last photo, unless that is the current one.
    place = min(max(place, 0), len(names) - 1)
    skipped: list[str] = []
    while 0 <= place < len(names) and names[place] != request.current:
        try:
            return Found(open_image(request.folder / names[place]), tuple(skipped))
        except PhotoError:
            skipped.append(names[place])
            place += direction
    end = "last" if direction > 0 else "first"
    if request.current is None:
        raise PhotoError(f"None of the {len(names)} pictures in the folder {here} can be read.")
    unread = f"; {', '.join(skipped)} cannot be read" if skipped else ""
    raise FolderEnd(f"{request.current} is the {end} photo of the folder {here}{unread}.")


def _place(names: list[str], current: str, direction: int) -> int:
    """The index of a photo; if it was deleted, the index before its place, against the direction of the walk."""
    if current in names:
        return names.index(current)
    before = sum(natural(name) < natural(current) for name in names)
    return before - 1 if direction > 0 else before
