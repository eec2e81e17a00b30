"""How a photo becomes a model's input, and the way back from input pixels to the photo's own.

All points are (x, y) in pixels, pixel (0, 0) covering [0, 1) × [0, 1); all sizes are (height, width). A photo is resized
as a whole, then a window of the model's input size is taken out of it, padded where it extends beyond the photo; so the
way from photo to input is a scale and a shift per axis.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from vitviz.errors import ModelError, VitvizError
from vitviz.images.photo import Photo

FramingMode = Literal["crop", "squash", "fit"]

_RESAMPLING = {choice.name.lower(): choice for choice in Image.Resampling}
_CROP_MODES = ("center", "squash", "border")
_BLACK = (0, 0, 0)
_MOST_RESIZED = 64_000_000  # pixels: a quarter of a gigabyte in Pillow
_WIDEST_FILTER = 3  # pixels: the reach of Lanczos


def frame(photo_size: tuple[int, int], config: "DataConfig", mode: FramingMode = "crop") -> "Framing":
    """How a photo of `photo_size` becomes the input that `config` describes.

    "crop" is timm's own evaluation transform (`timm.data.transforms_imagenet_eval`): resize to the input size divided by
    `crop_pct`, then take the middle. "squash" is the whole photo at the input size, its aspect not kept. "fit" is the
    whole photo with its aspect, at the input size of `fit_size`, which replaces the config's. Raises `VitvizError` for
    others.
    """
    if mode == "fit":
        config = replace(config, input_size=fit_size(photo_size, config))
        resized = _inside(photo_size, config.input_size)
    elif mode == "squash":
        resized = config.input_size
    elif mode == "crop":
        resized = _timm_resized(photo_size, config)
    else:
        raise VitvizError(f"There is no framing “{mode}”; choose one of {', '.join(get_args(FramingMode))}.")
    height, width = config.input_size
    offset = _centre(resized[0], height, config.crop_down), _centre(resized[1], width, config.crop_down)
    return Framing(mode, photo_size, resized, offset, config.input_size, config)


def fit_size(photo_size: tuple[int, int], config: "DataConfig") -> tuple[int, int]:
    """The input size for "fit": the photo's aspect, about the area of `config.input_size`, whole multiples.

    One side of the photo fills the input, the other leaves less than one `config.multiple` to be padded. Of all such
    sizes, the one with the least |log of area ÷ wanted area| + 2 × padded fraction: up to 1:3, the area is within a
    quarter of the wanted one. For its own result as the config's input size it returns the same.
    """
    height, width = photo_size
    step = config.multiple
    wanted = config.input_size[0] * config.input_size[1] / step**2
    long, short = max(height, width), min(height, width)
    best: tuple[float, float, int, int] | None = None
    for count in itertools.count(1):
        # Either the long side is `count` steps, or the short side is; the other follows, rounded up.
        across, along = -(-count * short // long), -(-count * long // short)
        if best is not None and math.log(count * across / wanted) > best[0]:
            break  # both areas only grow with `count`
        for cells in ((count, across), (along, count)):
            resized = _inside((long, short), (cells[0] * step, cells[1] * step))
            if cells[0] * step - resized[0] >= step or cells[1] * step - resized[1] >= step:
                continue  # rounded to whole pixels, the photo does not reach the last step
            distance = abs(math.log(cells[0] * cells[1] / wanted))
            padded = 1 - resized[0] * resized[1] / (cells[0] * cells[1] * step**2)
            candidate = (round(distance + 2 * padded, 9), round(distance, 9), *cells)
            if best is None or candidate < best:
                best = candidate
    assert best is not None
    rows, cols = best[2:] if height >= width else best[:1:-1]
    return rows * step, cols * step


def _timm_resized(photo_size: tuple[int, int], config: "DataConfig") -> tuple[int, int]:
    """The size timm resizes a photo to before it takes the middle; timm's expressions, so that rounding is equal."""
    height, width = photo_size
    scale_size = tuple(math.floor(side / config.crop_pct) for side in config.input_size)
    if config.crop_mode == "squash":
        return scale_size[0], scale_size[1]
    ratios = height / scale_size[0], width / scale_size[1]
    if config.crop_mode == "border":  # timm's ResizeKeepRatio(longest=1), which fails where a side becomes 0
        return max(1, round(height / max(ratios))), max(1, round(width / max(ratios)))
    if scale_size[0] != scale_size[1]:  # timm's ResizeKeepRatio(longest=0)
        return round(height / min(ratios)), round(width / min(ratios))
    side = scale_size[0]  # torchvision's Resize(side): of the shorter edge; the longer is rounded down
    if width <= height:
        return int(side * height / width), side
    return side, int(side * width / height)


def _inside(photo_size: tuple[int, int], input_size: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the photo's aspect inside `input_size`."""
    height, width = photo_size
    scale = min(input_size[0] / height, input_size[1] / width)
    return (
        max(1, min(input_size[0], round(height * scale))),
        max(1, min(input_size[1], round(width * scale))),
    )


def _centre(resized: int, wanted: int, down: bool) -> int:
    """Where the window starts along an axis, rounded as torchvision's CenterCrop does, or down."""
    if down:
        return (resized - wanted) // 2
    return -((wanted - resized) // 2) if wanted > resized else round((resized - wanted) / 2)


def _resized_part(
    image: Image.Image,
    resized: tuple[int, int],
    rows: tuple[int, int],
    cols: tuple[int, int],
    resampling: Image.Resampling,
) -> Image.Image:
    """The rows and columns (first, end) of the picture resized to `resized`."""
    if resized[0] * resized[1] <= _MOST_RESIZED:
        return image.resize(resized[::-1], resampling).crop((cols[0], rows[0], cols[1], rows[1]))
    # A photo many hundred times longer than wide would fill the memory for one window: resize only the part.
    # Pillow keeps a box as 32-bit floats, precise enough (a level at most) once cut to the pixels it needs.
    spans = []
    for length, new, (first, end) in zip(image.size, resized[::-1], (cols, rows), strict=True):
        step = length / new
        margin = _WIDEST_FILTER * max(step, 1.0) + 1
        cut = max(0, math.floor(first * step - margin)), min(length, math.ceil(end * step + margin))
        spans.append((*cut, first * step - cut[0], min(end * step, cut[1]) - cut[0]))
    (left, right, x0, x1), (top, bottom, y0, y1) = spans
    part = image.crop((left, top, right, bottom))
    return part.resize((cols[1] - cols[0], rows[1] - rows[0]), resampling, (x0, y0, x1, y1))


@dataclass(frozen=True)
class DataConfig:
    """What a model expects of its input, as in timm's data config.

    `input_size`: (height, width); `mean`, `std`: of RGB in 0…1; `interpolation`: a Pillow filter ("bicubic", …);
    `crop_pct`: input size ÷ resized size; `crop_mode`: "center", "squash" or "border" (timm's); `crop_down`: whether the
    window starts nearer to the top and left where it is not in the middle exactly (transformers'); `multiple`: granularity
    of the input sizes the model takes in "fit". Raises `ModelError` for invalid values.
    """

    input_size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    crop_pct: float = 0.875
    crop_mode: str = "center"
    multiple: int = 16
    crop_down: bool = False

    def __post_init__(self) -> None:
        for name, sound, wanted in (
            (
                "input_size",
                len(self.input_size) == 2 and min(self.input_size) > 0,
                "(height, width), both above 0",
            ),
            ("mean", len(self.mean) == 3, "three numbers"),
            ("std", len(self.std) == 3 and min(self.std) > 0, "three numbers above 0"),
            ("interpolation", self.interpolation in _RESAMPLING, "one of " + ", ".join(_RESAMPLING)),
            ("crop_pct", self.crop_pct > 0, "above 0"),
            ("crop_mode", self.crop_mode in _CROP_MODES, "one of " + ", ".join(_CROP_MODES)),
            ("multiple", self.multiple > 0, "above 0"),
        ):
            if not sound:
                raise ModelError(f"The model's {name} is {getattr(self, name)!r}, but must be {wanted}.")


@dataclass(frozen=True)
class PatchGrid:
    """A model's patches in its input: rows × cols cells of `cell` (height, width) from `origin` (y, x)."""

    rows: int
    cols: int
    cell: tuple[float, float]
    origin: tuple[float, float] = (0.0, 0.0)

    def box(self, row: int, col: int) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of a patch in input pixels. Raises IndexError outside the grid."""
        if not (0 <= row < self.rows and 0 <= col < self.cols):
            raise IndexError(f"patch ({row}, {col}) is not in a grid of {self.rows} × {self.cols}")
        (top, bottom), (left, right) = self._span(0, row), self._span(1, col)
        return left, top, right, bottom

    def indices(self, axis: int, positions: ArrayLike) -> NDArray[np.intp]:
        """The row (axis 0) or column (axis 1) whose boxes hold each position in input pixels; −1 for none.

        Left and top edges belong to a box. The edges themselves decide: a division could round over one.
        """
        count = (self.rows, self.cols)[axis]
        edges = self.origin[axis] + np.arange(count + 1) * self.cell[axis]
        found = np.searchsorted(edges, positions, side="right") - 1
        return np.where(found < count, found, -1)

    def at(self, x: float, y: float) -> tuple[int, int] | None:
        """The patch (row, col) whose box holds a point in input pixels; None for none."""
        row, col = int(self.indices(0, y)), int(self.indices(1, x))
        return None if row < 0 or col < 0 else (row, col)

    def of_pixels(self, size: tuple[int, int]) -> NDArray[np.intp]:
        """For each pixel of an input of (height, width) the patch that holds its centre, counted row by row; −1 for none."""
        down, across = (self.indices(axis, np.arange(size[axis]) + 0.5) for axis in (0, 1))
        inside = (down >= 0)[:, None] & (across >= 0)
        return np.where(inside, down[:, None] * self.cols + across, -1)

    def cell_in(self, other: "PatchGrid", row: int, col: int) -> tuple[int, int] | None:
        """The patch of `other`, a grid of the same input, that holds the middle of patch (row, col); None for none.

        A middle on an edge belongs to the lower or right patch. Raises IndexError outside this grid.
        """
        return other.at(*self._middle(row, col))

    def nearest_in(self, other: "PatchGrid", row: int, col: int) -> tuple[int, int]:
        """As `cell_in`, but where the middle is outside `other` the patch of `other` that is nearest to it."""
        low = other._middle(0, 0)
        high = other._middle(other.rows - 1, other.cols - 1)
        x, y = (
            min(max(place, first), last)
            for place, first, last in zip(self._middle(row, col), low, high, strict=True)
        )
        found = other.at(x, y)
        assert found is not None
        return found

    def divided(self, rows: int, cols: int) -> "PatchGrid":
        """A grid of rows × cols patches over the same part of the input."""
        cell = self.rows * self.cell[0] / rows, self.cols * self.cell[1] / cols
        return PatchGrid(rows, cols, cell, self.origin)

    def _middle(self, row: int, col: int) -> tuple[float, float]:
        """The middle (x, y) of a patch, a millionth of it to the lower right, so that no rounding decides on an edge."""
        left, top, right, bottom = self.box(row, col)
        return (left + right) / 2 + 1e-6 * self.cell[1], (top + bottom) / 2 + 1e-6 * self.cell[0]

    def _span(self, axis: int, index: int) -> tuple[float, float]:
        start, step = self.origin[axis], self.cell[axis]
        return start + index * step, start + (index + 1) * step


@dataclass(frozen=True)
class Framing:
    """How one photo became one input. Made by `frame`; see there for the modes.

    `photo_size`, `resized` (the photo after resizing), `input_size`: (height, width); `offset`: (top, left)
    of the input's window within the resized photo, negative where the input is padded; `config`: with this
    input size.
    """

    mode: FramingMode
    photo_size: tuple[int, int]
    resized: tuple[int, int]
    offset: tuple[int, int]
    input_size: tuple[int, int]
    config: DataConfig

    def picture(self, photo: Photo) -> NDArray[np.uint8]:
        """What the model sees, before normalising: uint8 (H, W, 3) of the input size.

        Raises ValueError for a photo of another size than this framing is for.
        """
        if photo.size != self.photo_size:
            raise ValueError(f"this framing is for a photo of {self.photo_size}, not {photo.size}")
        (top, left), (height, width) = self.offset, self.input_size
        window = _resized_part(
            Image.fromarray(photo.pixels),
            self.resized,
            (max(top, 0), min(top + height, self.resized[0])),
            (max(left, 0), min(left + width, self.resized[1])),
            _RESAMPLING[self.config.interpolation],
        )
        if window.size != (width, height):
            padded = Image.new("RGB", (width, height), self.padding)
            padded.paste(window, (max(-left, 0), max(-top, 0)))
            window = padded
        return np.asarray(window)

    def apply(self, photo: Photo) -> NDArray[np.float32]:
        """The model's input: float32 (3, H, W), scaled to 0…1, less the mean, over the standard deviation."""
        values = np.ascontiguousarray(self.picture(photo).transpose(2, 0, 1), np.float32)
        values /= np.float32(255)
        values -= np.array(self.config.mean, np.float32)[:, None, None]
        values /= np.array(self.config.std, np.float32)[:, None, None]
        return values

    @property
    def padding(self) -> tuple[int, int, int]:
        """The colour where the input is padded: the mean in "fit" and in timm's "border", else black."""
        if self.mode == "fit" or (self.mode == "crop" and self.config.crop_mode == "border"):
            red, green, blue = (round(255 * value) for value in self.config.mean)
            return red, green, blue
        return _BLACK

    def to_photo(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points (…, 2) in input pixels → photo pixels."""
        return (np.asarray(points, np.float64) + self._shift) / self._scale

    def to_input(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points (…, 2) in photo pixels → input pixels."""
        return np.asarray(points, np.float64) * self._scale - self._shift

    def seen(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) in photo pixels of what the model saw of the photo."""
        height, width = self.photo_size
        (left, top), (right, bottom) = self.to_photo([(0, 0), self.input_size[::-1]]).tolist()
        return max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))

    def polygon(self, grid: PatchGrid, row: int, col: int) -> NDArray[np.float64]:
        """A patch as (4, 2) points in photo pixels, clockwise from the top left; not clipped to the photo."""
        left, top, right, bottom = grid.box(row, col)
        return self.to_photo([(left, top), (right, top), (right, bottom), (left, bottom)])

    def patch_at(self, grid: PatchGrid, x: float, y: float) -> tuple[int, int] | None:
        """The patch (row, col) at a point in photo pixels; None outside what the model saw."""
        if not (0 <= x < self.photo_size[1] and 0 <= y < self.photo_size[0]):
            return None
        across, down = self.to_input((x, y)).tolist()
        if not (0 <= across < self.input_size[1] and 0 <= down < self.input_size[0]):
            return None
        return grid.at(across, down)

    @cached_property
    def _scale(self) -> NDArray[np.float64]:
        """Input pixels per photo pixel, (x, y)."""
        return _pair(self.resized) / _pair(self.photo_size)

    @cached_property
    def _shift(self) -> NDArray[np.float64]:
        return _pair(self.offset)


def _pair(size: Sequence[float]) -> NDArray[np.float64]:
    """(height, width) → array (x, y)."""
    return np.array(size[::-1], np.float64)
