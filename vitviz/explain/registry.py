"""All methods by name. To add one, write a file with a METHOD and name it in METHODS."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vitviz.attention.trace import Trace
from vitviz.errors import MethodError
from vitviz.explain.heatmap import Heatmap
from vitviz.models.devices import memory_guard


@dataclass(frozen=True)
class Method:
    """A way from a trace to a heatmap."""

    name: str
    label: str
    """How it is called in the window."""
    about: str
    """One sentence for people who have not heard of it."""
    refusal: Callable[[Trace], str | None]
    """Why it does not apply to a trace; None if it does."""
    compute: Callable[..., Heatmap]
    """(trace, **options) → heatmap."""

    @property
    def options(self) -> dict[str, Any]:
        """Its options and their defaults."""
        parameters = list(inspect.signature(self.compute).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in parameters}


def all_methods() -> tuple[Method, ...]:
    """Every method, in the order in which the window shows them."""
    from vitviz.explain import attention, rollout

    return (attention.METHOD, rollout.METHOD)


def find(name: str) -> Method:
    """The method of this name. Raises MethodError with the known names."""
    methods = {method.name: method for method in all_methods()}
    if name not in methods:
        raise MethodError(f"There is no method {name!r}; there are: {', '.join(methods)}.")
    return methods[name]


def heatmap(trace: Trace, name: str, options: dict[str, Any]) -> Heatmap:
    """Compute a heatmap. Raises MethodError if the method does not apply or does not take an option, DeviceMemoryError."""
    method = find(name)
    unknown = sorted(set(options) - set(method.options))
    if unknown:
        known = ", ".join(method.options)
        raise MethodError(f"{name} takes no option {', '.join(unknown)}; it takes: {known}.")
    reason = method.refusal(trace)
    if reason is not None:
        raise MethodError(f"{method.label} does not apply to {trace.model.name}, {reason}.")
    with memory_guard(trace.model.name, trace.model.device):
        return method.compute(trace, **options)


def applicable(trace: Trace) -> dict[str, str | None]:
    """Every method's name with None if it applies to the trace, else "does not apply, because …"."""
    reasons = {method.name: method.refusal(trace) for method in all_methods()}
    return {name: reason and f"does not apply, {reason}" for name, reason in reasons.items()}
