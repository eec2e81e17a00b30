"""Heatmaps of photos as PNG and as numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitviz.demo.bundled import index
from vitviz.errors import ExportError, MethodError
from vitviz.resources_path import resource

if TYPE_CHECKING:
    from vitviz.images.framing import FramingMode
    from vitviz.models.model import Model


@dataclass(frozen=True)
class ExportOptions:
    """What is exported of every photo, and how it is drawn."""

    method: str
    choices: Mapping[str, Any] = field(default_factory=dict)
    """Options of the method and its axes (layer, head, query, …) by name, without the target."""
    target: str | None = None
    """The class to explain: its number, label or ImageNet code; None for the top prediction."""
    framing: "FramingMode" = "crop"
    style: Mapping[str, Any] = field(default_factory=dict)
    """What `Heatmap.save` takes: colormap, opacity, style, …"""
    pixels: bool = False
    """Each pixel's value instead of the patches', where the method has them."""
    legend: bool = False


def export_photo(
    photo: Path, model: "Model", asked: ExportOptions, picture: Path, raw: Path | None = None
) -> str:
    """Write one photo's picture, and its numbers if asked for; returns a line that says what was written.

    Raises VitvizError for a photo, a method or a file that cannot be used.
    """
    from vitviz.attention.trace import patches_of, trace
    from vitviz.explain import explain
    from vitviz.explain.methods.class_gradients import find_class
    from vitviz.explain.registry import METHODS, find
    from vitviz.images.photo import open_image
    from vitviz.render.colors import value_range
    from vitviz.render.export import number_text

    of_class = find(asked.method).gradient
    traced = trace(model, open_image(photo), framing=asked.framing, gradients=of_class)
    choices, style = dict(asked.choices), dict(asked.style)
    if asked.target is not None:
        choices["target"] = find_class(traced, asked.target)
    heatmap = explain(traced, asked.method, **choices)
    if asked.pixels and heatmap.pixels is None:
        having = ", ".join(method.name for method in METHODS if method.pixels)
        raise MethodError(f"{asked.method} has no values of single pixels; --pixels is for {having}.")
    if asked.pixels:
        style["field"] = heatmap.pixels
    query = choices.get("query")
    if isinstance(query, tuple) and len(patches_of(query)) == 1:
        style["mark"] = traced.patches.nearest_in(heatmap.patches, *query)
    heatmap.save(picture, legend=asked.legend, **style)
    if raw is not None:
        heatmap.save_raw(raw)
    painted = heatmap.values if style.get("field") is None else style["field"]
    low, high = value_range(painted, style.get("scale"), style.get("log", False))
    best = traced.predictions(top=1)
    seen = f"{best[0].label} {best[0].said}; " if best else ""
    written = f"{picture} and {raw}" if raw else f"{picture}"
    scale = f"colours from {number_text(low)} to {number_text(high)} ({heatmap.unit})"
    return f"{written}: {seen}{heatmap.title_of(painted)}; {scale}"


def sample_photo() -> Path:
    """The bundled scene of two objects: the first that the index of the scenes names."""
    return resource(f"scenes/{index()[0]['file']}")


def targets(photos: Sequence[Path], out: Path, method: str, suffix: str) -> list[Path]:
    """Where each photo's file goes: to `out` itself, into the folder `out`, or to a pattern with {name} filled in.

    A name without a suffix is a folder, made if need be. ExportError where two photos would
    share a file, where a photo itself would be overwritten, and for another suffix.
    """
    text = str(out)
    if "{name}" in text:
        paths = [Path(text.replace("{name}", photo.stem)) for photo in photos]
    elif out.is_dir() or not out.suffix:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExportError(f"The folder {out} cannot be made: {error.strerror}.") from error
        paths = [out / f"{photo.stem}-{method}{suffix}" for photo in photos]
    elif len(photos) > 1:
        raise ExportError(
            f"{out} is one file for {len(photos)} photos; give a folder, or a pattern such as {{name}}{suffix}."
        )
    else:
        paths = [out]
    taken: dict[Path, Path] = {}
    for photo, path in zip(photos, paths, strict=True):
        if path.suffix.lower() != suffix:
            raise ExportError(f"{path}: the name must end in {suffix}.")
        other = taken.setdefault(path.absolute(), photo)
        if other is not photo:
            raise ExportError(f"{other} and {photo} would both be written to {path}; export them one by one.")
        if path.exists() and any(path.samefile(source) for source in photos if source.exists()):
            raise ExportError(
                f"{path} is one of the photos and will not be overwritten; choose another --out."
            )
    return paths
