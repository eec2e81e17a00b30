"""How accurate the bundled models are, and how their heatmaps agree with the objects: ``python -m vitviz.demo.figures``.

Measured on fresh scenes, from a range of seeds that training never draws from. As the masks are known, two things are
measured of each method on scenes with one object:

- pointing: does the object cover at least a quarter of the patch where the map is highest? Beside it, how many patches
  would count as a hit: what pointing at random scores.
- mass: which share of the map's positive values lies on the object? Beside it, the share that a uniform map gets.

A method whose lead over uniform is smaller than twice its standard error does not count as better.

And on scenes with two objects of different classes, for each of the two in turn:

- asked: is the map's maximum on the object that was asked for, on the other one, or elsewhere?
- rather: has the asked-for object more of the map, for its size, than the other? A map that does not depend on the class
  is right in exactly half of the cases.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from vitviz.attention.trace import trace
from vitviz.demo.architectures import KINDS, SIDE, Teacher
from vitviz.demo.description import TEST_SEEDS
from vitviz.demo.scenes import Scene, scene
from vitviz.demo.score import Score, score
from vitviz.demo.shapes import CLASSES
from vitviz.demo.views import normalised
from vitviz.explain import explain
from vitviz.explain.measures.truth import HIT, OnObject, on_object
from vitviz.explain.registry import find, methods
from vitviz.images.photo import photo_from_array
from vitviz.models.loading import load_model
from vitviz.resources_path import resource


@dataclass(frozen=True)
class Aim:
    """How well the maps of one method agree with the object, over ``scenes`` scenes; all but ``error`` are means.

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


def aims(name: str, scenes: list[Scene]) -> dict[str, Aim | str]:
    """Return for each method how it aims on these one-object scenes, or the reason why it does not apply."""
    model = load_model(name)
    rows: dict[str, list[OnObject]] = {}
    reasons: dict[str, str] = {}
    for drawn in scenes:
        traced = trace(model, photo_from_array(drawn.picture), gradients=True)
        for method, reason in methods(traced).items():
            if reason is None:
                rows.setdefault(method, []).append(on_object(explain(traced, method), drawn.masks[0]))
            else:
                reasons[method] = reason
    return {method: summed_up(found) for method, found in rows.items()} | reasons


def summed_up(found: list[OnObject]) -> Aim:
    """Average over scenes what `on_object` found."""
    table = np.array([(one.points, one.chance, one.mass, one.uniform) for one in found], np.float64)
    lead = table[:, 2] - table[:, 3]
    error = float(lead.std(ddof=1) / np.sqrt(len(lead))) if len(lead) > 1 else float("inf")
    pointing, chance, mass, uniform = table.mean(axis=0).tolist()
    return Aim(len(found), pointing, chance, mass, uniform, error)


@dataclass(frozen=True)
class Asked:
    """Where one method points when it is asked for one of two objects: shares of ``askings``."""

    askings: int
    asked: float
    other: float
    rather: float

    @property
    def elsewhere(self) -> float:
        """Where neither object is."""
        return 1 - self.asked - self.other


def askings(name: str, scenes: list[Scene]) -> dict[str, Asked | str]:
    """Return for each method where it points when asked for either object of these scenes, or why it does not apply."""
    model = load_model(name)
    rows: dict[str, list[tuple[bool, bool, float]]] = {}
    reasons: dict[str, str] = {}
    for drawn in scenes:
        traced = trace(model, photo_from_array(drawn.picture), gradients=True)
        for method, reason in methods(traced).items():
            if reason is not None:
                reasons[method] = reason
                continue
            for mine, other in ((0, 1), (1, 0)):
                target = {"target": CLASSES.index(drawn.kinds[mine])} if find(method).takes("target") else {}
                heatmap = explain(traced, method, **target)
                one, two = (on_object(heatmap, drawn.masks[place]) for place in (mine, other))
                density = one.mass / one.uniform - two.mass / two.uniform
                rather = 0.5 if density == 0 else float(density > 0)
                rows.setdefault(method, []).append((one.points, two.points and not one.points, rather))
    found: dict[str, Asked | str] = {
        method: Asked(len(table), *np.mean(np.array(table, np.float64), axis=0).tolist())
        for method, table in rows.items()
    }
    return found | reasons


def of_two_classes(count: int) -> list[Scene]:
    """Draw test scenes with two objects of different classes, each of which is seen in some patch."""
    found: list[Scene] = []
    for seed in TEST_SEEDS:
        drawn = scene(seed, SIDE, things=2)
        # A side of 96 pixels in patches of 8: an object must cover a quarter of one, or no map could hit it.
        blocks = drawn.masks.reshape(2, SIDE // 8, 8, SIDE // 8, 8).mean(axis=(2, 4)) / 255
        if drawn.kinds[0] != drawn.kinds[1] and (blocks.max(axis=(1, 2)) >= HIT).all():
            found.append(drawn)
        if len(found) == count:
            break
    return found


def asked_table(found: dict[str, dict[str, Asked | str]]) -> str:
    """Return a Markdown table of where each method points when asked for one of two objects."""
    lines = [
        "| model | method | points at the one asked for | at the other | elsewhere | more of the map on the first |",
        "|---|---|---|---|---|---|",
    ]
    for model, by_method in found.items():
        for method, one in by_method.items():
            if isinstance(one, str):
                lines.append(f"| {model} | {method} | {one} | | | |")
                continue
            lines.append(
                f"| {model} | {method} | {one.asked:.1%} | {one.other:.1%} | {one.elsewhere:.1%} | {one.rather:.1%} |"
            )
    return "\n".join(lines)


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
    parser.add_argument(
        "--askings", type=int, metavar="N", help="only: N scenes with two objects, each asked for"
    )
    parser.add_argument("--write", action="store_true", help="put the accuracies on the models' cards")
    options = parser.parse_args(arguments)
    if options.askings is not None:
        pairs = of_two_classes(options.askings)
        print(f"{len(pairs)} scenes with two objects, {2 * len(pairs)} askings:\n")
        print(asked_table({f"demo/{kind}": askings(f"demo/{kind}", pairs) for kind in options.models}))
        return
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
