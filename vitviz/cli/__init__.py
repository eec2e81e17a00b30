"""The command line: `vitviz` opens the window; `vitviz export`, `check` and the other commands do without one.

Decisions:

- Nothing is imported before it is needed, so help and usage errors come at once, without torch and Qt.
- Errors are a sentence on stderr; the exit status is 1, or 2 for an invalid command line or a window that cannot be
  opened. What is not a `VitvizError` is a fault of vitviz and shows its traceback.
- Each command has its own file with `add_arguments(parser)` and `run(arguments)`.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from vitviz.errors import VitvizError
from vitviz.memory import keep_freed_memory

COMMANDS = {
    "export": "write heatmaps of photos as PNG, and as numbers",
    "plate": "write windows, positions or patches of a model as PNG",
    "models": "list the models that can be loaded by name",
    "check": "check that a model's attention is recomputed exactly",
    "evaluate": "score how faithful heatmaps are, over photos, as a table",
    "statistics": "measure each head over photos: distance, entropy, prefix tokens",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Usage errors and --help raise SystemExit, as argparse does."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # A console that lacks a letter (×, →) shows an escape instead of failing.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    command = words.pop(0) if words and words[0] in COMMANDS else "window"
    part = import_module(f"vitviz.cli.{command}")
    parser = _parser(command)
    part.add_arguments(parser)
    arguments = parser.parse_args(words)
    keep_freed_memory()
    try:
        status: int = part.run(arguments)
        sys.stdout.flush()
        return status
    except VitvizError as error:
        report(error, arguments.verbose)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (such as head) has closed the pipe; Python's own flush at exit must not fail on it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def report(error: VitvizError, verbose: bool) -> None:
    """One line on stderr; the details too if they were asked for."""
    print(f"vitviz: {error.message}", file=sys.stderr)
    if verbose and error.details:
        print(error.details, file=sys.stderr)


def _parser(command: str) -> argparse.ArgumentParser:
    if command != "window":
        parser = argparse.ArgumentParser(prog=f"vitviz {command}", description=_sentence(COMMANDS[command]))
    else:
        lines = "\n".join(f"  vitviz {name:<12}{what}" for name, what in COMMANDS.items())
        parser = argparse.ArgumentParser(
            prog="vitviz",
            description="See what a vision transformer attends to. Opens the window, on PHOTO if given.",
            epilog=f"without a window:\n{lines}\n\n`vitviz export --help` and so on explain their options.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("--version", action=_Version)
    parser.add_argument("--verbose", action="store_true", help="also print the details of an error")
    return parser


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:] + "."


class _Version(argparse.Action):
    """Prints the version; looked up only when asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and leave")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from vitviz import __version__

        print(f"vitviz {__version__}")
        parser.exit()
