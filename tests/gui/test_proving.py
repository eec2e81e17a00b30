"""The proof behind the first map: the badge says what is proved so far, and a claim that fails takes the maps away."""

import threading

import pytest
from steps import show

from vitviz.app.session import compute
from vitviz.errors import RefusedError


@pytest.fixture
def held(monkeypatch):
    """Holds the proof until it is let go; `held.problem` is what it ends with."""

    class Held:
        go = threading.Event()
        problem: Exception | None = None

    held, real = Held(), compute.prove

    def prove(trace, ticket):
        while not held.go.wait(0.005):
            if ticket.stopped():
                raise compute.Stopped
        if held.problem is not None:
            raise held.problem
        return real(trace, ticket)

    monkeypatch.setattr(compute, "prove", prove)
    yield held
    held.go.set()


def test_the_map_is_drawn_first_and_the_badge_follows_the_proof(window, qtbot, model, photo, held):
    show(window, qtbot, photo, unproved(model))
    assert window.session.heatmap is not None
    assert window.status.badge.text().startswith("2 of 5 claims proved")
    held.go.set()
    qtbot.waitUntil(lambda: window.status.badge.text().startswith("exact"), timeout=20_000)
    assert window.session.check.proved


def test_a_proof_that_fails_takes_the_maps_away_and_says_why(window, qtbot, model, photo, held):
    show(window, qtbot, photo, unproved(model))
    held.problem = RefusedError("small cannot be shown: patch (0, 1) is drawn elsewhere.")
    held.go.set()
    qtbot.waitUntil(lambda: window.session.trace is None, timeout=20_000)
    assert window.session.heatmap is None
    assert window.session.photo is not None
    assert "patch (0, 1) is drawn elsewhere" in window.notice.sentence.text()
    assert not window.status.badge.isVisible()


def test_the_proof_makes_way_for_a_map_that_needs_the_model(window, qtbot, model, photo, held):
    show(window, qtbot, photo, unproved(model))
    session = window.session
    assert session.proving.busy
    with qtbot.waitSignal(session.heatmap_changed, timeout=20_000):
        session.change(method="relevance")
    assert session.proving.busy  # it begins again behind the map
    held.go.set()
    qtbot.waitUntil(lambda: session.check.proved, timeout=20_000)


def unproved(model):
    """The same network as a model of its own, so that nothing of it is proved yet."""
    import copy

    from vitviz.models.loading import load_model

    return load_model(copy.deepcopy(model.module), device="cpu")
