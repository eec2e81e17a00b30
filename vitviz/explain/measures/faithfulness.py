"""Faithfulness: does the prediction depend on what a heatmap marks? Deletion and insertion, against random orders.

Deletion removes patches from the photo, the hottest first, and follows the target's probability: a faithful map makes it
fall early, so a small area under the curve is good. Insertion begins without any patch and reveals the hottest first: a
large area is good (Petsiuk 2018, RISE, section 4.3; Chefer 2021a calls deletion the positive perturbation).

Decisions:

- Pixels are replaced in the model's own input, by the cells of the heatmap's own grid: a patch of a ViT, a token of one
  of Swin's later stages. A finer grid is another task, so maps of different grids have random orders of their own.
- What replaces a patch: by default the data config's mean colour, 0 after normalisation. It is the same for every photo,
  contains nothing of it, and is what Chefer 2021a's figures use. "blur" keeps coarse colours and makes no new edges, but
  the class may still be seen in it: look at where the deletion curve ends.
- What is followed is the target's probability; the logit of a model with a single class, whose probability is always 1; the
  output itself of a model without classes. Areas are then in these units.
- Patches of equal heat are shuffled by a seed, so that a flat map scores like a random order and not like reading order.
- Random orders need one set of forward passes for both curves: the insertion curve of an order is the deletion curve of
  its reverse, read backwards, and that is a random order too. So both curves have the same mean area.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageFilter
from torch import Tensor

from vitviz.attention.answers import logits_of
from vitviz.attention.recording.recorder import said_by_module
from vitviz.attention.trace import Cancelled, Trace
from vitviz.errors import MethodError
from vitviz.explain.heatmap import Heatmap
from vitviz.explain.measures.intervals import Interval, half_width, interval
from vitviz.images.framing import PatchGrid
from vitviz.models.devices import memory_guard
from vitviz.models.model import Model
from vitviz.models.passes import own_pass

Replacement = Literal["mean", "blur"]
REPLACEMENTS: tuple[Replacement, ...] = get_args(Replacement)
STEPS = 20
ORDERS = 10
BLUR = 1 / 10
"""The blur's standard deviation, as a share of the input's shorter side (22 pixels of 224)."""

Numbers = NDArray[np.float64]
Cancel = Callable[[], bool]
Progress = Callable[[str, float | None], None]


@dataclass(frozen=True, eq=False)
class Curve:
    """The target's probability, logit or output (steps + 1) at each share (steps + 1, from 0 to 1) of patches removed or
    revealed; see `Model.quantity`."""

    shares: Numbers
    probabilities: Numbers

    @property
    def area(self) -> float:
        """The area under the curve by trapezia: the mean on the way; of probabilities between 0 and 1."""
        return area(self.shares, self.probabilities)


@dataclass(frozen=True, eq=False)
class Scores:
    """Deletion and insertion of one heatmap for one target."""

    method: str
    target: int
    patches: PatchGrid
    order: NDArray[np.intp]
    """The cells of the grid, counted row by row, the hottest first."""
    counts: NDArray[np.intp]
    """How many of them are removed, or revealed, at each step."""
    deletion: Curve
    insertion: Curve


@dataclass(frozen=True, eq=False)
class Band:
    """The mean of several curves, half its 95 % confidence interval at each step, and the same of their areas."""

    shares: Numbers
    mean: Numbers
    half: Numbers
    area: Interval


@dataclass(frozen=True, eq=False)
class Baseline:
    """Random orders of a grid's cells for the same photo and target; probabilities are orders × (steps + 1)."""

    target: int
    patches: PatchGrid
    shares: Numbers
    probabilities: Numbers
    """While patches are removed; read backwards they are revealed."""

    @property
    def deletion(self) -> Band:
        """Patches removed in a random order."""
        return band(self.shares, self.probabilities)

    @property
    def insertion(self) -> Band:
        """Patches revealed in a random order."""
        return band((1 - self.shares)[::-1], self.probabilities[:, ::-1])


def scores(
    trace: Trace,
    heatmap: Heatmap,
    target: int | None = None,
    *,
    steps: int = STEPS,
    replacement: Replacement = "mean",
    seed: int = 0,
    batch: int | None = None,
    cancel: Cancel | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Deletion and insertion of a heatmap for a class (None: the top prediction), in 2 · `steps` forward passes.

    `steps`: into how many equal parts the patches are divided (no more than there are patches). `batch`: inputs per
    forward pass, by default what the device and the input size suggest. `cancel` is called between batches; if it
    returns True, Cancelled is raised. `progress` is called with what is done and which share of it.

    Raises MethodError for a model without classes, a class it does not have, an option out of range; DeviceMemoryError.
    """
    target = target_of(trace, target)
    order = ranking(heatmap.values, seed)
    taken = counts(len(order), steps)
    rank = np.argsort(order)
    # Deletion without its ends, insertion without its ends, and the ends that they share.
    inner = taken[1:-1, None]
    gone = np.concatenate([rank < inner, rank >= inner, [rank < 0], [rank >= 0]])
    found = _probabilities(trace, heatmap.patches, gone, target, replacement, batch, cancel, progress)
    removed, revealed = found[: len(inner)], found[len(inner) : -2]
    whole, empty = found[-2:]
    shares = taken / len(order)
    return Scores(
        method=heatmap.method,
        target=target,
        patches=heatmap.patches,
        order=order,
        counts=taken,
        deletion=Curve(shares, np.concatenate([[whole], removed, [empty]])),
        insertion=Curve(shares, np.concatenate([[empty], revealed, [whole]])),
    )


def baseline(
    trace: Trace,
    patches: PatchGrid,
    target: int | None = None,
    *,
    orders: int = ORDERS,
    steps: int = STEPS,
    replacement: Replacement = "mean",
    seed: int = 0,
    batch: int | None = None,
    cancel: Cancel | None = None,
    progress: Progress | None = None,
) -> Baseline:
    """`orders` random orders of a grid's cells, removed as `scores` does; the options are those of `scores`."""
    target = target_of(trace, target)
    if orders < 2:
        raise MethodError(f"A confidence interval needs at least 2 random orders, not {orders}.")
    cells = patches.rows * patches.cols
    taken = counts(cells, steps)
    draw = np.random.default_rng([seed, 1])  # another random stream than the one that orders ties
    ranks = np.stack([draw.permutation(cells) for _ in range(orders)])
    inner = taken[1:-1, None]
    gone = (ranks[:, None] < inner).reshape(-1, cells)
    ends = np.repeat([[False], [True]], cells, axis=1)
    found = _probabilities(
        trace, patches, np.concatenate([gone, ends]), target, replacement, batch, cancel, progress
    )
    whole, empty = (np.full((orders, 1), end) for end in found[-2:])
    curves = np.concatenate([whole, found[:-2].reshape(orders, -1), empty], axis=1)
    return Baseline(target, patches, taken / cells, curves)


def target_of(trace: Trace, target: int | None) -> int:
    """The class whose probability is followed. Raises MethodError where there is no such class."""
    classes = len(trace.model.labels)
    if classes == 0 or classes != len(trace.logits):
        raise MethodError(f"{trace.model.name} has no classifier, so there is no output to follow.")
    if target is None:
        return int(np.argmax(trace.logits))
    if not 0 <= target < classes:
        raise MethodError(f"{trace.model.name} has {classes} classes, numbered from 0; there is no {target}.")
    return target


def ranking(values: ArrayLike, seed: int = 0) -> NDArray[np.intp]:
    """Cells counted row by row, the hottest first; equal ones in an order that the seed alone decides, NaN last."""
    flat = np.asarray(values, np.float64).reshape(-1)
    flat = np.where(np.isnan(flat), -np.inf, flat)
    return np.lexsort((np.random.default_rng([seed, 0]).permutation(len(flat)), -flat))


def counts(cells: int, steps: int) -> NDArray[np.intp]:
    """How many cells are removed after each of the steps: from 0 to all, as evenly as whole numbers can be."""
    if steps < 1:
        raise MethodError(f"The patches are removed in at least 1 step, not {steps}.")
    return np.rint(np.linspace(0, cells, min(steps, cells) + 1)).astype(np.intp)


def area(shares: Numbers, probabilities: Numbers) -> float:
    """The area under a curve by trapezia."""
    return float(np.sum(np.diff(shares) * (probabilities[1:] + probabilities[:-1]) / 2))


def band(shares: Numbers, curves: Numbers) -> Band:
    """The mean of curves × (steps + 1) probabilities, with its confidence interval."""
    areas = [area(shares, curve) for curve in curves]
    return Band(shares, curves.mean(0), half_width(curves), interval(areas))


def blank(trace: Trace, replacement: Replacement) -> NDArray[np.float32]:
    """What replaces removed patches: normalised, float32 (3, height, width) of the model's input."""
    framing = trace.framing
    height, width = framing.input_size
    if replacement not in REPLACEMENTS:
        known = ", ".join(REPLACEMENTS)
        raise MethodError(f"What replaces a patch is one of {known}; not {replacement!r}.")
    if replacement == "mean":
        return np.zeros((3, height, width), np.float32)
    picture = Image.fromarray(framing.picture(trace.photo))
    blurred = picture.filter(ImageFilter.GaussianBlur(BLUR * min(height, width)))
    levels = np.asarray(blurred, np.float32).transpose(2, 0, 1) / np.float32(255)
    mean, std = (
        np.array(part, np.float32)[:, None, None] for part in (framing.config.mean, framing.config.std)
    )
    return np.ascontiguousarray((levels - mean) / std)


def batch_for(trace: Trace) -> int:
    """The default number of inputs per forward pass: 8 of 224 × 224 pixels on a CPU, 64 elsewhere."""
    height, width = trace.framing.input_size
    room = (8 if trace.model.device.type == "cpu" else 64) * 224 * 224
    return min(256, max(1, room // (height * width)))


def _probabilities(
    trace: Trace,
    patches: PatchGrid,
    gone: NDArray[np.bool_],
    target: int,
    replacement: Replacement,
    batch: int | None,
    cancel: Cancel | None,
    progress: Progress | None,
) -> Numbers:
    """The target in the model's `quantity` for each row of `gone`, inputs × cells: which cells are replaced."""
    model = trace.model
    size = batch_for(trace) if batch is None else batch
    if size < 1:
        raise MethodError(f"At least 1 input goes forward at a time, not {size}.")
    found = np.empty(len(gone))
    with memory_guard(model.name, model.device):

        def there(array: NDArray[np.float32]) -> Tensor:
            return torch.from_numpy(array)[None].to(model.device, model.dtype)

        photo, instead = there(trace.framing.apply(trace.photo)), there(blank(trace, replacement))
        # Pixels in no cell use one more column, which is never removed.
        place = patches.of_pixels(trace.framing.input_size)
        cell = torch.from_numpy(np.where(place < 0, gone.shape[1], place)).to(model.device)
        masks = torch.from_numpy(np.pad(gone, ((0, 0), (0, 1)))).to(model.device)
        for start in range(0, len(gone), size):
            if cancel is not None and cancel():
                raise Cancelled
            if progress is not None:
                progress("Removing and revealing patches", start / len(gone))
            some = masks[start : start + size]
            # The lock is held for one batch only, then released for long enough that another thread can take it.
            time.sleep(0.001)
            with own_pass(model), torch.no_grad():
                logits = _answers(model, torch.where(some[:, cell][:, None], instead, photo))
            scores = logits.float().cpu().double()
            scores = scores.softmax(-1) if model.quantity == "probability" else scores
            found[start : start + size] = scores[:, target].numpy()
    if not np.isfinite(found).all():
        raise MethodError(
            f"{model.name} gives no {model.quantity} for this photo without some of its patches."
        )
    return found


def _answers(model: Model, pictures: Tensor) -> Tensor:
    """pictures×classes; one picture at a time where the model does not take several."""
    try:
        logits = logits_of(model.module(pictures))
    except Exception as error:
        said = said_by_module(error)
        if len(pictures) == 1:
            raise MethodError(f"{model.name} cannot be run without some patches: {said}") from error
        logits = pictures[:0]
    if len(logits) == len(pictures) or len(pictures) == 1:
        return logits
    return torch.cat([_answers(model, picture[None]) for picture in pictures])
