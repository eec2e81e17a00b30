"""How many threads torch uses in each of our threads, and how background work waits while the pointer moves.

A product that is split over several threads takes as long as the slowest one. If other programs use the cores too, each
product waits until the last thread is scheduled. So the GUI thread computes with one thread, work that the user waits for
with all threads, and background work of panels with half of them.
"""

import sys
import time
from threading import Event

_STEP = 0.015  # seconds between two checks of the pointer
POINTER_REST = 0.06  # seconds without a move after which the pointer is considered at rest
MAX_WAIT = 0.5  # the longest wait in seconds, for each call of `wait_for_pointer`


class ThreadBudget:
    """Sets torch's number of threads, and knows when the pointer moved last."""

    def __init__(self) -> None:
        self.all = 0  # torch's default number of threads; 0 until torch is imported for the first trace
        self._moved = -POINTER_REST

    def use_one_thread(self) -> None:
        """Let torch use one thread for what the calling thread, the GUI thread, computes from now on."""
        import torch

        if not self.all:
            self.all = torch.get_num_threads()
        torch.set_num_threads(1)  # for the calling thread; other threads keep the number they have set

    def use_threads(self, background: bool) -> None:
        """Let torch use all threads, or half of them for `background` work, for what the calling thread computes."""
        torch = sys.modules.get("torch")
        if torch is not None and self.all:
            torch.set_num_threads(max(1, self.all // 2) if background else self.all)

    def pointer_moved(self) -> None:
        """The pointer has moved now."""
        self._moved = time.monotonic()

    def wait_for_pointer(self, stop: Event) -> None:
        """Wait while the pointer moves, for `MAX_WAIT` seconds at most, so that work ends even if it never rests."""
        end = time.monotonic() + MAX_WAIT
        while time.monotonic() < min(end, self._moved + POINTER_REST) and not stop.wait(_STEP):
            pass


budget = ThreadBudget()
