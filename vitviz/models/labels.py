"""Names of the classes: from timm's ImageNet info, from the caller, from a file, else `class 17`."""

import csv
import json
import pkgutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from vitviz import files
from vitviz.errors import ModelError

Labels = str | Path | Sequence[str] | Mapping[int, str] | Mapping[str, str]

# timm's list for the 21k subset of the winter 2021 release, which its own table of subsets leaves out.
_LIMIT = 16 << 20
"""Bytes of a labels file: ImageNet-21k's names with their definitions take 3 MB."""
_EXTRA_SUBSETS = {10450: "imagenet21k_miil_w21_synsets.txt"}


def labels_for(n_classes: int, labels: Labels | None = None) -> tuple[str, ...]:
    """One name per class.

    `labels`: None (ImageNet's names where the number of classes is ImageNet's, else `class 17`), a file (.txt: one per
    line; .json: a list or {index: name}; .csv: names, or index and name), a sequence, or {index: name}.
    Raises ModelError for an unreadable file or a wrong number of names.
    """
    if labels is None:
        return imagenet_labels(n_classes) or tuple(f"class {index}" for index in range(n_classes))
    if isinstance(labels, str | Path):
        path = Path(labels)
        return _checked(_read(path), n_classes, f"The labels file {path.name}")
    return _checked(labels, n_classes, "The labels given")


@lru_cache(maxsize=4)
def imagenet_labels(n_classes: int) -> tuple[str, ...] | None:
    """Short names of the ImageNet subset with this many classes; None if there is none.

    The first synonym ("tabby" of "tabby, tabby cat"), made longer where two classes would share it ("crane").
    """
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": n_classes})
    if subset is not None:
        info = ImageNetInfo(subset)
        synsets: list[str] = info.label_names()
    elif n_classes in _EXTRA_SUBSETS:
        info = ImageNetInfo("imagenet-22k")
        data = pkgutil.get_data("timm.data", f"_info/{_EXTRA_SUBSETS[n_classes]}")
        synsets = (data or b"").decode().split()
    else:
        return None
    if len(synsets) != n_classes:
        return None
    lemmas = [info.label_name_to_description(synset) for synset in synsets]
    detailed = [info.label_name_to_description(synset, detailed=True) for synset in synsets]
    return tuple(_distinct(lemmas, detailed))


def classes_called(labels: Sequence[str], text: str, part: bool = False) -> list[int]:
    """The classes that a text may mean, none where there is none: those with this label, else one of the label's words
    (“tabby” in “tabby, tabby cat”), else one of ImageNet's words or its code (n02123045) where the labels are ImageNet's,
    else with `part` those whose label it is a part of.
    """
    wanted = _plain(text)
    if not wanted:
        return []
    plain = [_plain(label) for label in labels]
    ways: list[Callable[[], list[int]]] = [
        lambda: [index for index, label in enumerate(plain) if label == wanted],
        lambda: [index for index, label in enumerate(plain) if wanted in map(str.strip, label.split(","))],
        lambda: _imagenet_words(tuple(labels)).get(wanted, []),
    ]
    if part:
        ways.append(lambda: [index for index, label in enumerate(plain) if wanted in label])
    return next((found for found in (way() for way in ways) if found), [])


@lru_cache(maxsize=2)
def _imagenet_words(labels: tuple[str, ...]) -> dict[str, list[int]]:
    """ImageNet's codes and all its words for each class; empty for other labels."""
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": len(labels)})
    if subset is None or labels != imagenet_labels(len(labels)):
        return {}
    info = ImageNetInfo(subset)
    names: dict[str, list[int]] = {}
    for index, code in enumerate(info.label_names()):
        for word in dict.fromkeys(map(_plain, (code, *info.label_name_to_description(code).split(",")))):
            names.setdefault(word, []).append(index)
    return names


def _plain(text: str) -> str:
    return " ".join(text.replace("_", " ").split()).casefold()


def _distinct(lemmas: list[str], detailed: list[str]) -> list[str]:
    """The shortest of first synonym, all synonyms, and synonyms with definition that no other class has."""
    short = [lemma.split(",")[0].strip() for lemma in lemmas]
    often, again = Counter(short), Counter(lemmas)
    names = []
    for name, lemma, full in zip(short, lemmas, detailed, strict=True):
        if often[name] == 1:
            names.append(name)
        elif again[lemma] == 1 and lemma != name:
            names.append(lemma)
        else:
            definition = full.removeprefix(f"{lemma}: ").split(";")[0]
            names.append(f"{name} ({definition})")
    return names


def _read(path: Path) -> Sequence[str] | Mapping[str, str]:
    """The names in a labels file, in order or by index."""
    try:
        text = files.small_text(path, _LIMIT)
    except ValueError as error:
        if str(error) == "there is no such file":
            raise ModelError(f"There is no labels file {path}.") from None
        raise ModelError(
            f"The labels file {path} cannot be read: {error}. Give a .txt, .json or .csv file.",
            str(error.__cause__ or ""),
        ) from error
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _read_json(path, text)
    if suffix in (".csv", ".tsv"):
        return _read_table(path, text, "\t" if suffix == ".tsv" else ",")
    return [line.strip() for line in text.strip().splitlines()]


def _read_json(path: Path, text: str) -> Sequence[str] | Mapping[str, str]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ModelError(
            f"The labels file {path.name} is not valid JSON (line {error.lineno}).", str(error)
        ) from error
    except (RecursionError, ValueError) as error:
        raise ModelError(
            f"The labels file {path.name} is nested too deeply or holds a number too long."
        ) from error
    if isinstance(found, dict) and isinstance(found.get("id2label"), dict):
        found = found["id2label"]
    if isinstance(found, dict):
        # The well-known imagenet_class_index.json gives [synset, name].
        return {
            key: value[-1] if isinstance(value, list) and value else value for key, value in found.items()
        }
    if isinstance(found, list):
        return found
    raise ModelError(f"The labels file {path.name} must hold a list of names or an object of index and name.")


def _read_table(path: Path, text: str, delimiter: str) -> Sequence[str] | Mapping[str, str]:
    try:
        rows = [
            [cell.strip() for cell in row]
            for row in csv.reader(text.splitlines(), delimiter=delimiter)
            if row
        ]
    except csv.Error as error:
        raise ModelError(f"The labels file {path.name} cannot be read as a table: {error}.") from error
    numbered = [row for row in rows if len(row) > 1 and row[0].isdigit()]
    # One row may be a heading; more rows without a number mean that the file is a plain list of names.
    if numbered and len(numbered) >= len(rows) - 1:
        return {row[0]: row[1] for row in numbered}
    return [row[0] for row in rows]


def _checked(
    labels: Sequence[str] | Mapping[int, str] | Mapping[str, str], n_classes: int, what: str
) -> tuple[str, ...]:
    if isinstance(labels, Mapping):
        try:
            by_index = {int(key): value for key, value in labels.items()}
        except (TypeError, ValueError) as error:
            raise ModelError(f"{what} must be numbered with whole numbers.", str(error)) from error
        missing = [index for index in range(n_classes) if index not in by_index]
        if missing or len(by_index) != n_classes:
            lacks = f", without a name for class {missing[0]}" if missing else ""
            raise ModelError(f"{what} must name {_classes(n_classes)}, and has {len(by_index)} names{lacks}.")
        names = [by_index[index] for index in range(n_classes)]
    else:
        names = list(labels)
        if len(names) != n_classes:
            raise ModelError(f"{what} must name {_classes(n_classes)}, and has {len(names)} names.")
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise ModelError(f"{what} must give a name for class {index}, and has {name!r}.")
    return tuple(names)


def _classes(count: int) -> str:
    return f"the model's {count} {'class' if count == 1 else 'classes'}"
