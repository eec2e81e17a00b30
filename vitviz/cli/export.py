"""`vitviz export`: photos in, heatmaps out."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vitviz.batch.export import ExportOptions, export_photo, sample_photo, targets
from vitviz.cli import report
from vitviz.cli.methods import add_method, choices_of, listed, with_pixels
from vitviz.cli.options import (
    SOURCE,
    add_framing,
    add_loading,
    load,
    pair,
)
from vitviz.errors import VitvizError
from vitviz.render.colors import COLORMAPS, DEFAULT_COLORMAP, STYLES

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
    group.add_argument("--labels", dest="class_names", metavar="FILE", help="the same as --class-names")


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
        help="colours follow weight^(1/T), as with T times the softmax's temperature; numbers stay (default: 1)",
    )
    group.add_argument("--grid", action="store_true", help="draw the patch borders")
    group.add_argument(
        "--pixels",
        action="store_true",
        help=f"each pixel's value instead of the patches'; {with_pixels()}",
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

    model = load(source, arguments)
    asked = ExportOptions(
        arguments.method,
        choices_of(arguments),
        arguments.target,
        arguments.framing,
        {name: getattr(arguments, name) for name in _STYLE_OPTIONS},
        arguments.pixels,
        arguments.legend,
    )
    failures = 0
    for photo, picture, raw in zip(photos, pictures, numbers, strict=True):
        try:
            print(export_photo(photo, model, asked, picture, raw))
        except VitvizError as error:
            if len(photos) == 1:
                raise
            report(error, arguments.verbose)
            failures += 1
    if failures:
        print(f"vitviz: {failures} of {len(photos)} photos could not be exported.", file=sys.stderr)
    return 1 if failures else 0
