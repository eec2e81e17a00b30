"""What can be chosen as a model: bundled, recommended, recent, on this machine, all of timm, and what cannot be shown.

Made from the shipped tables and from the local caches, without torch and without the network; timm is imported only if its
version is not that of the table.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from vitviz.models import hub
from vitviz.models.model_table import (
    KnownModel,
    default_tag,
    known_models,
    look_up,
    measure_model,
    names_in_scope,
    refused_models,
    table_version,
)
from vitviz.resources_path import resource

BUNDLED = ("demo/vit", "demo/deit", "demo/swin")
RANDOM = "random/"
"""Before a timm name: the architecture with random weights, always the same."""

State = Literal["bundled", "here", "partly", "download", "file", "missing", "no weights", "refused"]
"""Where a model is: with the program; in a cache; partly downloaded; on the hub; a file, there or gone; nowhere, as the
architecture has no weights; or it cannot be shown."""


@dataclass(frozen=True)
class Recommended:
    """A good first model for photos, and what it is for."""

    name: str
    title: str
    brief: str
    """What it is for, in a few words."""
    purpose: str


RECOMMENDED = (
    Recommended(
        "deit_tiny_patch16_224.fb_in1k",
        "DeiT-Tiny",
        "small and fast",
        "Small and fast: 1,000 classes of ImageNet, on any machine",
    ),
    Recommended(
        "vit_small_patch14_reg4_dinov2.lvd142m",
        "DINOv2 ViT-S, registers",
        "clear maps, no classes",
        "Clear maps of objects, learned without labels: it names no classes",
    ),
    Recommended(
        "swin_tiny_patch4_window7_224.ms_in1k",
        "Swin-Tiny",
        "shifted windows",
        "Attention in shifted windows: 1,000 classes of ImageNet",
    ),
    Recommended(
        "vit_base_patch16_224.augreg2_in21k_ft_in1k",
        "ViT-B/16",
        "used in most papers",
        "The model of most papers: 1,000 classes of ImageNet, more accurate than the small ones",
    ),
)


@dataclass(frozen=True)
class ListedModel:
    """One model that can be chosen, or that cannot be shown."""

    source: str
    """What `load_model` takes."""
    state: State
    known: KnownModel | None = None
    """None for weight files, whose figures are known once they are loaded."""
    size: int = 0
    """Bytes on this machine: of the weights, or of an interrupted download."""
    reason: str = ""
    """Why it cannot be shown, as a part of a sentence; empty for all others."""
    short: str = ""
    """The reason in a few words."""

    @property
    def here(self) -> bool:
        """Whether it can be loaded without a download."""
        return self.state in ("bundled", "here", "file")


def listed_models() -> list[ListedModel]:
    """Every model that can be chosen by name: bundled ones, timm's in its order, then those that cannot be shown."""
    names = known_models()
    if table_version() != _installed():
        names = _of_installed(names)
    refused = [
        ListedModel(one.name, "refused", reason=one.reason, short=one.short)
        for one in refused_models().values()
    ]
    return [
        *(bundled_model(name) for name in BUNDLED if _bundled_file(name).is_file()),
        *(timm_model(one) for one in names.values()),
        *refused,
    ]


def timm_model(known: KnownModel) -> ListedModel:
    """A model of timm, looked for in the caches."""
    if not known.weights:
        return ListedModel(known.name, "no weights", known)
    path = hub.cached_weights(known.config)
    if path is not None:
        return ListedModel(known.name, "here", known, path.stat().st_size)
    partial = hub.partial_bytes(known.config)
    return ListedModel(known.name, "partly" if partial else "download", known, partial)


def recommended_models() -> list[tuple[Recommended, ListedModel]]:
    """The recommended models that the table knows, looked for in the caches."""
    known = known_models()
    return [(one, timm_model(known[one.name])) for one in RECOMMENDED if one.name in known]


def recent_models(sources: Iterable[str]) -> list[ListedModel]:
    """Models by the sources they were loaded from: names and weight files. A file that is gone is "missing"."""
    return [listed(source) for source in sources]


def listed(source: str) -> ListedModel:
    """What is known of one source."""
    if source in BUNDLED:
        return bundled_model(source)
    random = source.startswith(RANDOM)
    known = look_up(source.removeprefix(RANDOM))
    if known is not None:
        return ListedModel(source, "bundled", known) if random else replace(timm_model(known), source=source)
    if source.startswith(("hf-hub:", "hf_hub:")):
        found = hub.cached_file(source.partition(":")[2], hub.WEIGHT_FILES[0])
        return ListedModel(source, "download" if found is None else "here", size=_size(found))
    path = Path(source.removeprefix("local-dir:")).expanduser()
    return ListedModel(source, "file" if path.exists() else "missing", size=_size(path))


def bundled_model(name: str) -> ListedModel:
    """A bundled model, from its card and the header of its weights."""
    path = _bundled_file(name)
    made = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["timm"]
    options = made["kwargs"]
    side, patch = options["img_size"], options["patch_size"]
    depths, heads = _tuple(options.get("depths", options.get("depth"))), _tuple(options["num_heads"])
    prefix = 0 if "swin" in name else 2 if "distilled" in made["architecture"] else 1
    known = KnownModel(
        name=name,
        family={"demo/vit": "ViT", "demo/deit": "DeiT", "demo/swin": "Swin"}[name],
        parameters=_parameters(path),
        layers=depths,
        widths=tuple(options["embed_dim"] * 2**stage for stage in range(len(depths))),
        heads=heads,
        input_size=(side, side),
        patch=(patch, patch),
        tokens=(side // patch) ** 2 + prefix,
        classes=options["num_classes"],
        licence="",
        hub="",
        filename="",
        url="",
    )
    return ListedModel(name, "bundled", known, path.stat().st_size)


def labels_of_bundled(name: str) -> tuple[str, ...]:
    """The classes that a bundled model knows, from its card."""
    card = json.loads(_bundled_file(name).with_suffix(".json").read_text(encoding="utf-8"))
    return tuple(card["labels"])


def refusal_of(name: str) -> str:
    """Why timm's model of this name cannot be shown, as a sentence; empty if nothing is known against it."""
    found = refused_models().get(name.partition(".")[0])
    return f"vitviz cannot show {name}: {found.reason.rstrip('.')}." if found is not None else ""


def default_of(architecture: str) -> str:
    """The name with tag that an architecture's name stands for; the same name if it has no weights or is unknown."""
    found = default_tag(architecture)
    return architecture if found is None else found.name


def _of_installed(names: dict[str, KnownModel]) -> dict[str, KnownModel]:
    """The names of another version of timm than the table's; those that the table lacks are measured."""
    return {name: names.get(name) or measure_model(name) for name in names_in_scope()}


def _installed() -> str:
    try:
        return version("timm")
    except PackageNotFoundError:
        return ""


def _bundled_file(name: str) -> Path:
    return resource(f"models/{name.removeprefix('demo/')}.safetensors")


def _parameters(path: Path) -> int:
    """How many numbers a safetensors file holds as parameters: of floating point, as tables of indices are not learned."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    count = 0
    for key, tensor in header.items():
        if (
            key != "__metadata__"
            and tensor["dtype"].startswith(("F", "BF"))
            and not key.endswith("attn_mask")
        ):
            numbers = 1
            for side in tensor["shape"]:
                numbers *= side
            count += numbers
    return count


def _tuple(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


def _size(path: Path | None) -> int:
    try:
        return path.stat().st_size if path is not None and path.is_file() else 0
    except OSError:
        return 0
