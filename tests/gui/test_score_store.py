"""What the panel of faithfulness knows of scores, without a window: what is asked, what is missing, what comes in."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from vitviz.app.panels.faithfulness.scoring import RandomOrders, Scored
from vitviz.app.panels.faithfulness.store import ScoreStore
from vitviz.app.panels.faithfulness.view import FaithfulnessView
from vitviz.app.session.view_state import ViewState
from vitviz.images.framing import PatchGrid

VIEW = ViewState(method="rollout", layer=2)
BESIDE = FaithfulnessView(compared=("attention", "relevance", "no such method"))
REASONS = {"rollout": None, "attention": None, "relevance": "does not apply, because it is Monday"}
FINE, COARSE = PatchGrid(8, 8, (8.0, 8.0)), PatchGrid(4, 4, (16.0, 16.0))


@dataclass(frozen=True)
class Known:
    """Scores of which the store reads the grid only."""

    patches: PatchGrid


@pytest.fixture
def store() -> ScoreStore:
    """A store for a model of three classes, the second of which is the likeliest."""
    model = SimpleNamespace(labels=("a", "b", "c"))
    return ScoreStore(SimpleNamespace(model=model, logits=np.array([0.0, 2.0, 1.0])))


def test_the_selected_method_is_asked_first_then_those_that_apply(store):
    store.ask(VIEW, BESIDE, REASONS)
    assert [one.selection.method for one in store.questions] == ["rollout", "attention"]
    assert {one.target for one in store.questions} == {1}
    assert store.selected == store.questions[0]
    assert store.missing == store.questions
    store.ask(replace(VIEW, target=2, method="attention"), replace(BESIDE, replacement="blur"), REASONS)
    assert [(one.selection.method, one.target, one.replacement) for one in store.questions] == [
        ("attention", 2, "blur")
    ]


def test_nothing_is_asked_without_a_trace_or_without_classes(store):
    for empty in (
        ScoreStore(),
        ScoreStore(SimpleNamespace(model=SimpleNamespace(labels=()), logits=np.zeros(4))),
    ):
        empty.ask(VIEW, BESIDE, REASONS)
        assert empty.questions == empty.missing == ()
        assert empty.selected is None
        assert empty.baseline is None


def test_random_orders_are_missing_once_the_grid_of_the_selected_map_is_known(store):
    store.ask(VIEW, BESIDE, REASONS)
    first, second = store.questions
    store.running = store.missing
    store.take(Scored(first, scores=Known(COARSE)))
    orders = RandomOrders(COARSE, 1, "mean")
    assert store.missing == store.running == (second, orders)
    assert store.found == (Known(COARSE),)
    store.take(Scored(orders, baseline="random"))
    assert store.baseline == "random"
    assert store.missing == store.running == (second,)
    # Random orders of another grid than the selected map's are kept, and are not drawn.
    store.take(Scored(second, scores=Known(FINE), aim="on it"))
    store.take(Scored(RandomOrders(FINE, 1, "mean"), baseline="finer"))
    assert store.missing == store.running == ()
    assert store.found == (Known(COARSE), Known(FINE))
    assert store.baseline == "random"
    assert store.aims == {second: "on it"}
    store.ask(replace(VIEW, method="attention"), FaithfulnessView(), REASONS)
    assert store.missing == ()
    assert store.baseline == "finer"


def test_what_has_no_scores_is_not_asked_for_again(store):
    store.ask(VIEW, BESIDE, REASONS)
    first, second = store.questions
    store.running = store.missing
    store.take(Scored(first, problem="has no gradient"))
    assert store.running == (second,)
    store.fail("out of memory")
    assert store.problems == {first: "has no gradient", second: "out of memory"}
    assert store.missing == store.running == ()


def test_an_answer_that_comes_while_nothing_runs_starts_nothing(store):
    store.ask(VIEW, FaithfulnessView(), REASONS)
    store.take(Scored(store.questions[0], scores=Known(FINE)))
    assert store.running == ()
    assert store.missing == (RandomOrders(FINE, 1, "mean"),)
