"""`vitviz [PHOTO]`: opens the window, or prints in one sentence why it cannot be opened and what to do instead."""

import argparse
import sys

from vitviz.cli.options import SOURCE, add_framing, add_loading
from vitviz.models.settings import ModelSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PHOTO, --model, how it is loaded, --framing and --reset-settings."""
    parser.add_argument("photo", nargs="?", metavar="PHOTO", help="a photo to open, or a folder of photos")
    parser.add_argument("--model", metavar="SOURCE", help=f"the model: {SOURCE}")
    add_framing(parser, default=None)
    add_loading(parser)
    parser.add_argument(
        "--reset-settings",
        action="store_true",
        help="delete the stored layout, theme, colours, recent files and last session before the start",
    )


def run(arguments: argparse.Namespace) -> int:
    """The window's exit status, or 2 if no window can be opened."""
    from vitviz.app import display

    probe = display.Probe()
    try:
        # Qt and the window are imported while the probe runs in another process.
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
    return open_window(
        arguments.photo, arguments.model, arguments.device, arguments.reset_settings, settings_of(arguments)
    )


def settings_of(arguments: argparse.Namespace) -> ModelSettings:
    """The settings of the model that the options give."""
    size = arguments.image_size
    return ModelSettings(
        image_size=(size, size) if isinstance(size, int) else size,
        framing=arguments.framing or "",
        precision=arguments.precision or "",
        labels=arguments.class_names or "",
        architecture=arguments.architecture or "",
        outputs=arguments.outputs or "",
    )
