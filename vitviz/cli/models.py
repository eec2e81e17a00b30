"""`vitviz models`: what can be loaded by name."""

import argparse
from collections.abc import Sequence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PATTERN."""
    parser.add_argument(
        "pattern",
        nargs="?",
        metavar="PATTERN",
        help='a part of the name ("distilled") or a pattern ("deit*_224")',
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the table; 1 if nothing matches."""
    from vitviz.errors import ModelError
    from vitviz.models.catalog import entries
    from vitviz.models.listing import refusal_of

    found = entries(arguments.pattern)
    refused = refusal_of(arguments.pattern or "")
    if not found and refused:
        raise ModelError(refused)
    if not found:
        raise ModelError(f"No model in scope matches “{arguments.pattern}”; `vitviz models` lists them all.")
    rows = [("model", "parameters", "input", "tokens", "weights")]
    for entry in found:
        height, width = entry.input_size
        here = "here" if entry.cached else "to download"
        rows.append((entry.name, count(entry.parameters), f"{height}×{width}", str(entry.tokens), here))
    print("\n".join(table(rows, right=(1, 2, 3))))
    return 0


def count(parameters: int) -> str:
    """5717416 → "5.7 M"."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if parameters >= limit:
            return f"{parameters / limit:.3g} {letter}"
    return str(parameters)


def table(rows: Sequence[tuple[str, ...]], right: tuple[int, ...] = ()) -> list[str]:
    """Rows as lines with aligned columns, two spaces apart; the columns in `right` are flush right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
