"""What comes with vitviz: scenes to look at, and models that know them."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vitviz.demo.bundled import index
from vitviz.resources_path import resource

MODELS = ("demo/vit", "demo/deit", "demo/swin")


@dataclass(frozen=True)
class Sample:
    """A bundled scene."""

    title: str
    about: str
    path: Path


@cache
def samples() -> tuple[Sample, ...]:
    """The bundled scenes, the one of two objects first; none where they are missing."""
    return tuple(Sample(one["title"], one["about"], resource(f"scenes/{one['file']}")) for one in index())


def models() -> tuple[str, ...]:
    """The bundled models whose weights are there."""
    return tuple(
        name for name in MODELS if resource(f"models/{name.removeprefix('demo/')}.safetensors").is_file()
    )


def is_bundled(path: Path) -> bool:
    """Whether a photo is one of the scenes, beside which nothing of the user's should be saved."""
    return path.parent == resource("scenes")
