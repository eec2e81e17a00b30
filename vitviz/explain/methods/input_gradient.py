"""The gradient at the pixels (Simonyan 2014, section 3), or gradient × input, and their sums over patches."""

import numpy as np
from numpy.typing import NDArray

from vitviz.attention.trace import Trace
from vitviz.explain.heatmap import SUMMED, Heatmap
from vitviz.explain.methods import class_gradients as of_class
from vitviz.images.framing import PatchGrid

Floats = NDArray[np.float32]

refusal = of_class.refusal


def input_gradient(trace: Trace, target: int | None = None, times_input: bool = False) -> Heatmap:
    """How much each pixel of the normalised input changes the logit of class `target` (None: the top prediction).

    Per pixel Σ_channels |∂y/∂x|, or with `times_input` Σ_channels ∂y/∂x · x, which is signed; `Heatmap.pixels` has them and
    `values` their sums over each patch.
    """
    found = of_class.gradients(trace, target)
    signed = found.pixels * trace.framing.apply(trace.photo) if times_input else np.abs(found.pixels)
    pixels = signed.sum(0)
    name = "Gradient × input" if times_input else "Input gradient"
    return Heatmap(
        values=pooled(pixels, trace.patches),
        patches=trace.patches,
        photo=trace.photo,
        framing=trace.framing,
        method="input_gradient",
        title=f"{name} for {of_class.called(trace, found.target)}{SUMMED}",
        unit="logits, to first order" if times_input else "logits per unit of input",
        model_name=trace.model.full_name,
        options={"target": found.target, "times_input": times_input},
        pixels=pixels,
    )


def pooled(pixels: Floats, patches: PatchGrid) -> Floats:
    """Sums of a height×width map over the cells that its pixels' centres lie in; pixels in no cell are not counted."""
    sums = pixels.astype(np.float64)
    for axis, count in ((0, patches.rows), (1, patches.cols)):
        cell = patches.indices(axis, np.arange(sums.shape[axis]) + 0.5)
        member = (cell[None, :] == np.arange(count)[:, None]).astype(np.float64)
        sums = member @ sums if axis == 0 else sums @ member.T
    return np.asarray(sums, np.float32)
