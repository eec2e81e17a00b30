"""Check a model: is every layer's attention exact, and are the logits still the model's own?"""

from dataclasses import dataclass

import numpy as np
import torch

from vitviz.attention.answers import answer_of
from vitviz.attention.trace import Trace, trace
from vitviz.errors import ModelError, RefusedError
from vitviz.images.photo import Photo, photo_from_array
from vitviz.models.model import Model
from vitviz.models.passes import own_pass


@dataclass(frozen=True, eq=False)
class CheckReport:
    """What `check_model` found. For a refused model all but `name` and `reason` are empty."""

    name: str
    reason: str
    """Why the model is refused or not exact; empty if it is exact."""
    layers: int = 0
    heads: tuple[int, ...] = ()
    """The different numbers of heads, in the order of the layers."""
    tokens: tuple[int, ...] = ()
    """The different numbers of tokens of a layer, prefix tokens included."""
    prefix: tuple[str, ...] = ()
    worst: float = float("nan")
    """The worst relative error of any layer (Frobenius)."""
    tolerance: float = float("nan")
    precision: str = ""
    logits_error: float = float("nan")
    """Largest difference between the recorded pass's logits and a plain pass's, relative to the largest logit; 0 is
    bit for bit.
    """
    trace: Trace | None = None

    @property
    def exact(self) -> bool:
        """Whether the model's attention is shown exactly."""
        return not self.reason


LOGITS_TOLERANCE = 1e-6
"""nn.TransformerEncoder leaves PyTorch's fused path when hooks are attached and then differs by rounding (3e-7)."""


def check_model(model: Model, photo: Photo | None = None) -> CheckReport:
    """Trace a photo (coloured noise if None is given), recompute every layer and compare; compare the logits too.

    A refusal is returned as a report. Raises DeviceMemoryError.
    """
    shown = noise(model.input_size) if photo is None else photo
    try:
        traced = trace(model, shown, check=True, refuse=False)
    except (RefusedError, ModelError) as refusal:
        return CheckReport(model.name, refusal.message)
    again = trace(
        model, shown, refuse=False
    )  # the second pass watches only what attends, as all later ones do
    error = _logits_error(model, traced, again)
    assert traced.check is not None
    reason = "" if traced.check.exact else traced.check.sentence
    if not error <= LOGITS_TOLERANCE:
        reason = f"logits differ from the model's own by {error:.0e} while it is recorded"
    return CheckReport(
        name=model.name,
        reason=reason,
        layers=len(traced.layers),
        heads=tuple(dict.fromkeys(layer.heads for layer in traced.layers)),
        tokens=tuple(dict.fromkeys(layer.layout.tokens for layer in traced.layers)),
        prefix=traced.prefix,
        worst=traced.check.worst,
        tolerance=traced.check.tolerance,
        precision=traced.check.precision,
        logits_error=error,
        trace=traced,
    )


def noise(size: tuple[int, int]) -> Photo:
    """A picture of coloured noise, the same each time."""
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    return photo_from_array(pixels, "noise")


def _logits_error(model: Model, *traces: Trace) -> float:
    pixels = torch.from_numpy(traces[0].framing.apply(traces[0].photo))[None].to(model.device, model.dtype)
    with own_pass(model), torch.no_grad():
        output = model.module(pixels)
    plain = answer_of(output)
    if plain is None:
        return 0.0
    own = plain[0].float().cpu().numpy().reshape(-1)
    largest = max(float(np.abs(own).max()), 1e-12)
    return max(float(np.abs(own - traced.logits).max()) / largest for traced in traces)
