"""The logit lens: what the model would predict from the tokens after each layer (nostalgebraist 2020).

softmax(head(norm(z_ℓ[readout]))), defined for any model as: skip all remaining blocks, and apply the model's own final
norm, pool and head. One forward pass computes all layers: hooks let each block run on the current tokens alone, while
the tokens as they were after each earlier block are further rows of the batch that bypass the block. So everything
between and after the blocks is the model's own code, and the model is not changed.

Decision: hooks around blocks instead of a copy of each family's final layers. Rejected: `forward_head(norm(z))`, which
holds for timm's plain models only and cannot carry a Swin's early stages through its mergings.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitviz.attention.answers import logits_of
from vitviz.attention.recording.recorder import Cancelled
from vitviz.attention.softmax import softmax
from vitviz.attention.trace import Prediction, Trace
from vitviz.errors import MethodError, VitvizError
from vitviz.explain.needs import order, readout
from vitviz.models.pass_hooks import in_this_thread
from vitviz.models.passes import own_pass

Floats = NDArray[np.float32]

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}
"""How far the last row may be from the model's own logits, relative to the largest: a batch is rounded differently."""
HALF_TOLERANCE = 3e-2

BY_STAGE = (
    "By stage: all remaining blocks are skipped but the model's own patch mergings are kept, so that an earlier stage "
    "reaches the head's width."
)


@dataclass(frozen=True, eq=False)
class Lens:
    """What the model's head predicts from the tokens before the first block and after each block."""

    model_name: str
    labels: tuple[str, ...]
    layers: tuple[int | None, ...]
    """Per row the layer of the trace after whose block it reads; None for the first row, before the first block."""
    names: tuple[str, ...]
    """Per row the block's name in the model, "" for the first row."""
    logits: Floats
    """rows×classes; the last row is the model's own prediction."""
    sentence: str
    """A sentence that says what is read; where patches merge it also says what “by stage” means."""
    heads_logits: dict[str, Floats] = field(default_factory=dict)
    """For distilled models the same for each head, "class" and "distillation"; `logits` is their mean."""

    def probabilities(self, head: str = "both") -> NDArray[np.float64]:
        """rows×classes, each row's softmax. `head`: "both", or "class" and "distillation" of a distilled model."""
        if head != "both" and head not in self.heads_logits:
            known = ", ".join(["both", *self.heads_logits])
            raise MethodError(f"{self.model_name} has no head {head!r}; it has: {known}.")
        return softmax(self.logits if head == "both" else self.heads_logits[head])

    def predictions(self, row: int = -1, top: int = 5, head: str = "both") -> list[Prediction]:
        """The most probable classes of a row, best first."""
        shares = self.probabilities(head)[row]
        order = np.argsort(-shares, kind="stable")[:top]
        return [Prediction(int(i), self.labels[i], float(shares[i])) for i in order]

    def leaders(self, top: int = 5, head: str = "both") -> list[int]:
        """The classes to show: the `top` of the last row, then those that lead in an earlier row, latest first."""
        logits = self.logits if head == "both" else self.heads_logits[head]
        final = np.argsort(-logits[-1], kind="stable")[:top].tolist()
        return list(dict.fromkeys([*final, *logits.argmax(1)[::-1].tolist()]))


def lens(trace: Trace, *, cancel: Callable[[], bool] | None = None) -> Lens:
    """The logit lens of a trace, by one more forward pass of its photo; kept as long as the trace.

    For Swin, and wherever patches merge, by stage: all remaining blocks are skipped but the model's own patch mergings
    are kept, so that an earlier stage reaches the head's width. `cancel` is called before each block; if it returns
    True, Cancelled is raised. Raises MethodError with the reason where the lens does not apply (see `refusal`), and
    where its last row would not be the model's own prediction; DeviceMemoryError.
    """
    known: Lens | None = trace.kept.get("lens")
    if known is not None:
        return known
    reason = refusal(trace)
    if reason is not None:
        raise _does_not_apply(trace, reason)
    found = _computed(trace, cancel)
    trace.kept["lens"] = found
    return found


def refusal(trace: Trace) -> str | None:
    """Why the lens does not apply to a trace, from "because" on; None if no reason is known."""
    if not trace.logits.size or len(trace.model.labels) != len(trace.logits):
        return "because this model has no classifier"
    if trace.model.quantity != "probability":
        what = "a single class" if trace.model.outputs == "classes" else "no classes"
        return f"because this model has {what}, so its outputs have no probabilities to follow"
    reason = order(trace) or readout(trace)
    if reason is not None:
        return reason
    for name in trace.readout.prefix:
        late = next((layer for layer in trace.layers if name not in layer.layout.prefix), None)
        if late is not None:
            return f"because the {name} token, which is read, is not there yet in {late.name}"
    if _blocks(trace) is None:
        return "because vitviz does not find the blocks of this model, one after the other"
    return None


def _does_not_apply(trace: Trace, reason: str, details: str = "") -> MethodError:
    return MethodError(f"The logit lens does not apply to {trace.model.name}, {reason}.", details)


def _blocks(trace: Trace) -> dict[str, int] | None:
    """Each block's name with the last layer in it: the innermost member of a list of modules that holds a whole step."""
    steps: dict[int, list[int]] = {}
    for index, layer in enumerate(trace.layers):
        if not layer.pooling:
            steps.setdefault(layer.step, []).append(index)
    blocks: dict[str, int] = {}
    for layers in steps.values():
        paths = [trace.layers[index].name.split(".") for index in layers]
        shared = [
            parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
        ]
        while shared and not _in_list(trace.model.module, shared):
            shared.pop()
        if not shared:
            return None
        blocks[".".join(shared)] = layers[-1]
    return blocks if len(blocks) == len(steps) else None


def _in_list(module: nn.Module, path: list[str]) -> bool:
    return isinstance(module.get_submodule(".".join(path[:-1])), nn.ModuleList | nn.Sequential)


class _Unlike(Exception):  # noqa: N818 - becomes a MethodError
    """A block does not take or give a batch of token streams."""


class _Passers:
    """Hooks of the blocks: the last row of the batch goes through the block, the others bypass it."""

    def __init__(self, cancel: Callable[[], bool] | None) -> None:
        self.cancel = cancel
        self.passing: Tensor | None = None
        self.rows = 1

    def enter(
        self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Give the block the last row only and keep the others."""
        if self.cancel is not None and self.cancel():
            raise Cancelled
        first = next((name for name, value in kwargs.items() if isinstance(value, Tensor)), "")
        batch = args[0] if args else kwargs.get(first)
        if not isinstance(batch, Tensor) or batch.ndim < 3 or len(batch) != self.rows:
            raise _Unlike(
                f"{type(block).__name__} was given something else than {self.rows} streams of tokens"
            )
        self.passing = batch
        stream = batch[-1:]
        return ((stream, *args[1:]), kwargs) if args else (args, kwargs | {first: stream})

    def leave(self, block: nn.Module, _args: Any, output: Any) -> Any:
        """The rows that bypassed the block, followed by its output."""
        stream = output[0] if isinstance(output, tuple) else output
        assert self.passing is not None
        if not isinstance(stream, Tensor) or stream.shape != self.passing[-1:].shape:
            raise _Unlike(f"{type(block).__name__} gives another shape than it takes")
        batch = torch.cat([self.passing, stream])
        self.rows = len(batch)
        return (batch, *output[1:]) if isinstance(output, tuple) else batch


def _computed(trace: Trace, cancel: Callable[[], bool] | None) -> Lens:
    model, module = trace.model, trace.model.module
    blocks = _blocks(trace)
    assert blocks is not None
    passers = _Passers(cancel)
    heads: dict[str, Tensor] = {}
    handles = []
    try:
        with own_pass(model), torch.no_grad():
            inputs = torch.from_numpy(trace.framing.apply(trace.photo))[None].to(model.device, model.dtype)
            try:
                for name in blocks:
                    block = module.get_submodule(name)
                    handles.append(
                        block.register_forward_pre_hook(in_this_thread(passers.enter), with_kwargs=True)
                    )
                    handles.append(block.register_forward_hook(in_this_thread(passers.leave)))
                for token, name in trace.heads.items():
                    keep = in_this_thread(_keep(heads, token))
                    handles.append(module.get_submodule(name).register_forward_hook(keep))
                logits = _floats(logits_of(module(inputs)))
            finally:
                for handle in handles:
                    handle.remove()
    except (VitvizError, Cancelled):
        raise
    # Any other failure comes from a model that does not take a batch of streams between or behind its blocks.
    except Exception as problem:
        raise _does_not_apply(
            trace, "because its blocks do not pass on one tensor of tokens", repr(problem)
        ) from problem
    _require_own_prediction(trace, logits, passers.rows)
    return Lens(
        model_name=model.full_name,
        labels=model.labels,
        layers=(None, *blocks.values()),
        names=("", *blocks),
        logits=logits,
        sentence=_sentence(trace),
        heads_logits={token: _floats(heads[token]) for token in trace.heads},
    )


def _keep(heads: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        heads[name] = output

    return keep


def _require_own_prediction(trace: Trace, logits: Floats, rows: int) -> None:
    own = trace.logits
    error = float("inf")
    if logits.shape == (rows, len(own)):
        error = float(np.abs(logits[-1] - own).max() / max(float(np.abs(own).max()), 1e-6))
    if not error <= TOLERANCE.get(trace.model.dtype, HALF_TOLERANCE):
        raise _does_not_apply(
            trace,
            "because its last layer does not come out as the model's own prediction",
            f"error {error:.1e}",
        )


def _sentence(trace: Trace) -> str:
    read = f"What the model's head reads from {trace.readout.sentence} after each layer, all later layers skipped."
    merging = any(layer.layout.merge is not None for layer in trace.layers)
    return f"{read} {BY_STAGE}" if merging else read


def _floats(values: Tensor) -> Floats:
    return values.detach().float().cpu().numpy()
