"""Record attention during one forward pass without changing the model.

Two things are put around the modules that attend: hooks, which say *where* we are, and a
`torch.overrides.TorchFunctionMode`, which sees *what* is computed there: `F.scaled_dot_product_attention` (q, k, v,
mask, scale), or a softmax and the product of its result with the values. `nn.MultiheadAttention` computes in one native
call, which PyTorch does not take while a function mode is active, so there the module's inputs are recorded and q, k, v
projected again. Both belong to the thread that records: passes of the same module in other threads are neither seen nor
changed. Both are removed after the pass; fused attention stays fused.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import BaseTorchFunctionMode, TorchFunctionMode

from vitviz.attention.recording import einsum
from vitviz.attention.recording.operations import Operation, Recording
from vitviz.errors import RefusedError, VitvizError, first_line
from vitviz.models.devices import is_out_of_memory
from vitviz.models.pass_hooks import PassHooks

SOFTMAXES = frozenset({torch.softmax, Tensor.softmax, F.softmax})
PRODUCTS = frozenset({torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm})


class Cancelled(Exception):  # noqa: N818 - an answer, not an error
    """The forward pass was stopped at a block because the caller no longer wants it."""


def said_by_module(error: Exception) -> str:
    """The first line of what a module raised when it was run, as a sentence. Raises what is no fault of the module again:
    a refusal, `Cancelled`, and memory that ran out.
    """
    if isinstance(error, VitvizError | Cancelled) or is_out_of_memory(error):
        raise error
    return first_line(error)


class _Watch(TorchFunctionMode):
    """Receives each torch call while it is active. `where` names the running module, `in_multihead` if it is torch's."""

    def __init__(
        self, recording: Recording, where: Callable[[], str], in_multihead: Callable[[], bool]
    ) -> None:
        super().__init__()
        self.recording = recording
        self.where = where
        self.in_multihead = in_multihead
        self.softmaxed: Tensor | None = None
        self.logits: Tensor | None = None
        self.softmaxed_in = ""
        self.written = -1
        """How often the softmax's result had been written into when it was seen; −1 for a softmax not over the last axis."""
        self.on_event: Callable[[str], None] | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            self.recording.add_fused(self.where(), result, args, kwargs)
            self._tell("attention")
        elif func in SOFTMAXES:
            if result.ndim >= 3:
                self.require_product()
                self.softmaxed, self.softmaxed_in = result, self.where()
                self.logits = args[0] if args else kwargs.get("input")
                self.written = result._version if _over_keys(result, args, kwargs) else -1
                self._tell("attention begins")
        elif self.softmaxed is not None and func in PRODUCTS and weighs(args[0], self.softmaxed):
            over_keys = self.written == self.softmaxed._version
            self.recording.add_weights(
                self.where(), args[0], args[1], result, self.softmaxed, self.logits, over_keys
            )
            self.softmaxed = self.logits = None
            self._tell("attention")
        elif self.softmaxed is not None and func is torch.einsum:
            found = einsum.weighted(args, result, self.softmaxed)
            if found is not None:
                over_keys = self.written == self.softmaxed._version
                self.recording.add_weights(
                    self.where(), found.weights, found.value, found.output, self.softmaxed, None, over_keys
                )
                self.softmaxed = self.logits = None
                self._tell("attention")
                return found.output.permute(found.back)
        elif func is F.multi_head_attention_forward and not self.in_multihead():
            raise RefusedError(
                f"{self.where() or 'The model'} calls F.multi_head_attention_forward itself; "
                "vitviz records it only inside nn.MultiheadAttention."
            )
        return result

    def _tell(self, kind: str) -> None:
        if self.on_event is not None:
            self.on_event(kind)

    def require_product(self) -> None:
        """Refuse a softmax over tokens that is not followed by a product: its attention would be missing."""
        if self.softmaxed is not None:
            raise RefusedError(
                f"A softmax in {self.softmaxed_in or 'the model'} is not followed by a product that vitviz recognises "
                "(@, matmul, bmm, einsum), so its attention cannot be recorded."
            )


@dataclass(frozen=True)
class Span:
    """When to watch one attending module: from the end of one module's forward pass to the start of another's.

    `after` and `before` are the last child that ran before the attention and the first that ran after it, or the
    attending module itself, from its start or to its end. So projections and norms run without the function mode.
    """

    module: str
    after: str
    before: str


@dataclass(frozen=True)
class Plan:
    """Where a first pass, which watched the whole model, found attention; later passes watch only there."""

    spans: tuple[Span, ...]
    sequence: tuple[str, ...]
    """The attending module of each operation, in order: a later pass must see the same."""
    calling: tuple[str, ...]
    """The modules of class nn.TransformerEncoderLayer whose attention attends."""
    modules: "WeakValueDictionary[str, nn.Module]"
    """The modules named above, found once: looking them up by name in each pass took longer than hooking them."""

    @property
    def attending(self) -> tuple[str, ...]:
        """The modules that attend."""
        return tuple(dict.fromkeys(self.sequence))


def _plan(module: nn.Module, spans: tuple[Span, ...], sequence: tuple[str, ...]) -> Plan:
    parents = dict.fromkeys(name.rpartition(".")[0] for name in sequence)
    calling = tuple(
        name for name in parents if isinstance(module.get_submodule(name), nn.TransformerEncoderLayer)
    )
    names = {name for span in spans for name in (span.module, span.after, span.before)}
    names |= {*sequence, *calling}
    modules = WeakValueDictionary({name: module.get_submodule(name) for name in names})
    return Plan(spans, sequence, calling, modules)


_plans: "WeakKeyDictionary[nn.Module, Plan]" = WeakKeyDictionary()


def attending(module: nn.Module) -> tuple[str, ...]:
    """The modules that attended in the last pass of `module`; none before the first."""
    plan = _plans.get(module)
    return plan.attending if plan is not None else ()


def forget(module: nn.Module) -> None:
    """Watch all of a module again in its next pass, as after a change of its parts."""
    _plans.pop(module, None)


def run(
    module: nn.Module,
    inputs: Tensor,
    *,
    keep_outputs: bool = False,
    graph: bool = False,
    on_block: Callable[[str], None] | None = None,
) -> tuple[Any, list[Operation]]:
    """One forward pass of `module`; its output, and every attention operation in order.

    The first pass of a module watches all of it (7 to 30 % slower) and notes where it attends. `on_block` is called with an
    attending module's name before it runs; it may raise `Cancelled`. With `graph` gradients are enabled and each operation
    keeps its output in their graph. Raises RefusedError for attention that cannot be recorded.
    """
    if module in _plans:
        plan = _plans[module]
        recording = Recording(keep_outputs, graph)
        with (
            torch.set_grad_enabled(graph),
            _announcing(module, plan, on_block),
            _watch_spans(recording, plan),
        ):
            output = module(inputs)
        if recording.sequence == plan.sequence:
            return output, recording.operations
        del _plans[module]  # the model ran other operations than in its first pass
    recording = Recording(keep_outputs, graph)
    events: list[Event] = []
    with (
        torch.set_grad_enabled(graph),
        _announcing(module, None, on_block),
        _watch_everything(module, recording, events),
    ):
        output = module(inputs)
    _plans[module] = _plan(module, _spans(events), recording.sequence)
    if not any(isinstance(child, nn.MultiheadAttention) for child in module.modules()):
        return output, recording.operations
    # With a function mode nn.MultiheadAttention does not take its fast path, so that pass is not used.
    return run(module, inputs, keep_outputs=keep_outputs, graph=graph, on_block=on_block)


@contextmanager
def _announcing(
    module: nn.Module, plan: Plan | None, on_block: Callable[[str], None] | None
) -> Iterator[None]:
    """Call `on_block` before each attending module, or before each module without children if there is no plan yet."""
    if on_block is None:
        yield
        return
    with PassHooks() as hooks:
        for name, child in module.named_modules():
            if name in plan.attending if plan else not any(child.children()):
                hooks.before(child, partial(on_block, name))
        yield


Event = tuple[str, str]
"""("start" or "end", module) of a forward pass, or ("attention begins" or "attention", attending module)."""


@contextmanager
def _watch_everything(module: nn.Module, recording: Recording, events: list[Event]) -> Iterator[None]:
    running: list[tuple[str, nn.Module]] = [("", module)]

    def start(name: str, child: nn.Module) -> None:
        running.append((name, child))
        events.append(("start", name))

    def end() -> None:
        events.append(("end", running.pop()[0]))

    with PassHooks() as hooks:
        for name, child in module.named_modules():
            if isinstance(child, nn.MultiheadAttention):
                hooks.after(child, partial(_record_multihead, name, child, recording))
            hooks.before(child, partial(start, name, child))
            hooks.ended(child, end)
        watch = _Watch(
            recording, lambda: running[-1][0], lambda: isinstance(running[-1][1], nn.MultiheadAttention)
        )
        watch.on_event = lambda kind: events.append((kind, running[-1][0]))
        with watch:
            yield
        watch.require_product()


def _spans(events: list[Event]) -> tuple[Span, ...]:
    """For each stretch of attention in one module, the modules between which it runs."""
    spans: dict[Span, None] = {}
    begun: int | None = None
    for place, (kind, name) in enumerate(events):
        if kind == "attention begins" and begun is None:
            begun = place
        if kind == "attention":
            first = begun if begun is not None else place
            own = f"{name}." if name else ""
            after = next(
                (
                    n if k == "end" and n.startswith(own) else name
                    for k, n in reversed(events[:first])
                    if k in ("end", "start")
                ),
                name,
            )
            before = next(
                (
                    n if k == "start" and n.startswith(own) else name
                    for k, n in events[place:]
                    if k in ("end", "start")
                ),
                name,
            )
            spans[Span(name, after, before)] = None
            begun = None
    return tuple(spans)


class _Switched:
    """A function mode that is switched on and off in the middle of a pass, always in the thread of that pass."""

    def __init__(self, mode: TorchFunctionMode) -> None:
        self._mode = mode
        self._is_on = False

    def on(self) -> None:
        if not self._is_on:
            self._is_on = True
            self._mode.__enter__()  # type: ignore[no-untyped-call]

    def off(self) -> None:
        if self._is_on:
            self._is_on = False
            self._mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]


@contextmanager
def _watch_spans(recording: Recording, plan: Plan) -> Iterator[None]:
    """One function mode, active from the end of each span's first module to the start of its second."""
    where: list[str] = [""]
    watch = _Watch(recording, lambda: where[0], lambda: True)
    watching = _Switched(watch)
    # While any function mode is on, nn.TransformerEncoderLayer calls its attention instead of computing it itself.
    calling = _Switched(BaseTorchFunctionMode())

    def on(name: str) -> None:
        where[0] = name
        watching.on()

    def off() -> None:
        watching.off()
        watch.require_product()

    with PassHooks() as hooks:
        for span in plan.spans:
            first, last = plan.modules[span.after], plan.modules[span.before]
            if span.after == span.module:
                hooks.before(first, partial(on, span.module))
            else:
                hooks.after(first, lambda *_, name=span.module: on(name))
            if span.before == span.module:
                hooks.after(last, lambda *_: off())
            else:
                hooks.before(last, off)
        for name in plan.attending:
            child = plan.modules[name]
            if isinstance(child, nn.MultiheadAttention):
                hooks.after(child, partial(_record_multihead, name, child, recording))
                hooks.before(child, calling.off)
        for name in plan.calling:
            hooks.before(plan.modules[name], calling.on)
        try:
            yield
        finally:
            watching.off()
            calling.off()


def _record_multihead(
    name: str,
    attention: nn.MultiheadAttention,
    recording: Recording,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    output: tuple[Tensor, Any],
) -> None:
    names = (
        "query",
        "key",
        "value",
        "key_padding_mask",
        "need_weights",
        "attn_mask",
        "average_attn_weights",
    )
    given = dict(zip(names, args, strict=False)) | kwargs
    masked = given.get("attn_mask") is not None or given.get("key_padding_mask") is not None
    if masked or given.get("is_causal") or attention.bias_k is not None or attention.add_zero_attn:
        raise RefusedError(
            f"{name} is an nn.MultiheadAttention with a mask or added keys, which vitviz does not recompute."
        )
    recording.add_multihead(name, attention, [given[n] for n in ("query", "key", "value")], output[0])


def weighs(left: Any, softmaxed: Tensor) -> bool:
    """Whether the left factor of a product is the softmax's result, possibly with its heads mixed."""
    return isinstance(left, Tensor) and left.shape[-2:] == softmaxed.shape[-2:]


def _over_keys(result: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a softmax was taken over the last axis."""
    axis = args[1] if len(args) > 1 else kwargs.get("dim")
    return axis in (-1, result.ndim - 1)
