"""The self-check: recomputed attention times the values must equal the output of the model's own operation."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vitviz.attention.layer import CHUNK_ENTRIES, Layer
from vitviz.attention.readout import Readout
from vitviz.attention.recording.operations import Operation
from vitviz.attention.self_check.claims import Claim, Name, fails, holds

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-5, torch.float16: 5e-3, torch.bfloat16: 2e-2}
"""The largest relative error that counts as exact, by the precision in which the model rounds its output."""

HOW = "by comparing the recomputed attention times the values with the output of the model's own operation in each layer"


@dataclass(frozen=True)
class Check:
    """What the self-check found."""

    errors: dict[str, float]
    """Relative error ‖A·V − O‖ / ‖O‖ (Frobenius) per layer."""
    tolerance: float
    precision: str
    """The model's precision: "float32", "bfloat16"."""
    masks: bool = True
    """Whether tokens in different regions of a shifted window do not attend to each other, as the layout says."""
    misplaced: tuple[str, ...] = ()
    """Layers whose tokens are not where the layout puts them."""
    claims: tuple[Claim, ...] = ()
    """Weights, shares, place, order and readout, each with its verdict."""
    library: bool = False
    """Whether the model is made wholly of unmodified classes of known libraries, of which a claim may wait for its proof."""
    readout: Readout | None = None
    """What the prediction was found to be read from; None until that was looked for."""
    heads: dict[str, str] | None = None
    """Of a distilled model the modules that were found to read the class and the distillation token; None as above."""

    @property
    def worst(self) -> float:
        """The largest relative error of any layer; NaN if one is."""
        return float(np.max(list(self.errors.values())))

    @property
    def exact(self) -> bool:
        """Whether every layer agrees within the tolerance and with its layout, so that its maps may be drawn.

        A NaN is never exact. `proved` says whether all five claims hold.
        """
        return (
            self.masks
            and not self.misplaced
            and all(error <= self.tolerance for error in self.errors.values())
        )

    @property
    def proved(self) -> bool:
        """Whether all five claims hold."""
        return bool(self.claims) and all(claim.holds for claim in self.claims)

    def claim(self, name: Name) -> Claim:
        """One of the claims. Raises KeyError for a name that is none."""
        return {claim.name: claim for claim in self.claims}[name]

    def problem(self, name: Name) -> str | None:
        """Why a claim cannot be relied on: it fails, or is not proved for a model of other classes. None if it can be."""
        claim = self.claim(name)
        return None if claim.holds or (self.library and not claim.fails) else claim.sentence

    @property
    def sentence(self) -> str:
        """The result in words: "exact, worst error 4e-07 (float32, tolerance 1e-05)"."""
        verdict = "exact" if self.exact else "NOT exact"
        note = "" if self.masks else ", windows do not agree with the recorded mask"
        note += "" if not self.misplaced else f", {self.claim('place').sentence.rstrip('.')}"
        return f"{verdict}, worst error {self.worst:.0e} ({self.precision}, tolerance {self.tolerance:.0e}){note}"


def check_layers(layers: tuple[Layer, ...], inputs: Tensor) -> Check:
    """Check the weights of layers whose operations kept their outputs (`trace(..., check=True)`)."""
    errors: dict[str, float] = {}
    for layer in layers:
        key, number = layer.name, 2
        while key in errors:
            key, number = f"{layer.name} ({number})", number + 1
        errors[key] = _error(layer)
    dtype = inputs.dtype
    precision = str(dtype).removeprefix("torch.")
    check = Check(
        errors=errors,
        tolerance=TOLERANCES.get(dtype, 1e-5),
        precision=precision,
        masks=all(mask_agrees(layer) for layer in layers),
    )
    claim = (
        holds("weights", HOW)
        if check.exact
        else fails("weights", f"Its recomputed attention is {check.sentence}.", HOW)
    )
    return replace(check, claims=(claim,))


def _error(layer: Layer) -> float:
    """‖A·V − O‖ / ‖O‖ of the layer, A its attention with all operations and signs."""
    first = layer.operations[0]
    assert first.value is not None
    expected = torch.stack(
        [sign * _output(operation) for sign, operation in zip(layer.signs, layer.operations, strict=True)]
    ).sum(0)
    value = first.value.float()
    windows, heads, queries, keys = first.shape
    step = max(1, CHUNK_ENTRIES // (windows * heads * keys))
    result = torch.cat(
        [layer.weights(slice(start, start + step)) @ value for start in range(0, queries, step)], dim=2
    )
    if first.projection is not None:
        with torch.no_grad():
            result = first.projection(result.transpose(1, 2).flatten(2).to(first.value.dtype)).float()
    return float((result - expected).norm() / expected.norm())


def _output(operation: Operation) -> Tensor:
    assert operation.output is not None
    return operation.output.float()


def mask_agrees(layer: Layer) -> bool:
    """Whether nothing (under 0.1 % of a row) crosses the layout's regions, and what they leave open is used."""
    windows = layer.layout.windows
    if windows is None or not any(windows.shift):
        return True
    apart = windows.regions[:, :, None] != windows.regions[:, None, :]
    for number in np.nonzero(apart.any((1, 2)))[0]:
        weights = layer.weights(None, int(number))[0].mean(0).cpu().numpy()
        crossing = np.where(apart[number], weights, 0).sum(1).max()
        if crossing > 1e-3 or np.median(weights[~apart[number]]) < 1e-30:
            return False
    return True
