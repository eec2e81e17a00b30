"""Which models of timm vitviz cannot show, and why: found without any weights, and shipped with the program.

`python -m vitviz.batch.refused --write` runs every architecture that is not in scope once on torch's meta device. One in
which no softmax runs has no attention. Of the others, the smallest of each of timm's files is checked with random weights,
and what it is refused for holds for all of that file. With this list such a name is refused before anything is downloaded.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from vitviz.attention.model_check import check_model
from vitviz.errors import VitvizError
from vitviz.models.architectures import SCOPE, bare_module
from vitviz.models.loading import load_model
from vitviz.models.model_table import REFUSED, write
from vitviz.resources_path import resource

_SOFTMAX = (
    F.softmax,
    torch.softmax,
    torch.Tensor.softmax,
    F.scaled_dot_product_attention,
    F.multi_head_attention_forward,
)
_PATIENCE = 300  # seconds for the check of one model
_NOT_FINITE = "not finite"
"""What random weights may be while trained ones are not: no reason to refuse."""
NO_ATTENTION = "it has no attention between tokens, so there is nothing to show"


class _Softmax(TorchFunctionMode):
    """Whether a softmax ran."""

    ran = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.ran = self.ran or func in _SOFTMAX
        return func(*args, **(kwargs or {}))


def has_softmax(module: nn.Module) -> bool:
    """Whether a softmax runs in a module on the meta device; True where the module does not run there."""
    config: Any = module.pretrained_cfg
    with torch.no_grad(), _Softmax() as seen:
        try:
            module.eval()(torch.zeros(1, *config["input_size"], device="meta"))
        except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError, AssertionError):
            return True
    return bool(seen.ran)


def refusal(name: str) -> str:
    """Why vitviz refuses an architecture with random weights; empty if it shows it, or if that is not known in time."""
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = timm.create_model(name)
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(_PATIENCE)
    try:
        return check_model(load_model(module, device="cpu")).reason
    except VitvizError as error:
        return error.message
    except _TooSlowError:
        return ""
    finally:
        signal.alarm(0)


class _TooSlowError(BaseException):
    """A check took too long. No Exception: those that come out of a module are told as what the module said."""


def _give_up(*_: object) -> None:
    raise _TooSlowError


def find_refused(report: Callable[[str], object] = print) -> list[dict[str, Any]]:
    """Groups of names with the reason for which they are refused; `report` is called with a line about each file."""
    import timm
    from timm.models import list_modules

    groups: list[dict[str, Any]] = []
    without: list[str] = []
    for file in sorted(set(list_modules()) - set(SCOPE)):
        sizes: dict[str, int] = {}
        for name in timm.list_models(module=file):
            module = bare_module(name)
            if has_softmax(module):
                sizes[name] = sum(parameter.numel() for parameter in module.parameters())
            else:
                without.append(name)
        if not sizes:
            continue
        smallest = min(sizes, key=sizes.__getitem__)
        reason = refusal(smallest)
        report(f"{file}: {smallest}: {reason or 'is shown'}")
        if "no attention" in reason:
            without += sizes
        elif reason and _NOT_FINITE not in reason:
            groups.append(
                {"short": _short(reason), "reason": _told(smallest, file, reason), "names": sorted(sizes)}
            )
    return [{"short": "no attention", "reason": NO_ATTENTION, "names": sorted(without)}, *groups]


_SHORT = (
    ("A softmax", "cannot be recorded"),
    ("is not followed by a product", "cannot be recorded"),
    ("overlap", "patches overlap"),
    ("depends on the whole photo", "tokens see the whole photo"),
    ("are pooled", "keys are pooled"),
    ("over channels", "attends over channels"),
    ("does not record", "tokens mix elsewhere"),
    ("cannot say which", "tokens have no place"),
)
"""What a reason says → the same in a few words, for a column of a table."""


def _short(reason: str) -> str:
    """A reason in a few words."""
    return next((short for said, short in _SHORT if said in reason), "cannot be proved")


def _told(smallest: str, file: str, reason: str) -> str:
    """The reason as a part of a sentence about another model of the same file."""
    found = reason.split(" cannot be shown: ", 1)[-1]
    return f"in {smallest}, the smallest model of timm's file {file}, {found[0].lower()}{found[1:]}"


def write_refused(path: Path) -> int:
    """Find the refused models and write them; returns how many."""
    import timm

    groups = find_refused()
    write(path, {"timm": timm.__version__, "groups": groups})
    return sum(len(group["names"]) for group in groups)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the list of timm's models that vitviz cannot show."""
    parser = argparse.ArgumentParser(prog="python -m vitviz.batch.refused", description=main.__doc__)
    parser.add_argument(
        "--write",
        action="store_true",
        required=True,
        help="check and write (about an hour on two busy cores)",
    )
    parser.parse_args(arguments)
    began = time.perf_counter()
    count = write_refused(resource(REFUSED))
    print(f"{count} names refused, found in {time.perf_counter() - began:.0f} s: {resource(REFUSED)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
