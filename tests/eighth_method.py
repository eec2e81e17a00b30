"""A method that vitviz does not have, added as README says a method is added: this module and one description in METHODS."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from vitviz.attention.trace import Query, Trace
from vitviz.explain.heatmap import Heatmap
from vitviz.explain.methods.attention import attention
from vitviz.explain.registry import METHODS, Method, Option


def power(trace: Trace, layer: int | str = -1, query: Query = None, cube: bool = False) -> Heatmap:
    """The mean attention of a layer's heads, squared, or with `cube` to the third power."""
    plain = attention(trace, layer=layer, query=query)
    return replace(
        plain,
        values=plain.values ** (3 if cube else 2),
        method="power",
        title="A power of attention",
        unit="power of attention",
        options={"layer": plain.options["layer"], "query": query, "cube": cube},
        prefix={},
        leak=0.0,
    )


def refusal(trace: Trace) -> str | None:
    """It applies to every trace."""
    return None


METHOD = Method(
    "power",
    "Power of attention",
    "One layer's weights to the second or third power.",
    ("layer", "query"),
    (Option("cube", "Third power", "The third power in place of the second.", "flag", False),),
    one_layer=True,
    module=__name__,
)


@contextmanager
def added() -> Iterator[Method]:
    """The method among the others, for as long as the context lasts."""
    METHODS.append(METHOD)
    try:
        yield METHOD
    finally:
        METHODS.remove(METHOD)
