"""What the panels of windows, positions and patches show: computed in their threads, torch first imported there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitviz.app.session.view_state import Query
from vitviz.errors import MethodError

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.internals.logit_parts import Split
    from vitviz.explain.internals.positions import Change, Components, PrefixSimilarity
    from vitviz.explain.plates.plates import Shown

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Table:
    """A table of positions, stored or as used."""

    similarity: Floats
    components: "Components"
    norm: Floats
    prefix: "PrefixSimilarity"


@dataclass(frozen=True, eq=False)
class Tables:
    """What there is of a position table; or why there is none."""

    used: Table | None
    stored: Table | None
    change: "Change | None"
    reason: str = ""


def tables(trace: "Trace") -> Tables:
    """The position table of a trace, as used and as stored."""
    from vitviz.explain.internals import positions

    try:
        changed = positions.change(trace)
    except MethodError as problem:
        return Tables(None, None, None, problem.message)

    def one(stored: bool) -> Table:
        return Table(
            positions.similarity(trace, stored),
            positions.components(trace, stored),
            positions.norm(trace, stored),
            positions.prefix_similarity(trace, stored),
        )

    return Tables(one(False), one(True), changed)


def split(trace: "Trace", layer: int, query: Query) -> "Split":
    """A query's logits in parts. Raises MethodError with the reason where they cannot be had."""
    from vitviz.explain.internals.logit_parts import split

    return split(trace, layer, query)


def split_reason(trace: "Trace", layer: int) -> str:
    """Why a layer's logits are not split into content and position; empty where they are."""
    from vitviz.explain.internals.logit_parts import kind_of

    try:
        kind_of(trace, trace.layers[layer])
    except MethodError as problem:
        return problem.message
    return ""


def split_plate(found: "Split", mode: str, head: int | None, colormap: str) -> "Shown":
    """The pictures of a split ("split") or of its position alone in each head ("bias")."""
    from vitviz.explain.plates.plates import bias_pictures, split_pictures

    return bias_pictures(found) if mode == "bias" else split_pictures(found, head, colormap)
