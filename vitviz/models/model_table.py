"""What is known of timm's models by name without importing timm or torch: the table that comes with vitviz.

`python -m vitviz.models.model_table --write` builds every name in scope without weights and writes
`resources/models.json.gz`, stamped with timm's version. Names that vitviz cannot show, with the reason, are in
`resources/refused_models.json.gz` (`python -m vitviz.batch.refused --write`). Accuracies are those of timm's repository
(`resources/imagenet_top1.csv`). What is not known is None or empty; nothing is estimated here.
"""

import argparse
import csv
import gzip
import json
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitviz.resources_path import resource

if TYPE_CHECKING:
    from torch import nn

TABLE = "models.json.gz"
REFUSED = "refused_models.json.gz"
TOP1 = "imagenet_top1.csv"

FAMILIES = {
    "vision_transformer": "ViT",
    "vision_transformer_relpos": "ViT, relative positions",
    "vision_transformer_hybrid": "ViT, hybrid",
    "deit": "DeiT",
    "swin_transformer": "Swin",
    "swin_transformer_v2": "SwinV2",
    "swin_transformer_v2_cr": "SwinV2-CR",
    "beit": "BEiT",
    "eva": "EVA",
    "cait": "CaiT",
    "pit": "PiT",
    "naflexvit": "NaFlexViT",
}
"""The family of each of timm's files in scope."""
_NAMED = {
    "dinov3": "DINOv3",
    "dinov2": "DINOv2",
    "siglip": "SigLIP",
    "clip": "CLIP",
    "beitv2": "BEiT v2",
    "beit3": "BEiT-3",
    "flexivit": "FlexiViT",
    "deit3": "DeiT III",
}
"""Families that a model's name states."""
_DATA = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M",
    "sat493m": "SAT-493M",
    "laion2b": "LAION-2B",
    "laion400m": "LAION-400M",
    "laiona": "LAION-A",
    "openai": "OpenAI's WIT",
    "webli": "WebLI",
    "datacompxl": "DataComp-XL",
    "dfn2b": "DFN-2B",
    "dfn5b": "DFN-5B",
    "merged2b": "Merged-2B",
    "m30m": "Merged-30M",
    "m38m": "Merged-38M",
    "yfcc15m": "YFCC-15M",
}
"""What timm's tags call the data sets."""


@dataclass(frozen=True)
class KnownModel:
    """One name of timm: an architecture with the tag of its weights, or without a tag where it has no weights."""

    name: str
    family: str
    parameters: int
    layers: tuple[int, ...]
    """Attention layers of each stage; one number for a plain ViT."""
    widths: tuple[int, ...]
    """Numbers per token of each stage."""
    heads: tuple[int, ...]
    """Heads per layer of each stage."""
    input_size: tuple[int, int]
    """(height, width) in pixels."""
    patch: tuple[int, int]
    """(height, width) in pixels of what became one token of the first layer."""
    tokens: int
    """Of the first layer, prefix tokens included."""
    classes: int
    """0 for a model without a classifier."""
    licence: str
    """As timm states it; empty where it does not."""
    hub: str
    """The repository on the Hugging Face hub; empty where there is none."""
    filename: str
    """The weight file in that repository, where it is not one of the usual names."""
    url: str
    """Where the weights are otherwise; empty where there is nothing."""

    @property
    def architecture(self) -> str:
        """The name without its tag."""
        return self.name.partition(".")[0]

    @property
    def tag(self) -> str:
        """Which weights: the part of the name after the point; empty without one."""
        return self.name.partition(".")[2]

    @property
    def structure(self) -> str:
        """Layers × width × heads: "12 × 192 × 3"; of stages "2-2-6-2 × 96–768 × 3–24"."""
        return f"{_joined(self.layers, '-')} × {_ends(self.widths)} × {_ends(self.heads)}"

    @property
    def weights(self) -> bool:
        """Whether timm has weights of this name."""
        return bool(self.hub or self.url)

    @property
    def config(self) -> dict[str, str]:
        """Where the weights are, in the words of timm's pretrained config: for `vitviz.models.hub`."""
        return {"hf_hub_id": self.hub, "hf_hub_filename": self.filename, "url": self.url}

    @property
    def download(self) -> int:
        """About how many bytes the weights have: 4 for each parameter, as most files store them."""
        return 4 * self.parameters


@dataclass(frozen=True)
class RefusedModel:
    """One name of timm that vitviz cannot show, and why, as a sentence."""

    name: str
    reason: str
    short: str
    """The reason in a few words."""


def training_data(tag: str) -> str:
    """The data sets that a tag of timm names, in the order of training: "ImageNet-21k, ImageNet-1k"; empty for none."""
    found = [_DATA[part] for part in re.split(r"[_.]", tag) if part in _DATA]
    return ", ".join(dict.fromkeys(found))


def family_of(name: str, file: str) -> str:
    """The family that a model's name states, otherwise that of timm's file."""
    return next((family for part, family in _NAMED.items() if part in name), FAMILIES[file])


@lru_cache(maxsize=1)
def known_models() -> dict[str, KnownModel]:
    """Every name in the table, in its order (timm's); none without the file."""
    content = _read(TABLE)
    return {one["name"]: _known(one) for one in content.get("models", ())}


@lru_cache(maxsize=1)
def table_version() -> str:
    """The version of timm that the table was written with; empty without a table."""
    return str(_read(TABLE).get("timm", ""))


@lru_cache(maxsize=1)
def refused_models() -> dict[str, RefusedModel]:
    """Every architecture of timm that vitviz cannot show, by name; none without the file."""
    found = {}
    for group in _read(REFUSED).get("groups", ()):
        for name in group["names"]:
            found[name] = RefusedModel(name, group["reason"], group["short"])
    return found


@lru_cache(maxsize=1)
def top1() -> dict[str, float]:
    """Top-1 accuracy on ImageNet-1k's validation set in percent, by name with tag, where timm's repository has it."""
    path = resource(TOP1)
    if not path.is_file():
        return {}
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {row["model"]: float(row["top1"]) for row in csv.DictReader(lines)}


def default_tag(architecture: str) -> KnownModel | None:
    """The first weights of an architecture in timm's order, which its name without a tag stands for."""
    return _first_tags().get(architecture)


@lru_cache(maxsize=1)
def _first_tags() -> dict[str, KnownModel]:
    found: dict[str, KnownModel] = {}
    for one in known_models().values():
        found.setdefault(one.architecture, one)
    return found


def look_up(name: str) -> KnownModel | None:
    """What the table knows of a name with or without tag; None for a name that it lacks."""
    return known_models().get(name) or (default_tag(name) if "." not in name else None)


def measure_model(name: str) -> KnownModel:
    """Build a model of timm without weights (0.1 to 1 s) and measure it; `name` with or without tag."""
    from timm.models import model_entrypoint

    from vitviz.models.architectures import bare_module

    module: Any = bare_module(name)
    config: Mapping[str, Any] = module.pretrained_cfg
    embed: Any = getattr(module, "patch_embed", None) or module.embeds
    size = tuple(getattr(embed, "img_size", None) or config["input_size"][-2:])
    grid = embed.grid_size if hasattr(embed, "grid_size") else embed.dynamic_feat_size(size)
    prefix = getattr(module, "num_prefix_tokens", getattr(module, "num_tokens", 0))
    stages = _stages(module)
    return KnownModel(
        name=name,
        family=family_of(name, model_entrypoint(name.partition(".")[0]).__module__.rpartition(".")[2]),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        layers=tuple(layers for layers, _, _ in stages),
        widths=tuple(width for _, width, _ in stages),
        heads=tuple(heads for _, _, heads in stages),
        input_size=(size[0], size[1]),
        patch=(size[0] // grid[0], size[1] // grid[1]),
        tokens=int(grid[0] * grid[1] + prefix),
        classes=int(module.num_classes),
        licence=config.get("license") or "",
        hub=config.get("hf_hub_id") or "",
        filename=config.get("hf_hub_filename") or "",
        url=config.get("url") or "",
    )


def _stages(module: "nn.Module") -> list[tuple[int, int, int]]:
    """(attention layers, width, heads) of each run of layers that are alike, without a pool at the end."""
    stages: list[list[int]] = []
    for path, part in module.named_modules():
        heads, projection = getattr(part, "num_heads", None), getattr(part, "proj", None)
        if not isinstance(heads, int) or projection is None or "pool" in path:
            continue
        width = int(projection.out_features)
        if stages and stages[-1][1:] == [width, heads]:
            stages[-1][0] += 1
        else:
            stages.append([1, width, heads])
    return [(layers, width, heads) for layers, width, heads in stages]


def names_in_scope() -> list[str]:
    """Every name of the installed timm in scope: with each tag, or without one where there are no weights."""
    import timm

    from vitviz.models.architectures import SCOPE

    tags: dict[str, list[str]] = {}
    for name in timm.list_models(module=list(SCOPE), pretrained=True):
        tags.setdefault(name.partition(".")[0], []).append(name)
    found = []
    for architecture in timm.list_models(module=list(SCOPE)):
        first = timm.models.get_pretrained_cfg(architecture)
        default = f"{architecture}.{first.tag}" if first is not None and first.tag else architecture
        # The default first, as the name without a tag stands for it.
        found += sorted(tags.get(architecture, [architecture]), key=lambda name: name != default)
    return found


def write_table(path: Path, names: Iterable[str] | None = None) -> int:
    """Measure all names in scope and write the table; returns how many."""
    import timm

    measured = [measure_model(name) for name in names or names_in_scope()]
    write(path, {"timm": timm.__version__, "models": [asdict(one) for one in measured]})
    return len(measured)


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a compressed JSON file without a time stamp: writing the same content twice gives the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(content, separators=(",", ":")).encode(), 9, mtime=0))


def _read(name: str) -> dict[str, Any]:
    path = resource(name)
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return found


def _known(one: Mapping[str, Any]) -> KnownModel:
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in one.items()
    }
    return KnownModel(**fields)


def _joined(numbers: Sequence[int], sign: str) -> str:
    return sign.join(map(str, numbers))


def _ends(numbers: Sequence[int]) -> str:
    if not numbers:
        return ""
    return f"{numbers[0]}" if numbers[0] == numbers[-1] else f"{numbers[0]}–{numbers[-1]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table of models."""
    parser = argparse.ArgumentParser(prog="python -m vitviz.models.model_table", description=main.__doc__)
    parser.add_argument(
        "--write", action="store_true", required=True, help="measure and write (a few minutes)"
    )
    parser.parse_args(arguments)
    began = time.perf_counter()
    count = write_table(resource(TABLE))
    print(f"{count} names measured in {time.perf_counter() - began:.0f} s: {resource(TABLE)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
