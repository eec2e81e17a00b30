"""`vitviz evaluate`: how faithful each method's maps are, over photos, as a table that can be continued."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitviz.cli import report
from vitviz.cli.methods import add_readout
from vitviz.cli.options import SOURCE, add_framing, add_loading, clear_progress, load, progress
from vitviz.errors import ExportError, VitvizError

if TYPE_CHECKING:
    from vitviz.batch.scores_table import ScoreRow
    from vitviz.batch.subjects import Subject
    from vitviz.models.model import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything `vitviz evaluate` takes."""
    parser.add_argument("photos", nargs="*", metavar="PHOTO", help="photos, and folders of photos")
    parser.add_argument(
        "--sample", action="store_true", help="the bundled scenes, whose objects' masks are known"
    )
    parser.add_argument(
        "--scenes",
        type=int,
        metavar="N",
        help="N freshly drawn scenes, never trained on, whose masks are known",
    )
    parser.add_argument("--model", metavar="SOURCE", help=SOURCE)
    parser.add_argument(
        "--out",
        metavar="TABLE.csv",
        required=True,
        type=Path,
        help="the table: a line per photo and method; if it is there, what it holds is not computed again",
    )
    parser.add_argument("--png", metavar="PLOT.png", type=Path, help="also draw the mean curves")
    asked = parser.add_argument_group("what is asked")
    asked.add_argument(
        "--labels",
        metavar="FILE.csv",
        help="the class each photo is scored for: a CSV table of photo and target (number or name), or the word "
        "“folders”: each photo's folder is its class (default: the model's own prediction)",
    )
    asked.add_argument("--methods", metavar="A,B,…", help="methods by name (default: all that apply)")
    add_readout(asked)
    asked.add_argument(
        "--steps",
        type=int,
        default=20,
        metavar="N",
        help="in how many steps patches are removed and revealed (default: 20)",
    )
    asked.add_argument(
        "--baseline",
        choices=("mean", "blur"),
        default="mean",
        help="what stands where patches are removed: the mean colour that the model was normalised by, without anything "
        "of the photo, or the blurred photo (default: mean)",
    )
    asked.add_argument(
        "--random",
        type=int,
        default=10,
        metavar="K",
        help="random orders per photo, at least 2 (default: 10)",
    )
    asked.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of random orders and ties (default: 0)"
    )
    model = parser.add_argument_group("photo and model")
    add_framing(model)
    add_loading(model)
    model.add_argument(
        "--batch", type=int, metavar="N", help="inputs per forward pass (default: by device and input size)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Fill the table and print its means; 0 if every photo was scored, 1 if some could not be, 130 if stopped."""
    _require(arguments)
    from vitviz.batch.evaluate import Scoring, fill, settings_of
    from vitviz.batch.scores_table import RANDOM, ScoreTable
    from vitviz.explain.registry import METHODS, find

    names = arguments.methods.split(",") if arguments.methods else [method.name for method in METHODS]
    methods = list(dict.fromkeys(find(name.strip()).name for name in names))
    scenes = arguments.sample or arguments.scenes is not None
    model = load(arguments.model or "demo/vit", arguments)
    if not model.labels:
        raise VitvizError(f"{model.name} has no classifier, so there is no output to follow.")
    if model.quantity == "logit":
        print("The probability of a single class is always 1: the curves follow its logit.")
    elif model.quantity == "output":
        print(
            "The model's outputs are no classes and have no probabilities: the curves follow the output itself."
        )
    subjects = subjects_of(arguments, model)
    scoring = Scoring(
        steps=arguments.steps,
        replacement=arguments.baseline,
        orders=arguments.random,
        seed=arguments.seed,
        framing=arguments.framing,
        batch=arguments.batch,
        readout=arguments.readout,
    )
    table = ScoreTable(arguments.out, settings_of(model, scoring))

    def failed(error: VitvizError) -> None:
        clear_progress()
        report(error, arguments.verbose)

    try:
        failures = fill(table, subjects, model, methods, scoring, _tell, failed, progress())
    except KeyboardInterrupt:
        clear_progress()
        print(f"vitviz: stopped; the same command continues from what is in {table.path}.", file=sys.stderr)
        return 130
    clear_progress()
    wanted = {(subject.name, subject.asked) for subject in subjects}
    rows = [
        row
        for row in table.rows.values()
        if (row.photo, row.asked) in wanted and (row.method in methods or row.method == RANDOM)
    ]
    conclude(rows, arguments, model, scenes)
    if failures:
        print(f"vitviz: {failures} of {len(subjects)} photos could not be scored.", file=sys.stderr)
    return 1 if failures else 0


def _require(arguments: argparse.Namespace) -> None:
    """Refuse contradictory options before a model is loaded."""
    scenes = arguments.sample or arguments.scenes is not None
    if bool(arguments.photos) + arguments.sample + (arguments.scenes is not None) != 1:
        raise VitvizError("Name photos or folders, or use --sample, or --scenes N: one of them.")
    if scenes and arguments.labels:
        raise VitvizError("Scenes have classes of their own: leave --labels out.")
    if not scenes and not arguments.model:
        raise VitvizError("Name a model: --model demo/vit, --model deit_tiny_patch16_224 or a weight file.")
    for name, least in (("steps", 1), ("random", 2), ("scenes", 1), ("batch", 1), ("seed", 0)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise VitvizError(f"--{name} is at least {least}, not {value}.")
    for path, suffix in ((arguments.out, ".csv"), (arguments.png, ".png")):
        if path is not None and path.suffix.lower() != suffix:
            raise ExportError(f"{path}: the name must end in {suffix}.")


def subjects_of(arguments: argparse.Namespace, model: "Model") -> "list[Subject]":
    """What is to be scored. Raises VitvizError for photos without a class and classes that do not exist."""
    from vitviz.batch import subjects

    if arguments.sample:
        return subjects.bundled(model.labels)
    if arguments.scenes is not None:
        return subjects.drawn(arguments.scenes, model.labels)
    photos = subjects.photos_in(arguments.photos)
    if not arguments.labels:
        return subjects.predicted(photos)
    if arguments.labels == subjects.FOLDERS:
        return subjects.in_folders(photos, model.labels)
    return subjects.in_file(photos, Path(arguments.labels), model.labels)


def _tell(what: str, share: float) -> None:
    """Progress as a line that is overwritten, or without a terminal as a line of a log."""
    show = progress()
    if show is not None:
        show(what, share)
    else:
        print(what, file=sys.stderr, flush=True)


def conclude(rows: "Sequence[ScoreRow]", arguments: argparse.Namespace, model: "Model", scenes: bool) -> None:
    """Print the means, and what did not apply; draw the curves if that was asked for."""
    import numpy as np

    from vitviz.batch.scores_summary import columns, markdown, picture

    shares = np.linspace(0, 1, arguments.steps + 1)
    found = columns(rows, shares)
    if found:
        print(markdown(found, scenes))
        print(
            f"\n{len({(row.photo, row.asked) for row in rows if not row.note})} photos and classes; {_basis(arguments)}"
        )
    reasons: dict[tuple[str, str], int] = {}
    for row in rows:
        if row.note:
            reasons[row.method, row.note] = reasons.get((row.method, row.note), 0) + 1
    for (method, reason), count in reasons.items():
        print(f"{method} was left out of {count}: {reason}")
    if found and arguments.png is not None:
        from vitviz.render.export import save_png

        title = f"Faithfulness of heatmaps of {model.full_name}"
        image = picture(found, shares, title, _basis(arguments), model.quantity)
        save_png(image, arguments.png, {"Title": title})


def _basis(arguments: argparse.Namespace) -> str:
    instead = "the mean colour" if arguments.baseline == "mean" else "the blurred photo"
    return (
        f"means ± 95 % confidence interval over photos; {arguments.steps} steps, removed patches show {instead}, "
        f"{arguments.random} random orders per photo."
    )
