"""The bundled scenes as files: where their objects are, and of which class."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitviz.images.photo import open_image
from vitviz.resources_path import resource


@cache
def index() -> tuple[dict[str, Any], ...]:
    """What the index of the scenes says of each, the first that is shown first; none where they are missing."""
    try:
        return tuple(json.loads(resource("scenes/index.json").read_text(encoding="utf-8"))["scenes"])
    except OSError:
        return ()


def kinds(scene: dict[str, Any]) -> tuple[str, ...]:
    """The classes of the objects in a scene, each once."""
    return tuple(dict.fromkeys(one["class"] for one in scene["objects"]))


def mask(path: Path | None, kind: str) -> NDArray[np.uint8] | None:
    """Where the objects of a class are in a bundled scene, uint8 0…255 of the scene's (height, width).

    None for any other photo, and for a class that is not in the scene.
    """
    if path is None or path.parent != resource("scenes"):
        return None
    scene = next((one for one in index() if one["file"] == path.name), None)
    files = [one["mask"] for one in scene["objects"] if one["class"] == kind] if scene else []
    if not files:
        return None
    found: NDArray[np.uint8] = np.max([open_image(path.parent / file).pixels[:, :, 0] for file in files], 0)
    return found
