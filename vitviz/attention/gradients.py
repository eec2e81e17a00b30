"""Gradients of one class's logit with respect to attention: one backward pass, fused attention left on.

An attention operation gives O = A V, so ∂y/∂A = (∂y/∂O) Vᵀ, exactly: nothing unfused is run and no N×N is stored. The same
pass gives the gradient at the input of each attending module and at the model's input. Parameters get no gradient.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitviz.attention.answers import logits_of
from vitviz.attention.layer import CHUNK_ENTRIES, Layer
from vitviz.attention.layout import Layout
from vitviz.attention.recording.autograd_graph import Graph, keep, kept, record
from vitviz.attention.recording.operations import Operation, four_dimensional
from vitviz.attention.recording.recorder import Cancelled, said_by_module
from vitviz.attention.trace import Trace
from vitviz.errors import MethodError
from vitviz.models.passes import own_pass

Floats = NDArray[np.float32]

TOLERANCES = {torch.float16: 2e-2, torch.bfloat16: 5e-2}
"""How far the logits of the second pass may be from the trace's, relative to the largest; float32: 1e-3."""

HALF_SCALE = 1024.0
"""float16 rounds small gradients to 0, so there the logit is multiplied by this and the gradients divided."""


@dataclass(frozen=True, eq=False)
class Stream:
    """The input of an attending module and its gradient: tokens×dim each, float32 on the model's device."""

    values: Tensor
    gradient: Tensor


@dataclass(frozen=True, eq=False)
class Gradients:
    """∂y/∂· for the logit y of one class, as the model's own output has it (distilled models: of the two heads' mean)."""

    target: int
    """The class."""
    layers: tuple[Layer, ...]
    outputs: tuple[Tensor, ...]
    """Per layer ∂y/∂O, B×heads×queries×d (B the windows, or 1), float32."""
    streams: tuple[Stream | None, ...]
    """Per layer the input of its module; None where that input is not the layer's tokens."""
    pixels: Floats
    """∂y/∂input, 3×H×W of the normalised input."""

    def operation(self, layer: Layer, rows: slice | None = None, window: int | None = None) -> Tensor:
        """∂y/∂A for some rows and one window (None: all): B×heads×rows×keys, float32.

        A are the layer's `weights`, which the model multiplies with the values, after any mixing of heads.
        """
        batch = slice(None) if window is None else slice(window, window + 1)
        rows = slice(None) if rows is None else rows
        value = layer.operations[0].value
        assert value is not None
        outputs = self.outputs[self.layers.index(layer)]
        return outputs[batch, :, rows] @ value[batch].float().transpose(-2, -1)

    def contributions(self, layer: Layer, rows: slice | None = None, window: int | None = None) -> Tensor:
        """∂y/∂A ⊙ A, B×heads×rows×keys: how much each weight adds to the logit, to first order."""
        return self.operation(layer, rows, window).mul_(layer.weights(rows, window))

    def chunks(self, layer: Layer) -> Iterator[tuple[slice, Tensor]]:
        """The contributions of a layer without windows in groups of rows, as `Layer.chunks`: (rows, heads×rows×N)."""
        _, heads, queries, keys = layer.operations[0].shape
        step = max(1, CHUNK_ENTRIES // (heads * keys))
        for start in range(0, queries, step):
            rows = slice(start, min(start + step, queries))
            yield rows, self.contributions(layer, rows)[0]

    def stream(self, layer: Layer) -> Stream:
        """The layer's tokens as the input of its module. Raises MethodError where that input is something else."""
        found = self.streams[self.layers.index(layer)]
        if found is None:
            name = layer.name or "the model"
            raise MethodError(
                f"The input of {name} is not its {layer.layout.tokens} tokens, so they have no gradient."
            )
        return found

    @property
    def bytes(self) -> int:
        """Bytes kept."""
        kept = [*self.outputs, *(t for s in self.streams if s is not None for t in (s.values, s.gradient))]
        return sum(tensor.nbytes for tensor in kept) + self.pixels.nbytes


def differentiate(trace: Trace, target: int, cancel: Callable[[], bool] | None = None) -> Gradients:
    """One backward pass from the logit of class `target`, through the graph of the trace's forward pass.

    If that graph was not kept (by `trace(..., gradients=True)`, or for an earlier class if it is not too large) the
    forward pass is repeated. The model is left as it was: parameters get no `.grad`. `cancel` is called at each
    attending module, forwards and backwards; if it returns True, Cancelled is raised. Raises MethodError for a model
    that gives other logits than in the trace or lets no gradient through, DeviceMemoryError.
    """
    model = trace.model
    name, module = model.name, model.module
    scale = HALF_SCALE if model.dtype == torch.float16 else 1.0
    with own_pass(model):
        if cancel is not None:  # it may have been long until the model was free
            _stop(cancel)
        graph = kept(trace, module)
        if graph is None:
            with _by_module(name):
                graph = _again(trace, cancel)
        stays = keep(trace, graph)
        inputs, operations, given = graph.inputs, graph.operations, graph.given
        with torch.enable_grad():
            logits = logits_of(graph.output)
            asked = logits[0, target]
        parts = _differentiated(trace, operations)
        first = [operation for each in parts for operation in each]
        streams = _streams(trace.layers, given)
        wanted = [
            inputs,
            *(_output(operation) for operation in first),
            *(s for s in streams if s is not None),
        ]
        if not all(tensor.requires_grad for tensor in (logits, *wanted)):
            raise MethodError(
                f"{name} lets no gradient through to its attention, so no class can be explained."
            )
        start = torch.tensor(scale, device=logits.device, dtype=logits.dtype)
        with _by_module(name), _asking(cancel, wanted[1:]):
            # What the logit does not depend on has gradient zero.
            try:
                found = torch.autograd.grad(asked, wanted, start, retain_graph=stays, allow_unused=True)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:  # such as weights that the model changes in place
                said = str(error).strip().splitlines()[0].rstrip(".")
                raise MethodError(
                    f"{name} lets no gradient through, so no class can be explained: {said}."
                ) from error
        gradients = [
            torch.zeros_like(tensor) if gradient is None else gradient
            for tensor, gradient in zip(wanted, found, strict=True)
        ]
        values = [gradient.detach().float() / scale for gradient in gradients]
        of_outputs = iter(values[1 : 1 + len(first)])
        inner = iter(values[1 + len(first) :])
        return Gradients(
            target=target,
            layers=trace.layers,
            outputs=tuple(
                _arranged(
                    layer, torch.cat([_heads(operation, next(of_outputs), module) for operation in each], 1)
                )
                for layer, each in zip(trace.layers, parts, strict=True)
            ),
            streams=tuple(
                None if stream is None else _on_tokens(layer, stream.detach().float(), next(inner), module)
                for layer, stream in zip(trace.layers, streams, strict=True)
            ),
            pixels=values[0][0].cpu().numpy(),
        )


def _arranged(layer: Layer, output: Tensor) -> Tensor:
    """An output's gradient, or another thing of its shape, with windows, heads and queries where the layout has them."""
    return output if layer.arrangement is None else layer.arrangement.rows(output)


def _stop(cancel: Callable[[], bool]) -> None:
    if cancel():
        raise Cancelled


def _again(trace: Trace, cancel: Callable[[], bool] | None) -> Graph:
    """The trace's forward pass once more, with its graph."""
    model = trace.model
    inputs = torch.from_numpy(trace.framing.apply(trace.photo))[None].to(model.device, model.dtype)
    names = tuple(layer.name for layer in trace.layers)
    on_block = None if cancel is None else lambda _name: _stop(cancel)
    graph = record(model.module, inputs, names, on_block)
    _require_same(trace, logits_of(graph.output))
    return graph


@contextmanager
def _by_module(name: str) -> Iterator[None]:
    """Turn what a module raises into a MethodError."""
    try:
        yield
    except Exception as error:
        said = said_by_module(error)
        raise MethodError(
            f"{name} cannot be run with gradients, so no class can be explained: {said}",
            f"{type(error).__name__}: {error}",
        ) from error


@contextmanager
def _asking(cancel: Callable[[], bool] | None, tensors: list[Tensor]) -> Iterator[None]:
    """Call `cancel` whenever the gradient of one of these tensors has been computed."""
    handles: list[Any] = []
    if cancel is not None:
        for tensor in tensors:
            handles.append(tensor.register_hook(lambda _gradient: _stop(cancel)))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _require_same(trace: Trace, logits: Tensor) -> None:
    """Raise MethodError where a second pass gives other logits: its gradients would explain another prediction."""
    again = logits.detach()[0].float().cpu().numpy()
    known = trace.logits
    error = float(np.abs(again - known).max() / max(np.abs(known).max(), 1e-12))
    if not error <= TOLERANCES.get(trace.model.dtype, 1e-3):
        raise MethodError(
            f"{trace.model.name} gives other logits each time it sees the photo (up to {error:.1%} apart), as with dropout "
            "left on, so its gradients would explain another prediction."
        )


def _differentiated(trace: Trace, operations: list[Operation]) -> list[list[Operation]]:
    """Per layer the operations whose outputs' gradients, by their heads, are that of the layer's A V.

    Where two maps are subtracted, O = O₁ − λO₂, so ∂y/∂O₁ = ∂y/∂O; of branches that were joined each has its own heads.
    """
    expected = [module for layer in trace.layers for module in layer.modules]
    if [operation.module for operation in operations] != expected:
        raise MethodError(f"{trace.model.name} ran other attention operations with gradients than without.")
    ends = np.cumsum([len(layer.modules) for layer in trace.layers])
    return [
        operations[end - len(layer.modules) : end - len(layer.operations) + 1]
        for layer, end in zip(trace.layers, ends, strict=True)
    ]


def _output(operation: Operation) -> Tensor:
    assert operation.output is not None
    return operation.output


def _heads(operation: Operation, gradient: Tensor, module: nn.Module) -> Tensor:
    """∂y/∂O as B×heads×queries×d from the gradient of what was recorded as the output."""
    if operation.projection is None:
        return four_dimensional(gradient)
    # nn.MultiheadAttention gave O Wᵀ + b, so ∂y/∂O = ∂y/∂(O Wᵀ + b) W.
    weight: Any = operation.projection.weight
    attention: Any = module.get_submodule(operation.module)
    gradient = gradient if attention.batch_first else gradient.transpose(0, 1)
    joined: Tensor = gradient @ weight.detach().float()
    return joined.reshape(*joined.shape[:-1], operation.shape[1], -1).transpose(1, 2)


def _streams(layers: tuple[Layer, ...], given: dict[str, list[Tensor]]) -> list[Tensor | None]:
    """Per layer the input of its module's call; None where calls cannot be assigned to layers."""
    names = [layer.name for layer in layers]
    found: list[Tensor | None] = []
    for number, name in enumerate(names):
        calls = given.get(name, [])
        several = len(calls) == names.count(name)
        found.append(calls[names[:number].count(name)] if several else None)
    return found


def _on_tokens(layer: Layer, values: Tensor, gradient: Tensor, module: nn.Module) -> Stream | None:
    """A module's input and its gradient as tokens×dim, windows laid back over the stage."""
    if layer.arrangement is not None:
        return None  # a module's input need not have the order of its operation's queries
    attention = module.get_submodule(layer.name)
    if isinstance(attention, nn.MultiheadAttention) and not attention.batch_first:
        values, gradient = values.transpose(0, 1), gradient.transpose(0, 1)
    laid = [_laid(layer.layout, tensor) for tensor in (values, gradient)]
    if laid[0] is None or laid[1] is None:
        return None
    return Stream(laid[0], laid[1])


def _laid(layout: Layout, tensor: Tensor) -> Tensor | None:
    shape = tuple(tensor.shape)
    if layout.windows is not None and shape[:2] == layout.windows.index.shape and tensor.ndim == 3:
        index = torch.from_numpy(layout.windows.index).to(tensor.device)
        tokens = tensor.new_zeros(layout.tokens, shape[2])
        tokens[index[index >= 0]] = tensor[index >= 0]
        return tokens
    if shape[:1] == (1,) and tensor.ndim == 3 and shape[1] == layout.tokens:
        return tensor[0]
    if shape[:3] == (1, layout.patches.rows, layout.patches.cols) and tensor.ndim == 4 and not layout.prefix:
        return tensor[0].flatten(0, 1)
    return None
