"""The lock of a module: one pass of vitviz's own at a time, however often the module was loaded."""

from itertools import count
from threading import Lock, RLock
from types import TracebackType
from weakref import WeakKeyDictionary

from torch import nn


class PassLock:
    """Held for each pass. The same thread may take it several times.

    Modules that have a part in common exclude each other: a lock holds the locks of all its parts, always in one order.
    """

    def __init__(self, parts: "list[tuple[int, RLock]]") -> None:
        self._locks = [lock for _, lock in sorted(parts, key=lambda part: part[0])]

    def __enter__(self) -> None:
        for number, lock in enumerate(self._locks):
            try:
                lock.acquire()
            except BaseException:  # an interrupt while waiting
                self._release(number)
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release(len(self._locks))

    def _release(self, taken: int) -> None:
        for lock in reversed(self._locks[:taken]):
            lock.release()


# The caller may load one module several times, so no Model can hold its lock.
_locks: "WeakKeyDictionary[nn.Module, tuple[int, RLock]]" = WeakKeyDictionary()
_numbers = count()
_guard = Lock()


def lock_of(module: nn.Module) -> PassLock:
    """The lock of a module, the same however often it is loaded."""
    with _guard:
        parts = list(module.modules())
        found = list(dict.fromkeys(_locks[part] for part in parts if part in _locks))
        found = found or [(next(_numbers), RLock())]
        for part in parts:
            _locks.setdefault(part, found[0])
        return PassLock(found)


def share_lock(module: nn.Module, twin: nn.Module) -> None:
    """Give `twin`, which shares parameters with `module`, the lock of `module`."""
    lock_of(module)
    with _guard:
        for part in twin.modules():
            _locks[part] = _locks[module]
