"""What a model will need at another input size, estimated from a trace that has run: tokens, memory and time."""

from dataclasses import dataclass

from vitviz.attention.layer import Layer
from vitviz.attention.trace import Trace

_HELD = 12
"""Numbers per token and width that a block holds at once while it runs: its input, q, k, v, the MLP's hidden numbers."""


@dataclass(frozen=True)
class Estimate:
    """`rows` × `cols` patches and `tokens` of the first layer, with the prefix tokens."""

    rows: int
    cols: int
    tokens: int
    weights: int
    """Bytes of the parameters."""
    kept: int
    """Bytes that a trace keeps: queries, keys and values, or the weights of attention that is not fused."""
    working: int
    """Bytes that the largest layer needs while it runs, about."""
    seconds: float
    """Of one forward pass on the device of the trace, in its precision; about."""

    @property
    def memory(self) -> int:
        """Bytes in all."""
        return self.weights + self.kept + self.working


def estimate(trace: Trace, size: tuple[int, int], number_bytes: int | None = None) -> Estimate:
    """Estimate a forward pass at an input `size` (height, width) in pixels from a trace of the same model.

    `number_bytes`: bytes of a number in the precision asked for, 4 for float32; None for that of the trace. Kept bytes grow
    with the tokens (with their square where whole N×N weights are kept); time with the multiplications of each layer:
    24·d² per token, and 4·d for each pair of a token and a key.
    """
    own = trace.model.dtype.itemsize
    number = number_bytes or own
    height, width = trace.model.input_size
    grid = trace.patches
    rows, cols = max(1, round(size[0] * grid.rows / height)), max(1, round(size[1] * grid.cols / width))
    growth = (rows * cols) / (grid.rows * grid.cols)
    kept = working = 0.0
    before = after = 0.0
    for layer in trace.layers:
        prefix = len(layer.layout.prefix)
        now = layer.layout.tokens
        then = prefix + (now - prefix) * growth
        whole = layer.operations[0].weights is not None and layer.layout.windows is None
        kept += layer.bytes * (then / now) ** (2 if whole else 1) * number / own
        wide = _width(layer)
        pairs = layer.heads * then**2 if whole else 0
        working = max(working, (then * wide * _HELD + pairs) * number)
        before += _multiplications(layer, now, wide)
        after += _multiplications(layer, then, wide)
    return Estimate(
        rows=rows,
        cols=cols,
        tokens=rows * cols + len(trace.prefix),
        weights=trace.model.parameters * number,
        kept=round(kept),
        working=round(working),
        seconds=trace.milliseconds / 1000 * after / before,
    )


def _multiplications(layer: Layer, tokens: float, width: int) -> float:
    windows = layer.layout.windows
    keys = tokens if windows is None else windows.size[0] * windows.size[1]
    return tokens * (24 * width**2 + 4 * keys * width)


def _width(layer: Layer) -> int:
    operation = layer.operations[0]
    vectors = operation.query if operation.query is not None else operation.value
    return layer.heads * (64 if vectors is None else int(vectors.shape[-1]))
