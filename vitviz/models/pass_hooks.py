"""Functions that are called before and after modules run, in one thread only; the modules themselves stay as they are.

Decision: the hooks are torch's global ones and ask which thread they are called in. Rejected: hooks on the modules, which
every thread would meet: passes of the caller would be recorded, and `nn.TransformerEncoderLayer` would leave its fused path
and answer with other digits.
"""

from collections.abc import Callable
from threading import get_ident
from types import TracebackType
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_modules
from torch.utils.hooks import RemovableHandle

Before = Callable[[], object]
After = Callable[[tuple[Any, ...], dict[str, Any], Any], object]
"""(positional arguments, keyword arguments, what the module gave)."""


class PassHooks:
    """`with PassHooks() as hooks:` calls what is given to `before`, `after` and `ended` until the end of the block.

    Only calls of modules in the thread that entered the block count. What the functions return is ignored; they may raise.
    """

    def __init__(self) -> None:
        self._before: dict[int, list[Before]] = {}
        self._after: dict[int, list[After]] = {}
        self._ended: dict[int, list[Before]] = {}
        self._handles: list[RemovableHandle] = []
        self._thread = 0

    def before(self, module: nn.Module, call: Before) -> None:
        """Call a function before each forward pass of `module`, and before its own hooks."""
        self._before.setdefault(id(module), []).append(call)

    def after(self, module: nn.Module, call: After) -> None:
        """Call a function after each forward pass of `module` that raised nothing, and before its own hooks."""
        self._after.setdefault(id(module), []).append(call)

    def ended(self, module: nn.Module, call: Before) -> None:
        """Call a function after each forward pass of `module`, also one that raised."""
        self._ended.setdefault(id(module), []).append(call)

    def __enter__(self) -> "PassHooks":
        self._thread = get_ident()
        self._handles = [
            torch_modules.register_module_forward_pre_hook(self._starts),
            torch_modules.register_module_forward_hook(self._ends, with_kwargs=True, always_call=True),
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
            torch_modules._global_forward_hooks_with_kwargs.pop(handle.id, None)  # which torch itself forgets

    def _starts(self, module: nn.Module, _args: Any) -> None:
        if get_ident() == self._thread:
            for call in self._before.get(id(module), ()):
                call()

    def _ends(self, module: nn.Module, args: tuple[Any, ...], *given: Any) -> None:
        """`given`: keyword arguments and the output; after an exception, and in a thread that meets the hook while it is
        being added or removed, the output alone.
        """
        if get_ident() != self._thread:
            return
        if len(given) == 2:
            for call in self._after.get(id(module), ()):
                call(args, *given)
        for ended in self._ended.get(id(module), ()):
            ended()


def in_this_thread(hook: Callable[..., Any]) -> Callable[..., Any]:
    """A module's hook that changes what it is given, in passes of the calling thread only."""
    thread = get_ident()

    def only_here(*given: Any) -> Any:
        return hook(*given) if get_ident() == thread else None

    return only_here
