"""What can be loaded by name: timm's architectures in scope, their sizes, and which weights are on this machine.

`python -m vitviz.models.catalog --write` measures all architectures of the installed timm and writes the index
that the package ships (`resources/architectures.json.gz`).
"""

import argparse
import fnmatch
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from vitviz.models.architectures import INDEX, SCOPE, known, write_index
from vitviz.models.hub import cached_weights
from vitviz.resources_path import resource

__all__ = ["SCOPE", "Entry", "entries", "main"]


@dataclass(frozen=True)
class Entry:
    """One architecture: input size (height, width) in pixels, tokens of its first layer, whether its weights are here."""

    name: str
    parameters: int
    input_size: tuple[int, int]
    tokens: int
    cached: bool


def entries(pattern: str | None = None) -> list[Entry]:
    """The architectures in scope whose name matches a glob ("deit*224") or contains a word ("distilled").

    Sorted as timm sorts names. Looks for weights in the local caches only, never on the network.
    """
    found = [one for name, one in known().items() if _matches(name, pattern)]
    return [Entry(one.name, one.parameters, one.input_size, one.tokens, is_cached(one.name)) for one in found]


def is_cached(name: str) -> bool:
    """Whether the weights that a name stands for (a timm name, with or without tag) are on this machine."""
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name)
    return config is not None and cached_weights(config.to_dict()) is not None


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the index of architectures."""
    parser = argparse.ArgumentParser(prog="python -m vitviz.models.catalog", description=main.__doc__)
    parser.add_argument(
        "--write", action="store_true", required=True, help="measure and write (about two minutes)"
    )
    parser.parse_args(arguments)
    began = time.perf_counter()
    count = write_index(resource(INDEX))
    print(f"{count} architectures measured in {time.perf_counter() - began:.0f} s: {resource(INDEX)}")
    return 0


def _matches(name: str, pattern: str | None) -> bool:
    if not pattern:
        return True
    if any(sign in pattern for sign in "*?["):
        return fnmatch.fnmatch(name, pattern)
    return pattern.lower() in name


if __name__ == "__main__":
    sys.exit(main())
