"""Models of Hugging Face transformers: a folder with config.json and weights, opened through transformers itself.

Decision: transformers loads the weights, because it renames tensors of older files; which class is built, and from what,
is decided here. Of the config only numbers, words and labels reach it: no code of a repository, no other attention
implementation, no quantisation, no second repository.
"""

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vitviz.errors import ModelError
from vitviz.models import cards
from vitviz.models.checkpoint import require_kind, require_readable, shard_paths
from vitviz.models.describing import IMAGENET_MEAN, IMAGENET_STD

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
ADAPTER = "adapter_config.json"
PREPROCESSING = ("preprocessor_config.json", "processor_config.json")
_RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")


@dataclass(frozen=True)
class Kind:
    """A model type of transformers: its classes, without a head and with one, and how it takes sizes."""

    bare: str
    classifiers: tuple[str, ...] = ()
    config: str = ""
    options: Mapping[str, Any] | None = None
    shortest_edge: bool = False
    """Whether a size given as one number is of the shorter side, its aspect kept; otherwise of both sides."""
    mean_std: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """What pictures are normalised with where no preprocessing is beside the weights, if other than the class says."""
    any_size: bool = False
    """Whether the model takes other sizes than its config's without being told."""


_NO_POOLER = {"add_pooling_layer": False}
# A ViT-MAE shuffles and hides patches in its forward pass; its encoder alone is a ViT.
KINDS: dict[str, Kind] = {
    "vit": Kind("ViTModel", ("ViTForImageClassification",), "ViTConfig", _NO_POOLER),
    "deit": Kind(
        "DeiTModel",
        ("DeiTForImageClassificationWithTeacher", "DeiTForImageClassification"),
        "DeiTConfig",
        _NO_POOLER,
    ),
    "beit": Kind("BeitModel", ("BeitForImageClassification",), "BeitConfig", _NO_POOLER),
    "data2vec-vision": Kind(
        "Data2VecVisionModel", ("Data2VecVisionForImageClassification",), "Data2VecVisionConfig", _NO_POOLER
    ),
    "swin": Kind("SwinModel", ("SwinForImageClassification",), "SwinConfig", any_size=True),
    "swinv2": Kind("Swinv2Model", ("Swinv2ForImageClassification",), "Swinv2Config", any_size=True),
    "dinov2": Kind(
        "Dinov2Model", ("Dinov2ForImageClassification",), "Dinov2Config", shortest_edge=True, any_size=True
    ),
    "dinov2_with_registers": Kind(
        "Dinov2WithRegistersModel",
        ("Dinov2WithRegistersForImageClassification",),
        "Dinov2WithRegistersConfig",
        shortest_edge=True,
        any_size=True,
    ),
    "dinov3_vit": Kind("DINOv3ViTModel", (), "DINOv3ViTConfig", any_size=True),
    "clip": Kind(
        "CLIPVisionModelWithProjection", ("CLIPForImageClassification",), "CLIPConfig", shortest_edge=True
    ),
    "clip_vision_model": Kind("CLIPVisionModel", (), "CLIPVisionConfig", shortest_edge=True),
    "siglip": Kind("SiglipVisionModel", ("SiglipForImageClassification",), "SiglipConfig"),
    "siglip_vision_model": Kind("SiglipVisionModel", (), "SiglipVisionConfig"),
    "vit_mae": Kind("ViTModel", (), "ViTConfig", _NO_POOLER, mean_std=(IMAGENET_MEAN, IMAGENET_STD)),
    "vit_msn": Kind("ViTMSNModel", ("ViTMSNForImageClassification",), "ViTMSNConfig"),
    "ijepa": Kind("IJepaModel", ("IJepaForImageClassification",), "IJepaConfig", _NO_POOLER),
}

# What a state dict of each kind has in its names; the most particular first.
_NAMES = (
    (r"(^|\.)vision_model\.(encoder\.layers|embeddings)\.", "CLIP or SigLIP"),
    (r"(^|\.)embeddings\.(class_embedding$|patch_embedding\.)", "CLIP or SigLIP"),
    (r"(^|\.)decoder\.decoder_layers\.", "ViT-MAE"),
    (r"(^|\.)embeddings\.register_tokens$", "DINOv2 or DINOv3"),
    (r"(^|\.)continuous_position_bias_mlp\.", "Swin V2"),
    (r"(^|\.)encoder\.layers\.\d+\.blocks\.\d+\.attention\.(self|query|q_proj)", "Swin"),
    (r"(^|\.)layer_scale1\.lambda1$", "DINOv2"),
    (r"(^|\.)lambda_1$", "BEiT or Data2Vec"),
    (r"(^|\.)embeddings\.distillation_token$", "DeiT"),
    (r"(^|\.)(attention\.attention\.(query|q_proj)|attention\.q_proj|attention\.o_proj)\.", "ViT"),
    (r"(^|\.)embeddings\.patch_embeddings\.", "vision transformer"),
)  # fmt: skip


def family_of(tensors: Mapping[str, Any]) -> str | None:
    """Which model of transformers names its tensors so; None where none does."""
    return next(
        (family for pattern, family in _NAMES if any(re.search(pattern, key) for key in tensors)), None
    )


def is_config(content: object) -> bool:
    """Whether a config.json is one of transformers."""
    return (
        isinstance(content, dict)
        and ("model_type" in content or "architectures" in content)
        and ("architecture" not in content)
    )


def load_folder(folder: Path, where: str) -> tuple[nn.Module, Mapping[str, Any], tuple[int, int] | None]:
    """The model in a folder with transformers' config.json, its preprocessing, and its input size if it has one of its own.

    `where` names the model in sentences. Raises ModelError: a model of another kind, transformers not installed, weights
    that are missing, damaged or incomplete, values in the config that no model has.
    """
    content = cards.json_of(folder / "config.json", f"The config.json of {where}")
    kind, name = _kind(content, where)
    require_no_adapter(folder, where)
    _require_weights(folder, where)
    module = _load(folder, content, kind, name, where)
    prepared = preprocessing(folder, kind, where)
    size = prepared.pop("input_size", None)
    return module, prepared, size if kind.any_size else None


def require_no_adapter(folder: Path, where: str) -> None:
    """Raise a ModelError for a folder that PEFT wrote."""
    if (folder / ADAPTER).exists() or (folder / "adapter_model.safetensors").exists():
        raise ModelError(
            f"{where} is an adapter (PEFT), which changes the weights of another model. Merge it into that model with "
            "merge_and_unload(), save the model with save_pretrained(), and open that folder."
        )


def _kind(content: Mapping[str, Any], where: str) -> tuple[Kind, str]:
    model_type = content.get("model_type")
    kind = KINDS.get(model_type) if isinstance(model_type, str) else None
    if kind is None:
        told = model_type if isinstance(model_type, str) else "of an unnamed type"
        raise ModelError(
            f"{where} is a model of Hugging Face transformers ({str(told)[:60]}) that vitviz does not open by "
            f"itself. It opens {', '.join(one for one in KINDS if not one.endswith('_vision_model'))}. "
            "Load other ones with from_pretrained() and pass the module to load_model."
        )
    if content.get("quantization_config") is not None:
        raise ModelError(
            f"The weights of {where} are quantised, which vitviz does not load; use the original weights."
        )
    try:
        import transformers  # noqa: F401 (only whether it is there)
    except ImportError as error:
        raise ModelError(
            f"{where} is a model of Hugging Face transformers, which is not installed here; install it with "
            "`pip install transformers`, or vitviz with `pip install vitviz[hf]`.",
            str(error),
        ) from error
    named = content.get("architectures")
    wanted = [one for one in named if isinstance(one, str)] if isinstance(named, list) else []
    name = next((one for one in kind.classifiers if one in wanted), kind.bare)
    return kind, name


def _require_weights(folder: Path, where: str) -> None:
    """Check that the weights are there, whole and no other kind of file, before transformers reads them."""
    found = next((folder / name for name in WEIGHT_FILES if (folder / name).exists()), None)
    if found is None:
        raise ModelError(
            f"{where} has a config.json and no weights beside it ({WEIGHT_FILES[0]} or {WEIGHT_FILES[2]}); "
            "download them into the same folder."
        )
    for path in shard_paths(found) if found.suffix == ".json" else [found]:
        require_readable(path)
        require_kind(path)


def _load(folder: Path, content: Mapping[str, Any], kind: Kind, name: str, where: str) -> nn.Module:
    import transformers

    home: Any = getattr(transformers, name, None)
    if home is None:
        raise ModelError(f"{where} needs a newer version of transformers, which has {name}.")
    what = f"The config.json of {where}"
    settings = _settings(content, what)
    options = dict(kind.options or {}) if name == kind.bare else {}
    try:
        with _quiet():
            config = getattr(transformers, kind.config)(**settings)
            if kind.bare == name and hasattr(config, "vision_config"):
                config = config.vision_config
            with torch.device("meta"):
                empty = home(config, **options)
            cards.require_size(sum(part.numel() for part in empty.parameters()), what)
            module, told = home.from_pretrained(
                str(folder),
                config=config,
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
                **options,
            )
    except ModelError:
        raise
    except MemoryError as error:
        raise ModelError(f"There is not enough memory for {where}.") from error
    # What transformers raises on configs and weights that do not fit is of every kind.
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"The weights of {where} cannot be loaded as {name}: {lines[0][:200].rstrip('.:')}.",
            f"{type(error).__name__}: {error}",
        ) from error
    missing = sorted(told["missing_keys"])
    if missing:
        raise ModelError(
            f"The weights of {where} lack {len(missing)} of the model's tensors, the first is {missing[0]}.",
            ", ".join(missing),
        )
    loaded: nn.Module = module.float().eval()
    return loaded


def _settings(content: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The plain settings of a config; what names code, files or repositories is left out."""
    settings = {
        key: value
        for key, value in content.items()
        if not key.startswith("_")
        and key
        not in ("auto_map", "attn_implementation", "architectures", "torch_dtype", "dtype", "text_config")
        and key not in ("transformers_version", "quantization_config", "model_type", "custom_pipelines")
    }
    cards.require_numbers(settings, what)
    for key in ("vision_config", "text_config"):
        if key in settings:
            settings[key] = _settings(settings[key], what) if isinstance(settings[key], Mapping) else {}
    if settings.get("id2label") is not None:
        names = cards.label_list(settings["id2label"], what)
        if isinstance(names, list):
            names = {str(index): name for index, name in enumerate(names)}
        try:
            settings["id2label"] = {int(key): name for key, name in names.items()}
        except ValueError as error:
            raise ModelError(f"{what} does not number its classes with whole numbers.") from error
        settings.pop("num_labels", None)
    settings.pop("label2id", None)
    return settings


def preprocessing(folder: Path, kind: Kind, where: str) -> dict[str, Any]:
    """What the preprocessor's config beside a model states, as timm's data config has it; {} without one."""
    content: Any = None
    for name in PREPROCESSING:
        if (folder / name).is_file():
            content = cards.json_of(folder / name, f"The {name} of {where}")
            if isinstance(content, dict) and isinstance(content.get("image_processor"), dict):
                content = content["image_processor"]
            break
    if not isinstance(content, dict):
        return {} if kind.mean_std is None else {"mean": kind.mean_std[0], "std": kind.mean_std[1]}
    what = f"The preprocessing of {where}"
    found: dict[str, Any] = {}
    resample = content.get("resample")
    if isinstance(resample, int) and 0 <= resample < len(_RESAMPLING):
        found["interpolation"] = _RESAMPLING[resample]
    factor = content.get("rescale_factor", 1 / 255)
    scale = 255.0 * factor if content.get("do_rescale", True) and isinstance(factor, int | float) else 255.0
    if content.get("do_normalize", True):
        for key, ours in (("image_mean", "mean"), ("image_std", "std")):
            if content.get(key) is not None:
                given = content[key] if isinstance(content[key], list) else [content[key]] * 3
                found[ours] = given
    else:
        found |= {"mean": [0.0] * 3, "std": [1.0] * 3}
    found = cards.data_settings(found, what)
    if abs(scale - 1) > 1e-6 and scale > 0:
        found |= {key: tuple(one / scale for one in found[key]) for key in ("mean", "std") if key in found}
    return found | _framing(content, kind)


def _framing(content: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """Size, crop and aspect: both sides resized to a size, or the shorter one, and then perhaps the middle taken."""
    resized, keeps = (
        _size(content.get("size"), kind.shortest_edge) if content.get("do_resize", True) else (None, False)
    )
    cropped, _ = _size(content.get("crop_size"), False) if content.get("do_center_crop") else (None, False)
    part = content.get("crop_pct")
    if resized is not None and keeps and cropped is None and isinstance(part, float) and 0 < part <= 1:
        cropped, resized = resized, (round(resized[0] / part), round(resized[1] / part))
    if resized is None:
        return {} if cropped is None else {"input_size": cropped}
    window = cropped or resized
    # A little more, so that rounding down gives the resized size again.
    return {
        "input_size": window,
        "crop_pct": window[0] / (resized[0] + 1e-6) if window != resized else 1.0,
        "crop_mode": "center" if keeps else "squash",
        "crop_down": True,
    }


def _size(value: object, shortest_edge: bool) -> tuple[tuple[int, int] | None, bool]:
    """(height, width) and whether it is of the shorter side alone."""

    def sound(*sides: object) -> bool:
        return all(
            isinstance(side, int) and not isinstance(side, bool) and 0 < side <= 20_000 for side in sides
        )

    if isinstance(value, dict):
        edge: Any = value.get("shortest_edge")
        height: Any = value.get("height")
        width: Any = value.get("width")
        if sound(edge):
            return (int(edge), int(edge)), True
        return ((int(height), int(width)), False) if sound(height, width) else (None, False)
    if isinstance(value, list) and len(value) == 2 and sound(*value):
        return (value[0], value[1]), False
    return ((value, value), shortest_edge) if isinstance(value, int) and sound(value) else (None, False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and reports on the terminal."""
    from transformers.utils import logging as told

    level, bars = told.get_verbosity(), told.is_progress_bar_enabled()
    told.set_verbosity(logging.CRITICAL)
    told.disable_progress_bar()
    try:
        yield
    finally:
        told.set_verbosity(level)
        if bars:
            told.enable_progress_bar()
