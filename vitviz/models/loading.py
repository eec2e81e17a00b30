"""`load_model`: a name, a weight file, a folder or a module becomes a Model.

Decision: timm builds every model that is not handed in as a module, and its own loading is kept for pretrained names; only
the search for the file and the recognition of an unknown file are vitviz's own. A second table of architectures was
rejected, because it would have to follow timm's.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from vitviz import notebook
from vitviz.errors import ModelError
from vitviz.images.framing import DataConfig
from vitviz.models import hub, sizes
from vitviz.models.architectures import require_known
from vitviz.models.checkpoint import SUFFIXES, WeightFile, read_weight_file
from vitviz.models.describing import data_from_config, describe
from vitviz.models.devices import memory_guard, pick_device, pick_precision
from vitviz.models.labels import Labels, labels_for
from vitviz.models.listing import RANDOM, refusal_of
from vitviz.models.model import Model
from vitviz.models.random_weights import random_module
from vitviz.models.recognition import recognise
from vitviz.resources_path import resource

Progress = Callable[[str, float | None], None]


def load_model(
    source: str | os.PathLike[str] | nn.Module,
    *,
    device: str | torch.device = "auto",
    image_size: int | tuple[int, int] | None = None,
    labels: Labels | None = None,
    data: DataConfig | None = None,
    architecture: str | None = None,
    precision: str | None = None,
    progress: Progress | None = None,
) -> Model:
    """Load a model to show its attention.

    `source` is one of:

    - a timm name, with or without tag ("deit_tiny_patch16_224", "vit_base_patch16_224.augreg_in21k"), or
      "hf-hub:user/repo": pretrained, from the local cache or downloaded;
    - a weight file (.safetensors, .pth, .pt, .bin, .ckpt), whose architecture is found from its tensors, or a folder
      with timm's config.json and weights ("local-dir:" before it is allowed);
    - "demo/vit", "demo/deit" or "demo/swin": the small models that come with vitviz;
    - "random/" and a timm name: the architecture with random weights, always the same ones;
    - an nn.Module. It is put into eval mode and moved to the device, in place.

    `device`: "auto" (CUDA, else MPS, else CPU), "cpu", "cuda", "cuda:1", "mps". `image_size`: pixels of a square or
    (height, width), if other than the model's own. `labels`: see `vitviz.models.labels.labels_for`. `data`: the
    preprocessing, if other than the model's own. `architecture`: the timm name of a weight file's model, where its
    tensors fit several. `precision`: "float32", "bfloat16" or, on a GPU, "float16"; None is float32, and for a
    module its own. `progress(what, part)` is called with what is being done and which part of it (0 … 1, or None)
    is done; without it, a notebook displays a bar.

    Raises ModelError (a sentence that says what to do) and DeviceMemoryError.
    """
    progress = progress or notebook.progress()
    picked = pick_device(device)
    dtype = pick_precision(precision, picked)
    card: Mapping[str, Any] = {}
    if isinstance(source, nn.Module):
        module, weights, name = source, "as given", None
    else:
        module, weights, name, card = _build(os.fspath(source), architecture, progress)
    if data is None and card.get("data"):
        base = {**getattr(module, "pretrained_cfg", {}), **card["data"]}
        told = describe(module).data
        data = data_from_config(base, told.input_size, told.multiple)
    model = from_module(module, weights, name=name, labels=labels or card.get("labels"), data=data)
    if image_size is not None:
        size = (image_size, image_size) if isinstance(image_size, int) else image_size
        model = sizes.at_size(model, (size[0], size[1]))
    if progress and picked.type != "cpu":
        progress(f"Moving {model.name} to {picked}", None)
    with memory_guard(model.name, picked):
        return replace(model, module=model.module.to(device=picked, dtype=dtype), device=picked)


def from_module(
    module: nn.Module,
    weights: str,
    *,
    name: str | None = None,
    labels: Labels | None = None,
    data: DataConfig | None = None,
) -> Model:
    """A Model of a module on its present device, put into eval mode; `weights` says where its weights came from."""
    module.eval()
    found = describe(module, data)
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    return Model(
        module=module,
        name=name or found.name,
        architecture=found.architecture,
        weights=f"{weights}, {found.note}" if found.note else weights,
        device=device,
        data=found.data,
        labels=labels_for(found.classes, labels if labels is not None else found.labels),
        stored_position=sizes.position_table(module),
    )


_Built = tuple[nn.Module, str, str | None, Mapping[str, Any]]


def _build(source: str, architecture: str | None, progress: Progress | None) -> _Built:
    """A module on the CPU, where its weights came from, its name if not its own, and its card."""
    if source.startswith("demo/"):
        return _from_demo(source)
    if source.startswith(RANDOM):
        name = source.removeprefix(RANDOM)
        return random_module(name), "random weights, always the same", f"{name} (random weights)", {}
    if source.startswith("local-dir:"):
        return _from_folder(Path(source.removeprefix("local-dir:")), None, "local folder")
    if source.startswith(("hf-hub:", "hf_hub:")):
        return _from_repository(source.partition(":")[2], progress)
    path = Path(source).expanduser()
    if architecture is not None and not path.is_file():
        raise ModelError(f"architecture={architecture} is for a weight file, and {source} is none.")
    if path.is_dir():
        return _from_folder(path, None, "local folder")
    if path.suffix.lower() in SUFFIXES or path.is_file():
        return _from_file(path, architecture, progress)
    if "/" in source or "\\" in source:
        raise ModelError(
            f"There is no file or folder {source}. For a Hugging Face repository, write hf-hub:{source}."
        )
    return _from_name(source, progress)


def _from_name(name: str, progress: Progress | None) -> _Built:
    import timm

    config = _pretrained_config(name)
    path, weights = hub.fetch_weights(name, config, progress)
    if progress:
        progress(f"Loading {name}", None)
    overlay = {"file": str(path), "custom_load": path.suffix == ".npz"}
    with _loading(name, path), without_initialising() as filling:
        module: Any = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    filling.require_all(module, name)
    return module, weights, name, {}


def _pretrained_config(name: str) -> dict[str, Any]:
    """timm's pretrained config of a name, checked to have weights; a ModelError suggests names otherwise."""
    import timm

    require_known(name)
    refusal = refusal_of(name)
    if refusal:
        raise ModelError(refusal)
    bare = name.split(".")[0]
    tagged = timm.list_models(f"{bare}.*", pretrained=True)
    try:
        config = timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise ModelError(
            f"timm has no weights called “{name}”; of {bare} it has {', '.join(tagged) or 'none'}.",
            str(error),
        ) from error
    if config is None or not config.has_weights:
        other = (
            f"it has {', '.join(tagged)}"
            if tagged
            else "load a weight file of your own with architecture=" + bare
        )
        raise ModelError(f"timm has no pretrained weights for {name}; {other}.")
    found: dict[str, Any] = config.to_dict()
    return found


def _from_repository(hub_id: str, progress: Progress | None) -> _Built:
    config = hub.fetch_file(f"hf-hub:{hub_id}", hub_id, ("config.json",), progress)
    before = hub.cached_file(hub_id, hub.WEIGHT_FILES[0]) or hub.cached_file(hub_id, hub.WEIGHT_FILES[1])
    _read_timm_config(config, hub_id)
    hub.fetch_file(f"hf-hub:{hub_id}", hub_id, hub.WEIGHT_FILES, progress)
    weights = "pretrained, from the local cache" if before else "pretrained, downloaded"
    return _from_folder(config.parent, hub_id, weights)


def _from_folder(folder: Path, name: str | None, weights: str) -> _Built:
    """timm's own layout of a folder: config.json with the architecture, and the weights beside it."""
    import timm

    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(
            f"The folder {folder} has no config.json; give a timm model folder or a weight file in it."
        )
    architecture = _read_timm_config(config, str(folder))
    with _loading(name or folder.name, folder), without_initialising() as filling:
        module: Any = timm.create_model(f"local-dir:{folder}", pretrained=True)
    filling.require_all(module, name or folder.name)
    return module, weights, name or f"{architecture} ({folder.name})", {}


def _read_timm_config(config: Path, where: str) -> str:
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"The config.json of {where} cannot be read.", str(error)) from error
    architecture = content.get("architecture") if isinstance(content, dict) else None
    if isinstance(architecture, str):
        return architecture
    if isinstance(content, dict) and ("model_type" in content or "architectures" in content):
        raise ModelError(
            f"{where} is a model of Hugging Face transformers, not of timm; "
            "load it there with from_pretrained() and pass the module to load_model."
        )
    raise ModelError(f"The config.json of {where} names no timm architecture.")


def _from_demo(source: str) -> _Built:
    kind = source.removeprefix("demo/")
    path = resource(f"models/{kind}.safetensors")
    if not path.is_file():
        have = sorted(f"demo/{one.stem}" for one in resource("models").glob("*.safetensors"))
        raise ModelError(f"There is no demo model “{source}”; there is {', '.join(have) or 'none'}.")
    module, _, _, card = _from_file(path, None, None)
    return module, "trained for the demo", source, card


def _from_file(path: Path, architecture: str | None, progress: Progress | None) -> _Built:
    if progress:
        progress(f"Reading {path.name}", None)
    file = read_weight_file(path)
    weights = f"{path.name} ({file.part})" if file.part.endswith("ema") else path.name
    if file.card:
        return _from_card(file), path.name, file.card.get("name"), file.card
    match = recognise(file, architecture)
    module = _filled(match.architecture, match.options, match.tensors, path)
    return module, f"{weights}, {match.note}" if match.note else weights, None, {}


def _from_card(file: WeightFile) -> nn.Module:
    told = file.card["timm"]
    if not isinstance(told.get("architecture"), str) or not isinstance(told.get("kwargs", {}), dict):
        raise ModelError(f"The card beside {file.path.name} names no timm architecture.")
    return _filled(told["architecture"], told.get("kwargs", {}), file.tensors, file.path)


def _filled(
    name: str, options: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], path: Path
) -> nn.Module:
    """A timm model with these tensors, which must fill all of its own, in float32."""
    import timm

    with _loading(name, path):
        with without_initialising():
            module: nn.Module = timm.create_model(name, **options)
        module.load_state_dict({key: value.float() for key, value in tensors.items()}, strict=True)
    return module


@contextmanager
def _loading(name: str, path: Path) -> Iterator[None]:
    """Turn timm's and torch's errors about weights that do not fit into a sentence."""
    try:
        yield
    except (RuntimeError, OSError, ValueError, TypeError, KeyError, AssertionError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"The weights in {path.name} cannot be loaded as {name}: {lines[0].rstrip(':')}.", str(error)
        ) from error


class without_initialising(TorchFunctionMode):  # noqa: N801 (a context manager, used like a function)
    """Skips filling new weights with random numbers, which takes seconds and is overwritten by what is loaded."""

    _RANDOM = (torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.erfinv_)

    def __init__(self) -> None:
        super().__init__()
        self._written: set[int] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Give a tensor that is to be filled with random numbers back as it is; note which are copied into."""
        if func in self._RANDOM or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else next(iter((kwargs or {}).values()))
        if func is torch.Tensor.copy_ and isinstance(args[0], nn.Parameter):
            self._written.add(id(args[0]))
        return func(*args, **(kwargs or {}))

    def require_all(self, module: nn.Module, name: str) -> None:
        """Refuse a model of which timm left weights unfilled, as it does for a classifier of another size."""
        empty = [key for key, parameter in module.named_parameters() if id(parameter) not in self._written]
        if empty:
            raise ModelError(
                f"The weights of {name} lack {len(empty)} of the model's tensors, the first is {empty[0]}.",
                ", ".join(empty),
            )
