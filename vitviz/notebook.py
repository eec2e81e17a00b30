"""Progress in a notebook: a bar that is updated in place, where a kernel displays it."""

import sys
from collections.abc import Callable
from html import escape
from typing import Any


def progress() -> Callable[[str, float | None], None] | None:
    """A `progress` callback for a notebook; None outside of one, where nothing is displayed."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import HTML, display  # type: ignore[import-not-found, unused-ignore]

    handle: list[Any] = []

    def show(what: str, part: float | None) -> None:
        bar = "<progress></progress>" if part is None else f"<progress value='{part:.4f}' max='1'></progress>"
        content = HTML(f"<div>{bar} {escape(what)}</div>")
        if handle:
            handle[0].update(content)
        else:
            handle.append(display(content, display_id=True))

    return show
