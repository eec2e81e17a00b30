"""What the Positions panel shows, computed in its thread: torch is imported only there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitviz.app.session.view_state import Query
from vitviz.app.widgets.pictures.gallery import GalleryPicture
from vitviz.errors import MethodError

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.internals.logit_parts import Split
    from vitviz.explain.internals.positions import Change, Components, PrefixSimilarity

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PositionTable:
    """A table of position embeddings, as stored or as used: see `explain.internals.positions` for the shapes."""

    similarity: Floats
    components: "Components"
    norm: Floats
    prefix: "PrefixSimilarity"


@dataclass(frozen=True, eq=False)
class PositionTables:
    """The position table of a model, or the reason why it has none."""

    used: PositionTable | None
    stored: PositionTable | None
    change: "Change | None"
    reason: str = ""


@dataclass(frozen=True, eq=False)
class LogitPictures:
    """The logits of one query: the numbers, and their pictures on a scale from -limit to limit."""

    split: "Split"
    head: int | None
    """The head that is shown; None for the mean of all."""
    pictures: list[GalleryPicture]
    limit: float
    note: str
    """What else the legend has to say."""


def tables(trace: "Trace") -> PositionTables:
    """The position table of a trace, as used and as stored."""
    from vitviz.explain.internals import positions

    try:
        changed = positions.change(trace)
    except MethodError as problem:
        return PositionTables(None, None, None, problem.message)

    def one(stored: bool) -> PositionTable:
        return PositionTable(
            positions.similarity(trace, stored),
            positions.components(trace, stored),
            positions.norm(trace, stored),
            positions.prefix_similarity(trace, stored),
        )

    return PositionTables(one(False), one(True), changed)


def values_of(
    mode: str, chosen: Sequence[tuple[str, PositionTable]], change: "Change | None"
) -> dict[str, Floats]:
    """The numbers that the pictures of a mode show, by table and quantity; with `change`, the likeness of both tables."""
    values: dict[str, Floats] = {}
    for name, table in chosen:
        if mode == "similarity":
            values[f"{name}: cosine"] = table.similarity
            values[f"{name}: cosine of prefix tokens"] = table.prefix.patches
        elif mode == "components":
            values[f"{name}: components"] = table.components.colors
            values[f"{name}: share of variance"] = np.array(table.components.shares, np.float32)
        else:
            values[f"{name}: length"] = table.norm
    return values if change is None else {**values, "likeness": change.nearest}


def split_reason(trace: "Trace", layer: int) -> str:
    """Why a layer's logits are not split into content and position; empty where they are."""
    from vitviz.explain.internals.logit_parts import kind_of

    try:
        kind_of(trace, trace.layers[layer])
    except MethodError as problem:
        return problem.message
    return ""


def logit_pictures(
    trace: "Trace", layer: int, query: Query, mode: str, head: int | None, colormap: str
) -> LogitPictures:
    """A query's logits in parts ("split"), or what position adds in each head ("bias"). `head` None: the mean of all.

    Raises MethodError with the reason where the logits cannot be split.
    """
    from vitviz.explain.internals.logit_parts import split
    from vitviz.explain.plates.plates import bias_pictures, split_pictures

    found = split(trace, layer, query)
    chosen = head if head is not None and head < len(found.content) else None
    made = bias_pictures(found) if mode == "bias" else split_pictures(found, chosen, colormap)
    rows, columns = found.shape
    pictures = [
        GalleryPicture(one.pixels, one.caption, found.shape, joint=one.joint, aspect=columns / rows)
        for one in made.pictures
    ]
    return LogitPictures(found, chosen, pictures, made.limit, made.note)
