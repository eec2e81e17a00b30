"""`load_model`: a name, a weight file, a folder or a module becomes a Model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from vitviz.errors import ModelError
from vitviz.images.framing import DataConfig
from vitviz.models import sizes
from vitviz.models.describing import describe
from vitviz.models.devices import memory_guard, pick_device
from vitviz.models.labels import Labels, labels_for
from vitviz.models.model import Model

Progress = Callable[[str, float | None], None]
WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")


def load_model(
    source: str | Path | nn.Module,
    *,
    device: str | torch.device = "auto",
    image_size: int | tuple[int, int] | None = None,
    labels: Labels | None = None,
    data: DataConfig | None = None,
    architecture: str | None = None,
    progress: Progress | None = None,
) -> Model:
    picked = pick_device(device)
    if isinstance(source, nn.Module):
        model = from_module(source, "as given", labels=labels, data=data)
    else:
        module, weights = (
            _from_file(Path(source), architecture)
            if Path(source).exists()
            else _from_name(str(source), progress)
        )
        model = from_module(module, weights, labels=labels, data=data)
    if image_size is not None:
        size = (image_size, image_size) if isinstance(image_size, int) else image_size
        model = sizes.at_size(model, size)
    with memory_guard(model.name, picked):
        return replace(model, module=model.module.to(picked).eval(), device=picked)


def from_module(
    module: nn.Module, weights: str, *, labels: Labels | None = None, data: DataConfig | None = None
) -> Model:
    module.eval()
    found = describe(module, data)
    return Model(
        module=module,
        name=found.name,
        architecture=found.architecture,
        weights=f"{weights}, {found.note}" if found.note else weights,
        device=torch.device("cpu"),
        data=found.data,
        labels=labels_for(found.classes, labels if labels is not None else found.labels),
        stored_position=sizes.position_table(module),
    )


def _from_name(name: str, progress: Progress | None) -> tuple[nn.Module, str]:
    import timm

    from vitviz.models.hub import fetch_weights

    config = timm.models.get_pretrained_cfg(name).to_dict()
    path, weights = fetch_weights(name, config, progress)
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(path)}), weights


def _from_file(path: Path, architecture: str | None) -> tuple[nn.Module, str]:
    import timm
    from safetensors.torch import load_file

    module = timm.create_model(architecture or path.stem)
    module.load_state_dict(load_file(path))
    return module, path.name
