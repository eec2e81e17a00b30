"""What the numbers of an answer are: classes, values (a regression), an embedding, or unknown.

Decision: never by their number alone. An embedding of 192 numbers and 192 classes look the same, so without a statement of
the module the numbers are called outputs, and get no probabilities. Rejected: softmax over whatever has the shape of logits.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

from torch import Tensor, nn

from vitviz.models.pass_hooks import PassHooks

Outputs = Literal["classes", "values", "embedding", "unknown"]
"""Classes exclude each other, so that a softmax gives their probabilities; values (a regression) have none."""
KINDS: tuple[Outputs, ...] = get_args(Outputs)

_COUNTS = (
    "num_classes",
    "n_classes",
    "nb_classes",
    "num_labels",
    "n_labels",
    "classes",
    "class_names",
    "labels",
)
_NAMES: tuple[tuple[Outputs, str], ...] = (
    ("embedding", r"proj|embed|feat|neck"),
    ("values", r"regress|box|coord|depth"),
    ("classes", r"class|cls|logit|head|^fc\d*$"),
)
"""How linear maps are called, and what they give then; the last part of a name that says something decides."""


@dataclass
class Heads:
    """What the linear maps of a pass gave, by their names in the module."""

    outputs: dict[str, Tensor] = field(default_factory=dict)


@contextmanager
def heads_of(module: nn.Module) -> Iterator[Heads]:
    """Inside, outputs of the shape of an answer to one picture are kept."""
    seen = Heads()

    def keep(name: str, _args: tuple[Any, ...], _kwargs: dict[str, Any], output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 2 and len(output) == 1:
            seen.outputs[name] = output

    with PassHooks() as hooks:
        for name, part in module.named_modules():
            if isinstance(part, nn.Linear):
                hooks.after(part, partial(keep, name))
        yield seen


def kind_of(module: nn.Module, answer: Tensor, heads: Heads) -> tuple[Outputs, Mapping[int, str] | None]:
    """What an answer of 1×numbers is by what the module states of it, and names of the classes if it has any.

    In this order: a config of Hugging Face's kind, a number of classes, an answer that is normalised, the name of the linear
    map that gave the answer (of those of its shape, where the answer was made of several).
    """
    count = answer.shape[1]
    for part in module.modules():
        told = _configured(part, count)
        if told is not None:
            return told
    if any(_counts(part, count) for part in module.modules()):
        return "classes", None
    if count > 1 and abs(float(answer.float().norm()) - 1) < 1e-3:
        return "embedding", None
    if float(answer.min()) >= 0 and abs(float(answer.float().sum()) - 1) < 1e-3:
        return "unknown", None  # probabilities already, of which a softmax makes others
    alike = [name for name, output in heads.outputs.items() if output.shape == answer.shape]
    last = [name for name in alike if heads.outputs[name].data_ptr() == answer.data_ptr()]
    if alike:
        return _named((last or alike)[-1]), None
    widths = {part.normalized_shape[-1] for part in module.modules() if isinstance(part, nn.LayerNorm)}
    return "embedding" if count in widths else "unknown", None


def _configured(part: nn.Module, count: int) -> tuple[Outputs, Mapping[int, str] | None] | None:
    config = getattr(part, "config", None)
    names = getattr(config, "id2label", None)
    if not isinstance(names, Mapping) or len(names) != count or "Classification" not in type(part).__name__:
        return None
    if getattr(config, "problem_type", None) == "regression":
        return "values", None
    invented = all(str(name) == f"LABEL_{index}" for index, name in names.items())
    return "classes", None if invented else {index: str(name) for index, name in names.items()}


def _counts(part: nn.Module, count: int) -> bool:
    """Whether a module says that it has so many classes."""
    for name in _COUNTS:
        told = getattr(part, name, None)
        if isinstance(told, int) and not isinstance(told, bool) and told == count:
            return True
        if isinstance(told, Sequence) and not isinstance(told, str) and len(told) == count:
            return True
    return False


def _named(name: str) -> Outputs:
    for part in reversed(name.lower().split(".")):
        for kind, pattern in _NAMES:
            if re.search(pattern, part):
                return kind
    return "unknown"


def names_of(count: int) -> tuple[str, ...]:
    """What numbers are called that are no classes."""
    return tuple(f"output {index}" for index in range(count))
