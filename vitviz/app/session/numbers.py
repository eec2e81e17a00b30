"""What a panel has drawn, as arrays with names: for files that other programs read."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitviz.app.session.facts import Facts, Shown
from vitviz.render.export import write_whole

_LEFT_OUT = ("trace", "photo", "framing", "facts")
"""Fields that are inputs, not numbers; `facts` are written as words."""


def numbers_of(shown: Shown) -> dict[str, NDArray[Any]]:
    """All numbers and texts of what is drawn, by name, and the facts they were computed for.

    A field inside another is named "outer.inner", an item of a list "name.3". Colours (uint8) and functions are left out.
    """
    facts = {} if shown.facts is None else words_of(shown.facts)
    return {name: np.asarray(text) for name, text in facts.items()} | dict(_arrays("", shown))


def words_of(facts: Facts) -> dict[str, str]:
    """The facts of a result in words, those that are not empty."""
    chosen = facts.selection
    words = {
        "model": facts.model,
        "of photo": facts.photo,
        "model input": facts.framing,
        "method": chosen.method,
        "layer": chosen.layer,
        "head": chosen.head,
        "heads fused by": chosen.fusion,
        "query": chosen.query,
        "direction": chosen.direction,
        "class": chosen.target,
        "part": facts.part,
        "window": facts.window,
        "scale": facts.scale,
    }
    return {f"fact: {name}": str(word) for name, word in words.items() if word not in (None, "")}


def write_npz(path: Path, numbers: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays as NumPy's .npz. ExportError names the path and the reason."""
    named: dict[str, Any] = dict(numbers)
    write_whole(path, lambda file: np.savez_compressed(file, **named))


def write_csv(path: Path, numbers: Mapping[str, NDArray[Any]]) -> None:
    """Write a line for each number: its name, its indices and its value.

    ExportError names the path and the reason.
    """
    depth = max((array.ndim for array in numbers.values()), default=0)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["name", *(f"index {axis}" for axis in range(depth)), "value"])
    for name, array in numbers.items():
        for index in np.ndindex(array.shape):
            table.writerow([name, *index, *[""] * (depth - array.ndim), array[index]])
    write_whole(path, lambda file: file.write(text.getvalue().encode()))


def _arrays(name: str, value: object) -> Iterator[tuple[str, NDArray[Any]]]:
    if isinstance(value, np.ndarray):
        if value.dtype != np.uint8:
            yield name, value
    elif isinstance(value, bool | int | float | np.generic) or (isinstance(value, str) and value):
        yield name, np.asarray(value)
    elif is_dataclass(value):
        for field in fields(value):
            if field.name not in _LEFT_OUT:
                yield from _arrays(_joined(name, field.name), getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _arrays(_joined(name, str(key)), item)
    elif isinstance(value, list | tuple):
        yield from _items(name, value)


def _items(name: str, items: list[Any] | tuple[Any, ...]) -> Iterator[tuple[str, NDArray[Any]]]:
    """A list as one array where its items are numbers, texts or rows of the same length, otherwise item by item."""
    try:
        together = np.asarray(items)
    except ValueError:  # rows of different lengths
        together = np.empty(0, object)
    if len(items) and together.dtype != object and together.dtype.kind in "biufU":
        if together.dtype != np.uint8:
            yield name, together
        return
    for number, item in enumerate(items):
        yield from _arrays(_joined(name, str(number)), item)


def _joined(outer: str, inner: str) -> str:
    return f"{outer}.{inner}" if outer else inner
