"""Record attention during one forward pass without changing the model.

Two things are put around the modules that attend: forward hooks, which say *where* we are, and a
`torch.overrides.TorchFunctionMode`, which sees *what* is computed there: `F.scaled_dot_product_attention` (q, k, v, mask,
scale), or a softmax and the product of its result with the values. `nn.MultiheadAttention` computes in one native call that
no function mode may watch without losing PyTorch's fast path, so there the module's inputs are taken and q, k, v projected
again. All of it is removed after the pass; fused attention stays fused.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from vitviz.errors import RefusedError

SOFTMAXES = frozenset({torch.softmax, Tensor.softmax, F.softmax})
PRODUCTS = frozenset({torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm})


class Cancelled(Exception):  # noqa: N818 - an answer, not an error
    """The forward pass was stopped at a block because the caller no longer wants it."""


@dataclass(frozen=True, eq=False)
class Operation:
    """One attention operation as the model computed it. B is 1 photo, or the number of windows.

    Either `query` and `key` are known (B×heads×Nq×d and B×heads×Nk×d, with `bias` broadcastable to B×heads×Nq×Nk and
    added to the scaled product), or only `weights` (B×heads×Nq×Nk: what the model multiplied with the values).
    """

    module: str
    value: Tensor | None
    query: Tensor | None = None
    key: Tensor | None = None
    bias: Tensor | None = None
    scale: float = 1.0
    weights: Tensor | None = None
    is_distribution: bool = True
    output: Tensor | None = None
    projection: nn.Module | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, heads, queries, keys)."""
        if self.weights is not None:
            b, heads, nq, nk = self.weights.shape
            return b, heads, nq, nk
        assert self.query is not None
        assert self.key is not None
        return self.query.shape[0], self.query.shape[1], self.query.shape[2], self.key.shape[2]

    @property
    def bytes(self) -> int:
        """Bytes of the tensors kept, views of one storage counted once."""
        kept = (self.query, self.key, self.value, self.bias, self.weights)
        storages = {
            t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in kept if t is not None
        }
        return sum(storages.values())


class Recording:
    """The operations of one forward pass, in order. `keep_outputs` also keeps what each gave, for the self-check."""

    def __init__(self, keep_outputs: bool = False) -> None:
        self.operations: list[Operation] = []
        self.keep_outputs = keep_outputs

    def _output(self, output: Tensor) -> Tensor | None:
        return output.detach().clone() if self.keep_outputs else None

    def add_fused(self, module: str, output: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record a call of `F.scaled_dot_product_attention`."""
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")
        given = dict(zip(names, args, strict=False)) | kwargs
        query, key, value = (_four_dimensional(given[name].detach()) for name in ("query", "key", "value"))
        if key.shape[1] != query.shape[1]:  # grouped queries: each key head serves several query heads
            key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
            value = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
        bias = given.get("attn_mask")
        if given.get("is_causal"):
            bias = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
        scale = given.get("scale")
        self.operations.append(
            Operation(
                module=module,
                query=query,
                key=key,
                value=value,
                bias=None if bias is None else _additive(bias.detach(), query.dtype),
                scale=query.shape[-1] ** -0.5 if scale is None else float(scale),
                output=self._output(_four_dimensional(output)),
            )
        )

    def add_weights(
        self, module: str, weights: Tensor, value: Tensor, output: Tensor, softmaxed: Tensor
    ) -> None:
        """Record the product of attention weights with values, where q and k cannot be had (not fused)."""
        self.operations.append(
            Operation(
                module=module,
                weights=_four_dimensional(weights.detach()),
                value=_four_dimensional(value.detach()),
                is_distribution=_are_shares(weights, softmaxed),
                output=self._output(_four_dimensional(output)),
            )
        )

    def add_multihead(
        self, module: str, attention: nn.MultiheadAttention, inputs: Any, output: Tensor
    ) -> None:
        """Record a call of `nn.MultiheadAttention` from its inputs (query, key, value)."""
        if not attention.batch_first:
            inputs, output = [x.transpose(0, 1) for x in inputs], output.transpose(0, 1)
        query, key, value = _project(attention, *(x.detach() for x in inputs))
        heads = attention.num_heads
        query, key, value = (x.reshape(*x.shape[:-1], heads, -1).transpose(1, 2) for x in (query, key, value))
        self.operations.append(
            Operation(
                module=module,
                query=query,
                key=key,
                value=value,
                scale=query.shape[-1] ** -0.5,
                output=self._output(output),
                projection=attention.out_proj,
            )
        )


class _Watch(TorchFunctionMode):
    """Sees every torch call made while it is on. `where` names the running module, `in_multihead` says if it is torch's."""

    def __init__(
        self, recording: Recording, where: Callable[[], str], in_multihead: Callable[[], bool]
    ) -> None:
        super().__init__()
        self.recording = recording
        self.where = where
        self.in_multihead = in_multihead
        self.softmaxed: Tensor | None = None
        self.softmaxed_in = ""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            self.recording.add_fused(self.where(), result, args, kwargs)
        elif func in SOFTMAXES:
            if result.ndim >= 3:
                self.require_product()
                self.softmaxed, self.softmaxed_in = result, self.where()
        elif self.softmaxed is not None and func in PRODUCTS and _weighs(args[0], self.softmaxed):
            self.recording.add_weights(self.where(), args[0], args[1], result, self.softmaxed)
            self.softmaxed = None
        elif func is F.multi_head_attention_forward and not self.in_multihead():
            raise RefusedError(
                f"{self.where() or 'The model'} calls F.multi_head_attention_forward itself; "
                "vitviz records it only inside nn.MultiheadAttention."
            )
        return result

    def require_product(self) -> None:
        """Refuse a softmax over tokens that went another way than into a product: its attention would be missing."""
        if self.softmaxed is not None:
            raise RefusedError(
                f"A softmax in {self.softmaxed_in or 'the model'} is not followed by a product that vitviz recognises "
                "(@, matmul, bmm), so its attention cannot be recorded."
            )


@dataclass(frozen=True)
class Plan:
    """Which modules attend, found by a first pass that watched everything; later passes watch only these."""

    attending: tuple[str, ...]


_plans: "WeakKeyDictionary[nn.Module, Plan]" = WeakKeyDictionary()


def run(
    module: nn.Module,
    inputs: Tensor,
    *,
    keep_outputs: bool = False,
    on_block: Callable[[str], None] | None = None,
) -> tuple[Any, list[Operation]]:
    """One forward pass of `module`; its output, and every attention operation in order.

    The first pass of a module watches all of it (7 to 30 % slower) and notes which modules attend. `on_block` is called
    with an attending module's name before it runs; it may raise `Cancelled`. Raises RefusedError for attention that
    cannot be recorded.
    """
    if module not in _plans:
        # A function mode pushes nn.MultiheadAttention off its fast path, so what that pass computed is not kept.
        discovered = Recording(keep_outputs)
        with torch.no_grad(), _announcing(module, None, on_block), _watch_everything(module, discovered):
            output = module(inputs)
        _plans[module] = Plan(tuple(dict.fromkeys(operation.module for operation in discovered.operations)))
        if not any(isinstance(child, nn.MultiheadAttention) for child in module.modules()):
            return output, discovered.operations
    plan = _plans[module]
    recording = Recording(keep_outputs)
    with torch.no_grad(), _announcing(module, plan, on_block), _watch_attending(module, recording, plan):
        output = module(inputs)
    return output, recording.operations


@contextmanager
def _announcing(
    module: nn.Module, plan: Plan | None, on_block: Callable[[str], None] | None
) -> Iterator[None]:
    """Call `on_block` before each attending module; before each module without children while they are not known."""
    handles: list[RemovableHandle] = []
    try:
        if on_block is not None:
            for name, child in module.named_modules():
                if name in plan.attending if plan else not any(child.children()):
                    handles.append(child.register_forward_pre_hook(lambda _m, _i, name=name: on_block(name)))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _watch_everything(module: nn.Module, recording: Recording) -> Iterator[None]:
    running: list[tuple[str, nn.Module]] = [("", module)]
    handles: list[RemovableHandle] = []
    try:
        for name, child in module.named_modules():
            if isinstance(child, nn.MultiheadAttention):
                handles.append(_hook_multihead(name, child, recording))
            handles.append(
                child.register_forward_pre_hook(lambda m, _i, name=name: running.append((name, m)))
            )
            handles.append(child.register_forward_hook(lambda *_: _pop(running), always_call=True))
        watch = _Watch(
            recording, lambda: running[-1][0], lambda: isinstance(running[-1][1], nn.MultiheadAttention)
        )
        with watch:
            yield
        watch.require_product()
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _watch_attending(module: nn.Module, recording: Recording, plan: Plan) -> Iterator[None]:
    """One watch, on while any attending module runs: these may lie inside each other."""
    running: list[str] = []
    watch = _Watch(recording, lambda: running[-1], lambda: True)
    handles: list[RemovableHandle] = []

    def enter(name: str) -> None:
        running.append(name)
        if len(running) == 1:
            watch.__enter__()  # type: ignore[no-untyped-call]

    def leave() -> None:
        if running:
            running.pop()
            if not running:
                watch.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    try:
        for name in plan.attending:
            child = module.get_submodule(name)
            if isinstance(child, nn.MultiheadAttention):
                handles.append(_hook_multihead(name, child, recording))
                continue
            handles.append(child.register_forward_pre_hook(lambda _m, _i, name=name: enter(name)))
            handles.append(child.register_forward_hook(lambda *_: watch.require_product()))
            handles.append(child.register_forward_hook(lambda *_: leave(), always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
        while running:
            leave()


def _hook_multihead(name: str, child: nn.MultiheadAttention, recording: Recording) -> RemovableHandle:
    def record(
        attention: nn.MultiheadAttention,
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

    return child.register_forward_hook(record, with_kwargs=True)


def _pop(running: list[tuple[str, nn.Module]]) -> None:
    running.pop()


def _four_dimensional(x: Tensor) -> Tensor:
    """B×N×d becomes B×1×N×d: one head; more than four dimensions fold into the first."""
    if x.ndim == 3:
        return x.unsqueeze(1)
    return x if x.ndim == 4 else x.flatten(0, x.ndim - 4)


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask (True = may attend) as a bias of 0 and −∞; an additive one as it is."""
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, float("-inf"))
    return mask


def _weighs(left: Any, softmaxed: Tensor) -> bool:
    """Whether the left factor of a product is the softmax's result, possibly with its heads mixed."""
    return isinstance(left, Tensor) and left.shape[-2:] == softmaxed.shape[-2:]


def _are_shares(weights: Tensor, softmaxed: Tensor) -> bool:
    """Whether the left factor is the softmax's result, perhaps in another precision, and not a mix of its heads."""
    if weights.data_ptr() == softmaxed.data_ptr() and weights.shape == softmaxed.shape:
        return True
    row = weights[..., 0, :].float()
    return bool((row >= 0).all()) and bool(((row.sum(-1) - 1).abs() < 1e-2).all())


def _project(
    attention: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor
) -> tuple[Tensor, ...]:
    """The q, k, v projections of `nn.MultiheadAttention`, B×N×dim each."""
    separate = (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
    weights = attention.in_proj_weight.chunk(3) if attention._qkv_same_embed_dim else separate
    biases = attention.in_proj_bias.chunk(3) if attention.in_proj_bias is not None else (None, None, None)
    inputs = (query, key, value)
    return tuple(F.linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True))
