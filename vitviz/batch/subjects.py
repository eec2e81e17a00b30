"""What `vitviz evaluate` scores: photos with the class each is scored for, and masks where the truth is known."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vitviz.errors import VitvizError
from vitviz.images.photo import SUFFIXES, Photo, open_image, photo_from_array

if TYPE_CHECKING:
    import numpy as np

FOLDERS = "folders"


@dataclass(frozen=True)
class Subject:
    """One photo and one class; `mask` gives, in the photo's size, where the class's object is."""

    name: str
    target: int | None
    """None: the model's prediction."""
    open: Callable[[], Photo]
    mask: "Callable[[], np.ndarray] | None" = None

    @property
    def asked(self) -> str:
        """The target as it is written in a table."""
        return "prediction" if self.target is None else str(self.target)


def photos_in(places: Sequence[str]) -> list[Path]:
    """The photos named, and all in the folders named and below, in the order of their names, each once."""
    found: dict[Path, None] = {}
    for place in map(Path, places):
        if not place.is_dir():
            found[place] = None
            continue
        inside = sorted(
            path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
        )
        if not inside:
            raise VitvizError(f"There are no pictures in the folder {place}.")
        found |= dict.fromkeys(inside)
    return list(found)


def predicted(photos: Sequence[Path]) -> list[Subject]:
    """Each photo with the model's own prediction."""
    return [_of_file(photo, None) for photo in photos]


def in_folders(photos: Sequence[Path], labels: Sequence[str]) -> list[Subject]:
    """Each photo with the class that its folder is called by."""
    return [
        _of_file(photo, find_class(labels, photo.absolute().parent.name, f"the folder of {photo}"))
        for photo in photos
    ]


def in_file(photos: Sequence[Path], file: Path, labels: Sequence[str]) -> list[Subject]:
    """Each photo with the class that a CSV file of the columns photo and target gives it; several make it count as often.

    A photo is found by its path or the end of it. VitvizError for a file that cannot be read, a class that does not exist, a
    photo that is not in the file, and a line that fits two photos.
    """
    rows = _read(file)
    found: dict[Path, list[int]] = {photo: [] for photo in photos}
    for line, (name, target) in enumerate(rows, start=2):
        if not name:
            raise VitvizError(f"{file}, line {line}: no photo is named.")
        fitting = [
            photo for photo in photos if photo.absolute().parts[-len(Path(name).parts) :] == Path(name).parts
        ]
        fitting = [photo for photo in fitting if photo == Path(name)] or fitting
        if len(fitting) > 1:
            raise VitvizError(
                f"{file}, line {line}: “{name}” could be {fitting[0]} or {fitting[1]}; write more of its path."
            )
        if fitting:
            found[fitting[0]].append(find_class(labels, target, f"{file}, line {line}"))
    without = [photo for photo, targets in found.items() if not targets]
    if without:
        more = f" and {len(without) - 1} more" if len(without) > 1 else ""
        raise VitvizError(f"{file} has no line for {without[0]}{more}.")
    return [_of_file(photo, target) for photo in photos for target in dict.fromkeys(found[photo])]


def find_class(labels: Sequence[str], text: str, where: str) -> int:
    """A class by its number, its label, one of ImageNet's other words for it, or its ImageNet code (n02123045)."""
    from vitviz.models.labels import classes_called

    wanted = text.strip()
    if wanted.isdecimal():
        if int(wanted) < len(labels):
            return int(wanted)
        raise VitvizError(
            f"{where}: the model has {len(labels)} classes, numbered from 0; there is no {wanted}."
        )
    found = classes_called(labels, text)
    if not found:
        raise VitvizError(f"{where}: the model has no class called “{text}”.")
    if len(found) > 1:
        some = " and ".join(str(index) for index in found[:2])
        raise VitvizError(f"{where}: “{text}” could be class {some}; give the number.")
    return found[0]


def bundled(labels: Sequence[str]) -> list[Subject]:
    """The bundled scenes, once for each class that is in them."""
    from vitviz.demo.bundled import index, kinds, mask
    from vitviz.resources_path import resource

    def where(path: Path, kind: str) -> "np.ndarray":
        found = mask(path, kind)
        assert found is not None
        return found

    subjects = []
    for scene in index():
        path = resource(f"scenes/{scene['file']}")
        for kind in kinds(scene):
            subjects.append(
                Subject(
                    f"scenes/{scene['file']}",
                    _shape(labels, kind),
                    partial(open_image, path),
                    partial(where, path, kind),
                )
            )
    return subjects


def drawn(count: int, labels: Sequence[str]) -> list[Subject]:
    """Fresh scenes of one and two objects in turn, never trained on, once for each class that is in them."""
    from vitviz.demo.architectures import SIDE
    from vitviz.demo.description import TEST_SEEDS, describe
    from vitviz.demo.scenes import scene

    subjects = []
    for number in range(count):
        seed, things = TEST_SEEDS[number], 1 + number % 2

        def photo(seed: int = seed, things: int = things) -> Photo:
            return photo_from_array(scene(seed, SIDE, things=things).picture, f"scene {seed}")

        for kind in dict.fromkeys(thing.kind for thing in describe(seed, things=things).things):

            def mask(seed: int = seed, things: int = things, kind: str = kind) -> "np.ndarray":
                made = scene(seed, SIDE, things=things)
                return _together(
                    [mask for mask, one in zip(made.masks, made.kinds, strict=True) if one == kind]
                )

            subjects.append(Subject(f"scene {seed}", _shape(labels, kind), photo, mask))
    return subjects


def _of_file(photo: Path, target: int | None) -> Subject:
    return Subject(str(photo), target, lambda: open_image(photo))


def _together(masks: "Sequence[np.ndarray]") -> "np.ndarray":
    import numpy as np

    whole: np.ndarray = np.max(np.stack(masks), axis=0)
    return whole


def _shape(labels: Sequence[str], kind: str) -> int:
    if kind not in labels:
        raise VitvizError(
            f"This model has no class “{kind}”: scenes are for models that know their shapes, such as demo/vit."
        )
    return list(labels).index(kind)


def _read(file: Path) -> list[tuple[str, str]]:
    try:
        with open(file, encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines)
            columns = table.fieldnames or []
            if not {"photo", "target"} <= set(columns):
                raise VitvizError(
                    f"{file} must have the columns photo and target; its first line has others."
                )
            return [((row["photo"] or "").strip(), (row["target"] or "").strip()) for row in table]
    except FileNotFoundError:
        raise VitvizError(f"There is no labels file {file}.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise VitvizError(f"The labels file {file} cannot be read as a CSV table.", str(error)) from error
