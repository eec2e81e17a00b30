"""Shared by Swin's families: models with stages of windows."""

from vitviz.attention.layer import Layer
from vitviz.attention.layout import Layout, Merge
from vitviz.attention.recording.operations import Operation
from vitviz.attention.windows import cut
from vitviz.errors import RefusedError
from vitviz.images.framing import PatchGrid


def merged(patches: PatchGrid) -> PatchGrid:
    """The next stage's grid: 2×2 cells become one; an odd edge is padded."""
    return PatchGrid(
        (patches.rows + 1) // 2,
        (patches.cols + 1) // 2,
        (patches.cell[0] * 2, patches.cell[1] * 2),
        patches.origin,
    )


def windowed(
    index: int,
    operation: Operation,
    patches: PatchGrid,
    size: tuple[int, int],
    shift: tuple[int, int],
    pad_first: bool,
    merge: Merge | None,
) -> Layer:
    """A layer of windows. Raises RefusedError if their number or size is not that of the operation."""
    windows = cut((patches.rows, patches.cols), size, shift, pad_first=pad_first)
    if windows.index.shape != (operation.shape[0], operation.shape[3]):
        raise RefusedError(
            f"{operation.module} attended in {operation.shape[0]} windows of {operation.shape[3]} tokens, "
            f"but its grid of {patches.rows}×{patches.cols} gives {windows.index.shape[0]} of {windows.index.shape[1]}."
        )
    return Layer(operation.module, Layout(patches, windows=windows, merge=merge), (operation,), step=index)
