"""What is kept of an attention operation, and how it is taken from the model's call."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHORT = 640
"""Up to so many keys logits are kept beside weights: a window of 24×24, or a ViT at 384 pixels."""


@dataclass(frozen=True, eq=False)
class Operation:
    """One attention operation as the model computed it. B is 1 photo, or the number of windows.

    Either `query` and `key` are known (B×heads×Nq×d and B×heads×Nk×d, with `bias` broadcastable to B×heads×Nq×Nk and
    added to the scaled product), or only `weights` (B×heads×Nq×Nk: what the model multiplied with the values), with the
    `logits` that the softmax was taken of where rows are short (only they allow position and content to be separated).
    """

    module: str
    value: Tensor | None
    query: Tensor | None = None
    key: Tensor | None = None
    bias: Tensor | None = None
    scale: float = 1.0
    weights: Tensor | None = None
    logits: Tensor | None = None
    is_distribution: bool = True
    mixed: bool = False
    """Whether `weights` were made from the result of a softmax over the keys and are not shares: heads mixed, say."""
    output: Tensor | None = None
    """The operation's output, if outputs are kept; with `graph` the same tensor that the model uses."""
    modules: tuple[str, ...] = ()
    """Where branches of one layer were joined: the module of each, in the order of their heads."""
    projection: nn.Module | None = None
    """`nn.MultiheadAttention`'s output projection: then `output` is its result, B×N×dim."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, heads, queries, keys)."""
        if self.weights is not None:
            b, heads, nq, nk = self.weights.shape
            return b, heads, nq, nk
        assert self.query is not None
        assert self.key is not None
        return self.query.shape[0], self.query.shape[1], self.query.shape[2], self.key.shape[2]

    @cached_property
    def turned(self) -> tuple[Tensor, Tensor]:
        """Queries and keys as B×heads×d×N, float32 and contiguous; computed on first use and kept.

        With the tokens side by side in memory one row or column of logits takes a third of the time (1,374 tokens on a CPU).
        """
        assert self.query is not None
        assert self.key is not None
        query, key = (part.float().transpose(-2, -1).contiguous() for part in (self.query, self.key))
        return query, key

    @property
    def bytes(self) -> int:
        """Bytes of the tensors kept, views of one storage counted once."""
        kept = (self.query, self.key, self.value, self.bias, self.weights, self.logits)
        storages = {
            t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in kept if t is not None
        }
        return sum(storages.values())


class Recording:
    """The operations of one forward pass, in order.

    `keep_outputs` also keeps each output, for the self-check; `graph` keeps it with its autograd graph.
    """

    def __init__(self, keep_outputs: bool = False, graph: bool = False) -> None:
        self.operations: list[Operation] = []
        self.keep_outputs = keep_outputs
        self.graph = graph

    @property
    def sequence(self) -> tuple[str, ...]:
        """The attending module of each operation, in order."""
        return tuple(operation.module for operation in self.operations)

    def _output(self, output: Tensor) -> Tensor | None:
        if self.graph:
            return output
        return four_dimensional(output).detach().clone() if self.keep_outputs else None

    def _multihead_output(self, output: Tensor, batch_first: bool) -> Tensor | None:
        if self.graph:
            return output
        output = output if batch_first else output.transpose(0, 1)
        return output.detach().clone() if self.keep_outputs else None

    def add_fused(self, module: str, output: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record a call of `F.scaled_dot_product_attention`."""
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")
        given = dict(zip(names, args, strict=False)) | kwargs
        lead = given["query"].shape[:-2]
        query, key, value = (four_dimensional(_apart(given[name])) for name in ("query", "key", "value"))
        if key.shape[1] != query.shape[1]:  # grouped queries: each key head serves several query heads
            key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
            value = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
        bias = given.get("attn_mask")
        if given.get("is_causal"):
            bias = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
        elif (
            bias is not None and len(lead) != 2
        ):  # heads are folded into the batch, or windows stand apart from it
            bias = four_dimensional(bias.expand(*lead, *bias.shape[-2:]))
        scale = given.get("scale")
        self.operations.append(
            Operation(
                module=module,
                query=query,
                key=key,
                value=value,
                bias=None if bias is None else _additive(_apart(bias), query.dtype),
                scale=query.shape[-1] ** -0.5 if scale is None else float(scale),
                output=self._output(output),
            )
        )

    def add_weights(
        self,
        module: str,
        weights: Tensor,
        value: Tensor,
        output: Tensor,
        softmaxed: Tensor,
        logits: Tensor | None = None,
        over_keys: bool = True,
    ) -> None:
        """Record the product of attention weights with values, where q and k are not known (not fused).

        `over_keys`: whether `softmaxed` is the result of a softmax over its last axis and was not written into since.

        `logits`, what the softmax was taken of, are kept for rows of at most SHORT keys, such as windows.
        """
        shares = _are_shares(weights, softmaxed, over_keys)
        short = logits is not None and shares and weights.shape[-1] <= SHORT
        self.operations.append(
            Operation(
                module=module,
                weights=four_dimensional(weights.detach()),
                value=four_dimensional(value.detach()),
                logits=four_dimensional(logits.detach()) if short and logits is not None else None,
                is_distribution=shares,
                mixed=not shares and over_keys and weights.data_ptr() != softmaxed.data_ptr(),
                output=self._output(output),
            )
        )

    def add_multihead(
        self, module: str, attention: nn.MultiheadAttention, inputs: Any, output: Tensor
    ) -> None:
        """Record a call of `nn.MultiheadAttention` from its inputs (query, key, value)."""
        if not attention.batch_first:
            inputs = [x.transpose(0, 1) for x in inputs]
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
                output=self._multihead_output(output, attention.batch_first),
                projection=attention.out_proj,
            )
        )


def _apart(x: Tensor) -> Tensor:
    """The tensor without its gradient graph; itself if it has none, which is the usual case and cheaper."""
    return x.detach() if x.requires_grad else x


def four_dimensional(x: Tensor) -> Tensor:
    """B×N×d becomes B×1×N×d: one head. Of more than four dimensions, which may be heads or windows, each is a group with
    one head.
    """
    if x.ndim == 3:
        return x.unsqueeze(1)
    return x if x.ndim == 4 else x.flatten(0, x.ndim - 3).unsqueeze(1)


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask (True = may attend) as a bias of 0 and −∞; an additive one as it is."""
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, float("-inf"))
    return mask


def _are_shares(weights: Tensor, softmaxed: Tensor, over_keys: bool) -> bool:
    """Whether each row of the left factor is ≥ 0 and sums to 1: it is the softmax's own result, or every row is summed."""
    if (
        over_keys
        and weights.data_ptr() == softmaxed.data_ptr()
        and weights.stride()[-2:] == softmaxed.stride()[-2:]
    ):
        return True
    if bool((weights < 0).any()):
        return False
    return bool(((weights.sum(-1, dtype=torch.float32) - 1).abs() < 1e-2).all())


def _project(
    attention: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor
) -> tuple[Tensor, ...]:
    """The q, k, v projections of `nn.MultiheadAttention`, B×N×dim each."""
    separate = (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
    weights = attention.in_proj_weight.chunk(3) if attention._qkv_same_embed_dim else separate
    biases = attention.in_proj_bias.chunk(3) if attention.in_proj_bias is not None else (None, None, None)
    inputs = (query, key, value)
    with torch.no_grad():
        return tuple(F.linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True))
