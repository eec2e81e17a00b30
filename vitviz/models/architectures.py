"""What each of timm's architectures in scope is made of: measured without weights, and shipped as an index.

Building the 348 models without weights (on torch's meta device) takes about two minutes, so the measurements are kept in
`resources/architectures.json.gz`, written by `python -m vitviz.models.catalog --write` and stamped with timm's
version; an architecture newer than the index is measured when it is first asked for.

Decision: the index holds the tensors' names (layer numbers removed), shapes and counts, not a hash of them, because the
error for a weight file that fits nothing names the nearest architectures.
"""

import difflib
import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vitviz.errors import ModelError
from vitviz.models.describing import timm_file
from vitviz.resources_path import resource

SCOPE = (
    "vision_transformer",
    "deit",
    "vision_transformer_relpos",
    "vision_transformer_hybrid",
    "swin_transformer",
    "swin_transformer_v2",
    "swin_transformer_v2_cr",
    "beit",
    "eva",
    "cait",
    "pit",
    "naflexvit",
)
INDEX = "architectures.json.gz"

Shape = tuple[int, ...]
Signature = Mapping[tuple[str, Shape], int]
"""How many tensors have this name (layer numbers replaced by #) and shape; without the classifier."""

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
# Recomputed from the input size by every model; some files carry them, others do not.
_DERIVED = re.compile(
    r"(relative_position_index|attn_mask|relative_coords_table|num_batches_tracked|attn\.k_bias)$"
)
# Attributes that do not change what is computed from given weights and a given picture.
_IDLE = re.compile(
    r"^(training|p|.*drop.*|fused_attn|grad_checkpointing|weight_init.*|init_.*|feature_info|num_classes|output_fmt|"
    r"inplace|fix_init|dynamic_img_size|dynamic_img_pad|strict_img_size|flatten|head_hidden_size|.*_rate|num_patches)$"
)


@dataclass(frozen=True)
class Architecture:
    """One timm architecture: `input_size` (height, width), tokens of its first layer, its tensors."""

    name: str
    file: str
    parameters: int
    input_size: tuple[int, int]
    tokens: int
    function: str
    """Equal for two architectures that compute the same from the same tensors and the same picture."""
    signature: Signature


def known() -> dict[str, Architecture]:
    """Every architecture in scope of the installed timm, by name; those missing from the index are measured."""
    import timm

    index = read_index()
    return {name: index.get(name) or measure(name) for name in timm.list_models(module=list(SCOPE))}


@lru_cache(maxsize=64)
def measure(name: str) -> Architecture:
    """Build an architecture without weights (0.1 to 1 s) and measure it."""
    module = bare_module(name)
    config: Mapping[str, Any] = module.pretrained_cfg  # type: ignore[assignment]
    embed: Any = getattr(module, "patch_embed", None)
    size = tuple(getattr(embed, "img_size", None) or config["input_size"][-2:])
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    return Architecture(
        name=name,
        file=timm_file(module),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        input_size=(size[0], size[1]),
        tokens=_tokens(module, size),
        function=_function(module),
        signature=signature(shapes, classifier_names(config)),
    )


def require_known(name: str) -> None:
    """Raise a ModelError that suggests the closest names if timm has no such model (a tag is ignored)."""
    import timm

    bare = name.split(".")[0]
    if timm.is_model(bare):
        return
    near = closest(bare, timm.list_models(module=list(SCOPE))) or closest(bare, timm.list_models())
    hint = f" Did you mean {' or '.join(near)}?" if near else " `vitviz models` lists what there is."
    raise ModelError(f"timm has no model called “{name}”.{hint}")


def closest(name: str, names: Sequence[str]) -> list[str]:
    """Up to three of `names` that are similar to `name` or contain it."""
    return (
        difflib.get_close_matches(name, names, n=3, cutoff=0.6) or [one for one in names if name in one][:3]
    )


def bare_module(name: str, **options: Any) -> nn.Module:
    """A timm model without weights: on the meta device, nothing allocated. Options go to timm."""
    import timm

    with torch.device("meta"):
        module: nn.Module = timm.create_model(name, **options)
    return module


def classifier_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a timm model's classifiers: ("head",), ("head", "head_dist"), ("head.fc",)."""
    names = config.get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)


def signature(shapes: Mapping[str, Shape], classifiers: Iterable[str]) -> Counter[tuple[str, Shape]]:
    """Count tensors by name without layer numbers and by shape, leaving out classifiers and what is derived."""
    prefixes = tuple(f"{name}." for name in classifiers)
    return Counter(
        (_NUMBER.sub("#", key), tuple(shape))
        for key, shape in shapes.items()
        if not key.startswith(prefixes) and not is_derived(key)
    )


def is_derived(key: str) -> bool:
    """Whether a tensor of this name is computed from the input size rather than learned."""
    return _DERIVED.search(key) is not None


def write_index(path: Path, names: Iterable[str] | None = None) -> int:
    """Measure all architectures in scope (about two minutes) and write the index; returns how many."""
    import timm

    measured = [measure(name) for name in names or timm.list_models(module=list(SCOPE))]
    strings = sorted({key for one in measured for key, _ in one.signature})
    shapes = sorted({shape for one in measured for _, shape in one.signature})
    key_number = {key: number for number, key in enumerate(strings)}
    shape_number = {shape: number for number, shape in enumerate(shapes)}
    content = {
        "timm": timm.__version__,
        "names": strings,
        "shapes": shapes,
        "architectures": {
            one.name: {
                "file": one.file,
                "parameters": one.parameters,
                "input_size": one.input_size,
                "tokens": one.tokens,
                "function": one.function,
                "tensors": [
                    [key_number[key], shape_number[shape], count]
                    for (key, shape), count in sorted(one.signature.items())
                ],
            }
            for one in measured
        },
    }
    text = json.dumps(content, separators=(",", ":"))
    path.parent.mkdir(parents=True, exist_ok=True)
    # No time stamp, so that writing the same content twice gives the same file.
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    return len(measured)


@lru_cache(maxsize=1)
def read_index() -> dict[str, Architecture]:
    """The architectures in the index that comes with vitviz, by name; none without it."""
    path = resource(INDEX)
    if not path.is_file():
        return {}
    content = json.loads(gzip.decompress(path.read_bytes()))
    names, shapes = content["names"], [tuple(shape) for shape in content["shapes"]]
    return {
        name: Architecture(
            name=name,
            file=one["file"],
            parameters=one["parameters"],
            input_size=(one["input_size"][0], one["input_size"][1]),
            tokens=one["tokens"],
            function=one["function"],
            signature={(names[key], shapes[shape]): count for key, shape, count in one["tensors"]},
        )
        for name, one in content["architectures"].items()
    }


def index_version() -> str | None:
    """The version of timm that the shipped index was written with; None without an index."""
    path = resource(INDEX)
    if not path.is_file():
        return None
    return str(json.loads(gzip.decompress(path.read_bytes()))["timm"])


def _tokens(module: nn.Module, size: tuple[int, ...]) -> int:
    """Patches on the picture (Swin: of the first stage) and prefix tokens that go through the layers with them."""
    embed: Any = getattr(module, "patch_embed", None) or getattr(module, "embeds", None)
    grid = embed.grid_size if hasattr(embed, "grid_size") else embed.dynamic_feat_size(tuple(size))
    prefix: Any = getattr(module, "num_prefix_tokens", getattr(module, "num_tokens", 0))
    return int(grid[0] * grid[1] + prefix)


def _function(module: nn.Module) -> str:
    """A hash of the classes and plain settings of all parts: activations, heads, eps, pooling, windows, sizes."""
    lines = []
    for name, part in module.named_modules():
        plain = {
            key: _plain(value)
            for key, value in vars(part).items()
            if not key.startswith("_") and not _IDLE.match(key) and _plain(value) is not None
        }
        kind = type(part).__name__
        # Dropout and stochastic depth do nothing in eval mode.
        if "Drop" not in kind and kind != "Identity":
            lines.append(f"{name} {kind} {sorted(plain.items())}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _plain(value: object) -> str | None:
    if isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, tuple | list) and all(isinstance(one, bool | int | float | str) for one in value):
        return repr(tuple(value))
    if callable(value) and not isinstance(value, nn.Module | type):
        return str(getattr(value, "__name__", None) or type(value).__name__)
    return None
