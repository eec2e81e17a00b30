"""Gradients that do not lead to a module's parameters, without a change of the module."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@contextmanager
def frozen(module: nn.Module, stand_ins: dict[nn.Parameter, Tensor] | None = None) -> Iterator[None]:
    """Functions called in this thread are given a module's parameters without their gradients, or their `stand_ins`.

    So less is stored, and a learned bias leaves attention on its fused path. The parameters themselves are left as they
    are: another thread may be training them. timm's gradient checkpointing is disabled: it would run, and record, blocks
    again in the backward pass.
    """
    own = {id(each): each.detach() for each in module.parameters() if each.requires_grad}
    own |= {id(each): stand_in for each, stand_in in (stand_ins or {}).items()}
    twice: list[Any] = [child for child in module.modules() if getattr(child, "grad_checkpointing", False)]
    try:
        for child in twice:
            child.grad_checkpointing = False
        if own:
            with _StandIns(own):
                yield
        else:
            yield
    finally:
        for child in twice:
            child.grad_checkpointing = True


class _StandIns(TorchFunctionMode):
    """Gives each function other tensors in place of some that it is called with, by their `id`."""

    def __init__(self, stand_ins: dict[int, Tensor]) -> None:
        super().__init__()
        self._stand_ins = stand_ins

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        replaced = [self._replaced(arg) for arg in args]
        if kwargs:
            return func(*replaced, **{name: self._replaced(arg) for name, arg in kwargs.items()})
        return func(*replaced)

    def _replaced(self, arg: Any) -> Any:
        if isinstance(arg, list | tuple):
            return type(arg)(map(self._replaced, arg)) if type(arg) in (list, tuple) else arg
        return self._stand_ins.get(id(arg), arg)
