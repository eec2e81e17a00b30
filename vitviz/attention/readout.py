"""What the prediction is read from: tokens, means of tokens, or the queries of an attention pool, each a part to choose."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vitviz.attention.layout import Layout


@dataclass(frozen=True)
class Readout:
    """The token or tokens the prediction is read from; of a head that reads several parts, the part that is drawn."""

    kind: str
    """ "class", "class + distillation", "mean", "attention pool", "max", "mean and max", "another" (pooling)."""
    prefix: tuple[str, ...] = ()
    """The prefix tokens that are read, each with the same weight; empty: all patches (and see `all_tokens`)."""
    all_tokens: bool = False
    """Whether a mean pool includes the prefix tokens."""
    also: str = ""
    """What the head reads beside it, as a part of a sentence; empty if nothing."""
    headless: bool = False
    """Whether nothing is read, as the model has no head: it stands for what a head would usually read."""
    queries: tuple[int, ...] = ()
    """The queries of the attention pool that are read, each with the same weight; empty without a pool."""
    pool_size: int = 1
    """How many queries the attention pool has."""
    parts: tuple["Readout", ...] = ()
    """What can be chosen in its place, by `name`; empty where the head reads one thing only."""

    @property
    def name(self) -> str:
        """How it is chosen as a part: "class", "mean", "attention pool", "query 2"."""
        if self.queries:
            whole = self.pool_size == 1 or len(self.queries) > 1
            return "attention pool" if whole else f"query {self.queries[0] + 1}"
        return " + ".join(self.prefix) if self.prefix else self.kind

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its parts."""
        return tuple(part.name for part in self.parts)

    def part(self, name: str) -> "Readout | None":
        """The part of this name; None if there is none."""
        return next((part for part in self.parts if part.name == name), None)

    @property
    def sentence(self) -> str:
        """How to say it: "the class token", "the mean of the patches (the head also reads the class token)"."""
        if self.headless:
            return f"{self.subject} (the model has no head)"
        return f"{self.subject} (the head also reads {self.also})" if self.also else self.subject

    @property
    def subject(self) -> str:
        """The same without what else the head reads."""
        if self.queries:
            if self.pool_size == 1:
                return "the attention pool"
            if len(self.queries) == 1:
                return f"query {self.queries[0] + 1} of the attention pool"
            return f"the mean of {len(self.queries)} queries of the attention pool"
        if self.prefix:
            several = len(self.prefix) > 1
            return f"the mean of {' and '.join(self.prefix)}" if several else f"the {self.prefix[0]} token"
        what = "all tokens" if self.all_tokens else "the patches"
        return f"the mean of {what}" + ("" if self.kind == "mean" else f" (standing for {self.kind} pooling)")

    @property
    def all_read(self) -> str:
        """Everything that is read, in words."""
        pool = [part for part in self.parts if part.queries]
        rest = [part.subject for part in self.parts if not part.queries]
        if len(pool) > 1:
            named = listed([str(part.queries[0] + 1) for part in pool])
            everything = len(pool) == self.pool_size
            which = f"all {self.pool_size} queries" if everything else f"queries {named}"
            rest.insert(0, f"{which} of the attention pool")
        elif pool:
            rest.insert(0, pool[0].subject)
        return listed(rest) or self.subject

    def sentence_in(self, layout: Layout, pooling: bool) -> str:
        """What is used as the readout in a layer, in words; what is read may only exist in a later layer."""
        if self.prefix and not set(self.prefix) & set(layout.prefix):
            return f"the mean of the patches ({self.sentence} joins later)"
        if self.queries and not pooling:
            whole = replace(self, queries=(0,), pool_size=1)
            return f"the mean of the patches ({whole.subject} reads them later)"
        return self.sentence

    def weights(self, layout: Layout) -> NDArray[np.float32]:
        """The readout as weights over a layer's tokens, sum 1. An attention pool and a token that a layer does not have
        are taken as the mean of its patches.
        """
        weights = np.zeros(layout.tokens, np.float32)
        present = [layout.prefix.index(name) for name in self.prefix if name in layout.prefix]
        if present:
            weights[present] = 1 / len(present)
        else:
            start = 0 if self.all_tokens else len(layout.prefix)
            weights[start:] = 1 / (layout.tokens - start)
        return weights


def of_tokens(*names: str) -> Readout:
    """Prefix tokens that are read each by itself."""
    return of_parts([Readout(name, (name,)) for name in names])


def of_pool(queries: Sequence[int], size: int) -> list[Readout]:
    """The queries of an attention pool that are read, each a part."""
    return [Readout("attention pool", queries=(number,), pool_size=size) for number in queries]


def of_parts(parts: Sequence[Readout]) -> Readout:
    """What is drawn of a head's parts unless one is chosen, which it names with what else is read.

    The queries of an attention pool together, or else the prefix tokens together, or else the first part: these are single
    rows of attention, made to gather what the head needs, while a mean of patches beside them is a row of no token.
    """
    pool = [part for part in parts if part.queries]
    tokens = [part for part in parts if len(part.prefix) == 1 and not part.queries]
    drawn = pool or tokens or list(parts[:1])
    joined = replace(
        drawn[0],
        kind=drawn[0].kind if drawn[0].queries or len(drawn) == 1 else " + ".join(one.kind for one in drawn),
        prefix=tuple(name for one in drawn for name in one.prefix),
        queries=tuple(number for one in drawn for number in one.queries),
        also=listed([part.subject for part in parts if part not in drawn]),
    )
    if len(parts) == 1:
        return joined
    single = [replace(part, also=_others(part, parts)) for part in parts]
    return replace(joined, parts=tuple(single))


def _others(part: Readout, parts: Sequence[Readout]) -> str:
    """What is read beside a part; the other queries of a pool are counted."""
    same = [one for one in parts if part.queries and one.queries and one is not part]
    queries = [f"{len(same)} other {'query' if len(same) == 1 else 'queries'} of it"] if same else []
    return listed([*queries, *(one.subject for one in parts if one is not part and one not in same)])


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: "a, b and c"; empty for none."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
