"""How a problem reaches the user: one sentence, and details for those who want them."""

import platform
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType

from vitviz.errors import VitvizError


@dataclass(frozen=True)
class Failure:
    """A problem as the window tells it; `details` may be empty."""

    message: str
    details: str = ""

    @property
    def report(self) -> str:
        """What "Copy report" copies: the sentence, the details, and the versions that matter."""
        parts = [self.message, self.details, versions()]
        return "\n\n".join(part for part in parts if part)


def versions() -> str:
    """The versions of what vitviz stands on, one per line; nothing is imported for it."""
    lines = [f"Python {platform.python_version()} on {platform.platform()}"]
    for name in ("vitviz", "torch", "timm", "PySide6-Essentials", "pyqtgraph", "numpy", "Pillow"):
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            lines.append(f"{name}: no installed package")
    return "\n".join(lines)


def failure(problem: BaseException) -> Failure:
    """What to tell about an exception: its own sentence if vitviz raised it, else that it is a fault, with where."""
    if isinstance(problem, VitvizError):
        return Failure(problem.message, problem.details)
    where = "".join(traceback.format_exception(problem))
    sentence = str(problem).strip().splitlines()
    reason = f" ({type(problem).__name__}: {sentence[0]})" if sentence else f" ({type(problem).__name__})"
    return Failure(f"This is a fault in vitviz, and it was stopped{reason}. Your selection is kept.", where)


def catch_the_rest(show: Callable[[Failure], None]) -> Callable[[], None]:
    """Send uncaught exceptions to `show` as well as to stderr; returns how to undo it."""
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
