"""Exceptions as messages for the user: one sentence, and optional details."""

import platform
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Literal

from vitviz.errors import VitvizError

About = Literal["", "opening", "map", "saving"]


@dataclass(frozen=True)
class Failure:
    """An error as the window shows it; `details` may be empty. `about`: what is replaced when it no longer applies."""

    message: str
    details: str = ""
    about: About = ""

    @property
    def report(self) -> str:
        """The text that "Copy report" copies: the sentence, the details, and the versions."""
        parts = [self.message, self.details, versions()]
        return "\n\n".join(part for part in parts if part)


def versions() -> str:
    """The versions of vitviz and its dependencies, one per line; no dependency is imported."""
    lines = [f"Python {platform.python_version()} on {platform.platform()}"]
    for name in ("vitviz", "torch", "timm", "PySide6-Essentials", "pyqtgraph", "numpy", "Pillow"):
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            lines.append(f"{name}: not an installed package")
    return "\n".join(lines)


def failure(problem: BaseException) -> Failure:
    """The message for an exception: its own sentence for a VitvizError, otherwise an internal error with the traceback."""
    if isinstance(problem, VitvizError):
        return Failure(problem.message, problem.details)
    where = "".join(traceback.format_exception(problem))
    sentence = str(problem).strip().splitlines()
    reason = f" ({type(problem).__name__}: {sentence[0]})" if sentence else f" ({type(problem).__name__})"
    return Failure(f"An internal error of vitviz occurred{reason}. Your selection is kept.", where)


def catch_uncaught(show: Callable[[Failure], None]) -> Callable[[], None]:
    """Pass uncaught exceptions of the main thread to `show` as well as to stderr; returns a function that undoes this."""
    before = sys.excepthook

    def hook(kind: type[BaseException], problem: BaseException, trace: TracebackType | None) -> None:
        before(kind, problem, trace)
        if not issubclass(kind, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            show(failure(problem))

    sys.excepthook = hook

    def undo() -> None:
        if sys.excepthook is hook:
            sys.excepthook = before

    return undo
