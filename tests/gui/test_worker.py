"""One thread, newest request wins."""

import threading

import pytest

from vitviz.app.work.worker import Worker


@pytest.fixture
def worker(qapp):
    made = Worker("test")
    yield made
    made.close()


def _unexpected(problem: BaseException) -> None:
    raise AssertionError(problem)


def test_work_runs_elsewhere_and_answers_in_the_gui_thread(qtbot, worker):
    seen = []

    def done(thread):
        seen.append((thread, threading.current_thread()))

    worker.submit(lambda _: threading.current_thread(), done, _unexpected)
    qtbot.waitUntil(lambda: bool(seen))
    there, here = seen[0]
    assert there is not threading.main_thread()
    assert here is threading.main_thread()
    assert not worker.busy


def test_the_newest_request_wins_and_the_older_one_is_told_to_stop(qtbot, worker):
    started, answers, stopped = threading.Event(), [], []

    def slow(ticket):
        started.set()
        while not ticket.stopped():
            pass
        stopped.append(True)
        return "old"

    worker.submit(slow, answers.append, _unexpected)
    assert started.wait(5)
    worker.submit(lambda _: "new", answers.append, _unexpected)
    qtbot.waitUntil(lambda: bool(answers))
    qtbot.wait(50)
    assert answers == ["new"]
    assert stopped == [True]


def test_a_cancelled_request_is_never_heard_of_again(qtbot, worker):
    started, go, told = threading.Event(), threading.Event(), []

    def slow(ticket):
        started.set()
        go.wait(5)
        ticket.tell("news nobody wants")

    worker.submit(slow, told.append, told.append, told.append)
    assert started.wait(5)
    worker.cancel()
    assert not worker.busy
    go.set()
    qtbot.wait(50)
    assert told == []


def test_a_failure_is_handed_over_with_its_exception(qtbot, worker):
    told = []

    def broken(_):
        raise ValueError("no such thing")

    worker.submit(broken, _unexpected, told.append)
    qtbot.waitUntil(lambda: bool(told))
    assert str(told[0]) == "no such thing"


def test_closing_ends_the_thread_even_while_it_works(worker):
    started = threading.Event()

    def slow(ticket):
        started.set()
        while not ticket.stopped():
            pass

    worker.submit(slow, _unexpected, _unexpected)
    assert started.wait(5)
    worker.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vitviz-test")]


def test_a_request_that_was_overtaken_in_the_queue_is_never_begun(qtbot, worker):
    started, go, begun, answers = threading.Event(), threading.Event(), [], []

    def slow(_):
        started.set()
        go.wait(5)

    worker.submit(slow, answers.append, _unexpected)
    assert started.wait(5)
    worker.submit(begun.append, answers.append, _unexpected)
    worker.submit(lambda _: "newest", answers.append, _unexpected)
    go.set()
    qtbot.waitUntil(lambda: answers == ["newest"])
    assert begun == []


def test_a_closed_worker_runs_nothing_and_does_not_complain(worker):
    begun = []
    worker.close()
    worker.submit(begun.append, _unexpected, _unexpected)
    assert not worker.busy
    assert begun == []
