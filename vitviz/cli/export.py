"""`vitviz export`: photos in, heatmaps out."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitviz.cli import report
from vitviz.cli.methods import add_method, listed, options_of
from vitviz.cli.options import (
    SOURCE,
    add_framing,
    add_loading,
    load,
    pair,
)
from vitviz.errors import ExportError, MethodError, VitvizError
from vitviz.render.colors import COLORMAPS, DEFAULT_COLORMAP, STYLES

if TYPE_CHECKING:
    from vitviz.models.model import Model

_STYLE_OPTIONS = ("colormap", "opacity", "style", "smooth", "scale", "log", "temperature", "grid")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything `vitviz export` takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = listed()
    parser.add_argument("photos", nargs="*", metavar="PHOTO", help="one or more photos")
    parser.add_argument(
        "--sample", action="store_true", help="use the bundled scene of two objects, with demo/vit by default"
    )
    parser.add_argument("--model", metavar="SOURCE", help=SOURCE)
    parser.add_argument(
        "--out",
        metavar="PATH",
        required=True,
        type=Path,
        help="a .png file, a folder, or a pattern with {name} for several photos",
    )
    parser.add_argument(
        "--raw", metavar="PATH", type=Path, help="also write the numbers, as .npz: a file, folder or pattern"
    )
    add_method(parser.add_argument_group("what is shown"))
    _add_model(parser.add_argument_group("photo and model"))
    _add_look(parser.add_argument_group("how it looks"))


def _add_model(group: argparse._ArgumentGroup) -> None:
    add_framing(group)
    add_loading(group)
    group.add_argument("--labels", metavar="FILE", help="class names: .txt (one per line), .json or .csv")


def _add_look(group: argparse._ArgumentGroup) -> None:
    maps = ", ".join(COLORMAPS)
    group.add_argument(
        "--colormap",
        default=DEFAULT_COLORMAP,
        metavar="NAME",
        help=f"{maps}, or any that cmap knows (default: {DEFAULT_COLORMAP})",
    )
    group.add_argument(
        "--opacity", type=float, default=0.85, metavar="0…1", help="of the strongest heat (default: 0.85)"
    )
    group.add_argument(
        "--style",
        choices=STYLES,
        default="glow",
        help="glow: opacity follows the value; tint: constant; contour: lines; dim: darkens what is not attended "
        "(default: glow)",
    )
    group.add_argument(
        "--smooth", action="store_true", help="interpolate between patch centres instead of showing patches"
    )
    group.add_argument(
        "--scale",
        type=pair,
        metavar="LOW,HIGH",
        help="values at the ends of the colour map; write --scale=-1,1 if the first is negative (default: up to the "
        "map's maximum, from 0 or, where all of it is far above 0, from its minimum)",
    )
    group.add_argument("--log", action="store_true", help="a logarithmic scale")
    group.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="colours follow weight^(1/T), as if the softmax had been T times as warm; numbers stay (default: 1)",
    )
    group.add_argument("--grid", action="store_true", help="draw the patch borders")
    group.add_argument(
        "--pixels", action="store_true", help="input_gradient: each pixel's value instead of the patches'"
    )
    group.add_argument(
        "--legend", action="store_true", help="add a strip below the picture: what it shows, and the scale"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write one picture per photo; a photo that fails is reported and the others go on. 0 if all were written."""
    photos = [Path(photo) for photo in arguments.photos]
    if arguments.sample:
        photos.append(sample_photo())
    source = arguments.model or ("demo/vit" if arguments.sample else None)
    if not photos:
        raise VitvizError("Name at least one photo to export, or use --sample.")
    if source is None:
        raise VitvizError("Name a model: --model demo/vit, --model deit_tiny_patch16_224 or a weight file.")
    pictures = targets(photos, arguments.out, arguments.method, ".png")
    numbers: Sequence[Path | None] = [None] * len(photos)
    if arguments.raw:
        numbers = targets(photos, arguments.raw, arguments.method, ".npz")

    model = load(source, arguments, arguments.labels)
    failures = 0
    for photo, picture, raw in zip(photos, pictures, numbers, strict=True):
        try:
            print(export_one(photo, model, arguments, picture, raw))
        except VitvizError as error:
            if len(photos) == 1:
                raise
            report(error, arguments.verbose)
            failures += 1
    if failures:
        print(f"vitviz: {failures} of {len(photos)} photos could not be exported.", file=sys.stderr)
    return 1 if failures else 0


def export_one(
    photo: Path, model: "Model", arguments: argparse.Namespace, picture: Path, raw: Path | None
) -> str:
    """Write one photo's picture, and its numbers if asked for; returns a line that says what was written."""
    from vitviz.attention.trace import patches_of, trace
    from vitviz.explain import explain
    from vitviz.explain.registry import find
    from vitviz.images.photo import open_image
    from vitviz.render.colors import value_range
    from vitviz.render.export import number_text

    of_class = find(arguments.method).gradient
    traced = trace(model, open_image(photo), framing=arguments.framing, gradients=of_class)
    heatmap = explain(traced, arguments.method, **options_of(arguments, traced))
    style: dict[str, Any] = {name: getattr(arguments, name) for name in _STYLE_OPTIONS}
    if arguments.pixels and heatmap.pixels is None:
        raise MethodError(
            f"{arguments.method} says nothing of single pixels; --pixels is for input_gradient."
        )
    if arguments.pixels:
        style["field"] = heatmap.pixels
    if isinstance(arguments.query, tuple) and len(patches_of(arguments.query)) == 1:
        style["mark"] = traced.cell(heatmap.patches, *arguments.query)
    heatmap.save(picture, legend=arguments.legend, **style)
    if raw is not None:
        heatmap.save_raw(raw)
    painted = heatmap.values if style.get("field") is None else style["field"]
    low, high = value_range(painted, arguments.scale, arguments.log)
    best = traced.predictions(top=1)
    seen = f"{best[0].label} {best[0].probability:.1%}; " if best else ""
    written = f"{picture} and {raw}" if raw else f"{picture}"
    scale = f"colours from {number_text(low)} to {number_text(high)} ({heatmap.unit})"
    return f"{written}: {seen}{heatmap.title_of(painted)}; {scale}"


def sample_photo() -> Path:
    """The bundled scene of two objects: the first that the index of the scenes names."""
    from vitviz.resources_path import resource

    index = json.loads(resource("scenes/index.json").read_text(encoding="utf-8"))
    return resource(f"scenes/{index['scenes'][0]['file']}")


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
