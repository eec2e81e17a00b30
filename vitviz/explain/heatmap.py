"""A heatmap: values per patch, what they mean, and how to lay them on the photo or save them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitviz.images.framing import Framing, PatchGrid
from vitviz.images.photo import Photo
from vitviz.render.colors import value_range
from vitviz.render.export import save_png, with_legend, write_whole
from vitviz.render.overlay import overlay


@dataclass(frozen=True, eq=False)
class Heatmap:
    """What a method says of each patch. The values are raw: never rescaled, so that maps can be compared."""

    values: NDArray[np.float32]
    """rows×cols of `patches`."""
    patches: PatchGrid
    photo: Photo
    framing: Framing
    method: str
    title: str
    """One sentence: what the map shows of what."""
    unit: str
    """What the values are, such as "share of attention"."""
    model_name: str
    options: dict[str, object] = field(default_factory=dict)
    prefix: dict[str, float] = field(default_factory=dict)
    """The weight on each prefix token, which has no place on the photo."""
    leak: float = 0.0
    """The weight on padding (Swin at sizes that its windows do not divide)."""

    @property
    def total(self) -> float:
        """The sum over the patches. For shares: total + prefix + leak = 1."""
        return float(self.values.sum(dtype=np.float64))

    def overlay(self, **style: Any) -> Image.Image:
        """The photo in its own size, the map laid exactly over the region the model saw.

        `style` is that of `vitviz.render.overlay.overlay`: colormap, opacity, style, smooth, scale, log, grid, dim_unseen.
        """
        return overlay(self.photo, self.values, self.framing, self.patches, **style)

    def save(self, path: str | Path, *, legend: bool = False, **style: Any) -> None:
        """Write the overlay as a PNG with what it shows in the file's text fields; `legend` adds a scale below it."""
        image = self.overlay(**style)
        low, high = value_range(self.values, style.get("scale"), style.get("log", False))
        if legend:
            shown = {key: style[key] for key in ("colormap", "opacity", "style", "log") if key in style}
            image = with_legend(
                image, title=self.title, low=low, high=high, unit=self.unit, note=self.note, **shown
            )
        options = {f"Option {key}": str(value) for key, value in self.options.items()}
        scale = f"{low:g} to {high:g} {self.unit}"
        metadata = {
            "Title": self.title,
            "Model": self.model_name,
            "Method": self.method,
            "Scale": scale,
            **options,
        }
        save_png(image, path, metadata)

    def save_raw(self, path: str | Path) -> None:
        """Write the raw numbers as .npz: values, prefix names and weights, leak, each patch's corners on the photo."""
        rows, cols = self.values.shape
        polygons = np.array(
            [[self.framing.polygon(self.patches, row, col) for col in range(cols)] for row in range(rows)]
        )
        arrays: dict[str, Any] = {
            "values": self.values,
            "polygons": polygons,
            "prefix_names": np.array(list(self.prefix), dtype=str),
            "prefix_weights": np.array(list(self.prefix.values()), dtype=np.float32),
            "leak": np.float32(self.leak),
            "options": np.array([f"{key}={value}" for key, value in self.options.items()], dtype=str),
        }
        words = ("method", "title", "unit", "model_name")
        arrays |= {word: np.array(getattr(self, word)) for word in words} | {
            "photo": np.array(self.photo.name)
        }
        write_whole(Path(path), lambda file: np.savez_compressed(file, **arrays))

    @property
    def note(self) -> str:
        """The model, and where the weight went that is on no patch."""
        elsewhere = [f"{name} {weight:.3f}" for name, weight in self.prefix.items()]
        elsewhere += [f"padding {self.leak:.3f}"] if self.leak else []
        return (
            f"{self.model_name}. Patches sum to {self.total:.3f}"
            + "".join(f", {part}" for part in elsewhere)
            + "."
        )
