"""Saving curves, as a picture or as a table."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitviz.render import plot
from vitviz.render.export import save_png, write_whole
from vitviz.render.strokes import RANDOM, Stroke

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.measures.faithfulness import Baseline, Scores
from vitviz.app.panels.faithfulness.scoring import ORDERS, STEPS
from vitviz.app.panels.faithfulness.view import Replacement
from vitviz.explain.registry import METHODS, find, stroke_of


@dataclass(frozen=True, eq=False)
class Sheet:
    """What is written to a file: scores in the order of the methods, and random orders."""

    title: str
    note: str
    label: str
    """The name of the target class."""
    scores: "tuple[Scores, ...]"
    baseline: "Baseline | None"
    quantity: str = "probability"
    """What is measured of it: "probability", "logit" or "output"."""


def sheet(
    trace: "Trace",
    found: "Sequence[Scores]",
    chance: "Baseline | None",
    replacement: Replacement,
) -> Sheet:
    """The sheet of the scores of a trace's maps, of which there is at least one."""
    of_method = {one.method: one for one in found}
    instead = "the mean colour" if replacement == "mean" else "the blurred photo"
    return Sheet(
        title=f"Faithfulness of heatmaps of {trace.model.full_name} for {trace.photo.name}",
        note=f"Area under each curve, {STEPS} steps, removed patches show {instead}. Random order: mean of "
        f"{ORDERS} with its 95 % confidence interval.",
        label=trace.model.labels[found[0].target],
        scores=tuple(of_method[method.name] for method in METHODS if method.name in of_method),
        baseline=chance,
        quantity=trace.model.quantity,
    )


def save(sheet: Sheet, path: Path) -> None:
    """Write the curves as a picture or as numbers, by the suffix of the path."""
    if path.suffix.lower() == ".csv":
        text = table(sheet).encode()
        write_whole(path, lambda file: file.write(text))
    else:
        save_png(picture(sheet), path, {"Title": sheet.title})


def table(sheet: Sheet) -> str:
    """CSV with a line per method and step."""
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(
        ["method", "target", "label", "share", "deletion", "insertion", "deletion_ci95", "insertion_ci95"]
    )
    for one in sheet.scores:
        rows = zip(one.deletion.shares, one.deletion.probabilities, one.insertion.probabilities, strict=True)
        for share, removed, revealed in rows:
            lines.writerow(
                [
                    one.method,
                    one.target,
                    sheet.label,
                    f"{share:.6g}",
                    f"{removed:.6g}",
                    f"{revealed:.6g}",
                    "",
                    "",
                ]
            )
    if sheet.baseline is not None:
        down, up = sheet.baseline.deletion, sheet.baseline.insertion
        for values in zip(down.shares, down.mean, up.mean, down.half, up.half, strict=True):
            numbers = [f"{value:.6g}" for value in values]
            lines.writerow(["random", sheet.baseline.target, sheet.label, *numbers])
    return text.getvalue()


def picture(sheet: Sheet) -> Image.Image:
    """The two charts as `vitviz evaluate` draws them."""
    drawn = charts(sheet.scores, sheet.baseline, sheet.label, sheet.quantity)
    return plot.plot(drawn, title=sheet.title, note=sheet.note)


def charts(
    found: "Iterable[Scores]",
    chance: "Baseline | None",
    label: str,
    quantity: str,
    selected: str = "",
    dark: bool = False,
) -> tuple[plot.Chart, ...]:
    """Deletion and insertion, on a light or a dark background; the line of the selected method is strong."""
    made = []
    found = tuple(found)
    for name, what, better in (("deletion", "removed", "lower"), ("insertion", "revealed", "higher")):
        lines = []
        for one in found:
            curve, stroke = getattr(one, name), stroke_of(one.method)
            line = _line(
                find(one.method).label, f"{curve.area:.3f}", stroke, dark, curve.shares, curve.probabilities
            )
            lines.append(replace(line, strong=one.method == selected))
        if chance is not None:
            band = getattr(chance, name)
            line = _line("Random order", str(band.area), RANDOM, dark, band.shares, band.mean)
            lines.append(replace(line, half=band.half.tolist()))
        title = f"{name.capitalize()}: hottest patches {what}, {better} is better"
        up, shares = f"{quantity} of {label}", quantity == "probability"
        made.append(plot.Chart(title, f"share of patches {what}", up, tuple(lines), shares))
    return tuple(made)


def _line(
    label: str, number: str, stroke: Stroke, dark: bool, xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> plot.Line:
    color = stroke.dark if dark else stroke.light
    return plot.Line(label, number, xs.tolist(), ys.tolist(), color, stroke.dashes)
