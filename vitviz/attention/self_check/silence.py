"""A forward pass in which every attention operation that the recorder knows gives zeros, or what is asked for.

Then the content of a token travels alone: what a token depends on is where it came from. Operations are seen where the
recorder sees them, and come in the same order.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vitviz.attention.recording import einsum
from vitviz.attention.recording.recorder import PRODUCTS, SOFTMAXES, weighs

ADDED_PRODUCTS = frozenset({torch.baddbmm, Tensor.baddbmm})
"""Products to which something is added, a bias say: scores may be made by them."""


class Given(NamedTuple):
    """What an operation was given, each …×heads×tokens×d, or …×tokens×d where heads are folded away."""

    number: int
    """Its place in the order of the forward pass."""
    query: Tensor
    key: Tensor
    value: Tensor


Answer = Callable[[Given, tuple[int, ...]], Tensor | None]
"""(what an operation was given, the shape of its output) → what it is to give; None: zeros."""


class Silence(TorchFunctionMode):
    """While it is on, attention operations give zeros, or what `answer` says.

    `after` is called with the function and each tensor that it gives once all of `count` operations have been seen, and may
    give back another tensor to go on with.
    """

    def __init__(
        self,
        answer: Answer,
        count: int = -1,
        after: Callable[[Any, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.answer = answer
        self.count = count
        self.after = after
        self.seen = 0
        self._products: list[tuple[Tensor, Tensor, Tensor]] = []
        self._softmaxed: Tensor | None = None
        self._factors: tuple[Tensor, Tensor] | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            given = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
            query, key, value = given["query"], given["key"], given["value"]
            return self._answered(query, key, value, (*query.shape[:-1], value.shape[-1]))
        if func is F.multi_head_attention_forward:
            query, key, value = args[:3]  # tokens×batch×dim
            batched = [part.unsqueeze(1) if part.ndim == 2 else part for part in (query, key, value)]
            moved = [part.transpose(0, 1).unsqueeze(1) for part in batched]
            output = self._answered(moved[0], moved[1], moved[2], tuple(moved[0].shape))
            return output.squeeze(1).transpose(0, 1).reshape(query.shape), None
        result = func(*args, **kwargs)
        if func in SOFTMAXES and result.ndim >= 3:
            self._softmaxed = result
            self._factors = next(
                (
                    (left, right)
                    for left, right, product in reversed(self._products)
                    if product.shape[-2:] == result.shape[-2:] and product.numel() == result.numel()
                ),
                None,
            )
            self._products.clear()
        elif func in PRODUCTS and result.ndim >= 3:
            if self._softmaxed is not None and weighs(args[0], self._softmaxed):
                self._softmaxed = None
                # Without factors to read, the keys are known by the values that they weigh.
                query, key = self._factors or (result[..., :0], args[1])
                self._factors = None
                return self._answered(query, key, args[1], tuple(result.shape))
            self._products = [*self._products[-1:], (args[0], args[1].transpose(-2, -1), result)]
        elif func in ADDED_PRODUCTS:
            self._products = [*self._products[-1:], (args[1], args[2].transpose(-2, -1), result)]
        elif func is torch.einsum and result.ndim >= 3:
            weighted = None if self._softmaxed is None else einsum.weighted(args, result, self._softmaxed)
            if weighted is not None:
                self._softmaxed = None
                query, key = self._factors or (weighted.output[..., :0], weighted.value)
                self._factors = None
                answer = self._answered(query, key, weighted.value, tuple(weighted.output.shape))
                return answer.permute(weighted.back)
            factors = einsum.factors(args, result)
            if factors is not None:
                self._products = [*self._products[-1:], (*factors, result)]
        if self.after is not None and self.seen == self.count and isinstance(result, Tensor):
            return self.after(func, result)
        return result

    def _answered(self, query: Tensor, key: Tensor, value: Tensor, shape: tuple[int, ...]) -> Tensor:
        answer = self.answer(Given(self.seen, query, key, value), shape)
        self.seen += 1
        return torch.zeros(shape, dtype=value.dtype, device=value.device) if answer is None else answer
