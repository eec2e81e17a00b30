"""`vitviz plate`: windows, positions and patches as a picture, without a window."""

import argparse
from pathlib import Path

from vitviz.cli.methods import add_readout
from vitviz.cli.options import (
    SOURCE,
    add_framing,
    add_loading,
    load,
    number_or_name,
    query,
)

WHAT = {
    "windows": "the windows of a Swin layer on the photo, one of them bright with --query",
    "shifted": "the photo as a layer's windows cut it after the cyclic shift, regions and padding",
    "merge": "the patches that the token of --query was merged from",
    "matrix": "a window's attention per head, its position bias and masked pairs",
    "similarity": "the cosine of each position's embedding with every other's",
    "prefix": "the cosine of class, distillation and register embeddings with every position's",
    "components": "principal components of the position table as colours",
    "norm": "the length of each position's embedding",
    "split": "the logits of --query: content, position, sum, attention",
    "bias": "what position adds to the logits of --query, head by head",
    "patches": "the patches as the model sees them, drawn apart",
    "filters": "principal components of the patch embedding's filters",
    "embedding": "the length of each patch's embedding",
    "stem": "a hybrid's convolutions: the length of their features in each cell",
    "all": "all of these that apply to the model, into a folder",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything `vitviz plate` takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "what:\n" + "\n".join(f"  {name:<12}{about}" for name, about in WHAT.items())
    parser.add_argument("what", choices=WHAT, metavar="WHAT", help=", ".join(WHAT))
    parser.add_argument("photo", metavar="PHOTO", help="the photo")
    parser.add_argument("--model", metavar="SOURCE", required=True, help=SOURCE)
    parser.add_argument(
        "--out", metavar="PATH", required=True, type=Path, help="a .png file; a folder for several"
    )
    parser.add_argument(
        "--layer",
        type=number_or_name,
        default=-1,
        metavar="N",
        help="a layer's number or name, or all: one file each, into a folder (default: the last)",
    )
    parser.add_argument("--head", type=int, metavar="N", help="one head (default: all, or their mean)")
    parser.add_argument("--query", type=query, metavar="R,C", help="a patch, or a prefix token's name")
    add_readout(parser)
    parser.add_argument("--stored", action="store_true", help="the position table before it was interpolated")
    add_framing(parser)
    add_loading(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write one plate."""
    from vitviz.attention.trace import trace
    from vitviz.explain.plates.plate_sets import write_all
    from vitviz.explain.plates.plates import plate
    from vitviz.explain.query import with_readout
    from vitviz.images.photo import open_image
    from vitviz.render.export import save_png

    photo = open_image(arguments.photo)
    model = load(arguments.model, arguments)
    traced = trace(model, photo, framing=arguments.framing)
    query = with_readout(traced, arguments.query, arguments.readout)
    options = {"head": arguments.head, "query": query}
    if arguments.what != "all" and arguments.layer != "all":
        image = plate(traced, arguments.what, layer=arguments.layer, stored=arguments.stored, **options)
        save_png(image, arguments.out, {"Model": model.full_name, "Plate": arguments.what})
        print(f"{arguments.out}: {WHAT[arguments.what]}")
        return 0
    kinds = None if arguments.what == "all" else [arguments.what]
    layer = None if arguments.layer == "all" else arguments.layer
    for path, what in write_all(traced, arguments.out, kinds, layer=layer, **options):
        print(f"{path}: {WHAT[what]}")
    return 0
