"""Branches of one layer, such as a module per head, a loop over heads or two attentions that are added, as one layer."""

from dataclasses import replace
from itertools import groupby, takewhile

import numpy as np
import torch
from torch import Tensor, nn

from vitviz.attention.layer import Layer
from vitviz.attention.recording.operations import Operation


def joined_branches(module: nn.Module, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Layers of one step become one layer with all their heads, where they have the same tokens and are computed alike.

    Others stay layers of their own, of the same step, and are composed side by side.
    """
    result: list[Layer] = []
    for step, group in enumerate(_steps(layers)):
        alike = all(_alike(group[0], other) for other in group[1:])
        together = [_beside(module, group)] if alike and len(group) > 1 else group
        result += [replace(layer, step=step) for layer in together]
    return tuple(result)


def _steps(layers: tuple[Layer, ...]) -> list[list[Layer]]:
    return [list(group) for _, group in groupby(layers, key=lambda layer: layer.step)]


def _alike(layer: Layer, other: Layer) -> bool:
    first, second = layer.operations[0], other.operations[0]
    return (
        all(_is_simple(each) for each in (layer, other))
        and _same_tokens(layer, other)
        and (first.query is None) == (second.query is None)
        and first.shape[0] == second.shape[0]
        and first.shape[2:] == second.shape[2:]
        and _same_values(first, second)
    )


def _is_simple(layer: Layer) -> bool:
    """One operation of all tokens in the order of the layout, its output by head."""
    operation = layer.operations[0]
    return (
        len(layer.operations) == 1
        and not layer.pooling
        and layer.queries is None
        and layer.arrangement is None
        and operation.projection is None
    )


def _same_tokens(layer: Layer, other: Layer) -> bool:
    ours, theirs = layer.layout, other.layout
    if ours.patches != theirs.patches or ours.prefix != theirs.prefix:
        return False
    if ours.windows is None or theirs.windows is None:
        return ours.windows is theirs.windows
    return np.array_equal(ours.windows.index, theirs.windows.index) and np.array_equal(
        ours.windows.regions, theirs.windows.regions
    )


def _same_values(first: Operation, second: Operation) -> bool:
    if first.value is None or second.value is None or first.value.shape[-1] != second.value.shape[-1]:
        return False
    if first.query is None or second.query is None:
        return True
    return first.query.shape[-1] == second.query.shape[-1]


def _beside(module: nn.Module, layers: list[Layer]) -> Layer:
    """All heads of some layers in one."""
    operations = [layer.operations[0] for layer in layers]
    first = operations[0]
    modules = tuple(operation.module for operation in operations)
    name = _shared_module(module, modules)
    scales = {operation.scale for operation in operations}
    queries = [operation.query for operation in operations]
    if len(scales) > 1:
        queries = [
            None if operation.query is None else operation.query * operation.scale for operation in operations
        ]
    together = replace(
        first,
        module=name,
        modules=modules,
        query=_heads(queries),
        key=_heads([operation.key for operation in operations]),
        value=_heads([operation.value for operation in operations]),
        bias=_biases(operations),
        scale=scales.pop() if len(scales) == 1 else 1.0,
        weights=_heads([operation.weights for operation in operations]),
        logits=_heads([operation.logits for operation in operations]),
        is_distribution=all(operation.is_distribution for operation in operations),
        mixed=any(operation.mixed for operation in operations),
        output=_heads([_kept(operation.output) for operation in operations]),
    )
    return replace(layers[0], name=name, operations=(together,))


def _heads(parts: list[Tensor | None]) -> Tensor | None:
    """B×heads×… each → B×all heads×…; None where one is not known."""
    known = [part for part in parts if part is not None]
    return torch.cat(known, 1) if len(known) == len(parts) else None


def _kept(output: Tensor | None) -> Tensor | None:
    """An output that was kept for the self-check; one with its graph is the model's own tensor and not joined."""
    return None if output is None or output.requires_grad else output


def _biases(operations: list[Operation]) -> Tensor | None:
    if all(operation.bias is None for operation in operations):
        return None
    known = next(operation.bias for operation in operations if operation.bias is not None)
    none = torch.zeros((), dtype=known.dtype, device=known.device)
    biases = [none if operation.bias is None else operation.bias for operation in operations]
    return torch.cat(
        [bias.expand(operation.shape) for bias, operation in zip(biases, operations, strict=True)], 1
    )


def _shared_module(module: nn.Module, names: tuple[str, ...]) -> str:
    """The innermost module that holds all of them and is run as a whole; the first where that is the model itself."""
    paths = [name.split(".") for name in names]
    shared = [parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))]
    while shared and isinstance(module.get_submodule(".".join(shared)), nn.ModuleList | nn.ModuleDict):
        shared.pop()
    return ".".join(shared) or names[0]
