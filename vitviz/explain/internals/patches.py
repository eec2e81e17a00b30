"""Patches: what the model is given of each, the filters that embed it, and how long its embedding is.

    >>> vitviz.patches.pictures(trace)[3, 4]        # doctest: +SKIP

The embedding is the model's own: its patch embedding is run once more, alone. Source: Dosovitskiy 2021, section 3.1, Fig. 7.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitviz.attention.trace import Trace
from vitviz.errors import MethodError
from vitviz.models.model import Model
from vitviz.models.passes import own_pass

__all__ = ["Embedding", "Filters", "embedding", "filters", "pictures"]

Floats = NDArray[np.float32]


def pictures(trace: Trace) -> Floats:
    """rows×cols×height×width×3: each patch as the model sees it, (value − mean) ÷ standard deviation per channel.

    Where the input ends within a patch (NaFlex) the rest is NaN. Raises MethodError where patches overlap or are no whole
    number of pixels.
    """
    grid, inputs = trace.patches, trace.framing.apply(trace.photo)
    if grid.origin != (0.0, 0.0) or any(side != int(side) for side in grid.cell):
        raise MethodError(f"{trace.model.name} does not cut the photo into separate patches of whole pixels.")
    height, width = (int(side) for side in grid.cell)
    whole = np.full((3, grid.rows * height, grid.cols * width), np.nan, np.float32)
    seen = inputs[:, : whole.shape[1], : whole.shape[2]]
    whole[:, : seen.shape[1], : seen.shape[2]] = seen
    cut = whole.reshape(3, grid.rows, height, grid.cols, width)
    return np.ascontiguousarray(cut.transpose(1, 3, 2, 4, 0))


@dataclass(frozen=True, eq=False)
class Filters:
    """The principal components of the first filters, which are applied to pixels, as pictures."""

    images: Floats
    """count×height×width×3, each of length 1 over all its numbers; signs are arbitrary (the largest weight is positive)."""
    shares: Floats
    """count: how much of the filters' variance each explains."""
    filters: int
    """How many filters the model has."""
    whose: str
    """"patch embedding", or "stem" where convolutions come before it (hybrids)."""

    def tiles(self) -> NDArray[np.uint8]:
        """count×height×width×3: each component over its own symmetric range, grey is 0."""
        peaks = np.abs(self.images).reshape(len(self.images), -1).max(1)
        unit = self.images / np.where(peaks > 0, peaks, 1)[:, None, None, None] / 2 + 0.5
        return np.round(unit * 255).astype(np.uint8)


def filters(model: Model, count: int = 28) -> Filters:
    """The first `count` principal components of the first filters (ViT paper, Fig. 7 left). MethodError without any."""
    projection, hybrid = _projection(model)
    weight = projection.weight.detach().double().cpu()
    if isinstance(projection, nn.Linear):
        side = round((weight.shape[1] / 3) ** 0.5)
        last = bool(getattr(getattr(model.module, "embeds", None), "channels_last", True))
        shape = (-1, side, side, 3) if last else (-1, 3, side, side)
        weight = weight.reshape(shape).permute(0, 3, 1, 2) if last else weight.reshape(shape)
    rows = weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1).numpy()
    _, strengths, directions = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    directions = directions[:count]
    signs = np.sign(np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1))
    images = (directions * signs).reshape(-1, *weight.shape[2:], 3)
    total = max(float((strengths**2).sum()), np.finfo(np.float64).tiny)
    shares = strengths[:count] ** 2 / total
    return Filters(
        images.astype(np.float32),
        shares.astype(np.float32),
        len(rows),
        "stem" if hybrid else "patch embedding",
    )


@dataclass(frozen=True, eq=False)
class Embedding:
    """Each patch's embedding before position is added."""

    norms: Floats
    """rows×cols: the length of each patch's embedding."""
    stem: Floats | None
    """For hybrids rows×cols of the stem's own output grid: the mean length of its features; otherwise None."""
    stem_channels: int = 0
    dim: int = 0


def embedding(trace: Trace) -> Embedding:
    """The length of each patch's embedding, by the model's own patch embedding; for hybrids the stem's output too.

    Raises MethodError where the model's patch embedding is not found or gives another grid.
    """
    module: Any = trace.model.module
    grid = trace.patches
    if trace.layers[0].arrangement is not None:
        raise MethodError(
            f"{trace.model.name} has its patches in an order of its own, so its embedding is not shown."
        )
    embed = _embedding_module(trace.model)
    stem = getattr(embed, "backbone", None)
    kept: list[Tensor] = []
    inputs = torch.from_numpy(trace.framing.apply(trace.photo))[None].to(
        trace.model.device, trace.model.dtype
    )
    with own_pass(trace.model), torch.no_grad():
        if stem is not None:
            features = stem(inputs)
            kept.append(features[-1] if isinstance(features, list | tuple) else features)
        if isinstance(embed, nn.Linear):
            patches = torch.from_numpy(np.nan_to_num(pictures(trace))).to(inputs)
            patches = (
                patches if getattr(module.embeds, "channels_last", True) else patches.permute(0, 1, 4, 2, 3)
            )
            flat = patches.reshape(1, grid.rows * grid.cols, -1)
            before = getattr(module.embeds, "norm_input", None)
            given = embed(flat if before is None else before(flat))
        else:
            given = embed(inputs)
    given = given[0] if isinstance(given, tuple) else given
    lengths = _lengths(given, grid.rows, grid.cols)
    if lengths is None:
        raise MethodError(
            f"The patch embedding of {trace.model.name} gives another grid than its layers use."
        )
    features_map = kept[0][0].float().norm(dim=0).cpu().numpy() if kept else None
    return Embedding(lengths[0], features_map, kept[0].shape[1] if kept else 0, lengths[1])


def _lengths(given: Tensor, rows: int, cols: int) -> tuple[Floats, int] | None:
    """The length of each of rows×cols vectors in B×N×d, B×rows×cols×d or B×d×rows×cols, and d."""
    found = given[0].float()
    if found.ndim == 2 and len(found) == rows * cols:
        found = found.reshape(rows, cols, -1)
    elif found.ndim == 3 and found.shape[:2] != (rows, cols) and found.shape[1:] == (rows, cols):
        found = found.permute(1, 2, 0)
    if found.shape[:2] != (rows, cols):
        return None
    return found.norm(dim=-1).cpu().numpy(), found.shape[-1]


def _projection(model: Model) -> tuple[nn.Conv2d | nn.Linear, bool]:
    """The first convolution (or linear map) over pixels, and whether it belongs to a hybrid's stem."""
    embed = _embedding_module(model)
    if isinstance(embed, nn.Linear):
        return embed, False
    for child in embed.modules():
        if isinstance(child, nn.Conv2d) and child.in_channels == 3:
            return child, getattr(embed, "backbone", None) is not None
    raise MethodError(f"{model.name} has no filters over pixels that vitviz finds.")


def _embedding_module(model: Model) -> nn.Module:
    """The part of the model that computes patch embeddings from pixels."""
    module: Any = model.module
    for name in ("patch_embed", "embeds.proj", "conv_proj", "features.0"):
        try:
            found: nn.Module = module.get_submodule(name)
        except AttributeError:
            continue
        return found
    for child in (
        module.modules()
    ):  # Hugging Face and hand-written models: the first module that takes pixels, without overlap
        if isinstance(child, nn.Conv2d) and child.in_channels == 3 and child.kernel_size == child.stride:
            return child
    raise MethodError(f"vitviz does not find the patch embedding of {model.name}.")
