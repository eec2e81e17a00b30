"""`vitviz statistics`: each head's attention distance, entropy and share on prefix tokens, over photos, as a table."""

import argparse
import sys
from pathlib import Path

import numpy as np

from vitviz.batch.subjects import photos_in
from vitviz.cli.options import SOURCE, add_framing, add_loading, clear_progress, load, progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Photos, the model, and where the table goes."""
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="photos, or folders of them")
    parser.add_argument("--model", required=True, metavar="SOURCE", help=SOURCE)
    parser.add_argument(
        "--out", type=Path, metavar="FILE.csv", help="a table of every head, with standard deviations"
    )
    add_framing(parser)
    add_loading(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print a line per layer and write the table; 1 if a photo could not be read."""
    paths = photos_in(arguments.photos)
    from vitviz.batch.statistics import over_photos

    model = load(arguments.model, arguments)
    found = over_photos(model, paths, framing=arguments.framing, progress=progress())
    clear_progress()
    for name, reason in found.skipped:
        print(f"vitviz: {name} is left out: {reason}", file=sys.stderr)
    print(
        f"{model.full_name}, mean over {found.count} photo{'s' if found.count != 1 else ''}; of the heads of a layer"
    )
    print(f"{'layer':>5}  {'distance in px':>16}  {'even':>6}  {'entropy':>12}  prefix tokens")
    for number, layer in enumerate(found.mean.layers):
        shares = layer.prefix.sum(0)
        print(
            f"{number:>5}  {_span(layer.distance, '.1f'):>16}  {float(layer.uniform_distance):>6.1f}  "
            f"{_span(layer.entropy, '.2f'):>12}  {_span(shares, '.3f') if len(layer.prefix) else 'none'}"
        )
    if arguments.out is not None:
        print(f"Saved {found.save(arguments.out)}")
    return 1 if found.skipped else 0


def _span(values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", digits: str) -> str:
    if np.isnan(values).all():
        return "–"
    return f"{np.nanmin(values):{digits}} to {np.nanmax(values):{digits}}"
