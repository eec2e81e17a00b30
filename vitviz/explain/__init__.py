"""To be described."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap


def explain(trace: "Trace", method: str, **options: Any) -> "Heatmap":
    """The heatmap of `method` for a trace."""
    from vitviz.explain.registry import heatmap

    return heatmap(trace, method, options)


def methods(trace: "Trace") -> dict[str, str | None]:
    """Every method's name, with None if it applies to this trace and otherwise the reason why it does not."""
    from vitviz.explain.registry import applicable

    return applicable(trace)
