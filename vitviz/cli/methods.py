"""The options for methods: --method, --target, --layer and each method's own options."""

import argparse
from typing import Any

from vitviz.cli.options import number_or_name, query
from vitviz.explain.registry import METHODS, Option

_AXES = ("layer", "head", "fusion", "query", "readout", "direction")


def add_method(group: argparse._ArgumentGroup) -> None:
    """--method, and all options of all methods; see `choices_of`."""
    names = ", ".join(method.name for method in METHODS)
    group.add_argument(
        "--method", default="rollout", metavar="NAME", help=f"one of {names} (default: rollout)"
    )
    group.add_argument(
        "--target",
        metavar="N or LABEL",
        help="the class to explain, by number, label or ImageNet code such as n02123045 (default: the top "
        f"prediction); {_takers('target')}",
    )
    group.add_argument(
        "--layer",
        type=number_or_name,
        metavar="N",
        help="a layer's number from 0, -1 for the last, or its name (default: the last)",
    )
    group.add_argument(
        "--head", type=int, metavar="N", help=f"one head, from 0 (default: all, fused); {_takers('head')}"
    )
    group.add_argument(
        "--fusion",
        choices=("mean", "max", "min"),
        help=f"how heads are fused (default: mean); {_takers('fusion')}",
    )
    group.add_argument(
        "--query",
        type=query,
        metavar="R,C",
        help="a patch (row,column from 0), several (4,7 5,7: their mean) or a token's name, such as class "
        "(default: the readout, which the prediction is read from)",
    )
    add_readout(group)
    group.add_argument(
        "--direction",
        choices=("to", "by"),
        help=f"what the query attends to, or what it is attended by (default: to); {_takers('direction')}",
    )
    options = {option.name: option for method in METHODS for option in method.parameters}
    for option in options.values():
        _add(group, option)


def add_readout(group: argparse._ActionsContainer) -> None:
    """--readout."""
    group.add_argument(
        "--readout",
        metavar="PART",
        help="where the head reads several parts, the one to show: class, distillation, mean (of the patches), attention "
        "pool, query 2 (of the pool), … ; `vitviz check` lists them (default: see there)",
    )


def choices_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The axes and options that were given, by name, without the target; the method refuses those it does not take."""
    own = (option.name for method in METHODS for option in method.parameters)
    names = dict.fromkeys([*_AXES, *own])
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def with_pixels() -> str:
    """For help texts: which methods have a value for each pixel."""
    return f"for {', '.join(method.name for method in METHODS if method.pixels)}"


def listed() -> str:
    """Every method with a sentence that says what it is, for the end of a help text."""
    width = max(len(method.name) for method in METHODS)
    lines = [f"  {method.name:{width}}  {method.about}" for method in METHODS]
    return "\n".join(["methods:", *lines])


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    flag = f"--{option.name.replace('_', '-')}"
    about = f"{option.about[0].lower()}{option.about[1:].rstrip('.')}"
    takers = _takers(option.name)
    if option.kind == "flag":
        group.add_argument(flag, action="store_true", default=None, help=f"{about}; {takers}")
        return
    kinds: dict[str, dict[str, Any]] = {
        "choice": {"choices": option.choices},
        "share": {"type": float, "metavar": "SHARE"},
        "layer": {"type": number_or_name, "metavar": "N"},
    }
    group.add_argument(flag, help=f"{about} (default: {option.default}); {takers}", **kinds[option.kind])


def _takers(name: str) -> str:
    takers = [method.name for method in METHODS if method.takes(name)]
    return f"for {', '.join(takers)}"
