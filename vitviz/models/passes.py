"""Around the passes that vitviz itself runs through a model."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vitviz.models.devices import memory_guard
from vitviz.models.model import Model


@contextmanager
def own_pass(model: Model) -> Iterator[None]:
    """Around vitviz's passes through a model: with its lock, outside the caller's autocast and inference mode.

    Raises DeviceMemoryError where memory runs out.
    """
    own = torch.autocast(model.device.type, enabled=False)
    with memory_guard(model.name, model.device), model.lock, torch.inference_mode(False), own:
        yield
