"""Summary of a table of scores: means per method with their confidence intervals, in words and as curves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitviz.batch.scores_table import RANDOM, ScoreRow
from vitviz.explain.measures.intervals import half_width, interval
from vitviz.explain.registry import METHODS, find, stroke_of
from vitviz.render import plot
from vitviz.render.plot import Chart, Line
from vitviz.render.strokes import RANDOM as RANDOM_STROKE

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Column:
    """What is known of one method over the photos: arrays (photos,), and the curves at common shares (photos, shares)."""

    name: str
    deletion: Numbers
    insertion: Numbers
    less: Numbers
    """By how much deletion is below that of random orders of the same photo, class and grid."""
    more: Numbers
    """By how much insertion is above it."""
    points: Numbers
    chance: Numbers
    mass: Numbers
    uniform: Numbers
    deletion_curves: Numbers
    insertion_curves: Numbers
    own_half: Numbers | None = None
    """Of random orders of a single photo: half the confidence interval of the deletion curve over the orders."""


def columns(rows: Sequence[ScoreRow], shares: Numbers) -> list[Column]:
    """The methods in the order of their first lines, then the random orders, one per grid."""
    scored = [row for row in rows if not row.note]
    randoms = {(row.photo, row.asked, row.grid): row for row in scored if row.method == RANDOM}
    grids = list(dict.fromkeys(row.grid for row in randoms.values()))
    names = {row.key[2:]: row.method for row in scored if row.method != RANDOM}
    made = [
        _column(name, [row for row in scored if row.key[2:] == key], randoms, shares)
        for key, name in names.items()
    ]
    for grid in grids:
        name = RANDOM if len(grids) == 1 else f"{RANDOM} ({grid})"
        made.append(_column(name, [row for row in randoms.values() if row.grid == grid], randoms, shares))
    return made


def _column(
    name: str, rows: Sequence[ScoreRow], randoms: dict[tuple[str, str, str], ScoreRow], shares: Numbers
) -> Column:
    beside = [randoms.get((row.photo, row.asked, row.grid)) for row in rows]
    numbers = {
        field: np.array([getattr(row, field) for row in rows], np.float64)
        for field in ("deletion", "insertion", "points", "chance", "mass", "uniform")
    }
    less = [
        math.nan if other is None else other.deletion - row.deletion
        for row, other in zip(rows, beside, strict=True)
    ]
    more = [
        math.nan if other is None else row.insertion - other.insertion
        for row, other in zip(rows, beside, strict=True)
    ]

    def curves(field: str) -> Numbers:
        return np.array([_at(shares, row.grid, getattr(row, field)) for row in rows], np.float64)

    own = rows[0].curve_ci95 if len(rows) == 1 else ()
    return Column(
        name=name,
        **numbers,
        less=np.array(less),
        more=np.array(more),
        deletion_curves=curves("deletion_curve"),
        insertion_curves=curves("insertion_curve"),
        own_half=_at(shares, rows[0].grid, own) if own else None,
    )


def _at(shares: Numbers, grid: str, curve: Sequence[float]) -> Numbers:
    """A stored curve at common shares: a grid of few patches has steps of its own."""
    rows, cols = (int(side) for side in grid.split("×"))
    own = np.rint(np.linspace(0, rows * cols, len(curve))) / (rows * cols)
    return np.interp(shares, own, curve)


def markdown(found: Sequence[Column], scenes: bool) -> str:
    """A Markdown table of means with their confidence intervals over photos, the random orders last."""
    titles = ["method", "photos", "deletion ↓", "below random by", "insertion ↑", "above random by"]
    if scenes:
        titles += ["points at the object", "at random", "mass on the object", "uniform map"]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for one in found:
        chance = one.name.startswith(RANDOM)
        cells = [one.name, str(len(one.deletion)), str(interval(one.deletion))]
        cells += ["" if chance else str(interval(one.less)), str(interval(one.insertion))]
        cells += ["" if chance else str(interval(one.more))]
        if scenes:
            cells += [f"{one.points.mean():.1%}", f"{one.chance.mean():.1%}"]
            cells += [f"{one.mass.mean():.1%}", f"{one.uniform.mean():.1%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(
    found: Sequence[Column], shares: Numbers, title: str, note: str, quantity: str = "probability"
) -> Image.Image:
    """The mean curves of the target's `quantity`, each legend from the best to the worst, with the random orders' band."""
    names = {method.name for method in METHODS}

    def line(one: Column, areas: Numbers, curves: Numbers, backwards: bool) -> Line:
        chance = one.name not in names
        stroke = RANDOM_STROKE if chance else stroke_of(one.name)
        half: Numbers | None = None
        if chance:
            half = half_width(curves) if len(curves) > 1 else one.own_half
            if half is not None and len(curves) == 1 and backwards:
                half = half[::-1]
        label = one.name if chance else find(one.name).label
        label = label.replace(RANDOM, "Random order")
        return Line(
            label,
            str(interval(areas)),
            shares.tolist(),
            curves.mean(0).tolist(),
            stroke.light,
            stroke.dashes,
            None if half is None else half.tolist(),
        )

    def chart(title: str, across: str, lines: list[Line], best: int) -> Chart:
        ordered = sorted(lines, key=lambda one: best * float(one.number.split()[0]))
        return Chart(title, across, f"{quantity} of the target", tuple(ordered), quantity == "probability")

    deletion = [line(one, one.deletion, one.deletion_curves, False) for one in found]
    insertion = [line(one, one.insertion, one.insertion_curves, True) for one in found]
    photos = max(len(one.deletion) for one in found)
    several = math.isfinite(interval(found[0].deletion).half)
    band = (
        "The band is that of the mean over photos."
        if several
        else "The band is that of the mean over orders."
    )
    return plot.plot(
        [
            chart(
                "Deletion: hottest patches removed, lower is better", "share of patches removed", deletion, 1
            ),
            chart(
                "Insertion: hottest patches revealed, higher is better",
                "share of patches revealed",
                insertion,
                -1,
            ),
        ],
        title=f"{title}, {photos} photo{'' if photos == 1 else 's'}",
        note=f"Area under each curve; {note} {band}",
    )
