"""The bundled scenes and models."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vitviz.demo.bundled import index
from vitviz.models.listing import BUNDLED
from vitviz.resources_path import resource

MODELS = BUNDLED


@dataclass(frozen=True)
class Sample:
    """A bundled scene."""

    title: str
    about: str
    path: Path


@cache
def samples() -> tuple[Sample, ...]:
    """The bundled scenes, the one with two objects first; empty if the files are missing."""
    return tuple(Sample(one["title"], one["about"], resource(f"scenes/{one['file']}")) for one in index())


def models() -> tuple[str, ...]:
    """The names of the bundled models whose weights are installed."""
    return tuple(
        name for name in MODELS if resource(f"models/{name.removeprefix('demo/')}.safetensors").is_file()
    )


def is_bundled(path: Path) -> bool:
    """Whether a photo is a bundled scene; the user's files should not be saved in its folder."""
    return path.parent == resource("scenes")
