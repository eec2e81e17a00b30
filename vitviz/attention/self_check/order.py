"""Order: the operations follow one another on one stream of tokens with a residual connection."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vitviz.attention.self_check.claims import Claim, fails, holds, unproved
from vitviz.attention.self_check.follow import Followed

HOW = "by the gradients of each operation's queries, keys and values with respect to the outputs of earlier operations"
Steps = Sequence[Sequence[int]]


def check_order(followed: Followed, steps: Steps, names: Sequence[str]) -> Claim:
    """Whether the operations depend on each other as their steps say. `names`: the layer of each operation.

    Each operation of a step must depend directly on each of the step before and, past that, on each of the one before it;
    operations of one step must not depend on each other. Then all lie on one stream: what a step adds is still there two
    steps later.
    """
    if all(not leaf.requires_grad for leaf in followed.leaves) or len(followed.leaves) != len(names):
        return unproved(
            "order", "The model lets no gradient through, so the order of its layers cannot be proved."
        )
    reached: NDArray[np.bool_] | None = None
    silent: set[int] = set()
    for index, step in enumerate(steps):
        # First the step before, so that what is named is the nearest.
        before = [number for earlier in reversed(steps[max(index - 2, 0) : index]) for number in earlier]
        aside = [number for number in step if number < max(step)]
        for number in step:
            own = [other for other in aside if other < number]
            depends = dict(zip(before + own, followed.depends(number, before + own), strict=True))
            if any(depends[other] for other in own):
                other = next(other for other in own if depends[other])
                return fails(
                    "order",
                    f"{names[number]} reads what {names[other]} gives, so they are not side by side.",
                    HOW,
                )
            for other in before:
                if not depends[other]:
                    reached = followed.reaches_answer() if reached is None else reached
                    if not reached[other] and _leads_nowhere(followed, other, steps):
                        silent.add(other)
                        continue
                    return fails("order", _broken(followed, steps, index, other, number, names), HOW)
    if silent:
        first = names[min(silent)]
        return unproved(
            "order",
            f"What {first} gives is multiplied by zero and reaches no later layer, so the order of {len(silent)} of "
            f"{len(names)} layers cannot be proved.",
        )
    return holds("order", HOW)


def _leads_nowhere(followed: Followed, number: int, steps: Steps) -> bool:
    later = range(number + 1, len(followed.leaves))
    return not any(followed.depends(other, [number])[0] for other in later)


def _broken(
    followed: Followed, steps: Steps, index: int, other: int, number: int, names: Sequence[str]
) -> str:
    found = streams(dependence(followed)).streams
    firsts = [names[stream] for stream in sorted(set(found))]
    if len(firsts) > 1:
        return (
            f"The model has {len(firsts)} separate streams of tokens, which begin with {', '.join(firsts[:4])} and meet in "
            "the prediction only. Maps of single layers are right; layers cannot be composed."
        )
    if index >= 2 and other in steps[index - 2]:
        return (
            f"{names[number]} reads nothing of what {names[other]} gave beside what {names[steps[index - 1][0]]} passed on: "
            "there is no residual connection between them, so the identity that rollout adds has no ground. "
            "Maps of single layers are right; layers cannot be composed."
        )
    return (
        f"{names[number]} does not read what {names[other]} gives, so the layers do not follow one another. "
        "Maps of single layers are right; layers cannot be composed."
    )


def dependence(followed: Followed) -> NDArray[np.bool_]:
    """operations×operations: [m, l] says whether m depends directly on the output of l."""
    count = len(followed.leaves)
    found = np.zeros((count, count), bool)
    for number in range(1, count):
        found[number, :number] = followed.depends(number, range(number))
    return found


@dataclass(frozen=True)
class Streams:
    """Which operations depend on which, in a model that no family describes."""

    steps: tuple[int, ...]
    """Per operation its step: operations of one step are branches of one layer, or of separate streams."""
    streams: tuple[int, ...]
    """Per operation its stream: operations of different streams never meet before the prediction."""


def streams(direct: NDArray[np.bool_]) -> Streams:
    """Steps and streams of operations from their direct dependence."""
    count = len(direct)
    steps = [0] * count
    stream = list(range(count))
    for number in range(count):
        earlier = [int(other) for other in np.nonzero(direct[number])[0]]
        steps[number] = max((steps[other] + 1 for other in earlier), default=0)
        joined = {stream[other] for other in earlier}
        if joined:
            stream = [
                min(joined) if one in joined or place == number else one for place, one in enumerate(stream)
            ]
    return Streams(tuple(steps), tuple(stream))


def in_steps(steps: Sequence[int]) -> list[list[int]]:
    """The operations of each step."""
    return [[number for number, step in enumerate(steps) if step == each] for each in sorted(set(steps))]


def is_chain(steps: Steps) -> bool:
    """Whether steps come one after the other in the order of the pass."""
    return all(max(first) < min(second) for first, second in pairwise(steps))
