"""What the Patches panel shows, computed in its thread."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitviz.errors import MethodError

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.internals.patches import Embedding, Filters


@dataclass(frozen=True, eq=False)
class PatchData:
    """Patches, filters and embeddings of a trace; None with a reason where the model has none."""

    tiles: NDArray[np.uint8] | None
    """rows×cols×h×w×3, normalised and shown on one scale."""
    normalised: NDArray[np.float32] | None
    """The same as the model is given them; NaN where a patch has no pixels."""
    ends: tuple[float, float]
    """The least and greatest normalised value."""
    filters: "Filters | None"
    embedding: "Embedding | None"
    reasons: dict[str, str]
    """Why there is nothing to show, by the panel's mode."""


def patch_data(trace: "Trace") -> PatchData:
    """What the panel shows of a trace."""
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
    return PatchData(tiles, pictures, ends, filters, embedding, reasons)


def values_of(data: PatchData, mode: str) -> dict[str, NDArray[np.float32]]:
    """The numbers that the pictures of a mode show, by name; empty where there are none."""
    if mode == "patches" and data.normalised is not None:
        return {"normalised pixels": data.normalised}
    if mode == "filters" and data.filters is not None:
        return {"filters": data.filters.images, "share of variance": data.filters.shares}
    found = data.embedding
    lengths = None if found is None else found.stem if mode == "stem" else found.norms
    return {} if lengths is None else {"length": lengths}
