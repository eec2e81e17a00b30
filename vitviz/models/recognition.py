"""Which timm architecture a weight file belongs to, found from the names and shapes of its tensors.

All architectures in scope are ranked against the shipped index (milliseconds); the best few are built without
memory at the file's own number of classes and input size and compared tensor by tensor, as they are and after
timm's own conversion of older namings. What fits none of them is built from what the tensors say (`plain_vit`).

Architectures may share every tensor. Then decide, in this order: the caller; a name in the file's header; the longest
name within the file's name; the shortest name, if all compute the same (noted in `weights` where their preprocessing
differs). If they compute differently and nothing decides, that is an error: a guess could show a wrong picture.
"""

import importlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from vitviz.errors import ModelError
from vitviz.models.architectures import (
    Architecture,
    Shape,
    bare_module,
    is_derived,
    known,
    require_known,
    signature,
)
from vitviz.models.checkpoint import WeightFile
from vitviz.models.describing import IMAGENET_MEAN, IMAGENET_STD, timm_file
from vitviz.models.plain_vit import SWIN, VIT, stated_size, swin_options, swin_size, vit_options

_HEADS = ("head", "head_dist")
_TRIED = 6
_NEAR = 0.8
"""The part of its tensors that a file shares at least with the architecture it is of, tables of other sizes included."""
_FLEXIBLE = re.compile(r"(^|\.)(pos_embed|relative_position_bias_table)$")
# Tensors that training leaves in a file besides the network.
_EXTRA = re.compile(
    r"^(mask_token$|decoder|text|logit_scale|logit_bias|criterion|loss|predictor|projector|queue|head\.(mlp|last_layer)|"
    r"dino_head|ibot_head|n_averaged$|initted$|step$|pre_logits)"
)
# Luma of BT.601, as Pillow makes a photo gray.
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Match:
    """An architecture that a file fits: timm's name (perhaps with tag), options and tensors to load strictly."""

    architecture: str
    options: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]
    note: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the preprocessing that replace the architecture's own."""
    named: bool = True
    """Whether it is the named architecture as it is, not one built with other options."""


@dataclass(frozen=True)
class Difference:
    """How a file's tensors differ from an architecture's: names, and (name, file's shape, own shape)."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shapes: tuple[tuple[str, Shape, Shape], ...]

    @property
    def count(self) -> int:
        """How many tensors differ."""
        return len(self.missing) + len(self.unexpected) + len(self.shapes)

    def first(self, limit: int = 3) -> list[str]:
        """The first differences of each kind, for reading."""
        lines = [f"{key} is {_times(file)}, not {_times(own)}" for key, file, own in self.shapes[:limit]]
        lines += [f"{key} is missing" for key in self.missing[:limit]]
        lines += [f"{key} is not in the architecture" for key in self.unexpected[:limit]]
        return lines


def recognise(
    file: WeightFile,
    architecture: str | None = None,
    image_size: tuple[int, int] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Match:
    """The architecture whose tensors these are; `architecture` (a timm name) is used instead of searching, and checked.

    `image_size` (height, width) is only used where the tensors leave open how many patches are in a row; `options` of the
    architecture given replace those that the tensors say. Raises ModelError where nothing fits, naming the closest and the
    first tensors that differ, and where several fit that compute differently.
    """
    gray = _is_gray(file.tensors)
    if gray:
        file = replace(file, tensors=_for_rgb(file.tensors))
    match = _recognise(file, architecture, image_size, options or {})
    if not gray:
        return match
    said = "takes gray: red, green and blue are weighed 0.299, 0.587 and 0.114, and normalised alike"
    mean, std, *_ = _preparation(match.architecture)
    mean, std = match.data.get("mean", mean), match.data.get("std", std)
    # One mean and std for all three, so that weighing and normalising may change places.
    data = {"mean": (sum(mean) / 3,) * 3, "std": (sum(std) / 3,) * 3}
    return replace(match, note=f"{match.note}, {said}" if match.note else said, data=data)


def _recognise(
    file: WeightFile,
    architecture: str | None,
    image_size: tuple[int, int] | None,
    given: Mapping[str, Any],
) -> Match:
    if architecture is not None:
        require_known(architecture)
        found = _fit(architecture, file, image_size, given)
        if isinstance(found, Match):
            return found
        raise ModelError(
            f"{file.path.name} does not fit {architecture}: {found.first(1)[0]}.", "\n".join(found.first(12))
        )
    ranked = rank(file.tensors)
    # Of another depth or width than all of them: nothing needs to be compared tensor by tensor.
    if ranked[0][0] < _NEAR and (built := _built(file, image_size)):
        return built
    mine = _signature_of(file.tensors)
    rivals: list[Architecture] = []
    fits: dict[str, Match] = {}
    failed: list[tuple[float, Architecture, Difference]] = []
    for score, candidate in _distinct(ranked)[:_TRIED]:
        # Once something fits, only an architecture of the very same shapes, otherwise named, can fit as well.
        if fits and _alike(mine, candidate.signature) < 1:
            continue
        found = _fit(candidate.name, file, image_size)
        if isinstance(found, Difference):
            failed.append((score, candidate, found))
            continue
        fits[candidate.name] = found
        rivals += [
            one for _, one in ranked if one.signature == candidate.signature and one.file in _kin(candidate)
        ]
    if not fits:
        return _built(file, image_size) or _raise(_no_match(file, failed))
    chosen, note = _choose(rivals, file)
    match = fits.get(chosen) or _fit(chosen, file, image_size)
    if isinstance(match, Difference):
        raise _no_match(file, [(1.0, rivals[0], match)])
    return Match(chosen, match.options, match.tensors, note)


def rank(tensors: Mapping[str, torch.Tensor]) -> list[tuple[float, Architecture]]:
    """All architectures in scope, best first, with the part of the tensors they share with the file (0 … 1).

    Shapes alone count a little less than names and shapes, for files that name their tensors otherwise.
    """
    mine = _signature_of(tensors)
    ranked = [
        (max(_shared(mine, one.signature), 0.9 * _alike(mine, one.signature)), one)
        for one in known().values()
    ]
    return sorted(ranked, key=lambda pair: (-pair[0], len(pair[1].name), pair[1].name))


def _signature_of(tensors: Mapping[str, torch.Tensor]) -> Counter[tuple[str, Shape]]:
    shapes = {key: tuple(value.shape) for key, value in tensors.items() if not _EXTRA.match(key)}
    return signature(shapes, _HEADS)


def _shared(mine: Mapping[tuple[str, Shape], int], theirs: Mapping[tuple[str, Shape], int]) -> float:
    both: float = sum(min(count, theirs.get(key, 0)) for key, count in mine.items())
    sizes = {key: shape for key, shape in theirs if _FLEXIBLE.search(key)}
    for (key, shape), count in mine.items():
        # A table for another input size is half a match.
        if key in sizes and (key, shape) not in theirs and len(shape) == len(sizes[key]):
            both += count / 2
    return both / max(sum(mine.values()) + sum(theirs.values()) - both, 1)


def _alike(mine: Mapping[tuple[str, Shape], int], theirs: Mapping[tuple[str, Shape], int]) -> float:
    left, right = Counter[Shape](), Counter[Shape]()
    for side, counts in ((left, mine), (right, theirs)):
        for (_, shape), count in counts.items():
            side[shape] += count
    both = (left & right).total()
    return both / max(left.total() + right.total() - both, 1)


def _distinct(ranked: Sequence[tuple[float, Architecture]]) -> list[tuple[float, Architecture]]:
    """The first of each set of architectures that share all tensors."""
    seen: set[tuple[str, frozenset[Any]]] = set()
    kept = []
    for score, one in ranked:
        mark = (one.file, frozenset(one.signature.items()))
        if mark not in seen:
            seen.update((file, mark[1]) for file in _kin(one))
            kept.append((score, one))
    return kept


def _kin(one: Architecture) -> tuple[str, ...]:
    """timm's files whose models load one another's tensors: DeiT's models are vision transformers."""
    return ("vision_transformer", "deit") if one.file in ("vision_transformer", "deit") else (one.file,)


def _built(file: WeightFile, image_size: tuple[int, int] | None) -> Match | None:
    """A timm VisionTransformer or SwinTransformer with what the tensors say; None where they say something else."""
    tensors = {key: value for key, value in file.tensors.items() if not _EXTRA.match(key)}
    tensors = _swin_renamed(tensors)
    base, options, note = SWIN, swin_options(file, tensors), ""
    if options is None:
        found = vit_options(file, tensors, image_size)
        if found is None:
            return None
        base, (options, note) = VIT, found
    options["num_classes"] = _classes(tensors)
    module = bare_module(base, **options)
    tensors = _head_named(tensors, module)
    if compare(tensors, module.state_dict()).count:
        return None
    kind = "SwinTransformer" if base == SWIN else "VisionTransformer"
    notes = [f"built as timm's {kind} from its tensors", *([note] if note else [])]
    # The original JAX weights were all trained with timm's default for them; of others nothing is known.
    data: dict[str, Any] = {}
    if file.path.suffix.lower() != ".npz":
        data = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
        notes.append("normalised with ImageNet's mean and std (data= sets others)")
    return Match(base, options, _only(tensors, module), ", ".join(notes), data, named=False)


def _swin_renamed(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of Swin's original code, which merges at the end of a stage, named as timm names them."""
    if "layers.0.downsample.reduction.weight" not in tensors:
        return tensors
    merging = re.compile(r"^layers\.(\d+)\.downsample\.")
    return {
        merging.sub(lambda found: f"layers.{int(found[1]) + 1}.downsample.", key): value
        for key, value in tensors.items()
    }


def _raise(error: ModelError) -> NoReturn:
    raise error


def _is_gray(tensors: Mapping[str, torch.Tensor]) -> bool:
    first = tensors.get("patch_embed.proj.weight")
    return first is not None and first.ndim == 4 and first.shape[1] == 1


def _for_rgb(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The patch embedding of a network for gray pictures as one for colours, which weighs them into gray first."""
    first = tensors["patch_embed.proj.weight"]
    luma = torch.tensor(_LUMA, dtype=torch.float64).view(1, 3, 1, 1)
    return {**tensors, "patch_embed.proj.weight": (first.double() * luma).to(first.dtype)}


def _head_named(tensors: Mapping[str, torch.Tensor], module: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors with the classifier named as the module names it: `head` or `head.fc`."""
    own = module.state_dict()
    if "head.fc.weight" in own and "head.weight" in tensors and "head.weight" not in own:
        return {
            f"head.fc.{key.removeprefix('head.')}" if key in ("head.weight", "head.bias") else key: value
            for key, value in tensors.items()
        }
    return dict(tensors)


def _fit(
    name: str,
    file: WeightFile,
    image_size: tuple[int, int] | None = None,
    given: Mapping[str, Any] | None = None,
) -> Match | Difference:
    """Compare a file with an architecture at the file's own number of classes and input size, or as `given` says."""
    tensors = {key: value for key, value in file.tensors.items() if not _EXTRA.match(key)}
    options: dict[str, Any] = {"num_classes": _classes(tensors), **(given or {})}
    module: Any = bare_module(name, **options)
    # Fine-tuning code that reads the mean of the patches normalises it after the mean, as timm does with this option.
    if "fc_norm.weight" in tensors and isinstance(getattr(module, "fc_norm", None), nn.Identity):
        options.setdefault("global_pool", "avg")
    size = _size_of(module, tensors, file, image_size)
    if size is not None:
        options.setdefault("img_size", size)
    if len(options) > 1:
        module = bare_module(name, **options)
    told = file.settings.get("num_heads")
    first = next(iter(getattr(module, "blocks", ())), None)
    own = getattr(getattr(first, "attn", None), "num_heads", None)
    if isinstance(told, int) and isinstance(own, int) and told != own:
        return Difference((), (), (("num_heads", (told,), (own,)),))
    tensors = _head_named(tensors, module)
    direct = compare(tensors, module.state_dict())
    if not direct.count:
        return Match(name, options, _only(tensors, module))
    converted = _converted(module, file.tensors)
    if converted is None:
        return direct
    difference = compare(converted, module.state_dict())
    if not difference.count:
        return Match(name, options, _only(converted, module))
    return min(direct, difference, key=lambda one: one.count)


def compare(tensors: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> Difference:
    """What is missing, superfluous or of another shape in `tensors` for a module that holds `own`."""
    return Difference(
        missing=tuple(key for key in own if key not in tensors and not is_derived(key)),
        unexpected=tuple(
            key for key in tensors if key not in own and not is_derived(key) and not _EXTRA.match(key)
        ),
        shapes=tuple(
            (key, tuple(tensors[key].shape), tuple(value.shape))
            for key, value in own.items()
            if key in tensors and tensors[key].shape != value.shape
        ),
    )


def _only(tensors: Mapping[str, torch.Tensor], module: nn.Module) -> dict[str, torch.Tensor]:
    return {key: tensors[key] for key in module.state_dict() if key in tensors}


def _classes(tensors: Mapping[str, torch.Tensor]) -> int:
    """How many classes a file's classifier has; 0 where it has none."""
    for key in ("head.fc.weight", "head.weight"):
        if key in tensors and tensors[key].ndim == 2:
            return int(tensors[key].shape[0])
    if "visual.proj" in tensors:
        return int(tensors["visual.proj"].shape[1])
    return 0


def _size_of(
    module: Any, tensors: Mapping[str, torch.Tensor], file: WeightFile, image_size: tuple[int, int] | None
) -> tuple[int, int] | None:
    """The input size a file was made for, if it is another than the module's: told by its position table, by its
    settings, by Swin's masks, or by `image_size` where the positions are no square.
    """
    embed: Any = getattr(module, "patch_embed", None)
    grid = getattr(embed, "grid_size", None)
    if grid is None:
        return None
    own, table = getattr(module, "pos_embed", None), tensors.get("pos_embed")
    if "visual.positional_embedding" in tensors:
        table = tensors["visual.positional_embedding"][None]
    side: float | None = None
    if timm_file(module) in ("swin_transformer", "swin_transformer_v2"):
        window = next((int(block.window_size[0]) for stage in module.layers for block in stage.blocks), 0)
        size = swin_size(file, tensors, max(embed.patch_size), window)
        return None if size == tuple(embed.img_size) else size
    if own is not None and table is not None and own.ndim == table.ndim == 3:
        cell = embed.feat_ratio(as_scalar=False)
        rows, cols = (cell, cell) if isinstance(cell, int) else cell
        extra = _without_place(own, grid, tensors)
        for wanted in (stated_size(file), image_size):
            fits = wanted is not None and wanted[0] // rows * (wanted[1] // cols) + extra == table.shape[1]
            if fits and wanted != tuple(embed.img_size):
                return wanted
    if own is not None and table is not None and own.ndim == table.ndim and own.shape != table.shape:
        if own.ndim == 4:
            stride, patch = embed.conv.stride[0], embed.conv.kernel_size[0]
            height, width = table.shape[-2:]
            return (height - 1) * stride + patch, (width - 1) * stride + patch
        side = math.sqrt(max(table.shape[1] - _without_place(own, grid, tensors), 0))
    elif own is None:
        key = next((key for key in module.state_dict() if key.endswith("relative_position_bias_table")), "")
        if (
            key in tensors
            and tensors[key].shape != module.state_dict()[key].shape
            and hasattr(module, "blocks")
        ):
            # BEiT: (2g − 1)² distances and three for the class token.
            side = (math.sqrt(max(tensors[key].shape[0] - 3, 0)) + 1) / 2
    if side is None or side != int(side) or side < 1:
        return None
    cell = embed.feat_ratio(as_scalar=False)
    rows, cols = (cell, cell) if isinstance(cell, int) else cell
    return int(side) * rows, int(side) * cols


def _without_place(own: torch.Tensor, grid: tuple[int, int], tensors: Mapping[str, torch.Tensor]) -> int:
    """How many entries of a file's position table are of prefix tokens: as in the module, but one in DINOv2's own files."""
    return 1 if "register_tokens" in tensors else int(own.shape[1] - grid[0] * grid[1])


def _converted(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor] | None:
    """The tensors as timm's own conversion of older namings gives them; None where it does not know them."""
    home = importlib.import_module(type(module).__module__)
    convert = getattr(home, "checkpoint_filter_fn", None)
    if convert is None:
        return None
    options = {"adapt_layer_scale": True} if any(".gamma_" in key for key in tensors) else {}
    try:
        with torch.no_grad():
            result = convert(dict(tensors), module, **options)
    # timm's conversions assume the file's naming and fail in many ways on another one.
    except Exception:
        return None
    sound = isinstance(result, Mapping) and all(isinstance(value, torch.Tensor) for value in result.values())
    if not sound or any(value.is_meta for value in result.values()) or _is_resampled(result, tensors):
        return None
    return {**result}


def _is_resampled(converted: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether the conversion made tables of positions or patches of another size than the file has."""
    every = {value.numel() for value in tensors.values()}
    for key, value in converted.items():
        sizes = {tensors[key].numel()} if key in tensors else every
        # DINOv2's own table has an entry for the class token, which timm adds to that token.
        known = value.numel() in sizes or (key == "pos_embed" and value.numel() + value.shape[-1] in sizes)
        if not known and (_FLEXIBLE.search(key) or key == "patch_embed.proj.weight"):
            return True
    return False


def _choose(rivals: Sequence[Architecture], file: WeightFile) -> tuple[str, str]:
    """Which of several architectures with the same tensors is meant, and what to say about it."""
    names = {one.name: one for one in rivals}
    for hint in file.hints:
        if hint.split(".")[0] in names:
            return hint if _is_tag(hint) else hint.split(".")[0], ""
    stem = file.path.name.lower().replace("-", "_")
    spoken = sorted((name for name in names if name in stem), key=len)
    if spoken:
        return _with_tag(spoken[-1], file.path), ""
    if len(rivals) == 1:
        return rivals[0].name, ""
    if len({one.function for one in rivals}) > 1:
        listed = ", ".join(sorted(names))
        raise ModelError(
            f"{file.path.name} could be any of {listed}: they have the same tensors but compute differently. "
            f"Say which with load_model(path, architecture=…), or name the file after it ({min(names)}{file.path.suffix}).",
        )
    chosen, *others = sorted(names, key=lambda name: (len(name), name))
    differ = [name for name in others if _preparation(name) != _preparation(chosen)]
    if not differ:
        return chosen, ""
    return chosen, (
        f"taken as {chosen}; {' and '.join(differ)} would compute the same from a picture normalised or "
        "resized differently (architecture= decides)"
    )


def _is_tag(name: str) -> bool:
    from timm.models import is_model_pretrained

    return "." in name and bool(is_model_pretrained(name))


def _with_tag(name: str, path: Path) -> str:
    """The name with the pretrained tag that the file's name carries after it, if timm knows that tag."""
    from timm.models import get_arch_pretrained_cfgs

    return next((full for full in get_arch_pretrained_cfgs(name) if full != name and full in path.name), name)


def _preparation(name: str) -> tuple[Any, ...]:
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name).to_dict()
    return tuple(
        config.get(key) for key in ("mean", "std", "crop_pct", "interpolation", "input_size", "crop_mode")
    )


def _no_match(file: WeightFile, failed: Sequence[tuple[float, Architecture, Difference]]) -> ModelError:
    nearest = sorted(failed, key=lambda one: one[2].count)[:3]
    score, best, difference = nearest[0]
    details = "\n".join(
        f"{one.name}: {gap.count} tensors differ\n  " + "\n  ".join(gap.first(4)) for _, one, gap in nearest
    )
    if score < 0.3:
        return ModelError(
            f"{file.path.name} is of no architecture that vitviz knows; its first tensor is {next(iter(file.tensors))}.",
            details,
        )
    names = ", ".join(one.name for _, one, _ in nearest)
    return ModelError(
        f"{file.path.name} fits no architecture that vitviz knows. The closest are {names}; "
        f"against {best.name}, {'; '.join(difference.first(1))}.",
        details,
    )


def _times(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "one number"
