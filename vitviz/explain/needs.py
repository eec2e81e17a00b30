"""What a method needs of a trace beside weights and place, without which no trace is made: shares, order, readout.

Each function gives the reason from "because" on, or None where there is what is needed.
"""

from collections.abc import Callable

from vitviz.attention.self_check.shares import is_mixed, not_shares
from vitviz.attention.trace import Trace

Need = Callable[[Trace], str | None]


def shares(trace: Trace) -> str | None:
    """Rows that are shares of attention in every layer."""
    for layer in trace.layers:
        if not layer.is_distribution:
            return f"because {not_shares(layer)}"
    return None


def shares_or_mixed(trace: Trace) -> str | None:
    """Rows that are shares, or a mix of shares, of which a gradient tells what each weight adds."""
    for layer in trace.layers:
        if not layer.is_distribution and not is_mixed(layer):
            return f"because {not_shares(layer)}"
    return None


def order(trace: Trace) -> str | None:
    """Layers that follow one another on one stream of tokens."""
    check = trace.latest_check
    problem = None if check is None else check.problem("order")
    return None if problem is None else f"because its layers cannot be composed: {problem.rstrip('.')}"


def readout(trace: Trace) -> str | None:
    """Tokens of which it is proved that the prediction is read from them."""
    check = trace.latest_check
    problem = None if check is None else check.problem("readout")
    return None if problem is None else f"because its readout is not known: {problem.rstrip('.')}"


NEEDS: dict[str, Need] = {
    "shares": shares,
    "shares or mixed": shares_or_mixed,
    "order": order,
    "readout": readout,
}


def refusal(trace: Trace, needs: tuple[str, ...]) -> str | None:
    """The first of the needs that a trace does not meet."""
    return next((reason for name in needs if (reason := NEEDS[name](trace)) is not None), None)
