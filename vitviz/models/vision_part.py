"""Which of Hugging Face's modules take a photo, and the part of them that does."""

import inspect
from typing import Any

from torch import nn

from vitviz.errors import ModelError


def is_hugging_faces(module: nn.Module) -> bool:
    """Whether a module is of a class of transformers with a config."""
    return type(module).__module__.startswith("transformers.") and hasattr(module, "config")


def vision_part(module: nn.Module) -> nn.Module:
    """The part of a module that takes a photo: of a model of text and pictures (CLIP, SigLIP) its vision model.

    Raises ModelError for modules of Hugging Face that take something else than one photo.
    """
    if not is_hugging_faces(module):
        return module
    name, first = type(module).__name__, _inputs(module)[0].name
    if first != "pixel_values":
        part = getattr(module, "vision_model", None)
        if not isinstance(part, nn.Module):
            raise ModelError(f"{name} takes {first}, not a photo.")
        return vision_part(part)
    config: Any = module.config
    if getattr(config, "num_frames", 1) > 1:
        raise ModelError(f"{name} takes {config.num_frames} frames of a video, not one photo.")
    more = [each.name for each in _inputs(module)[1:] if each.default is inspect.Parameter.empty]
    if more:
        raise ModelError(
            f"{name} takes {' and '.join(more)} beside pixel_values: patches that its processor cuts, not a photo."
        )
    return module


def _inputs(module: nn.Module) -> list[inspect.Parameter]:
    """What a module's forward pass takes by name."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    known = [each for each in inspect.signature(module.forward).parameters.values() if each.kind in kinds]
    if not known:
        raise ModelError(f"{type(module).__name__} takes no photo.")
    return known
