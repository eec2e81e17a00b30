"""The gradients of a trace's classes, computed once per class and kept for the last few."""

import re
from collections.abc import Callable

import numpy as np

from vitviz.attention.gradients import Gradients, differentiate
from vitviz.attention.trace import Trace
from vitviz.errors import MethodError
from vitviz.models.labels import classes_called

KEPT_BYTES = 1 << 28
"""Gradients of a trace's earlier classes are kept while all of them together take no more than this (256 MiB)."""


def gradients(trace: Trace, target: int | None, cancel: Callable[[], bool] | None = None) -> Gradients:
    """The gradients of a class's logit, by one forward and one backward pass the first time and none after that.

    `target`: a class, or None for the top prediction. `cancel` is called at each attending module; if it returns True,
    Cancelled is raised. Raises MethodError where there is no such class or the model lets no gradient through,
    DeviceMemoryError.
    """
    target = class_index(trace, target)
    known: dict[int, Gradients] = trace.kept.setdefault("gradients", {})
    ready = known.get(target)
    if ready is not None:
        return ready  # without waiting for another thread's forward pass
    with trace.model.lock:  # a second thread that asks for the same waits for it
        if target in known:
            return known[target]
        found = differentiate(trace, target, cancel)
        known[target] = found
        while len(known) > 1 and sum(each.bytes for each in known.values()) > KEPT_BYTES:
            known.pop(next(iter(known)))
        return found


def class_index(trace: Trace, target: int | None) -> int:
    """The class asked for; None is the top prediction. Raises MethodError for a class that the model does not have."""
    reason = refusal(trace)
    if reason is not None:
        raise MethodError(f"There is no class to explain for {trace.model.name}, {reason}.")
    if target is None:
        return int(np.argmax(trace.logits))
    if type(target) is not int or not 0 <= target < len(trace.logits):
        model = trace.model
        several = "classes" if model.noun == "class" else "outputs"
        raise MethodError(
            f"{model.name} has {len(trace.logits)} {several}, numbered from 0; there is no {model.noun} {target!r}."
        )
    return target


def find_class(trace: Trace, text: str) -> int:
    """A class by number, label, or ImageNet's words and codes; a part of a label is enough if no other label has it.

    Raises MethodError with what there is.
    """
    if re.fullmatch(r"[+-]?[0-9]+", text.strip()):
        return class_index(trace, int(text))
    class_index(trace, None)
    labels = trace.model.labels
    found = classes_called(labels, text, part=True)
    if not found:
        raise MethodError(f"{trace.model.name} has no class called {text!r}.")
    if len(found) > 1:
        some = ", ".join(f"{index} ({labels[index]})" for index in found[:5])
        raise MethodError(f"{len(found)} classes are called {text!r}: {some}; name one by its number.")
    return found[0]


def refusal(trace: Trace) -> str | None:
    """Why no class of a trace can be explained; None if one can."""
    if trace.model.labels and len(trace.model.labels) == len(trace.logits):
        return None
    gives = f"an embedding of {len(trace.logits)} numbers" if len(trace.logits) else "tokens only"
    return f"because it gives {gives} and has no classifier, so there is no class to explain"


def called(trace: Trace, target: int) -> str:
    """A class in a title: "class 243 (bull mastiff)"."""
    name, label = f"{trace.model.noun} {target}", trace.model.labels[target]
    return name if label == name else f"{name} ({label})"
