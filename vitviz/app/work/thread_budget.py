"""How torch's threads are shared out, and how work that nobody waits for makes way for the pointer.

A team of threads is as quick as its last one: where other programs are busy too, a move that is computed by two threads
waits for the second to be scheduled, at every product. So the window's own thread computes alone, what the user waits for
has all threads, and panels that fill themselves have half of them.
"""

import sys
import time
from threading import Event

_STEP = 0.015  # seconds between looks at the pointer
REST = 0.06  # seconds without a move after which the pointer rests
PATIENCE = 0.5  # seconds that work waits at most, each time it could stop


class Cores:
    """What is known of this process's threads and of its pointer."""

    def __init__(self) -> None:
        self.all = 0  # torch's own choice; 0 until the window has a trace, and so torch
        self._moved = -REST

    def window_computes(self) -> None:
        """The window's own thread is about to compute: from now on with one thread."""
        import torch

        if not self.all:
            self.all = torch.get_num_threads()
        torch.set_num_threads(1)  # of this thread; others that have set theirs keep it

    def thread_computes(self, behind: bool) -> None:
        """A thread is about to compute, with all of torch's threads, or `behind` the window with half of them."""
        torch = sys.modules.get("torch")
        if torch is not None and self.all:
            torch.set_num_threads(max(1, self.all // 2) if behind else self.all)

    def pointer_moved(self) -> None:
        """The pointer is somewhere else now."""
        self._moved = time.monotonic()

    def make_way(self, stop: Event) -> None:
        """Wait while the pointer moves, but not for long, so that who never rests gets an answer too."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < min(end, self._moved + REST) and not stop.wait(_STEP):
            pass


cores = Cores()
