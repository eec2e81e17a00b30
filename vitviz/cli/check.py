"""`vitviz check`: recompute a model's attention, compare it with the model's own, and list the methods that apply."""

import argparse
import sys
from typing import TYPE_CHECKING

from vitviz.cli.options import SOURCE, add_loading, clear_progress, load
from vitviz.errors import VitvizError

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """SOURCE and the options of loading."""
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help=SOURCE)
    parser.add_argument(
        "--random", action="store_true", help="timm names with random weights: nothing is downloaded"
    )
    parser.add_argument(
        "--depth",
        type=int,
        metavar="N",
        help="with --random: at most N blocks (of each stage), for models too large for this machine",
    )
    add_loading(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check each source and print what was found; 0 if all are exact."""
    if arguments.depth is not None and (not arguments.random or arguments.depth < 1):
        raise VitvizError(
            "--depth takes a number from 1, and needs --random: weights are for the whole model."
        )
    exact = [check_one(source, arguments) for source in arguments.sources]
    return 0 if all(exact) else 1


def check_one(source: str, arguments: argparse.Namespace) -> bool:
    """Check one source and print the finding; whether it is exact."""
    from vitviz.attention.model_check import check_model
    from vitviz.models.random_weights import random_module

    try:
        model = load(random_module(source, arguments.depth) if arguments.random else source, arguments)
        report = check_model(model)
    except VitvizError as error:
        clear_progress()
        print(f"{source}: not checked\n  {error.message}")
        if arguments.verbose and error.details:
            print(error.details, file=sys.stderr)
        return False
    if report.trace is None:
        print(f"{source}: refused\n  {report.reason}")
        return False
    from vitviz.explain.registry import methods

    check = report.trace.check
    assert check is not None
    print(f"{report.name}: {check.sentence}")
    print(f"  {structure(report.trace)}")
    for claim in check.claims:
        print(f"  {claim.name}: {claim.verdict}{f', {claim.how}' if claim.holds else f': {claim.sentence}'}")
    parts = report.trace.parts
    if parts:
        print(f"  drawn: {report.trace.readout.subject}; --readout also takes: {', '.join(parts)}")
    same = (
        "bit for bit the model's own"
        if report.logits_error == 0
        else f"within {report.logits_error:.0e} of its own"
    )
    print(f"  logits: {same}")
    found = methods(report.trace)
    applying = [name for name, reason in found.items() if reason is None]
    print(f"  applies: {', '.join(applying) or 'no method'}")
    for name, reason in found.items():
        if reason is not None:
            print(f"  {name} {reason}")
    if not report.exact:
        print(f"  refused: {report.reason}")
    return report.exact


def structure(trace: "Trace") -> str:
    """Layers, heads, tokens and prefix tokens of a trace, in one line."""
    layers = trace.layers
    heads = " to ".join(str(heads) for heads in dict.fromkeys(extremes([layer.heads for layer in layers])))
    tokens = extremes([layer.layout.tokens for layer in layers])
    amount = f"{tokens[0]} to {tokens[1]}" if tokens[0] != tokens[1] else f"{tokens[0]}"
    grid = trace.patches
    prefix = ", ".join(trace.prefix) or "none"
    return (
        f"layers: {len(layers)}; heads: {heads}; tokens: {amount}; patches: {grid.rows}×{grid.cols}; "
        f"prefix tokens: {prefix}"
    )


def extremes(numbers: list[int]) -> tuple[int, int]:
    """The smallest and the largest."""
    return min(numbers), max(numbers)
