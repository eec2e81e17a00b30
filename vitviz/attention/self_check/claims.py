"""The five claims of a map, each with its own verdict: weights, shares, place, order and readout."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Name = Literal["weights", "shares", "place", "order", "readout"]
Verdict = Literal["holds", "fails", "not yet proved"]

NAMES: tuple[Name, ...] = ("weights", "shares", "place", "order", "readout")

MEANING: dict[Name, str] = {
    "weights": "the recomputed attention times the values is the output of the model's own operation",
    "shares": "each row of attention is at least 0 and sums to 1 over the keys",
    "place": "each query and key carries the patch of the photo where it is drawn",
    "order": "the layers follow one another on one stream of tokens, and nothing else mixes tokens",
    "readout": "the prediction is read from the tokens that are named",
}


@dataclass(frozen=True)
class Claim:
    """One claim and what is known of it."""

    name: Name
    verdict: Verdict
    sentence: str
    """What was found. Where the claim fails: the layer, the first wrong token and what to do."""
    how: str = ""
    """How it was proved, as a part of a sentence; empty where it was not."""
    when: datetime | None = None
    """When it was proved, local time."""

    @property
    def holds(self) -> bool:
        """Whether it is proved."""
        return self.verdict == "holds"

    @property
    def fails(self) -> bool:
        """Whether it is known to be untrue."""
        return self.verdict == "fails"


def holds(name: Name, how: str, sentence: str = "") -> Claim:
    """A claim that was proved now; `sentence`: what was found, if more than the claim's meaning."""
    meaning = f"{MEANING[name][0].upper()}{MEANING[name][1:]}."
    return Claim(name, "holds", sentence or meaning, how, datetime.now())


def fails(name: Name, sentence: str, how: str) -> Claim:
    """A claim that was found to be untrue now."""
    return Claim(name, "fails", sentence, how, datetime.now())


def unproved(name: Name, sentence: str) -> Claim:
    """A claim of which nothing is known yet, with the reason."""
    return Claim(name, "not yet proved", sentence)
