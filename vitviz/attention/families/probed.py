"""Models that no other family describes, such as a hand-written ViT. Their tokens are located by changing input pixels.

Changing one input pixel changes, before the first attention, exactly the tokens made from it. If every patch of a
regular grid changes one token of its own, in row-major order, the layout is proved; otherwise the model is refused.
Which tokens the prediction is read from is found from the gradient after the last attention.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from vitviz.attention.families.base import Anatomy, PositionEmbedding, Readout
from vitviz.attention.families.plain_grids import joined, plain_layout
from vitviz.attention.recording.operations import Operation
from vitviz.attention.recording.recorder import SOFTMAXES
from vitviz.errors import RefusedError
from vitviz.images.framing import PatchGrid
from vitviz.models.model import Model

BATCH = 32

Touch = Callable[[Tensor], Tensor]
"""n×2 input pixels (row, column) → (1+n)×N×dim: the first attention's input, unchanged and with each pixel changed."""


class _Reached(Exception):  # noqa: N818 - an answer, not an error
    """Raised when the forward pass reaches the first attention; holds its input."""

    def __init__(self, given: Tensor) -> None:
        super().__init__()
        self.given = given


def matches(module: nn.Module) -> bool:
    """Always true: any module can be probed."""
    return True


def anatomy(model: Model, operations: list[Operation]) -> Anatomy:
    """Probe layout and readout. Refuses tokens that are not prefix tokens and then one grid of patches."""
    module: Any = model.module
    name = type(module).__name__
    first = operations[0]
    touch = _touching(module, first.module, model.input_size)
    given = touch(torch.zeros(0, 2, dtype=torch.long))
    if given.ndim != 3 or first.shape[0] != 1 or first.shape[3] != given.shape[1]:
        what = f"{given.shape[1]} tokens" if given.ndim == 3 else "a grid"
        raise RefusedError(
            f"{name} cannot be shown: {first.module} takes {what} but attends over {first.shape[3]} keys in "
            f"{first.shape[0]} group(s). Its attention runs over channels, or over pooled or regrouped tokens, "
            "which vitviz cannot lay on the photo."
        )
    patches, prefix = _probe(touch, model.input_size, given.shape[1], name)
    names = ("class",) if prefix == 1 else tuple(f"prefix {i + 1}" for i in range(prefix))
    layers = joined(
        module,
        operations,
        lambda operation: plain_layout(operation, patches, names),
        lambda _name, index: index,
    )
    # Last, as it runs the model many times.
    _require_all_recorded(module, operations, model.input_size, patches, prefix)
    return Anatomy(
        layers, _readout(module, operations[-1].module, names, model.input_size), PositionEmbedding(())
    )


def _touching(module: nn.Module, attending: str, input_size: tuple[int, int]) -> Touch:
    weight = next(module.parameters())
    child = module.get_submodule(attending)

    def stop(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = args[0] if args else next(iter(kwargs.values()))
        raise _Reached(given if getattr(child, "batch_first", True) else given.transpose(0, 1))

    def touch(pixels: Tensor) -> Tensor:
        pictures = torch.zeros(1 + len(pixels), 3, *input_size, device=weight.device, dtype=weight.dtype)
        pictures[torch.arange(len(pixels)) + 1, :, pixels[:, 0], pixels[:, 1]] = 10.0
        handle = child.register_forward_pre_hook(stop, with_kwargs=True)
        try:
            with torch.no_grad():
                module(pictures)
        except _Reached as reached:
            return reached.given.float()
        finally:
            handle.remove()
        raise RefusedError(f"{attending} did not attend when the model was probed for its layout.")

    return touch


def _require_all_recorded(
    module: nn.Module,
    operations: list[Operation],
    input_size: tuple[int, int],
    patches: PatchGrid,
    prefix: int,
) -> None:
    """Refuse a model whose tokens still influence each other while every recorded attention gives zeros."""
    names = list(dict.fromkeys(operation.module for operation in operations))
    if len(names) < 2:
        return
    centres = _centres(patches)
    with _Silence(module):
        if _changed(_touching(module, names[-1], input_size), centres) != list(
            range(prefix, prefix + len(centres))
        ):
            raise RefusedError(
                f"{type(module).__name__} cannot be shown: between its {len(operations)} recorded attention operations its "
                "tokens influence each other in a way that vitviz does not record."
            )


class _Silence(TorchFunctionMode):
    """Replaces the output of each attention that the recorder knows by zeros."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.handles: list[RemovableHandle] = []

    def __enter__(self) -> "_Silence":
        for child in self.module.modules():
            if isinstance(child, nn.MultiheadAttention):
                self.handles.append(
                    child.register_forward_hook(lambda _m, _i, out: (torch.zeros_like(out[0]), None))
                )
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)  # type: ignore[no-untyped-call]
        for handle in self.handles:
            handle.remove()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        silent = func is F.scaled_dot_product_attention or (func in SOFTMAXES and result.ndim >= 3)
        return torch.zeros_like(result) if silent else result


def _centres(patches: PatchGrid) -> Tensor:
    """n×2: the pixel in the middle of each patch, row by row."""
    height, width = (int(length) for length in patches.cell)
    rows, cols = (
        torch.arange(patches.rows) * height + height // 2,
        torch.arange(patches.cols) * width + width // 2,
    )
    return torch.cartesian_prod(rows, cols).reshape(-1, 2)


def _probe(touch: Touch, input_size: tuple[int, int], count: int, name: str) -> tuple[PatchGrid, int]:
    """The grid and the number of prefix tokens."""
    height, width = (torch.arange(length) for length in input_size)
    prefix = _changed(touch, torch.zeros(1, 2, dtype=torch.long))[0]
    cols, cell_width = _runs(_changed(touch, torch.stack([torch.zeros_like(width), width], 1)))
    rows, cell_height = _runs(_changed(touch, torch.stack([height, torch.zeros_like(height)], 1)))
    if prefix >= 0 and cols and rows and prefix + rows * cols == count:
        patches = PatchGrid(rows, cols, (float(cell_height), float(cell_width)))
        if _changed(touch, _centres(patches)) == list(range(prefix, count)):
            return patches, prefix
    raise RefusedError(
        f"{name} cannot be shown: its tokens are not one grid of separate patches with prefix tokens before them, "
        "so vitviz cannot say which token is which part of the photo."
    )


def _changed(touch: Touch, pixels: Tensor) -> list[int]:
    """For each pixel the one token that it changes; −1 if it changes none or several."""
    found = []
    for part in torch.split(pixels, BATCH):
        untouched, *touched = touch(part)
        for given in touched:
            difference = (given - untouched).abs().amax(-1)
            hit = (difference > max(1e-3 * float(difference.max()), 1e-6)).nonzero().flatten()
            found.append(int(hit[0]) if len(hit) == 1 else -1)
    return found


def _runs(changed: list[int]) -> tuple[int, int]:
    """How many runs of equal tokens a line of pixels has, and their common length; (0, 0) if they are unequal."""
    lengths: list[int] = []
    previous = None
    for token in changed:
        if token == -1:
            break  # pixels beyond the last whole patch change nothing
        if token == previous:
            lengths[-1] += 1
        else:
            lengths.append(1)
        previous = token
    return (len(lengths), lengths[0]) if lengths and len(set(lengths)) == 1 else (0, 0)


def _readout(
    module: nn.Module, attending: str, names: tuple[str, ...], input_size: tuple[int, int]
) -> Readout:
    weight = next(module.parameters())
    child = module.get_submodule(attending)
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _args: Any, output: Any) -> None:
        tokens = output[0] if isinstance(output, tuple) else output
        kept.append(tokens)

    handle = child.register_forward_hook(keep)
    noise = torch.rand(1, 3, *input_size, generator=torch.Generator().manual_seed(0)) - 0.5
    try:
        with torch.enable_grad():
            picture = noise.to(weight.device, weight.dtype).requires_grad_()
            output = module(picture)
            logits = output if isinstance(output, Tensor) else getattr(output, "logits", output[0])
            (gradient,) = torch.autograd.grad(logits.square().sum(), kept[-1])
    except RuntimeError as error:
        raise RefusedError(
            f"{type(module).__name__} lets no gradient through, so vitviz cannot find which tokens it reads.",
            str(error),
        ) from error
    finally:
        handle.remove()
    if not getattr(child, "batch_first", True):
        gradient = gradient.transpose(0, 1)
    read = set((gradient[0].abs().amax(-1) > 0).nonzero().flatten().tolist())
    count = gradient.shape[1]
    if read == set(range(count)):
        return Readout("mean", all_tokens=True)
    if read == set(range(len(names), count)):
        return Readout("mean")
    if read and read <= set(range(len(names))):
        chosen = tuple(names[i] for i in sorted(read))
        return Readout(" + ".join(chosen), chosen)
    raise RefusedError(
        f"{type(module).__name__} reads its prediction from some of its patches only, which vitviz cannot follow."
    )
