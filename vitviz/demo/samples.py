"""The bundled scenes: ``python -m vitviz.demo.samples`` draws them again, with masks of their objects and an index.

The first of the index is the one vitviz opens with.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from vitviz.demo.description import SAMPLE_SEEDS, Description, describe
from vitviz.demo.scenes import draw
from vitviz.resources_path import resource

SIDE = 512


@dataclass(frozen=True)
class Sample:
    """A bundled scene: its file's stem, the title in the samples menu, what it shows, and how it is made."""

    stem: str
    title: str
    about: str
    make: Callable[[], Description]


def _twice() -> Description:
    """One crescent and the same again elsewhere: same size, colour and turn."""
    one = describe(SAMPLE_SEEDS[32], kinds=("crescent",), lines=2, ribbon=False)
    thing = replace(one.things[0], radius=0.19, x=0.31, y=0.3)
    return replace(one, things=(thing, replace(thing, x=0.7, y=0.69)))


SAMPLES: tuple[Sample, ...] = (
    Sample(
        "two-objects",
        "Two objects",
        "two objects of different classes: does each class look at its own?",
        lambda: describe(SAMPLE_SEEDS[2], kinds=("heart", "star"), lines=2, ribbon=False),
    ),
    Sample(
        "one-object",
        "One object",
        "one object on a calm background: the easiest case",
        lambda: describe(SAMPLE_SEEDS[14], kinds=("triangle",), lines=0, ribbon=False),
    ),
    Sample(
        "clutter",
        "Clutter",
        "one object among many lines, which mean nothing",
        lambda: describe(SAMPLE_SEEDS[26], kinds=("cross",), lines=11, ribbon=False),
    ),
    Sample(
        "same-twice",
        "The same object twice",
        "the same object at two places: is what the model does with it the same?",
        _twice,
    ),
    Sample(
        "half-hidden",
        "Half hidden",
        "an object half hidden by a band; the mask is what can be seen of it",
        lambda: describe(SAMPLE_SEEDS[45], kinds=("star",), lines=1, ribbon=True),
    ),
    Sample(
        "wide",
        "Wide picture",
        "a wide picture: cropping to a square loses what lies at its ends",
        lambda: describe(
            SAMPLE_SEEDS[55], kinds=("ring", "square"), extent=(1.0, 1.75), lines=3, ribbon=False
        ),
    ),
    Sample(
        "tall",
        "Tall picture",
        "a tall picture: cropping to a square loses its top and bottom",
        lambda: describe(
            SAMPLE_SEEDS[63], kinds=("heart", "circle"), extent=(1.6, 1.0), lines=3, ribbon=False
        ),
    ),
)


def write(folder: Path, samples: tuple[Sample, ...] = SAMPLES, side: int = SIDE) -> None:
    """Write each sample as ``<stem>.png`` with ``masks/<stem>-<n>.png`` per object, and ``index.json``.

    Masks have a folder of their own, so that the window does not offer them as further photos.
    """
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    index = []
    for sample in samples:
        drawn = draw(sample.make(), side)
        Image.fromarray(drawn.picture).save(folder / f"{sample.stem}.png", optimize=True)
        objects = []
        for n, (kind, mask) in enumerate(zip(drawn.kinds, drawn.masks, strict=True), 1):
            name = f"masks/{sample.stem}-{n}.png"
            Image.fromarray(mask).save(folder / name, optimize=True)
            objects.append({"class": kind, "mask": name})
        index.append(
            {
                "file": f"{sample.stem}.png",
                "title": sample.title,
                "about": sample.about,
                "weights": drawn.description.weights,
                "objects": objects,
            }
        )
    (folder / "index.json").write_text(json.dumps({"scenes": index}, indent=2) + "\n")


def main(arguments: list[str] | None = None) -> None:
    """Draw the bundled scenes."""
    parser = argparse.ArgumentParser(
        prog="python -m vitviz.demo.samples", description="Draws the bundled scenes."
    )
    parser.add_argument("--out", type=Path, default=resource("scenes"))
    write(parser.parse_args(arguments).out)


if __name__ == "__main__":
    main()
