"""How many scenes a classifier gets right."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Score:
    """``top1`` over ``one`` scenes with one object; ``both`` (both classes lead) over ``two`` scenes with two classes."""

    top1: float
    one: int
    both: float
    two: int

    def card(self) -> dict[str, float]:
        """Return the numbers as they are written on a card."""
        return {
            "one_object_top1": round(self.top1, 4),
            "one_object_scenes": self.one,
            "two_objects_both_in_top2": round(self.both, 4),
            "two_object_scenes": self.two,
        }


def score(logits: torch.Tensor, kinds: torch.Tensor) -> Score:
    """Score logits (n, classes) against the classes of the objects, ``kinds`` (n, 2), -1 for no second object.

    Scenes with two objects of one class count for neither.
    """
    one = kinds[:, 1] < 0
    two = ~one & (kinds[:, 0] != kinds[:, 1])
    leading = logits.topk(2, dim=1).indices.sort(dim=1).values
    top1 = (logits[one].argmax(dim=1) == kinds[one, 0]).float().mean()
    both = (leading[two] == kinds[two].sort(dim=1).values).all(dim=1).float().mean()
    return Score(float(top1), int(one.sum()), float(both), int(two.sum()))
