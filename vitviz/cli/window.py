"""`vitviz [PHOTO]`: open the window, or say in one sentence what to do where there can be none."""

import argparse
import sys

from vitviz.cli import display
from vitviz.cli.options import SOURCE, add_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PHOTO, --model, --device and --reset-settings."""
    parser.add_argument("photo", nargs="?", metavar="PHOTO", help="a photo to open, or a folder of photos")
    parser.add_argument("--model", metavar="SOURCE", help=f"the model: {SOURCE}")
    add_device(parser)
    parser.add_argument(
        "--reset-settings",
        action="store_true",
        help="forget layout, theme, colours, recent files and the last model, as on the first start",
    )


def run(arguments: argparse.Namespace) -> int:
    """The window's exit status, or 2 where no window can be opened."""
    probe = display.Probe()
    try:
        # While the probe runs in a process of its own, Qt and the window are imported in this one.
        from vitviz.app.main import run as open_window
    except ImportError as error:
        probe.stop()
        if not display.is_qt(error):
            raise
        reason: str | None = display.last_words(str(error))
    else:
        reason = probe.reason()
    if reason is not None:
        print(
            f"vitviz: no window can be opened here ({reason}); use "
            "`vitviz export PHOTO --model SOURCE --out PICTURE.png` instead.",
            file=sys.stderr,
        )
        if arguments.verbose and probe.details:
            print(probe.details, file=sys.stderr)
        return 2
    return open_window(arguments.photo, arguments.model, arguments.device, reset=arguments.reset_settings)
