"""What a model answers for one photo, in whatever it returns."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

NAMES = ("logits", "image_embeds", "pooler_output")
"""Where models keep their answer in an object or a dict: a prediction first, then one vector per photo."""


def answer_in(output: Any) -> Any:
    """The answer in an output: a tensor; `.logits` or an embedding in an object or a dict; the first of a tuple, nested.

    Of a dict without such names its only value. Anything else is given back as it is; None where an object has no answer.
    """
    if isinstance(output, Tensor):
        return output
    for name in NAMES:
        found = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if found is not None:
            return answer_in(found)
    if isinstance(output, tuple | list) and output:
        return answer_in(output[0])
    if isinstance(output, Mapping) and len(output) == 1:
        return answer_in(next(iter(output.values())))
    return None
