"""What a model answers for one photo: logits, an embedding, or tokens only."""

from typing import Any

from torch import Tensor

from vitviz.errors import RefusedError

EMBEDDINGS = ("image_embeds", "pooler_output")
"""Where Hugging Face's models without a head keep one vector per photo."""


def logits_of(output: Any) -> Tensor:
    """The logits in whatever the model returned: a tensor, Hugging Face's output object, or the first of a tuple."""
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if logits is None and isinstance(output, tuple | list):
        logits = output[0]
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
    found = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    for name in EMBEDDINGS:
        found = getattr(output, name, None) if found is None else found
    if found is None and isinstance(output, tuple | list) and output:
        found = output[0]
    return found if isinstance(found, Tensor) and found.ndim == 2 else None
