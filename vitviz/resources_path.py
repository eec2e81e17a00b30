"""Where the files of `resources/` are: beside the package in a checkout, inside it in an installed wheel.

A module called `vitviz.resources` was rejected: in the wheel it would stand beside the folder of the same name.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource(name: str) -> Path:
    """The path of a file or folder of `resources/`, such as `"models/vit.safetensors"`; it need not exist.

    An installed `vitviz/resources/` wins; a checkout has none and is served from the `resources/` beside `vitviz/`.
    """
    inside = _PACKAGE / "resources"
    root = inside if inside.is_dir() else _PACKAGE.parent / "resources"
    return root / name
