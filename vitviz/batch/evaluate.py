"""How faithful each method's maps are, over photos: a table that grows by one photo at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitviz.batch.scores_table import RANDOM, ScoreRow, ScoreTable, Settings
from vitviz.batch.subjects import Subject
from vitviz.errors import DeviceMemoryError, ExportError, MethodError, VitvizError
from vitviz.explain.registry import find

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.heatmap import Heatmap
    from vitviz.images.framing import FramingMode
    from vitviz.models.model import Model

Progress = Callable[[str, float | None], object]
Cancel = Callable[[], bool]


@dataclass(frozen=True)
class Scoring:
    """How maps are scored: what deletion and insertion curves are made with."""

    steps: int = 20
    replacement: str = "mean"
    """What stands where patches are removed: "mean" colour or "blur"."""
    orders: int = 10
    """Random orders per photo, at least 2."""
    seed: int = 0
    """Of random orders and ties."""
    framing: "FramingMode" = "crop"
    batch: int | None = None
    """Inputs per forward pass; None chooses by device and input size."""
    readout: str | None = None
    """The part of the readout that maps are of; None: what is drawn unless a part is chosen."""


def settings_of(model: "Model", scoring: Scoring) -> Settings:
    """What every line of the table is computed with."""
    height, width = model.input_size
    return Settings(
        model=model.full_name,
        weights=fingerprint(model),
        framing=scoring.framing,
        input=f"{height}×{width}",
        steps=scoring.steps,
        replacement=scoring.replacement,
        orders=scoring.orders,
        seed=scoring.seed,
        readout=scoring.readout or "",
        followed=model.quantity,
    )


def fingerprint(model: "Model") -> str:
    """Eight hexadecimal digits of a hash of the weights, so that a file that was trained further counts as another."""
    from hashlib import sha256

    import torch

    found = sha256()
    for name, tensor in model.module.state_dict().items():
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:8]


def fill(
    table: ScoreTable,
    subjects: Sequence[Subject],
    model: "Model",
    methods: Sequence[str],
    scoring: Scoring,
    done: Callable[[str, float], object],
    failed: Callable[[VitvizError], object],
    progress: Progress | None = None,
    cancel: Cancel = lambda: False,
) -> int:
    """Score what the table does not hold yet; returns how many subjects could not be scored.

    `done` is called for each photo that was scored, with the share of all; `failed` for each that could not be. Ends
    early if `cancel` returns True: what was scored is in the table. Raises DeviceMemoryError and ExportError.
    """
    failures = 0
    for number, subject in enumerate(subjects, start=1):
        missing = [name for name in methods if not table.has(subject.name, subject.asked, name)]
        if not missing:
            continue
        if cancel():
            break
        if progress is not None:
            progress(subject.name, None)
        try:
            table.add(score(subject, model, missing, table, scoring))
        except (DeviceMemoryError, ExportError):
            raise
        except VitvizError as error:
            failed(error)
            failures += 1
        else:
            done(f"{number} of {len(subjects)}: {subject.name}, {subject.asked}", number / len(subjects))
    return failures


def score(
    subject: Subject, model: "Model", methods: Sequence[str], table: ScoreTable, scoring: Scoring
) -> list[ScoreRow]:
    """The lines of one photo and class: one per method, and random orders for each grid that has none yet."""
    from vitviz.attention.trace import trace
    from vitviz.explain.measures.faithfulness import baseline, scores
    from vitviz.explain.methods.class_gradients import class_index

    of_class = any(find(name).gradient for name in methods)
    traced = trace(model, subject.open(), framing=scoring.framing, gradients=of_class)
    target = class_index(traced, subject.target)
    mask = _mask(subject, traced)
    options: dict[str, Any] = {
        "steps": scoring.steps,
        "replacement": scoring.replacement,
        "seed": scoring.seed,
        "batch": scoring.batch,
    }
    common: dict[str, Any] = {
        "photo": subject.name,
        "asked": subject.asked,
        "target": target,
        "label": model.labels[target],
        "probability": float(traced.scores()[target]) if model.quantity == "probability" else float("nan"),
    }
    rows: list[ScoreRow] = []
    for name in methods:
        try:
            heatmap = heatmap_of(traced, name, target, scoring.readout)
            found = scores(traced, heatmap, target, **options)
        except MethodError as error:
            rows.append(ScoreRow(**common, method=name, grid="", note=error.message))
            continue
        grid = f"{found.patches.rows}×{found.patches.cols}"
        aim: dict[str, Any] = {} if mask is None else _aim(heatmap, mask)
        row = ScoreRow(
            **common,
            **aim,
            method=name,
            grid=grid,
            deletion=found.deletion.area,
            insertion=found.insertion.area,
            deletion_curve=tuple(found.deletion.probabilities),
            insertion_curve=tuple(found.insertion.probabilities),
        )
        rows.append(row)
        known = (subject.name, subject.asked, RANDOM, grid)
        if known in table.rows or known in {each.key for each in rows}:
            continue
        chance = baseline(traced, found.patches, target, orders=scoring.orders, **options)
        removed, revealed = chance.deletion, chance.insertion
        if aim:
            aim = {**aim, "points": aim["chance"], "mass": aim["uniform"]}
        rows.append(
            ScoreRow(
                **common,
                **aim,
                method=RANDOM,
                grid=grid,
                deletion=removed.area.mean,
                insertion=revealed.area.mean,
                area_ci95=removed.area.half,
                deletion_curve=tuple(removed.mean),
                insertion_curve=tuple(revealed.mean),
                curve_ci95=tuple(removed.half),
            )
        )
    return rows


def heatmap_of(trace: "Trace", method: str, target: int, readout: str | None = None) -> "Heatmap":
    """A method's map with its own defaults, for the target and of the part of the readout if it takes them."""
    from vitviz.explain import explain

    taken = find(method)
    options: dict[str, Any] = {"target": target} if taken.takes("target") else {}
    if readout is not None and taken.takes("query"):
        options["readout"] = readout
    return explain(trace, method, **options)


def _mask(subject: Subject, trace: "Trace") -> Any:
    from vitviz.explain.measures.truth import input_mask

    return None if subject.mask is None else input_mask(trace.framing, subject.mask())


def _aim(heatmap: "Heatmap", mask: Any) -> dict[str, float]:
    from vitviz.explain.measures.truth import on_object

    found = on_object(heatmap, mask)
    return {
        "points": float(found.points),
        "chance": found.chance,
        "mass": found.mass,
        "uniform": found.uniform,
    }
