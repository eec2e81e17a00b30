"""A forward pass whose graph is kept, so that the gradients of any class cost one backward pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from vitviz.attention.recording.operations import Operation
from vitviz.attention.recording.own_parameters import frozen
from vitviz.attention.recording.recorder import run
from vitviz.models.pass_hooks import PassHooks

KEPT_BYTES = 1 << 28
"""Graphs are kept for the next class of their trace up to this total size (256 MiB)."""


@dataclass(frozen=True, eq=False)
class Graph:
    """One forward pass with gradients enabled, except those of parameters."""

    inputs: Tensor
    """1×3×H×W, a leaf."""
    output: Any
    """What the model returned."""
    operations: list[Operation]
    """With their outputs as tensors of the graph."""
    given: dict[str, list[Tensor]]
    """Each attending module's name → its input in each of its calls."""
    bytes: int
    """Bytes that the graph holds, views of one storage counted once, parameters not counted."""
    weights: int
    """The count of in-place changes of the parameters then: the graph refers to them and holds no copies."""


def record(
    module: nn.Module, inputs: Tensor, names: tuple[str, ...], on_block: Callable[[str], None] | None = None
) -> Graph:
    """A forward pass of `module` with its graph; `names` are its attending modules, `on_block` as in `recorder.run`.

    The model is left as it was. Call it outside inference mode; it sets `inputs.requires_grad`.
    """
    inputs.requires_grad_()
    with torch.enable_grad(), frozen(module), _keeping_inputs(module, names) as given, _weighing() as held:
        output, operations = run(module, inputs, graph=True, on_block=on_block)
    own = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    taken = sum(size for storage, size in held.items() if storage not in own)
    return Graph(inputs, output, operations, given, taken, changes(module))


def changes(module: nn.Module) -> int:
    """The count of in-place changes of all of a module's parameters."""
    return sum(parameter._version for parameter in module.parameters())


_kept: "WeakKeyDictionary[object, Graph]" = WeakKeyDictionary()
_lock = Lock()  # traces of two models may be explained in two threads


def keep(trace: object, graph: Graph) -> bool:
    """Keep the graph of the trace that was explained last; graphs of other traces are dropped to make room.

    Returns False if it alone is too large: then it serves one class only.
    """
    with _lock:
        _kept.pop(trace, None)
        while _kept and sum(each.bytes for each in _kept.values()) + graph.bytes > KEPT_BYTES:
            _kept.pop(next(iter(_kept)))
        if graph.bytes <= KEPT_BYTES:
            _kept[trace] = graph
        return graph.bytes <= KEPT_BYTES


def hold(trace: object, graph: Graph) -> None:
    """Keep the graph of a new trace, however large, until its first class is explained."""
    with _lock:
        _kept[trace] = graph


def kept(trace: object, module: nn.Module) -> Graph | None:
    """The graph of a trace; None if it was dropped or the model has been changed since."""
    with _lock:
        graph = _kept.get(trace)
    return graph if graph is not None and graph.weights == changes(module) else None


@contextmanager
def _weighing() -> Iterator[dict[int, int]]:
    """Collect the storages, with their bytes, that the graph of what runs inside holds."""
    held: dict[int, int] = {}

    def pack(tensor: Tensor) -> tuple[Tensor, int]:
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        # Detached: a node that holds its own output, with its graph, would never be freed.
        return tensor.detach(), tensor._version

    def unpack(packed: tuple[Tensor, int]) -> Tensor:
        tensor, version = packed
        if tensor._version != version:  # with hooks autograd does not check this itself
            raise RuntimeError(
                "A tensor that the gradients need has been changed in place since the forward pass."
            )
        return tensor

    with saved_tensors_hooks(pack, unpack):
        yield held


@contextmanager
def _keeping_inputs(module: nn.Module, names: tuple[str, ...]) -> Iterator[dict[str, list[Tensor]]]:
    """Each attending module's name → its input in each of its calls during the last forward pass."""
    given: dict[str, list[Tensor]] = {}

    def keep_input(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], _output: Any) -> None:
        tokens = args[0] if args else next(iter(kwargs.values()), None)
        if isinstance(tokens, Tensor):
            given.setdefault(name, []).append(tokens)

    with PassHooks() as hooks:
        hooks.before(module, given.clear)
        for name in dict.fromkeys(names):
            hooks.after(module.get_submodule(name), partial(keep_input, name))
        yield given
