"""What the bundled models can do, and where their heatmaps lie: ``python -m vitviz.demo.figures``.

Measured on fresh scenes, from a range of seeds that training never draws from. As the truth is known, each method is
asked two things, on scenes with one object:

- pointing: does the object cover at least a quarter of the patch where the map is highest? Beside it, how many patches
  would count as a hit: what pointing at random scores.
- mass: which share of the map's positive values lies on the object? Beside it, the share that a uniform map gets.

A method whose lead over uniform is smaller than twice its standard error is said not to beat it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from vitviz.attention.trace import trace
from vitviz.demo.architectures import KINDS, SIDE, Teacher
from vitviz.demo.description import TEST_SEEDS
from vitviz.demo.scenes import Scene, scene
from vitviz.demo.score import Score, score
from vitviz.demo.shapes import CLASSES
from vitviz.demo.views import normalised
from vitviz.explain import explain, methods
from vitviz.explain.heatmap import Heatmap
from vitviz.images.photo import photo_from_array
from vitviz.models.loading import load_model
from vitviz.resources_path import resource

HIT = 0.25


@dataclass(frozen=True)
class Aim:
    """How well the maps of one method lie on the object, over ``scenes`` scenes; all but ``error`` are means.

    ``pointing`` and ``chance`` are shares of scenes, ``mass`` and ``uniform`` of the map; ``error`` is the standard error
    of mass − uniform.
    """

    scenes: int
    pointing: float
    chance: float
    mass: float
    uniform: float
    error: float

    @property
    def beats_uniform(self) -> bool:
        """Whether the lead over a uniform map is more than chance."""
        return self.mass - self.uniform > 2 * self.error


def test_scenes(count: int) -> Iterator[Scene]:
    """Draw the first ``count`` scenes of the test range, with one and with two objects in turn."""
    for n in range(count):
        yield scene(TEST_SEEDS[n], SIDE, things=1 + n % 2)


def accuracy(module: torch.nn.Module, scenes: list[Scene]) -> Score:
    """Classify the scenes with a module that takes normalised pictures of 96 pixels."""
    kinds = torch.full((len(scenes), 2), -1)
    logits = []
    with torch.inference_mode():
        for start in range(0, len(scenes), 50):
            some = scenes[start : start + 50]
            for n, one in enumerate(some, start):
                for j, kind in enumerate(one.kinds):
                    kinds[n, j] = CLASSES.index(kind)
            device = next(module.parameters()).device
            logits.append(
                module(normalised(np.stack([one.picture for one in some])).to(device)).float().cpu()
            )
    return score(torch.cat(logits), kinds)


def on_object(heatmap: Heatmap, mask: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """Return (hit, share of patches that would be a hit, mass inside, uniform share) of a map for a mask (H, W).

    The photo must be what the model saw, pixel by pixel, so that a patch's box is a piece of the mask.
    """
    values = np.clip(heatmap.values.astype(np.float64), 0, None)
    cover = np.empty(values.shape)
    for row, col in np.ndindex(values.shape):
        left, top, right, bottom = (round(edge) for edge in heatmap.patches.box(row, col))
        cover[row, col] = mask[top:bottom, left:right].mean() / 255
    total = values.sum()
    mass = float((values * cover).sum() / total) if total > 0 else 0.0
    return float(cover.flat[values.argmax()] >= HIT), float((cover >= HIT).mean()), mass, float(cover.mean())


def aims(name: str, scenes: list[Scene]) -> dict[str, Aim | str]:
    """Return for each method how it aims on these one-object scenes, or the reason why it does not apply."""
    model = load_model(name)
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    reasons: dict[str, str] = {}
    for drawn in scenes:
        traced = trace(model, photo_from_array(drawn.picture))
        for method, reason in methods(traced).items():
            if reason is None:
                rows.setdefault(method, []).append(on_object(explain(traced, method), drawn.masks[0]))
            else:
                reasons[method] = reason
    return {method: summed_up(found) for method, found in rows.items()} | reasons


def summed_up(found: list[tuple[float, float, float, float]]) -> Aim:
    """Average over scenes what `on_object` found."""
    table = np.array(found)
    lead = table[:, 2] - table[:, 3]
    error = float(lead.std(ddof=1) / np.sqrt(len(lead))) if len(lead) > 1 else float("inf")
    pointing, chance, mass, uniform = table.mean(axis=0).tolist()
    return Aim(len(found), pointing, chance, mass, uniform, error)


def teacher() -> Teacher:
    """Load the convolutional teacher of the DeiT."""
    module = Teacher()
    tensors = load_file(resource("models/teacher.safetensors"))
    module.load_state_dict({key: t.float() if t.is_floating_point() else t for key, t in tensors.items()})
    return module.eval()


def accuracy_table(scores: dict[str, Score]) -> str:
    """Return a Markdown table of what each model gets right."""
    some = next(iter(scores.values()))
    lines = [
        f"| model | one object: top-1 ({some.one} scenes) | two objects: both in the top two ({some.two} scenes) |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {s.top1:.1%} | {s.both:.1%} |" for name, s in scores.items()]
    return "\n".join(lines)


def aim_table(found: dict[str, dict[str, Aim | str]]) -> str:
    """Return a Markdown table of how each method aims on each model."""
    lines = [
        "| model | method | points at the object | at random | mass on the object | uniform map | beats uniform |",
        "|---|---|---|---|---|---|---|",
    ]
    for model, by_method in found.items():
        for method, aim in by_method.items():
            if isinstance(aim, str):
                lines.append(f"| {model} | {method} | {aim} | | | | |")
                continue
            verdict = f"yes, {aim.mass / aim.uniform:.1f}×" if aim.beats_uniform else "no"
            lines.append(
                f"| {model} | {method} | {aim.pointing:.0%} | {aim.chance:.0%} | {aim.mass:.1%} ± {aim.error:.1%} "
                f"| {aim.uniform:.1%} | {verdict} |"
            )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the tables; with ``--write`` also put the accuracies on the cards."""
    parser = argparse.ArgumentParser(prog="python -m vitviz.demo.figures", description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, default=2000, help="scenes for accuracy, half with two objects")
    parser.add_argument("--heatmaps", type=int, default=200, help="scenes with one object for the heatmaps")
    parser.add_argument(
        "--models", nargs="*", default=list(KINDS), help="of vit, deit and swin (default: all)"
    )
    parser.add_argument("--write", action="store_true", help="put the accuracies on the models' cards")
    options = parser.parse_args(arguments)
    scenes = list(test_scenes(options.scenes))
    scores = {"teacher": accuracy(teacher(), scenes)}
    scores |= {f"demo/{kind}": accuracy(load_model(f"demo/{kind}").module, scenes) for kind in options.models}
    print(accuracy_table(scores), flush=True)
    if options.write:
        for name, found in scores.items():
            _write(name.removeprefix("demo/"), found, scores["teacher"])
    single = [drawn for drawn in scenes if len(drawn.kinds) == 1][: options.heatmaps]
    print(f"\n{len(single)} scenes with one object:\n")
    print(aim_table({f"demo/{kind}": aims(f"demo/{kind}", single) for kind in options.models}))


def _write(stem: str, found: Score, taught: Score) -> None:
    path = resource(f"models/{stem}.json")
    card: dict[str, Any] = json.loads(path.read_text())
    card["training"]["accuracy"] = found.card()
    if stem == "deit":
        card["training"]["teacher_accuracy"] = taught.card()
    path.write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
