"""Whether a module gives the same picture the same tokens each time it is run: masking and noise in eval mode do not."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vitviz.attention.recording.operations import four_dimensional
from vitviz.attention.self_check.digests import TOLERANCES
from vitviz.attention.self_check.pictures import unchanged
from vitviz.attention.self_check.reader import by_itself
from vitviz.attention.self_check.silence import Given, Silence


def differing(module: nn.Module, size: tuple[int, int], names: Sequence[str]) -> str:
    """A sentence that names the first layer and token that differ between two passes of one picture; empty if none does.

    `names`: the layer of each operation. Takes two passes in which each token attends to itself alone.
    """
    weight = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    picture = unchanged(size).to(weight.device, weight.dtype)
    first, second = (_seen(module, picture, len(names)) for _ in range(2))
    tolerance = TOLERANCES.get(weight.dtype, 1e-5)
    for (number, one), (_, other) in zip(first, second, strict=False):
        token = _first(one, other, tolerance)
        if token is not None:
            where = f"{names[number]} gets" if number < len(names) else f"what is behind {names[-1]} has"
            how, what_to_do = _masking(module)
            return (
                f"on the same picture {where} other tokens each time, the first is token {token}{how}, so no map of the "
                f"photo can be proved. {what_to_do}"
            )
    return ""


def _seen(module: nn.Module, picture: Tensor, count: int) -> list[tuple[int, Tensor]]:
    """The number of each operation, `count` behind the last, and …×tokens×d that it was given, or that was there."""
    found: list[tuple[int, Tensor]] = []

    def see(given: Given, shape: tuple[int, ...]) -> Tensor | None:
        found.append((given.number, four_dimensional(given.key.detach())))
        return by_itself(given, shape)

    def see_after(_func: Any, result: Tensor) -> Tensor:
        if result.ndim >= 3 and result.is_floating_point():
            found.append((count, result.detach()))
        return result

    with torch.no_grad(), Silence(see, count, see_after):
        module(picture)
    return found


def _first(one: Tensor, other: Tensor, tolerance: float) -> int | None:
    """The first place along the axis before the last at which two tensors differ."""
    if one.shape != other.shape:
        return min(one.shape[-2], other.shape[-2])
    differs = (one - other).abs() > tolerance * one.abs().max() if one.numel() else one.bool()
    places = differs.movedim(-2, 0).flatten(1).any(1).nonzero()
    return int(places[0]) if len(places) else None


def _masking(module: nn.Module) -> tuple[str, str]:
    """What a masked autoencoder of Hugging Face does, as its config says, and what to do; for others in general."""
    parts: list[Any] = list(module.modules())
    configs: list[Any] = [getattr(part, "config", None) for part in parts]
    ratio = next((config.mask_ratio for config in configs if hasattr(config, "mask_ratio")), None)
    if ratio is None:
        return "", "Turn off what is random: masking, shuffling, dropout or noise."
    dropped = f" and {ratio:.0%} of them dropped (mask_ratio={ratio:g})" if ratio else ""
    return (
        f": its patches are shuffled at random{dropped}",
        "Set mask_ratio to 0 and wrap it in an nn.Module that gives it noise=torch.arange(N)[None] for its N patches.",
    )
