"""What the panels of windows, positions and patches show: computed in their threads, torch first imported there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitviz.app.session.view_state import Query
from vitviz.errors import MethodError

if TYPE_CHECKING:
    from pathlib import Path

    from vitviz.attention.trace import Trace
    from vitviz.explain.internals.logit_parts import Split
    from vitviz.explain.internals.patches import Embedding, Filters
    from vitviz.explain.internals.positions import Change, Components, PrefixSimilarity
    from vitviz.explain.plates.plates import Shown

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Matrices:
    """One window, per head: what its slots attend to, the bias between them, and which pairs are masked."""

    window: int
    attention: Floats
    """heads×n×n."""
    bias: Floats | None
    masked: NDArray[np.bool_]
    padding: NDArray[np.bool_]
    """n: slots that hold no token."""
    missing: str = ""
    """Why there is no bias."""


def matrices(trace: "Trace", layer: int, window: int) -> Matrices:
    """The matrices of a window of a layer that has windows."""
    from vitviz.explain.internals.positions import position_bias

    chosen = trace.layers[layer]
    windows = chosen.layout.windows
    assert windows is not None
    attention = chosen.weights(None, window)[0].detach().float().cpu().numpy()
    bias, missing = None, ""
    try:
        bias = position_bias(trace, chosen)
    except MethodError as problem:
        missing = problem.message
    return Matrices(window, attention, bias, windows.masked(window), windows.index[window] < 0, missing)


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


@dataclass(frozen=True, eq=False)
class Cut:
    """The patches of a photo, each with its reason where there is none of it."""

    tiles: NDArray[np.uint8] | None
    """rows×cols×h×w×3, normalised and shown on one scale."""
    ends: tuple[float, float]
    """The least and greatest normalised value."""
    filters: "Filters | None"
    embedding: "Embedding | None"
    reasons: dict[str, str]


def cut(trace: "Trace") -> Cut:
    """Patches, filters and embeddings of a trace."""
    from vitviz.explain.internals import patches
    from vitviz.explain.plates.plates import patch_tiles

    reasons: dict[str, str] = {}

    def attempt(name: str, compute: Any) -> Any:
        try:
            return compute()
        except MethodError as problem:
            reasons[name] = problem.message
            return None

    pictures = attempt("patches", lambda: patches.pictures(trace))
    ends = (0.0, 0.0) if pictures is None else (float(np.nanmin(pictures)), float(np.nanmax(pictures)))
    tiles = None if pictures is None else patch_tiles(pictures)
    filters = attempt("filters", lambda: patches.filters(trace.model))
    embedding = attempt("embedding", lambda: patches.embedding(trace))
    if embedding is not None and embedding.stem is None:
        reasons["stem"] = (
            f"{trace.model.name} has no convolutional stem: its patches are cut from the photo itself."
        )
    elif embedding is None:
        reasons["stem"] = reasons["embedding"]
    return Cut(tiles, ends, filters, embedding, reasons)


def write_plate(trace: "Trace", what: str, path: "Path", **options: Any) -> None:
    """Save a plate as PNG."""
    from vitviz.explain.plates.plates import plate
    from vitviz.render.export import save_png

    save_png(plate(trace, what, **options), path, {"Model": trace.model.full_name, "Plate": what})


def write_plates(trace: "Trace", what: list[str], folder: "Path", **options: Any) -> int:
    """Save all plates of some kinds into a folder; how many there are."""
    from vitviz.explain.plates.plate_sets import write_all

    return len(list(write_all(trace, folder, what, **options)))
