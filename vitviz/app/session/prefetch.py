"""All attention weights of a small trace in memory, so that a move of the pointer takes slices of arrays and no torch."""

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitviz.app.session.compute import Stacks
from vitviz.app.session.view_state import Direction, Query
from vitviz.app.work.worker import Stopped, Ticket

if TYPE_CHECKING:
    from vitviz.attention.layer import Layer
    from vitviz.attention.trace import Trace

BYTES = 64 << 20
"""The most bytes that are prefetched: ViT-B at 224 pixels takes 22 MB. Larger traces compute what the pointer asks for."""
TURNED = 256 << 20
"""The most that queries and keys may take a second time (DINOv2 ViT-B at 518 pixels: 101 MB), so that moves stay quick."""
_FEW = 8  # tokens of a query that are added up


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of consecutive layers of the same tokens and number of heads: float32 (layers, queries, heads, keys)."""

    layer: "Layer"
    """The first of them."""
    values: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Ready:
    """The weights of all layers of a trace in which every token attends to every other."""

    trace: "Trace"
    weights: tuple[Weights, ...]

    def maps(self, query: Query, direction: Direction) -> Stacks | None:
        """What `explain.query.head_maps` gives for a query of a few tokens; None for any other."""
        found = []
        for weights in self.weights:
            layer, values = weights.layer, weights.values
            shares = None if query is None else self.trace.query_weights(layer, query)
            if shares is None:
                return None
            tokens = shares.nonzero()[0].tolist()
            if len(tokens) > _FEW:
                return None
            parts = [
                shares[token]
                * (values[:, token] if direction == "to" else values[..., token].transpose(0, 2, 1))
                for token in tokens
            ]
            summed = parts[0] if len(parts) == 1 else np.sum(parts, axis=0)
            found.append(layer.layout.on_grid(summed))
        return tuple(found)


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
        for _, members in groupby(trace.layers, lambda layer: (layer.layout, layer.heads)):
            layers = list(members)
            tokens, heads = layers[0].layout.tokens, layers[0].heads
            values = np.empty((len(layers), tokens, heads, tokens), np.float32)
            for place, layer in enumerate(layers):
                if ticket.stopped():
                    raise Stopped
                values[place] = layer.attention().transpose(1, 0, 2)
            found.append(Weights(layers[0], values))
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
