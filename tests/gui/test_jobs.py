"""Jobs: one after the other, with progress, cancel and a result."""

import threading

import pytest

from vitviz.app.work.jobs import JobQueue
from vitviz.app.work.progress import Progress
from vitviz.app.work.worker import Stopped


@pytest.fixture
def queue(qapp):
    made = JobQueue("test", behind=False)
    yield made
    made.close()


def held(started, go):
    """Work that tells half its progress and waits for `go`, or to be stopped."""

    def work(ticket):
        started.set()
        ticket.tell(Progress("half", 0.5))
        while not go.wait(0.002):
            if ticket.stopped():
                raise Stopped
        return "result"

    return work


def test_a_job_tells_progress_and_gives_its_result_in_the_gui_thread(qtbot, queue):
    started, go, news, results, threads = threading.Event(), threading.Event(), [], [], []

    def take(result):
        results.append((result, job.state))
        threads.append(threading.current_thread())

    job = queue.start("Counting", held(started, go), take)
    job.progressed.connect(news.append)
    assert (job.state, queue.jobs, queue.busy) == ("running", (job,), True)
    qtbot.waitUntil(lambda: news == [Progress("half", 0.5)])
    assert job.progress == Progress("half", 0.5)
    go.set()
    qtbot.waitUntil(lambda: not job.active)
    assert results == [("result", "finished")]
    assert threads == [threading.main_thread()]
    assert (queue.jobs, queue.busy) == ((), False)


def test_jobs_run_in_the_order_they_were_started_and_none_is_dropped(qtbot, queue):
    started, go, order = threading.Event(), threading.Event(), []
    jobs = [queue.start("first", held(started, go), lambda _: order.append("first"))]
    for name in ("second", "third"):
        jobs.append(queue.start(name, lambda _, name=name: name, order.append))
    assert [job.state for job in jobs] == ["running", "waiting", "waiting"]
    go.set()
    qtbot.waitUntil(lambda: not queue.busy)
    assert order == ["first", "second", "third"]
    assert {job.state for job in jobs} == {"finished"}


def test_a_cancelled_job_ends_at_once_without_a_result_and_the_next_one_runs(qtbot, queue):
    started, results, ended = threading.Event(), [], []
    job = queue.start("long", held(started, threading.Event()), results.append)
    job.ended.connect(lambda: ended.append(job.state))
    following = queue.start("next", lambda _: "next", results.append)
    assert started.wait(5)
    job.cancel()
    assert (job.state, ended, following.state) == ("cancelled", ["cancelled"], "running")
    qtbot.waitUntil(lambda: not queue.busy)
    assert results == ["next"]
    job.cancel()  # nothing happens any more
    assert (job.state, ended) == ("cancelled", ["cancelled"])


def test_a_waiting_job_can_be_cancelled_before_it_begins(qtbot, queue):
    started, go, begun = threading.Event(), threading.Event(), []
    queue.start("long", held(started, go))
    waiting = queue.start("waiting", begun.append)
    waiting.cancel()
    assert waiting.state == "cancelled"
    go.set()
    qtbot.waitUntil(lambda: not queue.busy)
    assert begun == []


def test_a_failed_job_is_told_as_a_sentence_and_the_next_one_runs(qtbot, queue):
    told, results = [], []
    queue.failed.connect(told.append)

    def broken(_):
        raise ValueError("a fault of ours")

    job = queue.start("broken", broken, results.append)
    queue.start("next", lambda _: "next", results.append)
    qtbot.waitUntil(lambda: not queue.busy)
    assert job.state == "failed"
    assert results == ["next"]
    assert len(told) == 1
    assert "a fault of ours" in told[0].report


def test_closing_cancels_all_jobs_and_ends_the_thread(queue):
    started = threading.Event()
    jobs = [queue.start("long", held(started, threading.Event())), queue.start("waiting", lambda _: None)]
    assert started.wait(5)
    queue.close()
    assert {job.state for job in jobs} == {"cancelled"}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vitviz-test")]
    assert queue.start("late", lambda _: None).state == "cancelled"


def test_files_that_wait_to_be_written_are_written_when_the_window_closes(queue):
    started, go, written = threading.Event(), threading.Event(), []

    def first(_):
        started.set()
        go.wait(5)
        written.append("first")

    queue.start("Saving", first)
    queue.start("Saving", lambda _: written.append("second"))
    assert started.wait(5)
    go.set()
    queue.close(finish=True)
    assert written == ["first", "second"]
