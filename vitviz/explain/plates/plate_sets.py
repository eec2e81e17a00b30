"""All plates of a model at once: every layer's, and every table's as stored and as used."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from vitviz.attention.trace import Query, Trace
from vitviz.errors import ExportError, MethodError
from vitviz.explain.plates.plates import LAYERED, PLATES, TABLES, plate
from vitviz.explain.query import find_layer
from vitviz.render.colors import DEFAULT_COLORMAP
from vitviz.render.export import save_png


@dataclass(frozen=True, eq=False)
class Named:
    """One of several plates: a name for its file, what it is, and the picture."""

    name: str
    what: str
    image: Image.Image


def plates(
    trace: Trace,
    what: Sequence[str] | None = None,
    *,
    layer: int | str | None = None,
    head: int | None = None,
    query: Query = None,
    colormap: str = DEFAULT_COLORMAP,
) -> Iterator[Named]:
    """Every plate of the kinds in `what` (None: all) that the model has something for: of every layer, or of one `layer`,
    and of tables as used and, where this input interpolates them, as stored.

    What a layer or the model lacks is left out. Raises MethodError with a reason where there is none at all.
    """
    found, reason = False, ""
    layers = [one.name for one in trace.layers] if layer is None else [find_layer(trace, layer).name]
    grids = trace.position_embedding.stored_grid, trace.position_embedding.used_grid
    for kind in PLATES if what is None else what:
        variants: list[tuple[str, dict[str, Any]]] = [(kind, {})]
        if kind in LAYERED:
            variants = [(f"{kind}-{name}", {"layer": name}) for name in layers]
        elif kind in TABLES and grids[0] != grids[1]:
            variants = [(kind, {}), (f"{kind}-stored", {"stored": True})]
        for name, more in variants:
            try:
                image = plate(trace, kind, **({"head": head, "query": query, "colormap": colormap} | more))
            except MethodError as problem:
                reason = reason or problem.message
                continue
            found = True
            yield Named(name, kind, image)
    if not found:
        raise MethodError(reason)


def write_all(
    trace: Trace, folder: Path, what: Sequence[str] | None = None, **options: Any
) -> Iterator[tuple[Path, str]]:
    """Write each of `plates` into a folder as "photo-plate.png" and return its path and kind.

    Raises ExportError where that fails, MethodError as `plates` does.
    """
    if folder.suffix.lower() == ".png" or folder.is_file():
        raise ExportError(
            f"{folder}: several pictures are written into a folder, so this must be a folder's name."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ExportError(f"The folder {folder} cannot be made: {problem.strerror}.") from problem
    for one in plates(trace, what, **options):
        path = folder / f"{Path(trace.photo.name).stem}-{one.name}.png"
        save_png(one.image, path, {"Model": trace.model.full_name, "Plate": one.what})
        yield path, one.what
