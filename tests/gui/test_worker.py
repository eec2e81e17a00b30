"""One thread; the newest request wins, or the running one ends and the latest follows."""

import itertools
import threading
import time

import pytest

from vitviz.app.work.worker import Stopped, Worker


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


@pytest.fixture
def stream(qapp):
    made = Worker("test", policy="finish")
    yield made
    made.close()


def frames(qtbot, worker, count, rate, seconds):
    """Submit `count` numbered frames, `rate` a second, each of which takes `seconds`; the numbers that were answered."""
    answered = []
    for number in range(count):

        def work(ticket, number=number):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                if ticket.stopped():
                    raise Stopped
                time.sleep(0.001)
            return number

        worker.submit(work, answered.append, _unexpected)
        qtbot.wait(round(1000 / rate))
    return answered


def test_thirty_frames_a_second_give_a_steady_stream_and_the_last_one(qtbot, stream):
    answered = frames(qtbot, stream, 60, 30, 0.1)
    # Two seconds of frames that take a tenth of a second each; a slow machine may lose some.
    assert len(answered) >= 8
    assert answered == sorted(set(answered))
    gaps = [later - earlier for earlier, later in itertools.pairwise(answered)]
    assert max(gaps) <= 30  # never a second without a result
    qtbot.waitUntil(lambda: answered[-1] == 59)
    assert not stream.busy


def test_with_newest_wins_such_frames_give_nothing_until_they_end(qtbot, worker):
    answered = frames(qtbot, worker, 30, 30, 0.2)
    assert answered == []
    qtbot.waitUntil(lambda: answered == [29])


def test_cancelling_a_stream_drops_what_runs_and_what_waits(qtbot, stream):
    started, answered, begun = threading.Event(), [], []

    def slow(ticket):
        started.set()
        while not ticket.stopped():
            time.sleep(0.001)
        raise Stopped

    stream.submit(slow, answered.append, _unexpected)
    assert started.wait(5)
    stream.submit(begun.append, answered.append, _unexpected)
    stream.cancel()
    assert not stream.busy
    qtbot.wait(50)
    assert answered == begun == []
    stream.submit(lambda _: "after", answered.append, _unexpected)
    qtbot.waitUntil(lambda: answered == ["after"])


def test_a_failure_in_a_stream_is_told_and_the_waiting_request_follows(qtbot, stream):
    go, told, answered = threading.Event(), [], []

    def broken(_):
        go.wait(5)
        raise ValueError("this frame")

    stream.submit(broken, _unexpected, told.append)
    stream.submit(lambda _: "next", answered.append, _unexpected)
    go.set()
    qtbot.waitUntil(lambda: answered == ["next"])
    assert [str(problem) for problem in told] == ["this frame"]
