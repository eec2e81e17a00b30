"""How a model is loaded and run, as the window remembers it for each model and the command line takes it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ModelSettings:
    """What differs from a model's own; an empty value or None is the model's own, or the program's."""

    image_size: tuple[int, int] | None = None
    """(height, width) of the input in pixels."""
    framing: str = ""
    """"crop", "squash" or "fit"; empty for the one in use."""
    precision: str = ""
    """"float32", "bfloat16" or "float16"; empty for that of the weights."""
    device: str = ""
    """"cpu", "cuda", "mps", ...; empty for the program's."""
    labels: str = ""
    """A file of class names."""
    architecture: str = ""
    """The timm name of a weight file's model, where its tensors fit several."""
    outputs: str = ""
    """What the model's numbers are: "classes", "values" or "embedding"; empty for what it states itself."""

    def options(self, device: str) -> dict[str, Any]:
        """Keyword arguments of `load_model`; `device` is the program's."""
        return {
            "image_size": self.image_size,
            "precision": self.precision or None,
            "device": self.device or device,
            "labels": self.labels or None,
            "architecture": self.architecture or None,
            "outputs": self.outputs or None,
        }

    def stored(self) -> dict[str, object]:
        """What differs from the defaults, by name."""
        default = asdict(ModelSettings())
        return {name: value for name, value in asdict(self).items() if value != default[name]}


def settings_from(stored: Mapping[str, object]) -> ModelSettings:
    """Settings from what `stored` gave; values that make no sense are left out."""
    found: dict[str, Any] = {
        name: stored[name]
        for name in ("framing", "precision", "device", "labels", "architecture", "outputs")
        if isinstance(stored.get(name), str)
    }
    size = stored.get("image_size")
    if (
        isinstance(size, tuple | list)
        and len(size) == 2
        and all(isinstance(one, int) and one > 0 for one in size)
    ):
        found["image_size"] = (int(size[0]), int(size[1]))
    return ModelSettings(**found)
