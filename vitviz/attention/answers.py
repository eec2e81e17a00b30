"""What a model answers for one photo: logits, an embedding, or tokens only."""

from typing import Any

from torch import Tensor

from vitviz.errors import RefusedError
from vitviz.models.answering import answer_in


def logits_of(output: Any) -> Tensor:
    """The logits in whatever the model returned (see `answer_in`), 1×classes."""
    logits = answer_in(output)
    if not isinstance(logits, Tensor):
        raise RefusedError(f"The model returned a {type(output).__name__}, in which vitviz finds no logits.")
    if logits.ndim != 2:
        shape = "×".join(str(length) for length in logits.shape[1:])
        raise RefusedError(
            f"The model gives {shape} numbers for one photo, not one prediction: give it a pooling and a head."
        )
    return logits


def answer_of(output: Any) -> Tensor | None:
    """The logits, or the embedding, 1×numbers each; None where the model gives neither."""
    found = answer_in(output)
    return found if isinstance(found, Tensor) and found.ndim == 2 else None
