"""A heatmap: values per patch, what they mean, and how to lay them on the photo or save them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitviz import files
from vitviz.errors import VitvizError
from vitviz.images.framing import DataConfig, Framing, PatchGrid
from vitviz.images.photo import Photo
from vitviz.render.colors import bending, value_range
from vitviz.render.export import save_png, with_legend, write_whole
from vitviz.render.overlay import overlay
from vitviz.render.pair import Side, paired

SUMMED = ", summed over each patch"
"""The end of a title whose values are sums of `Heatmap.pixels`."""


@dataclass(frozen=True, eq=False)
class Heatmap:
    """A method's value for each patch. The values are raw: never rescaled, so that maps can be compared."""

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
    pixels: NDArray[np.float32] | None = None
    """For methods with a value for each pixel: height×width of the model's input, in `unit`; `values` are its sums."""

    @property
    def total(self) -> float:
        """The sum over the patches. For shares: total + prefix + leak = 1."""
        return float(self.values.sum(dtype=np.float64))

    def title_of(self, painted: NDArray[np.float32]) -> str:
        """The title for what is painted: without `SUMMED` where it is `pixels`."""
        return self.title if painted is not self.pixels else self.title.removesuffix(SUMMED)

    def overlay(self, **style: Any) -> Image.Image:
        """The photo in its own size, the map laid exactly over the region the model saw.

        `style` is that of `vitviz.render.overlay.overlay`: colormap, opacity, style, smooth, scale, log, temperature, grid,
        dim_unseen, and field=heatmap.pixels, which paints each pixel's value.
        """
        return overlay(self.photo, self.values, self.framing, self.patches, **style)

    def save(
        self,
        path: str | Path,
        *,
        legend: bool = False,
        heading: Sequence[str] = (),
        note: str | None = None,
        **style: Any,
    ) -> None:
        """Write the overlay as a PNG with what it shows in the file's text fields.

        `legend` adds a scale below it, with `note` in place of the map's own; the lines of `heading` stand above it.
        """
        save_png(self._picture(legend, heading, note, style), path, self.described(**style))

    def _repr_png_(self) -> bytes:
        """How a notebook displays the map: on the photo, with its scale."""
        content = BytesIO()
        self._picture(True, (), None, {}).save(content, "PNG")
        return content.getvalue()

    def _picture(
        self, legend: bool, heading: Sequence[str], note: str | None, style: dict[str, Any]
    ) -> Image.Image:
        """The overlay, with lines above it and, if `legend`, a scale below."""
        image = self.overlay(**style)
        if heading:
            image = paired([Side(image, tuple(heading))])
        if legend:
            painted = self.values if style.get("field") is None else style["field"]
            low, high = value_range(painted, style.get("scale"), style.get("log", False))
            known = ("colormap", "opacity", "style", "log", "temperature")
            shown = {key: style[key] for key in known if key in style}
            image = with_legend(
                image,
                title=self.title_of(painted),
                low=low,
                high=high,
                unit=self.unit,
                note=self.note if note is None else note,
                **shown,
            )
        return image

    def described(self, **style: Any) -> dict[str, str]:
        """What the map shows and on which scale, as the text fields of a PNG that is drawn in this style."""
        painted = self.values if style.get("field") is None else style["field"]
        low, high = value_range(painted, style.get("scale"), style.get("log", False))
        bent = bending(low, style.get("log", False), style.get("temperature", 1.0))
        return {
            "Title": self.title_of(painted),
            "Model": self.model_name,
            "Method": self.method,
            "Scale": ", ".join(filter(None, (f"{low:g} to {high:g} {self.unit}", bent))),
            **{f"Option {key}": str(value) for key, value in self.options.items()},
        }

    def save_raw(self, path: str | Path) -> None:
        """Write the raw numbers as .npz: values, prefix names and weights, leak, each patch's corners on the photo, and
        what `read_raw` needs to lay them on the photo again.
        """
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
            "framing": np.array(json.dumps(asdict(self.framing))),
            "grid": np.array([*self.patches.cell, *self.patches.origin]),
            "options": np.array([f"{key}={value}" for key, value in self.options.items()], dtype=str),
        }
        words = ("method", "title", "unit", "model_name")
        arrays |= {word: np.array(getattr(self, word)) for word in words} | {
            "photo": np.array(self.photo.name)
        }
        if self.pixels is not None:
            arrays["pixels"] = self.pixels
        write_whole(Path(path), lambda file: np.savez_compressed(file, **arrays))

    @property
    def note(self) -> str:
        """The model, the sum over patches, and the weight on prefix tokens and padding."""
        return f"{self.model_name}. {self.sums}"

    @property
    def sums(self) -> str:
        """The sum over patches, and the weight on prefix tokens and padding."""
        elsewhere = [f"{name} {weight:.3f}" for name, weight in self.prefix.items()]
        elsewhere += [f"padding {self.leak:.3f}"] if self.leak else []
        return f"Patches sum to {self.total:.3f}" + "".join(f", {part}" for part in elsewhere) + "."


def read_raw(path: str | Path, photo: Photo) -> Heatmap:
    """A heatmap as `Heatmap.save_raw` wrote it, for its photo; its options are text.

    Raises VitvizError for a file of another kind, and for a photo of another size than the map was made for.
    """
    if files.refusal(path) == files.PIPE_OR_DEVICE:
        raise VitvizError(f"{path} is a pipe or a device, not a file with a heatmap.")
    try:
        with np.load(path) as raw:
            words = {word: str(raw[word]) for word in ("method", "title", "unit", "model_name")}
            framing = _framing(json.loads(str(raw["framing"])))
            height, width, top, left = raw["grid"].tolist()
            values = raw["values"]
            prefix = dict(zip(raw["prefix_names"].tolist(), raw["prefix_weights"].tolist(), strict=True))
            pairs = (str(line).split("=", 1) for line in raw["options"])
            options: dict[str, object] = {name: value for name, value in pairs}  # noqa: C416 - values are objects
            leak = float(raw["leak"])
            pixels = raw.get("pixels")
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise VitvizError(f"{path} holds no heatmap that vitviz saved.", str(error)) from error
    if framing.photo_size != photo.size:
        raise VitvizError(f"{path} was made for a photo of another size than {photo.name}.")
    patches = PatchGrid(values.shape[0], values.shape[1], (height, width), (top, left))
    return Heatmap(
        values, patches, photo, framing, **words, options=options, prefix=prefix, leak=leak, pixels=pixels
    )


def _framing(stored: dict[str, Any]) -> Framing:
    """A framing from JSON, with its lists as tuples again."""

    def tuples(fields: dict[str, Any]) -> dict[str, Any]:
        return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}

    return Framing(**tuples(stored) | {"config": DataConfig(**tuples(stored["config"]))})
