"""A trace as HTML, for notebooks: predictions, layers, and what was proved."""

from collections.abc import Sequence
from html import escape

from vitviz.attention.layer import Layer
from vitviz.attention.self_check.outputs import Check

_MOST = 24
"""Layers that are listed one by one."""
_SIGNS = {"holds": "✓", "fails": "✗", "not yet proved": "–"}


def heading(model: str, rest: str) -> str:
    """The model in bold and what else is said of the trace."""
    return f"<p><b>{escape(model)}</b> {escape(rest)}</p>"


def predictions(found: Sequence[tuple[int, str, float]]) -> str:
    """A table of classes: number, label and probability."""
    if not found:
        return "<p>No classes: the model gives features.</p>"
    rows = [(str(index), label, f"{probability:.1%}") for index, label, probability in found]
    return _table(("class", "label", "probability"), rows)


def layers(found: Sequence[Layer]) -> str:
    """A table of the layers, folded."""
    rows = []
    for number, layer in enumerate(found[:_MOST]):
        windows = layer.layout.windows
        inside = f"windows of {windows.size[0]}×{windows.size[1]}" if windows is not None else "all tokens"
        rows.append((str(number), layer.name, str(layer.heads), str(layer.layout.tokens), inside))
    left = len(found) - len(rows)
    more = f"<p>and {left} more layers</p>" if left else ""
    table = _table(("layer", "name", "heads", "tokens", "attends to"), rows)
    return f"<details><summary>{len(found)} layers</summary>{table}{more}</details>"


def claims(check: Check | None) -> str:
    """A table of the five claims with their verdicts."""
    if check is None:
        return "<p>Nothing is proved of this trace: it was made without a check.</p>"
    rows = [
        (f"{_SIGNS[claim.verdict]} {claim.name}", str(claim.verdict), claim.sentence, claim.how)
        for claim in check.claims
    ]
    return _table(("claim", "verdict", "what it says", "proved by"), rows)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th style='text-align:left'>{escape(one)}</th>" for one in headings)
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
