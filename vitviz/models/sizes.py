"""The same weights at another input size.

The given model is never changed: its modules are copied, its parameters shared, and only what depends on the size (the
position table, window tables, buffers) is rebuilt, as timm itself does it.

Decision: Swin and SwinV2 keep their windows, so their weights stay as trained and odd sizes are padded, as in the
original code; scaling the windows with the picture (timm's default for `set_input_size`) was rejected because it resamples
the learned bias. SwinV2-CR, which has no table and whose windows are defined as a part of the picture, scales them.
"""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from vitviz.errors import ModelError
from vitviz.models.describing import timm_file
from vitviz.models.model import Model
from vitviz.models.pass_lock import share_lock

_WINDOWED = ("swin_transformer", "swin_transformer_v2")


def at_size(model: Model, size: tuple[int, int]) -> Model:
    """The model with its weights shared and its input `size` (height, width) in pixels.

    Raises ModelError where the model takes no such size, naming the nearest that it takes.
    """
    height, width = (int(side) for side in size)
    if (height, width) == model.input_size:
        return model
    module = resized(model.module, (height, width), model.name, model.data.multiple)
    stored = model.stored_position if model.stored_position is not None else position_table(model.module)
    data = replace(model.data, input_size=(height, width))
    own_grid = getattr(getattr(model.module, "patch_embed", None), "grid_size", None)
    grid = model.stored_grid or (tuple(own_grid) if own_grid is not None else None)
    return replace(
        model,
        module=module,
        data=data,
        stored_position=stored,
        stored_grid=grid,
        own_input_size=model.own_input_size or model.input_size,
    )


def size_step(model: Model) -> int | None:
    """The step in pixels between the input sizes that a model takes; None if it takes only its own."""
    module, kind = model.module, timm_file(model.module)
    if kind == "naflexvit" or _is_foreign_swin(module):
        return model.data.multiple
    if kind == "pit":
        convolution: Any = module.patch_embed.conv  # type: ignore[union-attr]
        return int(max(convolution.stride))
    if not kind or not (hasattr(module, "set_input_size") or kind == "cait"):
        return None
    return _finest(module, kind, model.data.multiple)


def position_table(module: nn.Module) -> torch.Tensor | None:
    """The learned table of absolute position embeddings as the module holds it; None if it has none."""
    table = getattr(module, "pos_embed", None)
    if table is None:
        table = getattr(getattr(module, "embeds", None), "pos_embed", None)
    return table.detach() if isinstance(table, torch.Tensor) else None


def resized(module: nn.Module, size: tuple[int, int], name: str, multiple: int) -> nn.Module:
    """A copy of a module that takes `size`, sharing the parameters that stay as they are."""
    kind = timm_file(module)
    if kind == "naflexvit" or _is_foreign_swin(module):
        _require_multiple(size, multiple, name)
        return module
    if kind == "pit":
        return _resized_pit(module, size, name)
    if not kind or not (hasattr(module, "set_input_size") or kind == "cait"):
        raise ModelError(
            f"{name} takes only the input size it was made for; make a module for {size[0]}×{size[1]} and pass that."
        )
    _require_multiple(size, _finest(module, kind, multiple), name)
    twin: Any = shared_copy(module)
    try:
        with torch.no_grad():
            if kind == "cait":
                _resize_cait(twin, size)
            elif kind in _WINDOWED:
                twin.set_input_size(img_size=size, window_size=_windows(twin))
            else:
                twin.set_input_size(img_size=size)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{name} cannot take an input of {size[0]}×{size[1]}.", f"{type(error).__name__}: {error}"
        ) from error
    return twin.eval() if isinstance(twin, nn.Module) else module


def shared_copy(module: nn.Module) -> nn.Module:
    """A copy of a module's structure and buffers that holds the very same parameters."""
    memo: dict[int, Any] = {id(parameter): parameter for parameter in module.parameters()}
    twin = copy.deepcopy(module, memo)
    share_lock(module, twin)
    return twin


def _is_foreign_swin(module: Any) -> bool:
    """Whether a module is a Swin of torchvision or Hugging Face, which compute their windows for each picture."""
    if type(module).__module__.startswith("torchvision.models.swin"):
        return True
    config: Any = getattr(module, "config", None)
    return getattr(config, "model_type", "") in ("swin", "swinv2") and not config.use_absolute_embeddings


def _finest(module: Any, kind: str, multiple: int) -> int:
    """The smallest step between sizes that a model takes: Swin pads, so it takes any multiple of its patch."""
    return int(max(module.patch_embed.patch_size)) if kind in _WINDOWED else multiple


def _require_multiple(size: tuple[int, int], multiple: int, name: str) -> None:
    if all(side > 0 and side % multiple == 0 for side in size):
        return
    near = [max(multiple, round(side / multiple) * multiple) for side in size]
    raise ModelError(
        f"{name} takes sizes that are multiples of {multiple} pixels, not {size[0]}×{size[1]}; "
        f"the nearest is {near[0]}×{near[1]}."
    )


def _windows(module: Any) -> list[tuple[int, int]]:
    """The window each stage was made for, which may be larger than the picture of its stage."""
    known = getattr(module, "_ref_window_sizes", None)
    if known is not None:
        return [tuple(window) for window in known]
    return [tuple(stage.blocks[0].window_size) for stage in module.layers]


def _resize_cait(twin: Any, size: tuple[int, int]) -> None:
    from timm.layers import resample_abs_pos_embed

    before = twin.patch_embed.grid_size
    twin.patch_embed.set_input_size(img_size=size)
    table = resample_abs_pos_embed(
        twin.pos_embed, new_size=list(twin.patch_embed.grid_size), old_size=list(before), num_prefix_tokens=0
    )
    twin.pos_embed = nn.Parameter(table, requires_grad=twin.pos_embed.requires_grad)


def _resized_pit(module: Any, size: tuple[int, int], name: str) -> nn.Module:
    """PiT's overlapping patches fit `patch + n·stride` pixels; its table is a picture, resized as one."""
    convolution: nn.Conv2d = module.patch_embed.conv
    patch, stride = convolution.kernel_size, convolution.stride
    grid = [(side - p) // s + 1 for side, p, s in zip(size, patch, stride, strict=True)]
    if min(grid) < 4:
        least = max(patch) + 3 * max(stride)
        raise ModelError(f"{name} takes sizes from {least}×{least} pixels, not {size[0]}×{size[1]}.")
    twin: Any = shared_copy(module)
    embed = twin.patch_embed
    embed.img_size, embed.grid_size, (embed.height, embed.width) = tuple(size), tuple(grid), grid
    with torch.no_grad():
        table = F.interpolate(
            twin.pos_embed.float(), size=tuple(grid), mode="bicubic", antialias=True, align_corners=False
        )
    twin.pos_embed = nn.Parameter(table.to(twin.pos_embed.dtype), requires_grad=twin.pos_embed.requires_grad)
    copied: nn.Module = twin
    return copied.eval()
