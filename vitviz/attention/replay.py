"""One row of logits and its factors where a trace kept only weights: one more pass that ends at that layer."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vitviz.attention.layer import Layer
from vitviz.attention.recording.operations import four_dimensional
from vitviz.attention.recording.recorder import PRODUCTS, SOFTMAXES, said_by_module
from vitviz.attention.trace import Trace
from vitviz.errors import MethodError
from vitviz.models.pass_hooks import PassHooks
from vitviz.models.passes import own_pass

TOLERANCE = 1e-3
"""How far the weights of the second pass may differ from the recorded ones, relative to the largest."""


@dataclass(frozen=True, eq=False)
class RowLogits:
    """One row of one layer's logits."""

    logits: Tensor
    """heads×keys: the input of the softmax."""
    query: Tensor
    """heads×N×d: the left factor of the last product before the softmax, of all tokens (or of the window's slots)."""
    key: Tensor
    """heads×N×d: its right factor."""


def replay(trace: Trace, layer: Layer, row: int, window: int = 0) -> RowLogits:
    """A row of a layer's logits, from a pass that ends with that layer and of which nothing else is kept.

    Raises MethodError where the pass gives other weights than were recorded, DeviceMemoryError.
    """
    operation, model = layer.operations[0], trace.model
    watch = _Softmax()
    attending = model.module.get_submodule(operation.module)
    with own_pass(model), torch.no_grad(), suppress(_EnoughError), PassHooks() as hooks, watch:
        hooks.before(attending, watch.begin)
        hooks.after(attending, lambda *_: watch.end())
        inputs = torch.from_numpy(trace.framing.apply(trace.photo))[None].to(model.device, model.dtype)
        try:
            model.module(inputs)
        except _EnoughError:
            raise
        except Exception as error:
            raise MethodError(f"{layer.name} could not be run once more: {said_by_module(error)}") from error
    if watch.logits is None or watch.query is None or watch.key is None:
        raise MethodError(f"{layer.name} takes no softmax of a product, so its logits are not known.")
    logits, query, key = (four_dimensional(part) for part in (watch.logits, watch.query, watch.key))
    seen = logits[window, :, row].float().softmax(-1)
    recorded = layer.weights(slice(row, row + 1), window)[0, :, 0]
    if seen.shape != recorded.shape or not torch.allclose(
        seen, recorded, rtol=0, atol=TOLERANCE * float(recorded.max())
    ):
        raise MethodError(f"{layer.name} gave other weights when it was run once more; it cannot be split.")
    return RowLogits(logits[window, :, row], query[window], key[window].transpose(-2, -1))


class _EnoughError(Exception):
    """Raised when the layer has run: the rest of the pass is not needed."""


class _Softmax(TorchFunctionMode):
    """Keeps the input of the first softmax between `begin` and `end`, and the factors of the product before it."""

    def __init__(self) -> None:
        super().__init__()
        self.on = False
        self.query: Tensor | None = None
        self.key: Tensor | None = None
        self.logits: Tensor | None = None

    def begin(self) -> None:
        """The attending module starts."""
        self.on = True

    def end(self) -> None:
        """The attending module has run: end the pass."""
        raise _EnoughError

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self.on and self.logits is None:
            if func in SOFTMAXES and result.ndim >= 3:
                given = args[0] if args else kwargs["input"]
                self.logits = given.detach().clone()  # some models take the softmax in place
            elif func in PRODUCTS and result.ndim >= 3:
                self.query, self.key = args[0].detach(), args[1].detach()
        return result
