"""Deletion and insertion of the window's maps, computed in the panel's thread."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitviz.app.panels.faithfulness.view import Replacement
from vitviz.app.session import compute
from vitviz.app.session.view_state import Hover, Selection, ViewState, selection
from vitviz.app.work.progress import Progress
from vitviz.app.work.worker import Stopped, Ticket
from vitviz.explain.registry import find
from vitviz.images.framing import PatchGrid

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap
    from vitviz.explain.measures.faithfulness import Baseline, Scores
    from vitviz.explain.measures.truth import OnObject

STEPS = 16
ORDERS = 8


@dataclass(frozen=True)
class Question:
    """One map, one class, one way to remove patches."""

    selection: Selection
    target: int
    replacement: Replacement


@dataclass(frozen=True)
class RandomOrders:
    """The curves of random orders of a grid's patches, for one class and one way to remove patches."""

    grid: PatchGrid
    target: int
    replacement: Replacement


@dataclass(frozen=True, eq=False)
class Scored:
    """An answer for the window: the scores of a map, why it has none, or the scores of random orders."""

    key: Question | RandomOrders
    scores: "Scores | None" = None
    """None for random orders, and with a `problem`."""
    aim: "OnObject | None" = None
    """How the map lies on the class's object, where a bundled scene says where that is."""
    baseline: "Baseline | None" = None
    problem: str = ""


def target_of(trace: "Trace", view: ViewState) -> int | None:
    """The class or output that is measured; None for an embedding, and for tokens only."""
    if not trace.model.labels or len(trace.model.labels) != len(trace.logits):
        return None
    return int(np.argmax(trace.logits)) if view.target is None else view.target


def question(view: ViewState, method: str, target: int, replacement: Replacement) -> Question:
    """What is asked of a method; what is only previewed under the pointer is left out, as scoring takes too long."""
    chosen = selection(replace(view, method=method), Hover())
    return Question(chosen, target, replacement)


def answer(
    trace: "Trace", asked: Sequence[Question | RandomOrders], known: Iterable[RandomOrders], ticket: Ticket
) -> None:
    """Tell a `Scored` for each question in turn, and after the first map of a grid one for its random orders.

    `known` are random orders that need not be scored again. Raises Stopped.
    """
    from vitviz.attention.trace import Cancelled
    from vitviz.errors import MethodError

    told = set(known)
    for one in asked:
        try:
            orders = one if isinstance(one, RandomOrders) else _score(trace, one, ticket)
            if orders not in told:
                told.add(orders)
                _score_orders(trace, orders, ticket)
        except MethodError as problem:
            ticket.report(Scored(one, problem=problem.message))
        except Cancelled as cancelled:
            raise Stopped from cancelled


def _score(trace: "Trace", asked: Question, ticket: Ticket) -> RandomOrders:
    """Tell the scores of a map; returns the random orders that they are compared with."""
    from vitviz.explain.measures.faithfulness import scores

    what = f"Scoring {find(asked.selection.method).label}"
    ticket.report(Progress(what))
    heatmap = compute.computed(trace, asked.selection, ticket)
    found = scores(
        trace,
        heatmap,
        asked.target,
        steps=STEPS,
        replacement=asked.replacement,
        cancel=ticket.stopped,
        progress=lambda _, share: ticket.report(Progress(what, share)),
    )
    ticket.report(Scored(asked, scores=found, aim=_aim(trace, heatmap, asked.target)))
    return RandomOrders(found.patches, asked.target, asked.replacement)


def _aim(trace: "Trace", heatmap: "Heatmap", target: int) -> "OnObject | None":
    from vitviz.demo.bundled import mask
    from vitviz.explain.measures.truth import input_mask, on_object

    found = mask(trace.photo.path, trace.model.labels[target])
    return None if found is None else on_object(heatmap, input_mask(trace.framing, found))


def aim_in_short(aim: "OnObject | None", label: str) -> str:
    """The share of a map on the object and the pointing game, each with its value by chance, in a line."""
    if aim is None:
        return ""
    hottest = "hit" if aim.points else "missed"
    return (
        f"On the {label}: {aim.mass:.0%} (even {aim.uniform:.0%}), "
        f"hottest patch {hottest} (chance {aim.chance:.0%})"
    ).replace("%", " %")


def aim_in_words(aim: "OnObject | None") -> str:
    """The same in a sentence."""
    if aim is None:
        return ""
    hottest = "and its hottest patch" if aim.points else "but not its hottest patch"
    return (
        f"{aim.mass:.0%} of the map lie on the object ({aim.uniform:.0%} of an even map), {hottest} "
        f"({aim.chance:.0%} of the patches do)"
    ).replace("%", " %")


def _score_orders(trace: "Trace", orders: RandomOrders, ticket: Ticket) -> None:
    """Tell the scores of random orders."""
    from vitviz.explain.measures.faithfulness import baseline

    found = baseline(
        trace,
        orders.grid,
        orders.target,
        orders=ORDERS,
        steps=STEPS,
        replacement=orders.replacement,
        cancel=ticket.stopped,
        progress=lambda _, share: ticket.report(Progress("Scoring random orders", share)),
    )
    ticket.report(Scored(orders, baseline=found))


@dataclass(frozen=True, eq=False)
class ModelInput:
    """What the model sees of a photo, and what stands where patches are removed: uint8 (height, width, 3)."""

    trace: "Trace"
    replacement: Replacement
    photo: NDArray[np.uint8]
    instead: NDArray[np.uint8]


def model_input(trace: "Trace", replacement: Replacement) -> ModelInput:
    """The two pictures that the input of every step is composed of."""
    from vitviz.explain.measures.faithfulness import blank

    config = trace.framing.config
    mean, std = np.array(config.mean, np.float32), np.array(config.std, np.float32)
    levels = blank(trace, replacement).transpose(1, 2, 0) * std + mean
    instead = np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8)
    return ModelInput(trace, replacement, trace.framing.picture(trace.photo), instead)


def at_step(pictures: ModelInput, scores: "Scores", step: int, revealed: bool) -> NDArray[np.uint8]:
    """The model's input at a step, uint8 (height, width, 3): hottest patches removed, or all but these."""
    grid = scores.patches
    taken = np.zeros(grid.rows * grid.cols + 1, bool)
    taken[scores.order[: scores.counts[step]]] = True
    gone = ~taken if revealed else taken
    gone[-1] = False  # the value of pixels that lie in no patch
    cell = grid.of_pixels((pictures.photo.shape[0], pictures.photo.shape[1]))
    return np.where(gone[cell][:, :, None], pictures.instead, pictures.photo)


def other_grid(found: "Scores | None", selected: "Scores | None") -> str:
    """A note for curves over another grid than that of the random orders that are drawn; empty for the same grid."""
    if found is None or selected is None or found.patches == selected.patches:
        return ""
    own, drawn = (f"{one.patches.rows}×{one.patches.cols}" for one in (found, selected))
    return f"In patches of {own}; the random orders that are drawn are of {drawn}"
