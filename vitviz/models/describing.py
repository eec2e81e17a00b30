"""What a module states: data config, classes, labels and name, whichever library it is from."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from vitviz.errors import ModelError, VitvizError, first_line
from vitviz.images.framing import DataConfig
from vitviz.models.answering import answer_in
from vitviz.models.devices import memory_guard
from vitviz.models.labels import Labels
from vitviz.models.outputs import Outputs, heads_of, kind_of
from vitviz.models.pass_lock import lock_of
from vitviz.models.vision_part import is_hugging_faces

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_KINDS = ("deit", "swin", "swinv2", "dinov2", "dinov2_with_registers", "dinov3_vit", "vit_mae")
EMBEDDINGS = ("pooler_output", "image_embeds", "last_hidden_state")
"""Where models keep an embedding or their tokens in an object or a dict."""
_SWIN_FILES = ("swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr")


@dataclass(frozen=True)
class Description:
    """`note` is a part of a sentence: what had to be assumed, empty where nothing had to be."""

    name: str
    architecture: str | None
    data: DataConfig
    classes: int
    labels: Labels | None
    note: str = ""
    outputs: Outputs = "classes"
    """What the answer's numbers are; `classes` is how many, 0 for an embedding and for tokens only."""
    numbers: int | None = None
    """How many numbers there are, if they are no classes and that is known."""


def describe(module: nn.Module, data: DataConfig | None = None) -> Description:
    """Read name, data config, classes and labels from a module; `data`, if given, replaces its own.

    timm's models carry a pretrained config; torchvision's and Hugging Face's are known by their classes; any other
    module is tried once on a blank picture of `data`'s size (224×224 and ImageNet's mean and std if not given).
    Raises ModelError for a module that takes no such picture or gives no (1, classes) answer.
    """
    home = type(module).__module__
    if isinstance(getattr(module, "pretrained_cfg", None), Mapping):
        found = _describe_timm(module)
    elif home.startswith("torchvision.models."):
        found = _describe_torchvision(module)
    elif is_hugging_faces(module):
        found = _describe_hugging_face(module)
    else:
        found = _describe_unknown(module, data)
    return found if data is None else replace(found, data=data, note="")


def data_from_config(config: Mapping[str, Any], size: tuple[int, int] | None, multiple: int) -> DataConfig:
    """timm's evaluation data config (`input_size`, `mean`, `crop_pct` …) as a DataConfig; `size` replaces its own."""
    from timm.data import resolve_data_config

    resolved = resolve_data_config(pretrained_cfg=dict(config))
    mean, std = tuple(resolved["mean"]), tuple(resolved["std"])
    if len(mean) != 3 or len(std) != 3:
        raise ModelError(
            f"The model takes pictures of {len(mean)} channels; vitviz gives red, green and blue."
        )
    return DataConfig(
        input_size=size or tuple(resolved["input_size"][-2:]),
        mean=mean,
        std=std,
        interpolation=resolved["interpolation"],
        crop_pct=float(resolved["crop_pct"]),
        crop_mode=resolved["crop_mode"],
        multiple=multiple,
        crop_down=bool(config.get("crop_down")),
    )


def timm_file(module: nn.Module) -> str:
    """The timm file that defines a model's class ("vision_transformer"); empty if timm does not define it."""
    package, _, name = type(module).__module__.rpartition(".")
    return name if package == "timm.models" else ""


def granularity(module: nn.Module) -> int:
    """What the sides of an input must be multiples of, in pixels, so that no token is cut or padded.

    The patch size; 32 for Swin with its four stages; what a hybrid's convolutions reduce by.
    """
    if timm_file(module) in _SWIN_FILES:
        stages = len(getattr(module, "layers", getattr(module, "stages", ())))
        swin: Any = module
        return int(max(swin.patch_embed.patch_size)) << max(stages - 1, 0)
    embed: Any = getattr(module, "patch_embed", getattr(module, "embeds", None))
    if callable(getattr(embed, "feat_ratio", None)):
        return int(embed.feat_ratio(as_scalar=True))
    convolution = getattr(embed, "conv", None)
    if isinstance(convolution, nn.Conv2d):
        return max(convolution.stride)
    return 16


def _describe_timm(module: nn.Module) -> Description:
    config: Mapping[str, Any] = module.pretrained_cfg  # type: ignore[assignment]
    if getattr(module, "in_chans", 3) != 3:
        raise ModelError(
            f"The model takes pictures of {module.in_chans} channels; vitviz gives red, green and blue."
        )
    size = getattr(getattr(module, "patch_embed", None), "img_size", None)
    architecture = config.get("architecture") or None
    return Description(
        name=architecture or type(module).__name__,
        architecture=architecture,
        data=data_from_config(config, tuple(size) if size else None, granularity(module)),
        classes=int(getattr(module, "num_classes", 0)),
        labels=_card_labels(config, int(getattr(module, "num_classes", 0))),
    )


def _card_labels(config: Mapping[str, Any], classes: int) -> Labels | None:
    """The labels on a Hugging Face card for timm, unless they are WordNet's codes or do not fit."""
    names = config.get("label_names")
    if not names or len(names) != classes:
        return None
    spoken = config.get("label_descriptions") or {}
    in_order = [names[key] for key in sorted(names, key=int)] if isinstance(names, Mapping) else list(names)
    if not spoken and all(name[:1] == "n" and name[1:].isdigit() for name in in_order):
        return None
    return [spoken.get(name, name) for name in in_order]


def _describe_torchvision(module: nn.Module) -> Description:
    """torchvision's ViT and Swin; the resizing is the one its weights were published with."""
    name = type(module).__name__
    known, note = _torchvision_preset(module)
    size = getattr(module, "image_size", None) or (known["crop_size"] if known else 224)
    data = DataConfig(
        input_size=(size, size),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        interpolation=known["interpolation"] if known else "bilinear",
        crop_pct=known["crop_size"] / known["resize_size"] if known else 0.875,
        crop_mode="center",
        multiple=getattr(module, "patch_size", 32),
    )
    linears = [part for part in module.modules() if isinstance(part, nn.Linear)]
    return Description(known["name"] if known else name, None, data, linears[-1].out_features, None, note)


def _torchvision_preset(module: nn.Module) -> tuple[dict[str, Any], str]:
    """The builder whose published weights have as many parameters, and how their pictures were resized."""
    from torchvision import models

    linears = [part for part in module.modules() if isinstance(part, nn.Linear)]
    if not linears:
        raise ModelError(
            f"{type(module).__name__} has no classifier; give a torchvision model with its head."
        )
    head = linears[-1]
    count = sum(parameter.numel() for parameter in module.parameters())
    count += (1000 - head.out_features) * (head.in_features + 1)
    for builder in models.list_models(module=models, include=["vit_*", "swin_*"]):
        weights = models.get_model_weights(builder).DEFAULT
        if weights.meta["num_params"] == count:
            preset = inspect.signature(weights.transforms.func).bind_partial(**weights.transforms.keywords)
            preset.apply_defaults()
            given = preset.arguments
            return {
                "name": builder,
                "crop_size": given["crop_size"],
                "resize_size": given["resize_size"],
                "interpolation": given["interpolation"].value,
            }, ""
    return {}, "resized as torchvision usually does"


def _describe_hugging_face(module: nn.Module) -> Description:
    """Hugging Face's ViT (squashed, 0.5), Swin (squashed, ImageNet's) and DeiT (centre crop, ImageNet's)."""
    whole: Any = module.config
    config = getattr(whole, "vision_config", whole)  # where text has a config of its own
    kind = str(getattr(whole, "model_type", ""))
    size = getattr(config, "image_size", 224)
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    patch = getattr(config, "patch_size", 16)
    multiple = patch if isinstance(patch, int) else max(patch)
    if "swin" in kind:
        multiple *= 2 ** (len(getattr(config, "depths", (0,))) - 1)
    half = kind == "vit" or kind.startswith("siglip")
    mean, std = (HALF, HALF) if half else (IMAGENET_MEAN, IMAGENET_STD)
    if kind.startswith("clip"):
        mean, std = CLIP_MEAN, CLIP_STD
    data = DataConfig(
        input_size=(height, width),
        mean=mean,
        std=std,
        interpolation="bilinear" if half else "bicubic",
        crop_pct=0.875 if kind == "deit" else 1.0,
        crop_mode="center" if kind == "deit" else "squash",
        multiple=multiple,
    )
    names = dict(getattr(whole, "id2label", None) or {})
    invented = all(str(name) == f"LABEL_{index}" for index, name in names.items())
    name = str(getattr(whole, "_name_or_path", "") or type(module).__name__)
    note = (
        "normalised with ImageNet's mean and std"
        if mean == IMAGENET_MEAN and kind not in IMAGENET_KINDS
        else ""
    )
    first = {index: str(label).split(",")[0] for index, label in names.items()}
    # Bare models, which give tokens or an embedding, have a number of labels in their config too.
    classes = int(whole.num_labels) if "ForImageClassification" in type(module).__name__ else 0
    outputs: Outputs = "classes" if classes else "embedding"
    if classes and getattr(whole, "problem_type", None) == "regression":
        outputs = "values"
    return Description(name, None, data, classes, None if invented or not classes else first, note, outputs)


def _describe_unknown(module: nn.Module, data: DataConfig | None) -> Description:
    used = data or DataConfig((224, 224), IMAGENET_MEAN, IMAGENET_STD, "bicubic", 0.875, "center", 16)
    height, width = used.input_size
    name = type(module).__name__
    weight = next((parameter for parameter in module.parameters() if parameter.is_floating_point()), None)
    blank = torch.zeros(1, 3, height, width)
    if weight is not None:
        blank = blank.to(weight.device, weight.dtype)
    own = torch.autocast(blank.device.type, enabled=False)
    try:
        with (
            memory_guard(name, blank.device),
            lock_of(module),
            own,
            torch.no_grad(),
            heads_of(module) as heads,
        ):
            answer: Any = module(blank)
    except VitvizError:
        raise
    except Exception as error:
        raise ModelError(
            f"{name} does not take a picture of 3×{height}×{width}: {first_line(error)} "
            "Say what it takes with data=DataConfig(input_size=…, mean=…, std=…).",
            f"{type(error).__name__}: {error}",
        ) from error
    found = _numbers(answer, name)
    outputs, labels = ("embedding", None) if found is None else kind_of(module, found, heads)
    count = 0 if found is None else found.shape[1]
    classes = 0 if outputs == "embedding" else count
    note = "" if data else "taken to see 224×224 with ImageNet's mean and std (data= sets others)"
    return Description(name, None, used, classes, labels, note, outputs, count or None)


def _numbers(output: Any, name: str) -> torch.Tensor | None:
    """The 1×numbers of an answer to one picture; None for tokens only. Raises ModelError for anything else."""
    if not _has(output, "logits") and any(_has(output, part) for part in EMBEDDINGS):
        return None
    answer = answer_in(output)
    if isinstance(answer, torch.Tensor) and answer.ndim == 3 and answer.shape[0] == 1:
        return None
    if not isinstance(answer, torch.Tensor) or answer.ndim != 2 or answer.shape[0] != 1:
        given = output if answer is None else answer
        shape = tuple(given.shape) if isinstance(given, torch.Tensor) else type(given).__name__
        raise ModelError(
            f"{name} must answer one picture with a (1, classes) tensor or with `.logits`, and gives {shape}."
        )
    if answer.layout != torch.strided or answer.is_complex():
        raise ModelError(f"{name} must answer with a dense tensor of real numbers.")
    return answer


def _has(output: Any, name: str) -> bool:
    return (output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)) is not None
