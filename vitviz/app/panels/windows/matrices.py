"""A window's attention, position bias and mask, as matrices of its slots: computed in the panel's thread, and drawn."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitviz.app.ui import number_format
from vitviz.app.widgets.pictures.gallery import GalleryPicture
from vitviz.errors import MethodError
from vitviz.render.picture_rows import colored, common

if TYPE_CHECKING:
    from vitviz.attention.layer import Layer
    from vitviz.attention.trace import Trace

Floats = NDArray[np.float32]


_WORDED = 20  # slots of a window whose numbers are written


@dataclass(frozen=True, eq=False)
class WindowMatrices:
    """One window of n slots: per head what they attend to and the bias between them, and which pairs are masked."""

    layer: "Layer"
    window: int
    attention: Floats
    """heads×n×n."""
    bias: Floats | None
    """heads×n×n, in logits."""
    masked: NDArray[np.bool_]
    """n×n."""
    padding: NDArray[np.bool_]
    """n: slots that hold no token."""
    missing: str = ""
    """Why there is no bias."""

    @property
    def cell(self) -> tuple[int, int]:
        """The (row, column) of one of the window's tokens on the layer's grid."""
        windows = self.layer.layout.windows
        assert windows is not None
        tokens = windows.index[self.window]
        place = self.layer.layout.place(int(tokens[tokens >= 0][0]))
        assert place is not None
        return place


def window_matrices(trace: "Trace", layer: int, window: int) -> WindowMatrices:
    """The matrices of a window of a layer that has windows."""
    from vitviz.explain.internals.positions import position_bias

    chosen = trace.layers[layer]
    windows = chosen.layout.windows
    assert windows is not None
    attention = chosen.weights(None, window)[0].detach().float().cpu().numpy()
    bias, missing = None, ""
    try:
        bias = position_bias(trace, chosen)
    except MethodError as problem:
        missing = problem.message
    padding = windows.index[window] < 0
    return WindowMatrices(chosen, window, attention, bias, windows.masked(window), padding, missing)


def matrix_pictures(
    found: WindowMatrices, heads: list[int], colormap: str
) -> tuple[list[GalleryPicture], str]:
    """A window's matrices as pictures, each head's attention beside its bias, and the range of the bias in words."""
    pictures, told, limit, cells = [], found.missing, 1.0, found.masked.shape
    if found.bias is not None:
        told = f"bias {found.bias.min():.2f} to {found.bias.max():.2f} logits".replace("-", "−")
        limit = max(float(np.abs(one - common(one)).max()) for one in found.bias) or 1.0
    for head in heads:
        shares = colored(found.attention[head], 0, float(found.attention[head].max()), colormap)
        pictures.append(
            GalleryPicture(
                shares,
                f"head {head}",
                cells,
                joint="" if found.bias is None else "←",
                words=_words(found.attention[head], "{:.2f}"),
            )
        )
        if found.bias is not None:
            same = common(found.bias[head])
            values = colored(found.bias[head] - same, -limit, limit)
            about = "bias" + (f" less {same:.2f}" if same else "")
            words = _words(found.bias[head] - same, "{:+.1f}")
            pictures.append(GalleryPicture(values, about, cells, words=words))
    if not found.masked.any():
        return pictures, f"{told}, no pair is masked"
    masked = np.where(found.masked, 1.0, 0.0)
    masked[:, found.padding] = np.nan
    return [*pictures, GalleryPicture(colored(masked, 0, 1, "gray"), "masked", cells)], told


def _words(values: Floats, form: str) -> tuple[tuple[str, ...], ...]:
    """The numbers of a matrix as short texts; none of a large one, whose cells have no room for them on any screen."""
    if len(values) > _WORDED:
        return ()

    def word(value: float) -> str:
        text = form.format(value)
        return text.replace("-", "−") if float(text) else "0"

    return tuple(tuple(map(word, row)) for row in values.tolist())


def matrix_words(found: WindowMatrices, head: int | None, row: int, column: int) -> str:
    """One pair of a window's slots in words: its attention and bias in a head, or without one whether it is masked."""
    windows = found.layer.layout.windows
    assert windows is not None
    names = []
    for token in (int(windows.index[found.window, slot]) for slot in (row, column)):
        place = None if token < 0 else found.layer.layout.place(token)
        names.append("padding" if place is None else f"({place[0]}, {place[1]})")
    pair = f"{names[0]} → {names[1]}"
    masked = bool(found.masked[row, column])
    if head is None:
        return f"{pair}: {'masked, −100 is added' if masked else 'not masked'}"
    told = f"Head {head}, {pair}: " + number_format.compared(
        float(found.attention[head, row, column]), 1 / len(found.masked)
    )
    if found.bias is not None:
        told += f", bias {found.bias[head, row, column]:+.2f}".replace("-", "−")
    return told + (", masked" if masked else "")
