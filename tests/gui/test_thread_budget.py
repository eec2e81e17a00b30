"""How many of torch's threads each thread uses, and which work waits while the pointer moves."""

import threading
import time

import pytest
import torch

from vitviz.app.session.view_state import Hover
from vitviz.app.work import thread_budget
from vitviz.app.work.thread_budget import ThreadBudget
from vitviz.app.work.worker import Worker


@pytest.fixture
def four(monkeypatch):
    """As on a machine on which torch uses four threads."""
    monkeypatch.setattr(thread_budget.budget, "all", 4)


def threads_in(worker, qtbot):
    found = []
    worker.submit(lambda _: torch.get_num_threads(), found.append, pytest.fail)
    qtbot.waitUntil(lambda: bool(found))
    worker.close()
    return found[0]


def test_the_gui_uses_one_thread_panels_half_and_awaited_work_all(shown, qtbot, four):
    assert torch.get_num_threads() == 1  # since there is a trace that moves read
    assert threads_in(Worker("awaited"), qtbot) == 4
    assert threads_in(Worker("panel", background=True), qtbot) == 2
    assert torch.get_num_threads() == 1


def test_the_gui_thread_sets_its_own_number_of_threads(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    budget = ThreadBudget()
    budget.use_threads(background=True)  # nothing is known yet, so nothing is changed
    budget.use_one_thread()
    budget.use_threads(background=False)
    budget.use_threads(background=True)
    assert asked == [1, 6, 3]


def test_background_work_waits_while_the_pointer_moves_and_awaited_work_does_not(shown, qtbot, monkeypatch):
    monkeypatch.setattr(thread_budget, "POINTER_REST", 1e6)  # a pointer that never rests …
    monkeypatch.setattr(thread_budget, "MAX_WAIT", 1e6)  # … and work that waits for it
    behind, awaited, done = Worker("behind", background=True), Worker("awaited"), []
    shown.session.point(Hover(patch=(1, 1)))
    for worker, name in ((behind, "behind"), (awaited, "awaited")):
        worker.submit(lambda ticket, name=name: (ticket.stopped(), name)[1], done.append, pytest.fail)
    qtbot.waitUntil(lambda: done == ["awaited"])
    qtbot.wait(50)
    assert done == ["awaited"]
    monkeypatch.setattr(thread_budget, "POINTER_REST", 0.0)
    awaited.close()
    behind.close()  # ends though it waits


def test_background_work_continues_once_the_pointer_rests_or_after_the_longest_wait(monkeypatch):
    budget, never = ThreadBudget(), threading.Event()
    monkeypatch.setattr(thread_budget, "POINTER_REST", 0.02)
    before = time.monotonic()
    budget.pointer_moved()
    budget.wait_for_pointer(never)
    assert time.monotonic() >= before + 0.02
    monkeypatch.setattr(thread_budget, "POINTER_REST", 1e6)
    monkeypatch.setattr(thread_budget, "MAX_WAIT", 0.02)
    budget.pointer_moved()
    budget.wait_for_pointer(never)  # comes back
    never.set()
    monkeypatch.setattr(thread_budget, "MAX_WAIT", 1e6)
    budget.wait_for_pointer(never)  # nobody wants the work any more


def test_prefetching_is_not_cancelled_by_other_requests_for_maps(
    window, qtbot, photo, swin, model, monkeypatch
):
    """Asking for maps that take a while must not put an end to what makes moves quick."""
    from steps import show

    from vitviz.app.session import compute, prefetch

    go = threading.Event()
    real = prefetch.prepare
    monkeypatch.setattr(prefetch, "prepare", lambda *what: (go.wait(20), real(*what))[1])
    monkeypatch.setattr(compute, "INSTANT", -1)
    show(window, qtbot, photo, model)
    maps = window.session.maps
    window.session.pin((2, 2))
    qtbot.waitUntil(lambda: window.panel("heads").shown().tiles.query == (2, 2), timeout=20_000)
    go.set()
    qtbot.waitUntil(lambda: maps.ready is not None, timeout=20_000)
