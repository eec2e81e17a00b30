"""All methods by name, with their options. Torch is imported only when a method computes: the window needs this at once.

To add a method, write `vitviz/explain/methods/<name>.py` with a function `<name>(trace, **options)` and a `refusal(trace)`,
and describe it in METHODS. A method of another package states its `module` and is appended to METHODS before the window or
a command is started.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from vitviz.errors import MethodError
from vitviz.render.strokes import Stroke, spare

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap


@dataclass(frozen=True)
class Option:
    """An option of a method beyond its axes."""

    name: str
    label: str
    """How it is called in the window."""
    about: str
    """One sentence for people who have not heard of it."""
    kind: Literal["choice", "share", "flag", "layer"]
    """One of `choices`; a number from 0 to below 1; True or False; a layer's number or name."""
    default: object
    choices: tuple[str, ...] = ()
    refusal: "Callable[[Trace], str | None]" = lambda _: None
    """Why it has no effect on a trace, from "because" on; None where it has."""


@dataclass(frozen=True)
class Method:
    """A way from a trace to a heatmap."""

    name: str
    label: str
    """How it is called in the window."""
    about: str
    """One sentence for people who have not heard of it."""
    axes: tuple[str, ...]
    """Which of layer, head, fusion, query, direction and target it takes: what all methods share and the window selects."""
    parameters: tuple[Option, ...] = ()
    """Its other options, in the order in which they are offered."""
    gradient: bool = False
    """Whether it is class-specific: it explains a target and needs a backward pass."""
    one_layer: bool = False
    """Whether its map is of the chosen layer alone; otherwise of all layers up to it."""
    pixels: bool = False
    """Whether its heatmaps have a value for each pixel too."""
    stroke: Stroke | None = None
    """How its curves are drawn in charts; without one `stroke_of` gives one that no other method has."""
    needs: tuple[str, ...] = ()
    """What it needs of a trace, see `needs`: "shares", "shares or mixed", "order"."""
    module: str = ""
    """Where its function and its `refusal` are; empty for `vitviz.explain.methods.<name>`."""

    @property
    def reversible(self) -> bool:
        """Whether it has the direction "attended by" too; the others follow what tokens attend to."""
        return "direction" in self.axes

    def takes(self, name: str) -> bool:
        """Whether it has an option of this name."""
        return name in self.axes or any(name == option.name for option in self.parameters)

    def parameter(self, name: str) -> Option:
        """Its option of this name, which must exist."""
        return next(option for option in self.parameters if option.name == name)

    @property
    def compute(self) -> "Callable[..., Heatmap]":
        """(trace, **options) → heatmap. Imports torch."""
        function: Callable[..., Heatmap] = getattr(self._module, self.name)
        return function

    @property
    def refusal(self) -> "Callable[[Trace], str | None]":
        """Why it does not apply to a trace, from "because" on; None if it does. Imports torch."""
        own: Callable[[Trace], str | None] = self._module.refusal
        needed = import_module("vitviz.explain.needs").refusal
        return lambda trace: needed(trace, self.needs) or own(trace)

    @cached_property
    def options(self) -> dict[str, Any]:
        """Its options and their defaults, axes included. Imports torch."""
        parameters = list(inspect.signature(self.compute).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in parameters}

    @cached_property
    def _module(self) -> Any:
        return import_module(self.module or f"vitviz.explain.methods.{self.name}")


def _without_padding(trace: "Trace") -> str | None:
    windows = [layer.layout.windows for layer in trace.layers]
    padded = any(one is not None and one.padding for one in windows)
    return None if padded else f"because {trace.model.name} pads nothing at this size"


def _unlike_script(trace: "Trace") -> str | None:
    from vitviz.explain.methods.rollout import unlike_script

    return unlike_script(trace)


DISCARD = Option(
    "discard",
    "Discard",
    "The share of smallest entries of each layer's fused matrix that is set to zero.",
    "share",
    0.0,
)
RENORMALISE = Option(
    "renormalise",
    "Divide out padding",
    "Scale the map so that the weight on Swin's padding is spread over everything else.",
    "flag",
    False,
    refusal=_without_padding,
)

RESIDUAL = Option(
    "residual",
    "Residual share",
    "The share of the residual connection, which bypasses the attention, in each layer's output.",
    "share",
    0.5,
)
START = Option(
    "start",
    "Down to",
    "The first layer that is included; the map is on its input tokens.",
    "layer",
    0,
)

METHODS: list[Method] = [
    Method(
        "attention",
        "Attention",
        "One layer's own weights: what a token attends to, or what attends to it.",
        ("layer", "head", "fusion", "query", "direction"),
        one_layer=True,
        stroke=Stroke((0, 100, 190), (92, 178, 245)),
    ),
    Method(
        "rollout",
        "Rollout",
        "All layers composed: how much of each patch has reached the query through attention and residual connections.",
        ("layer", "fusion", "query"),
        (
            DISCARD,
            RESIDUAL,
            START,
            RENORMALISE,
            Option(
                "vit_explain",
                "As vit-explain",
                "The widely used script's numbers: columns divided instead of rows, maximum 1 (its own discard is 0.9).",
                "flag",
                False,
                refusal=_unlike_script,
            ),
        ),
        needs=("shares", "order"),
        stroke=Stroke((0, 132, 92), (46, 196, 144), (5.0, 2.5)),
    ),
    Method(
        "gradient_rollout",
        "Gradient rollout",
        "Rollout of the attention that raises a class's logit: gradient × attention in place of attention.",
        ("layer", "query", "target"),
        (DISCARD, RESIDUAL, START, RENORMALISE),
        gradient=True,
        needs=("shares or mixed", "order"),
        stroke=Stroke((128, 120, 0), (222, 212, 90), (2.5, 2.5)),
    ),
    Method(
        "relevance",
        "Relevance",
        "Which patches raise a class's logit, by gradient × attention added up over all layers (Chefer 2021).",
        ("layer", "query", "target"),
        (
            START,
            Option(
                "own",
                "The token itself",
                "Keep the part that bypasses all attention: 1 on a patch that is the query, 1/N on each for their mean.",
                "flag",
                False,
            ),
        ),
        gradient=True,
        needs=("shares or mixed", "order"),
        stroke=Stroke((150, 30, 70), (244, 138, 150), (3.0, 1.5, 3.0, 4.0)),
    ),
    Method(
        "gradient_attention",
        "Gradient × attention",
        "One layer's weights that raise a class's logit: each weight times its gradient.",
        ("layer", "head", "query", "direction", "target"),
        gradient=True,
        one_layer=True,
        stroke=Stroke((46, 40, 140), (158, 158, 255), (11.0, 2.5)),
    ),
    Method(
        "gradcam",
        "Grad-CAM",
        "Where a layer's input has features that raise a class's logit: its tokens, weighted by their mean gradient.",
        ("layer", "target"),
        gradient=True,
        one_layer=True,
        stroke=Stroke((0, 122, 140), (110, 214, 214), (5.0, 2.0, 1.5, 2.0, 1.5, 2.0)),
    ),
    Method(
        "input_gradient",
        "Input gradient",
        "How strongly each pixel would change a class's logit, added up over each patch.",
        ("target",),
        (
            Option(
                "times_input",
                "× input",
                "Gradient times the pixel's normalised value: what the pixel adds to the logit, to first order.",
                "flag",
                False,
            ),
        ),
        gradient=True,
        pixels=True,
        stroke=Stroke((150, 60, 150), (224, 148, 214), (8.0, 2.5, 2.0, 2.5)),
    ),
]
"""Every method, in the order in which the window shows them; the first nine have the number keys 1 to 9."""


def find(name: str) -> Method:
    """The method of this name. Raises MethodError with the known names."""
    for method in METHODS:
        if method.name == name:
            return method
    names = ", ".join(method.name for method in METHODS)
    raise MethodError(f"There is no method {name!r}; there are: {names}.")


def stroke_of(name: str) -> Stroke:
    """How a method's curves are drawn: as it states, else by its place among the methods that state nothing."""
    method = find(name)
    silent = [one.name for one in METHODS if one.stroke is None]
    return spare(silent.index(name)) if method.stroke is None else method.stroke


def heatmap(trace: "Trace", name: str, options: dict[str, Any]) -> "Heatmap":
    """Compute a heatmap. Raises MethodError if the method does not apply or does not take an option, DeviceMemoryError."""
    from vitviz.models.devices import memory_guard

    method = find(name)
    options = _with_readout(trace, method, options)
    unknown = sorted(set(options) - set(method.options))
    if unknown:
        known = ", ".join(method.options)
        raise MethodError(f"{name} takes no option {', '.join(unknown)}; it takes: {known}.")
    options = {option: _plain(value) for option, value in options.items()}
    for option in method.parameters:
        given = options.get(option.name, option.default)
        if option.kind == "flag" and not isinstance(given, bool):
            raise MethodError(f"{option.name} is True or False; not {given!r}.")
    reason = method.refusal(trace)
    if reason is not None:
        raise MethodError(f"{method.label} does not apply to {trace.model.name}, {reason}.")
    with memory_guard(trace.model.name, trace.model.device):
        return method.compute(trace, **options)


def _with_readout(trace: "Trace", method: Method, options: dict[str, Any]) -> dict[str, Any]:
    """The options with a part of the readout, `readout`, as the query."""
    if "readout" not in options or not method.takes("query"):
        return options
    from vitviz.explain.query import with_readout

    rest = {name: value for name, value in options.items() if name != "readout"}
    return rest | {"query": with_readout(trace, rest.get("query"), options["readout"])}


def idle_options(trace: "Trace") -> dict[tuple[str, str], str]:
    """The (method, option) that have no effect on a trace, each with the reason from "because" on."""
    reasons = {
        (method.name, option.name): option.refusal(trace)
        for method in METHODS
        for option in method.parameters
    }
    return {names: reason for names, reason in reasons.items() if reason is not None}


def _plain(value: Any) -> Any:
    """NumPy scalars, such as argmax gives, as Python's numbers."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    import numpy as np

    return value.item() if isinstance(value, np.generic) else value


def methods(trace: "Trace") -> dict[str, str | None]:
    """Every method's name with None if it applies to the trace, else "does not apply, because …"."""
    reasons = {method.name: method.refusal(trace) for method in METHODS}
    return {name: reason and f"does not apply, {reason}" for name, reason in reasons.items()}
