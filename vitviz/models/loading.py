"""`load_model`: a name, a weight file, a folder or a module becomes a Model.

Decision: timm builds every model that is not handed in as a module, and its own loading is kept for pretrained names; only
the search for the file and the recognition of an unknown file are vitviz's own. A second table of architectures was
rejected, because it would have to follow timm's.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from vitviz import notebook
from vitviz.errors import ModelError
from vitviz.images.framing import DataConfig
from vitviz.models import cards, hub, hugging_face, sizes, torchvision_files
from vitviz.models.architectures import bare_module, require_known
from vitviz.models.checkpoint import SUFFIXES, read_weight_file, require_kind
from vitviz.models.describing import Description, data_from_config, describe
from vitviz.models.devices import memory_guard, pick_device, pick_precision
from vitviz.models.finite import not_finite
from vitviz.models.labels import Labels, labels_for
from vitviz.models.listing import RANDOM, refusal_of
from vitviz.models.model import Model
from vitviz.models.outputs import KINDS, Outputs, names_of
from vitviz.models.random_weights import random_module
from vitviz.models.recognition import recognise
from vitviz.models.unwrapping import require_observable, unwrapped
from vitviz.models.vision_part import vision_part
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
    outputs: Outputs | None = None,
    precision: str | None = None,
    progress: Progress | None = None,
) -> Model:
    """Load a model to show its attention.

    `source` is one of:

    - a timm name, with or without tag ("deit_tiny_patch16_224", "vit_base_patch16_224.augreg_in21k"), or
      "hf-hub:user/repo": pretrained, from the local cache or downloaded;
    - a weight file (.safetensors, .pth, .pt, .bin, .ckpt, .npz, or an index of shards), whose architecture is found from its
      tensors, or a folder with config.json (timm's or transformers') and weights ("local-dir:" before it is allowed);
    - "demo/vit", "demo/deit" or "demo/swin": the small models that come with vitviz;
    - "random/" and a timm name: the architecture with random weights, always the same ones;
    - an nn.Module. It is put into eval mode and moved to the device, in place. What torch.compile, DataParallel or
      DistributedDataParallel wrap is taken out of them; of Hugging Face's models of text and pictures the vision part.

    `device`: "auto" (CUDA, else MPS, else CPU), "cpu", "cuda", "cuda:1", "mps". `image_size`: pixels of a square or
    (height, width), if other than the model's own. `labels`: see `vitviz.models.labels.labels_for`. `data`: the
    preprocessing, if other than the model's own. `architecture`: the timm name of a weight file's model, where its
    tensors fit several. `outputs`: what the answer's numbers are, if not what the module states: "classes", "values" (a
    regression), "embedding", or "unknown", which is shown like values. `precision`: "float32", "bfloat16" or, on a GPU,
    "float16"; None is float32, and for a module its own. `progress(what, part)` is called with what is being done and
    which part of it (0 … 1, or None) is done; without it, a notebook displays a bar.

    Raises ModelError (a sentence that says what to do) and DeviceMemoryError.
    """
    progress = progress or notebook.progress()
    picked = pick_device(device)
    dtype = pick_precision(precision, picked)
    square = (image_size, image_size) if isinstance(image_size, int) else image_size
    if not isinstance(source, str | os.PathLike):
        require_observable(source)
        whole = unwrapped(source)
        module = vision_part(whole)
        built = _Built(
            module, "as given" if module is whole else f"as given, the vision part of {type(whole).__name__}"
        )
    else:
        built = _build(os.fspath(source), architecture, square, progress)
    module = built.module
    if data is None and (built.data or built.size):
        base = {**getattr(module, "pretrained_cfg", {}), **built.data}
        told = describe(module).data
        base = {**_plainly(told), **base}
        data = data_from_config(base, built.size or told.input_size, told.multiple)
    given = labels if labels is not None else built.labels
    model = from_module(module, built.weights, name=built.name, labels=given, data=data, outputs=outputs)
    model = model if built.named else replace(model, architecture=None)
    if square is not None:
        model = sizes.at_size(model, (square[0], square[1]))
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
    outputs: Outputs | None = None,
) -> Model:
    """A Model of a module on its present device, put into eval mode; `weights` says where its weights came from."""
    module.eval()
    wrong = not_finite(module)
    if wrong is not None:
        raise ModelError(f"{name or type(module).__name__} holds numbers that are not finite ({wrong}).")
    found = describe(module, data)
    kind, names = _outputs(found, labels, outputs)
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    return Model(
        module=module,
        name=name or found.name,
        architecture=found.architecture,
        weights=f"{weights}, {found.note}" if found.note else weights,
        device=device,
        data=found.data,
        labels=names,
        outputs=kind,
        stored_position=sizes.position_table(module),
    )


def _outputs(
    found: Description, labels: Labels | None, outputs: Outputs | None
) -> tuple[Outputs, tuple[str, ...]]:
    """What the numbers are, and their names. Names that the caller gives are those of classes, unless `outputs` differs."""
    if outputs is not None and outputs not in KINDS:
        raise ModelError(f"outputs is one of {', '.join(KINDS)}; not {outputs!r}.")
    kind = outputs or ("classes" if labels is not None else found.outputs)
    count = found.classes or found.numbers or 0
    if kind == "embedding":
        return kind, ()
    if not count and outputs in (None, "unknown"):
        return "embedding", ()
    if not count:
        raise ModelError(
            f"{found.name} answers with no {kind}: it has no head that gives one number for each."
        )
    if kind == "classes":
        return kind, labels_for(count, labels if labels is not None else found.labels)
    return kind, labels_for(count, labels) if labels is not None else names_of(count)


@dataclass(frozen=True)
class _Built:
    """A module on the CPU and what the file or folder says of it."""

    module: nn.Module
    weights: str
    """Where the weights came from, as a part of a sentence."""
    name: str | None = None
    """The model's name, if not the module's own."""
    labels: Labels | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the preprocessing that replace the module's own, as in timm's data config."""
    size: tuple[int, int] | None = None
    """The input size (height, width) that the preprocessing gives, if other than the module's own."""
    named: bool = True
    """Whether the architecture that timm gives the module is what it is, with no other depth or width."""


def _plainly(data: DataConfig) -> dict[str, Any]:
    """A DataConfig as timm's data config has it, for a module without one."""
    return {
        "mean": data.mean,
        "std": data.std,
        "interpolation": data.interpolation,
        "crop_pct": data.crop_pct,
        "crop_mode": data.crop_mode,
    }


def _build(
    source: str, architecture: str | None, image_size: tuple[int, int] | None, progress: Progress | None
) -> _Built:
    if source.startswith("demo/"):
        return _from_demo(source)
    if source.startswith(RANDOM):
        name = source.removeprefix(RANDOM)
        return _Built(random_module(name), "random weights, always the same", f"{name} (random weights)")
    if source.startswith("local-dir:"):
        return _from_folder(Path(source.removeprefix("local-dir:")), None, "local folder")
    if source.startswith(("hf-hub:", "hf_hub:")):
        return _from_repository(source.partition(":")[2], progress)
    path = Path(source).expanduser()
    if architecture is not None and not path.is_file():
        raise ModelError(f"architecture={architecture} is for a weight file, and {source} is none.")
    if path.is_dir():
        return _from_folder(path, None, "local folder")
    if path.suffix.lower() in SUFFIXES or path.exists():
        return _from_file(path, architecture, image_size, progress)
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
    with hub.discarding_damaged(path):
        require_kind(path)
        with _loading(name, path), without_initialising() as filling:
            module: Any = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    filling.require_all(module, name)
    return _Built(module, weights, name)


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
    called = f"hf-hub:{hub_id}"
    config = hub.fetch_file(called, hub_id, ("config.json", hugging_face.ADAPTER), progress)
    hugging_face.require_no_adapter(config.parent, hub_id)
    content = cards.json_of(config, f"The config.json of {hub_id}")
    theirs = hugging_face.is_config(content)
    if not theirs:
        _timm_config(content, hub_id)
    names = hugging_face.WEIGHT_FILES if theirs else hub.WEIGHT_FILES
    before = any(hub.cached_file(hub_id, name) for name in names)
    if theirs:
        hub.fetch_optional(called, hub_id, hugging_face.PREPROCESSING, progress)
    found = hub.fetch_file(called, hub_id, names, progress)
    weights = "pretrained, from the local cache" if before else "pretrained, downloaded"
    with hub.discarding_damaged(found):
        if found.suffix == ".json":
            hub.fetch_shards(called, hub_id, found, progress)
        return _from_folder(config.parent, hub_id, weights)


def _from_folder(folder: Path, name: str | None, weights: str) -> _Built:
    """A folder with config.json and weights: timm's, or Hugging Face's of a model that transformers opens."""
    config = folder / "config.json"
    hugging_face.require_no_adapter(folder, name or str(folder))
    if not config.exists():
        raise ModelError(
            f"The folder {folder} has no config.json; give a model folder of timm or transformers, or a weight file in it."
        )
    where = name or str(folder)
    content = cards.json_of(config, f"The config.json of {where}")
    if not hugging_face.is_config(content):
        return _from_timm_folder(folder, content, name, weights)
    module, data, size = hugging_face.load_folder(folder, where)
    if not data:
        weights = f"{weights}, without preprocessor_config.json: prepared as usual for its kind"
    return _Built(module, weights, name or f"{content.get('model_type')} ({folder.name})", None, data, size)


def _from_timm_folder(folder: Path, content: Any, name: str | None, weights: str) -> _Built:
    where = name or str(folder)
    architecture, options, data, overlay = _timm_config(content, where)
    files = [folder / one for one in (*hub.WEIGHT_FILES, f"{hub.WEIGHT_FILES[0]}.index.json")]
    path = next((one for one in files if one.exists()), None)
    if path is None:
        raise ModelError(
            f"{where} has a config.json and no weights beside it ({' or '.join(hub.WEIGHT_FILES)}); "
            "download them into the same folder."
        )
    file = read_weight_file(path)
    with _loading(architecture, path):
        match = recognise(file, architecture, options=options)
    module = _filled(
        match.architecture, {**match.options, "pretrained_cfg_overlay": overlay}, match.tensors, path
    )
    return _Built(module, weights, name or f"{architecture} ({folder.name})", None, data)


def _timm_config(content: Any, where: str) -> tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What timm's config.json says, checked: architecture, options, preprocessing, and names of classes."""
    what = f"The config.json of {where}"
    if not isinstance(content, dict) or not isinstance(content.get("architecture"), str):
        raise ModelError(f"{what} names no timm architecture.")
    architecture = cards.architecture_name(content["architecture"], what)
    config = content.get("pretrained_cfg", content)
    if not isinstance(config, dict):
        raise ModelError(f"{what} holds a pretrained_cfg that is no object.")
    options = cards.options_of(content.get("model_args") or {}, what)
    classes = content.get("num_classes", config.get("num_classes"))
    if classes is not None:
        options.setdefault("num_classes", cards.options_of({"num_classes": classes}, what)["num_classes"])
    overlay: dict[str, Any] = {}
    for key in ("label_names", "label_descriptions"):
        told = content.get(key, config.get(key))
        if told is not None:
            overlay[key] = cards.label_list(told, what)
    return architecture, options, cards.data_settings(config, what), overlay


def _from_demo(source: str) -> _Built:
    kind = source.removeprefix("demo/")
    path = resource(f"models/{kind}.safetensors")
    if not path.is_file():
        have = sorted(f"demo/{one.stem}" for one in resource("models").glob("*.safetensors"))
        raise ModelError(f"There is no demo model “{source}”; there is {', '.join(have) or 'none'}.")
    return replace(_from_file(path, None, None, None), weights="trained for the demo", name=source)


def _from_file(
    path: Path, architecture: str | None, image_size: tuple[int, int] | None, progress: Progress | None
) -> _Built:
    if progress:
        progress(f"Reading {path.name}", None)
    file = read_weight_file(path)
    if file.card:
        card = file.card
        named, options = card["timm"]["architecture"], card["timm"]["kwargs"]
        with _loading(named, path):
            empty = bare_module(named, **options)
            cards.require_size(sum(part.numel() for part in empty.parameters()), path.name)
        module = _filled(named, options, file.tensors, path)
        return _Built(module, path.name, card.get("name"), card.get("labels"), card.get("data", {}))
    weights = f"{path.name} ({file.part})" if "ema" in file.part else path.name
    notes = [file.note] if file.note else []
    if torchvision_files.is_torchvision(file.tensors):
        module, note = torchvision_files.build(file, image_size)
        module = _filled_with(module, "torchvision's model", file.tensors, path)
        return _Built(module, ", ".join([weights, *notes, *([note] if note else [])]))
    family = hugging_face.family_of(file.tensors)
    if family is not None:
        raise ModelError(
            f"{path.name} is a Hugging Face {family} without its config; open the folder that has its config.json, "
            "or load it with from_pretrained() and pass the module to load_model.",
            ", ".join(list(file.tensors)[:8]),
        )
    match = recognise(file, architecture, image_size)
    module = _filled(match.architecture, match.options, match.tensors, path)
    notes += [match.note] if match.note else []
    name = None if match.named else path.stem
    return _Built(module, ", ".join([weights, *notes]), name, data=match.data, named=match.named)


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


def _filled_with(empty: nn.Module, name: str, tensors: Mapping[str, torch.Tensor], path: Path) -> nn.Module:
    """A module that was made without memory, with these tensors as its parameters and buffers, in float32."""
    with _loading(name, path):
        told = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
        empty.load_state_dict(told, strict=True, assign=True)
    return empty


@contextmanager
def _loading(name: str, path: Path) -> Iterator[None]:
    """Turn timm's and torch's errors about weights that do not fit into a sentence."""
    try:
        yield
    except MemoryError as error:
        raise ModelError(f"There is not enough memory for {name}.") from error
    except (
        RuntimeError, OSError, ValueError, TypeError, KeyError, AssertionError, IndexError, AttributeError, ArithmeticError
    ) as error:  # fmt: skip
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
