"""All weights of a small trace, laid ready for the pointer: then a move costs slices, and no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitviz.app.session.view_state import Direction, Query
from vitviz.app.work.worker import Stopped, Ticket

if TYPE_CHECKING:
    from vitviz.attention.layer import Layer
    from vitviz.attention.trace import Trace

BYTES = 64 << 20
"""The most that is laid ready: ViT-B at 224 pixels takes 22 MB. Larger traces compute what the pointer asks for."""
TURNED = 256 << 20
"""The most that queries and keys may take a second time (DINOv2 ViT-B at 518 pixels: 101 MB), so that moves stay quick."""
_FEW = 8  # tokens of a query that are added up


@dataclass(frozen=True, eq=False)
class Ready:
    """Per layer float32 (queries, heads, keys), where every token attends to every other."""

    trace: "Trace"
    weights: tuple[NDArray[np.float32], ...]

    def maps(self, query: Query, direction: Direction) -> list[NDArray[np.float32]] | None:
        """What `explain.attention.head_maps` gives for a query of a few tokens; None for any other."""
        found = []
        for layer, weights in zip(self.trace.layers, self.weights, strict=True):
            shares = None if query is None else self.trace.query_weights(layer, query)
            if shares is None:
                return None
            tokens = np.flatnonzero(shares)
            if len(tokens) > _FEW:
                return None
            parts = [
                shares[token] * (weights[token] if direction == "to" else weights[:, :, token].T)
                for token in tokens
            ]
            values = parts[0] if len(parts) == 1 else np.sum(parts, axis=0)
            found.append(layer.layout.on_grid(np.asarray(values, np.float32)))
        return found


def prepare(trace: "Trace", ticket: Ticket) -> Ready | None:
    """Lay the weights of a trace ready; None where they are too many, or not all tokens attend to all.

    Where they are too many, queries and keys are laid so that rows and columns of them come fast.
    """
    from vitviz.models.devices import memory_guard

    if not all(_plain(layer) for layer in trace.layers):
        return None
    if sum(layer.heads * layer.layout.tokens**2 * 4 for layer in trace.layers) > BYTES:
        _turn(trace, ticket)
        return None
    found = []
    with memory_guard(trace.model.name, trace.model.device):
        for layer in trace.layers:
            if ticket.stopped():
                raise Stopped
            found.append(np.ascontiguousarray(layer.attention().transpose(1, 0, 2)))
    return Ready(trace, tuple(found))


def _turn(trace: "Trace", ticket: Ticket) -> None:
    if trace.model.device.type != "cpu" or 2 * sum(layer.bytes for layer in trace.layers) > 3 * TURNED:
        return
    for layer in trace.layers:
        if ticket.stopped():
            raise Stopped
        layer.turn()


def _plain(layer: "Layer") -> bool:
    return not layer.pooling and layer.queries is None and layer.layout.windows is None
