"""Attention that is written with `torch.einsum`: its factors with their axes where a matrix product has them."""

from string import ascii_letters
from typing import Any, NamedTuple

from torch import Tensor


class Weighted(NamedTuple):
    """A product of weights with values."""

    weights: Tensor
    """…×queries×keys."""
    value: Tensor
    """…×keys×d."""
    output: Tensor
    """…×queries×d, a view of the result."""
    back: list[int]
    """The order of axes that makes of such an output the result as the model expects it."""


class _Terms(NamedTuple):
    left: str
    right: str
    result: str


def weighted(args: tuple[Any, ...], result: Tensor, softmaxed: Tensor) -> Weighted | None:
    """The parts of an einsum of a softmax's result with values; None for any other."""
    found = _parsed(args, result)
    if found is None:
        return None
    terms, operands = found
    for number, weights in enumerate(operands):
        if weights.shape != softmaxed.shape:
            continue
        value = operands[1 - number]
        own, other = (terms.left, terms.right) if number == 0 else (terms.right, terms.left)
        key = [axis for axis in own if axis in other and axis not in terms.result]
        query = [axis for axis in own if axis not in other]
        content = [axis for axis in other if axis not in own]
        if len(key) != 1 or len(query) != 1 or len(content) != 1 or set(query + content) - set(terms.result):
            continue
        batch = [axis for axis in own if axis in terms.result and axis not in query]
        output, back = _with_axes(result, terms.result, [*batch, *query, *content])
        return Weighted(
            _with_axes(weights, own, [*batch, *query, *key])[0],
            _with_axes(value, other, [*batch, *key, *content])[0].expand(
                *(weights.shape[own.index(axis)] for axis in batch), -1, -1
            ),
            output,
            back,
        )
    return None


def factors(args: tuple[Any, ...], result: Tensor) -> tuple[Tensor, Tensor] | None:
    """Queries and keys, …×tokens×d each, of an einsum that gives their products; None for any other."""
    found = _parsed(args, result)
    if found is None:
        return None
    terms, (left, right) = found
    inner = [axis for axis in terms.left if axis in terms.right and axis not in terms.result]
    of_left = [axis for axis in terms.left if axis not in terms.right]
    of_right = [axis for axis in terms.right if axis not in terms.left]
    if len(inner) != 1 or len(of_left) != 1 or len(of_right) != 1:
        return None
    batch = [axis for axis in terms.result if axis not in of_left + of_right]
    parts = (
        _with_axes(left, terms.left, [*batch, *of_left, *inner])[0],
        _with_axes(right, terms.right, [*batch, *of_right, *inner])[0],
    )
    swapped = terms.result.index(of_left[0]) > terms.result.index(of_right[0])
    return (parts[1], parts[0]) if swapped else parts


def _parsed(args: tuple[Any, ...], result: Tensor) -> tuple[_Terms, tuple[Tensor, Tensor]] | None:
    """The axes of both operands and of the result, one letter each; None for other than two operands."""
    if not args or not isinstance(args[0], str) or "->" not in args[0]:
        return None
    operands = tuple(args[1]) if len(args) == 2 and isinstance(args[1], tuple | list) else args[1:]
    inputs, _, output = args[0].replace(" ", "").partition("->")
    names = inputs.split(",")
    if len(names) != 2 or len(operands) != 2:
        return None
    free = [letter for letter in ascii_letters if letter not in args[0]]
    left, right = (_written_out(name, part.ndim, free) for name, part in zip(names, operands, strict=True))
    terms = _Terms(left, right, _written_out(output, result.ndim, free))
    return terms, (operands[0], operands[1])


def _written_out(name: str, axes: int, free: list[str]) -> str:
    """Letters in place of an ellipsis, the last ones of `free` for the last of its axes."""
    if "..." not in name:
        return name
    hidden = axes - len(name.replace("...", ""))
    return name.replace("...", "".join(free[len(free) - hidden :]))


def _with_axes(tensor: Tensor, names: str, wanted: list[str]) -> tuple[Tensor, list[int]]:
    """The tensor with its axes as wanted, of length 1 where it lacks one, and the order that leads back."""
    present = [axis for axis in wanted if axis in names]
    order = [names.index(axis) for axis in present]
    moved = tensor.permute(order)
    for place, axis in enumerate(wanted):
        if axis not in names:
            moved = moved.unsqueeze(place)
    return moved, [order.index(axis) for axis in range(len(order))]
