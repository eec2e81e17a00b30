"""One recorded forward pass of a trace, with what the modules gave that may be heads of a distilled model."""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vitviz.attention.recording.autograd_graph import Graph, record
from vitviz.attention.recording.operations import Operation
from vitviz.attention.recording.recorder import Cancelled, run
from vitviz.attention.self_check.outputs import Check
from vitviz.models.model import Model
from vitviz.models.pass_hooks import PassHooks

DISTILLED_HEADS = ("head", "head_dist", "cls_classifier", "distillation_classifier")
"""How libraries call the heads of distilled models."""


class Pass(NamedTuple):
    """What a recorded forward pass gave."""

    output: Any
    operations: list[Operation]
    heads: dict[str, Tensor]
    """What modules that may be heads of a distilled model gave, 1×numbers each."""
    milliseconds: float
    graph: Graph | None


def forward(
    model: Model,
    inputs: Tensor,
    watched: dict[str, nn.Module],
    keep_outputs: bool,
    gradients: bool,
    cancel: Callable[[], bool] | None,
    progress: Callable[[str, float | None], None] | None,
) -> Pass:
    """One forward pass, its attention recorded. `watched`: modules whose output is kept. Raises Cancelled."""
    heads: dict[str, Tensor] = {}
    done = 0

    def on_block(name: str) -> None:
        nonlocal done
        if cancel is not None and cancel():
            raise Cancelled
        if progress is not None:
            done += 1
            progress(f"{model.name}: {name}", None)

    asked = on_block if cancel is not None or progress is not None else None
    graph = None
    with PassHooks() as hooks:
        for name, child in watched.items():
            hooks.after(child, partial(_keep, heads, name))
        start = perf_counter()
        if gradients:
            graph = record(model.module, inputs, model.kept["names"], asked)
            output, operations = graph.output, graph.operations
        else:
            output, operations = run(model.module, inputs, keep_outputs=keep_outputs, on_block=asked)
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
        return Pass(output, operations, heads, (perf_counter() - start) * 1000, graph)


def may_be_heads(model: Model, checking: bool) -> dict[str, nn.Module]:
    """The modules whose output is kept: the heads that were found; before that all linear maps.

    Only while a library's model waits for its proof are they known by their usual names.
    """
    known: Check | None = model.kept.get("check")
    if not checking and known is not None and known.heads is not None:
        return {name: model.module.get_submodule(name) for name in known.heads.values()}
    return {
        name: child
        for name, child in model.module.named_modules()
        if isinstance(child, nn.Linear) and (checking or name.rpartition(".")[2] in DISTILLED_HEADS)
    }


def _keep(
    heads: dict[str, Tensor], name: str, _args: tuple[Any, ...], _kwargs: dict[str, Any], output: Any
) -> None:
    if isinstance(output, Tensor) and output.ndim == 2 and len(output) == 1:
        heads[name] = output.detach()
