"""vitviz: see what a vision transformer attends to.

The public API, and nothing else. Names are loaded when first used, so `import vitviz` (and the window's first paint)
does not wait for torch.

>>> import vitviz
>>> model = vitviz.load_model("deit_tiny_patch16_224")          # doctest: +SKIP
>>> trace = vitviz.trace(model, vitviz.open_image("cat.jpg"))   # doctest: +SKIP
>>> vitviz.explain(trace, "rollout").save("rollout.png")        # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Bound at once, not lazily: the package of the same name would otherwise shadow the function. It is light.
from vitviz.explain import explain as explain

if TYPE_CHECKING:
    from vitviz.app.show import show as show
    from vitviz.attention.trace import Trace as Trace
    from vitviz.attention.trace import trace as trace
    from vitviz.errors import VitvizError as VitvizError
    from vitviz.explain.heatmap import Heatmap as Heatmap
    from vitviz.explain.internals import patches as patches
    from vitviz.explain.internals import positions as positions
    from vitviz.explain.internals.lens import lens as lens
    from vitviz.explain.measures.statistics import statistics as statistics
    from vitviz.explain.plates.plate_sets import plates as plates
    from vitviz.explain.plates.plates import plate as plate
    from vitviz.explain.registry import methods as methods
    from vitviz.images.framing import DataConfig as DataConfig
    from vitviz.images.photo import Photo as Photo
    from vitviz.images.photo import open_image as open_image
    from vitviz.models.loading import load_model as load_model
    from vitviz.models.model import Model as Model

_DEFINED_IN = {
    "DataConfig": "vitviz.images.framing",
    "Heatmap": "vitviz.explain.heatmap",
    "Model": "vitviz.models.model",
    "Photo": "vitviz.images.photo",
    "Trace": "vitviz.attention.trace",
    "VitvizError": "vitviz.errors",
    "lens": "vitviz.explain.internals.lens",
    "load_model": "vitviz.models.loading",
    "methods": "vitviz.explain.registry",
    "open_image": "vitviz.images.photo",
    "plate": "vitviz.explain.plates.plates",
    "plates": "vitviz.explain.plates.plate_sets",
    "show": "vitviz.app.show",
    "statistics": "vitviz.explain.measures.statistics",
    "trace": "vitviz.attention.trace",
}

_MODULES = {"patches": "vitviz.explain.internals.patches", "positions": "vitviz.explain.internals.positions"}

__all__ = ["explain", *_DEFINED_IN, *_MODULES]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = import_module(_MODULES[name])
    elif name in _DEFINED_IN:
        value = getattr(import_module(_DEFINED_IN[name]), name)
    else:
        raise AttributeError(f"module 'vitviz' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_DEFINED_IN, *_MODULES])
