"""Shares: whether each row of what was recorded is at least 0 and sums to 1 over the keys."""

import torch

from vitviz.attention.layer import Layer
from vitviz.attention.recording.operations import Operation
from vitviz.attention.self_check.claims import Claim, fails, holds

HOW = "by what was recorded: softmax over the keys, or every row summed"


def check_shares(layers: tuple[Layer, ...]) -> Claim:
    """Whether the rows of all layers are shares; the first layer whose rows are not is named."""
    for layer in layers:
        if not layer.is_distribution:
            return fails("shares", not_shares(layer), HOW)
    return holds("shares", HOW)


def not_shares(layer: Layer) -> str:
    """Why a layer's rows are not shares."""
    if len(layer.operations) > 1:
        return f"in {layer.name} one attention map is subtracted from another, so its rows are not shares"
    if is_mixed(layer):
        return (
            f"rows of {layer.name} are not shares: its heads are mixed with signed weights after the softmax"
        )
    if "rows" not in layer.kept:  # each question for what applies needs them
        layer.kept["rows"] = _measured(layer.operations[0])
    least, most = layer.kept["rows"]
    return (
        f"rows of {layer.name} are not shares: over its keys they sum to {least:.3g} up to {most:.3g} (a softmax over "
        "something else than the keys, or weights changed after it)"
    )


def is_mixed(layer: Layer) -> bool:
    """Whether a layer's weights are shares that were mixed with signed weights: heads mixed, or one map subtracted.

    Shares that were scaled, or left out in part, are none of these: no weight is below 0.
    """
    if len(layer.operations) > 1:
        return True
    weights = layer.operations[0].weights
    if weights is None or not layer.operations[0].mixed:
        return False
    if "signed" not in layer.kept:
        layer.kept["signed"] = bool((weights < 0).any())
    return bool(layer.kept["signed"])


def _measured(operation: Operation) -> tuple[float, float]:
    """The smallest and largest sum of a row."""
    assert operation.weights is not None
    # Head by head: a whole layer in float32 may take too much memory.
    sums = torch.stack([operation.weights[:, head].float().sum(-1) for head in range(operation.shape[1])])
    return float(sums.min()), float(sums.max())
