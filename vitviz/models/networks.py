"""Which tensors of a checkpoint are the network: inside which dictionary, under which prefix, and what stands beside it.

Training programs nest the state dict ("model", "state_dict_ema", …), put wrappers' names before every tensor (`module.`,
`_orig_mod.`) and keep the network as a part of something larger (`student.backbone.`). The network's own prefix is what
stands before its patch embedding.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

# Averaged weights first: they are the ones a training run is evaluated with, and timm's own choice.
_WRAPPERS = (
    "state_dict_ema",
    "model_state_dict_ema",
    "ema_state_dict",
    "model_ema",
    "ema_model",
    "ema",
    "state_dict",
    "model_state_dict",
    "model_state",
    "model_weights",
    "model",
    "module",
    "teacher",
    "target_encoder",
    "encoder",
    "net",
    "network",
    "backbone",
    "vit",
    "weights",
    "params",
    "parameters",
    "generator",
    "student",
)
_NO_NETWORK = re.compile(r"optim|sched|scaler|rng|loss|callback|config|args|hparam|hyper")
# What PyTorch's and its extensions' wrappers insert into names, wherever it stands.
_INSERTED = re.compile(
    r"(?:(?<=\.)|^)(?:_orig_mod|_forward_module|_fsdp_wrapped_module|_checkpoint_wrapped_module|_flat_param_wrapper)\."
)
_PREFIXES = (
    "module.",
    "model.",
    "backbone.",
    "student.",
    "teacher.",
    "net.",
    "network.",
    "base_model.",
)
# The tensor that tells where a network begins: timm's patch embedding, NaFlex's, CLIP's class token, torchvision's.
_START = re.compile(
    r"(?:^|\.)(?:patch_embed\.|conv_proj\.|embeds\.|features\.0\.0\.|visual\.class_embedding$)"
)
# Which of several networks is the model.
_PREFERRED = ("ema", "teacher", "target", "student", "online", "model", "backbone")
_HEAD = re.compile(
    r"^(?:.*\.)?(?:classifier|head|heads|fc|cls_head|mlp_head|classification_head|linear|linear_head|lin|cls|output|out|logits)"
    r"(?:\.(?:\d+|head|fc|proj|linear))?$"
)
_CHUNK = re.compile(r"^blocks\.(\d+)\.(\d+)\.(.*)$")
_LORA = re.compile(r"\blora_[A-Za-z]|\.(?:hada|lokr|ia3)_|adapter_")


@dataclass(frozen=True)
class Network:
    """The tensors of one network by their own names; `part`: where in the file they were; `note`: what was left out."""

    tensors: Mapping[str, torch.Tensor]
    part: str = ""
    note: str = ""


def find_network(content: Mapping[str, Any]) -> Network:
    """The network in what a weight file holds; one without tensors if there is none."""
    found, part = _unwrap(content)
    tensors = {_INSERTED.sub("", key): value for key, value in found.items()}
    tensors, named, left = _rooted(_without_adapters(tensors))
    notes = [named] if named else []
    tensors, said = _with_head(_unchunked(tensors), left)
    notes += [said] if said else []
    if left:
        first = next(iter(left))
        notes.append(
            f"without {len(left)} tensor{'s' if len(left) > 1 else ''} beside the network ({first}"
            f"{', …' if len(left) > 1 else ''})"
        )
    return Network(tensors, part, ", ".join(notes))


def is_adapter(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether the tensors include low-rank additions to weights (LoRA and its kin)."""
    return any(_LORA.search(key) for key in tensors)


def is_optimizer(content: Mapping[str, Any]) -> bool:
    """Whether a dictionary is the state of an optimizer, or holds one and no network."""
    parts = {"state", "param_groups"}
    if parts <= content.keys():
        return True
    held = any(isinstance(value, Mapping) and parts <= value.keys() for value in content.values())
    return held and not _unwrap(content)[0]


def _unwrap(content: Mapping[str, Any], depth: int = 4) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors of the outermost dictionary that is a state dict, and the path of keys to it."""
    direct = {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
    keys = [key for key in _WRAPPERS if isinstance(content.get(key), Mapping)] if depth else []
    if depth and not direct:
        keys += [
            key
            for key, value in content.items()
            if isinstance(value, Mapping) and key not in keys and not _NO_NETWORK.search(str(key).lower())
        ]
    for key in keys:
        found, part = _unwrap(content[key], depth - 1)
        if found:
            return found, f"{key}.{part}" if part else str(key)
    return direct, ""


def _without_adapters(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The names that a model had before PEFT wrapped it, where its adapters are merged; what was replaced is dropped."""
    if is_adapter(tensors) or not any(".base_layer." in key or "modules_to_save." in key for key in tensors):
        return dict(tensors)
    return {
        re.sub(r"\.base_layer\.|\.modules_to_save\.\w+\.", ".", key): value
        for key, value in tensors.items()
        if ".original_module." not in key
    }


def _rooted(
    tensors: dict[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], str, dict[str, torch.Tensor]]:
    """The tensors under the network's prefix without it, what to say of the choice, and the other tensors."""
    if {"class_embedding", "conv1.weight"} <= tensors.keys():
        tensors = {f"visual.{key}": value for key, value in tensors.items()}
    roots: dict[str, int] = {}
    for key in tensors:
        if found := _START.search(key):
            root = key[: found.start() + 1] if found.start() else ""
            roots.setdefault(root, 0)
    if not roots:
        return _without_prefixes(tensors), "", {}
    for root in roots:
        roots[root] = sum(key.startswith(root) for key in tensors)
    # A patch embedding inside a larger network (a detector's, a decoder's) is smaller than the network itself.
    largest = max(roots.values())
    rivals = [root for root, count in roots.items() if count * 2 >= largest or not root]
    chosen = min(rivals, key=_preference)
    others = [root for root in rivals if root != chosen]
    said = f"the network under {chosen.rstrip('.')}" if others and chosen else ""
    # Beside CLIP's picture network stands its text network; timm's conversion wants the names with "visual.".
    own = f"{chosen}visual." if f"{chosen}visual.class_embedding" in tensors else chosen
    inside = {key.removeprefix(chosen): value for key, value in tensors.items() if key.startswith(own)}
    outside = {
        key: value
        for key, value in tensors.items()
        if not key.startswith(own) and not any(root and key.startswith(root) for root in others)
    }
    return inside, said, outside


def _preference(root: str) -> tuple[int, int]:
    parts = root.lower()
    place = next((index for index, word in enumerate(_PREFERRED) if word in parts), len(_PREFERRED))
    return place, len(root)


def _unchunked(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Blocks that are numbered within chunks (`blocks.1.7.norm1`), numbered as they follow one another."""
    places = sorted({(int(m[1]), int(m[2])) for key in tensors if (m := _CHUNK.match(key))})
    if not places:
        return tensors
    number = {place: index for index, place in enumerate(places)}
    return {
        f"blocks.{number[int(m[1]), int(m[2])]}.{m[3]}" if (m := _CHUNK.match(key)) else key: value
        for key, value in tensors.items()
    }


def _with_head(
    tensors: dict[str, torch.Tensor], left: dict[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors with the classifier under timm's name `head`, wherever it stood, and what to say of it.

    Takes it out of `left`, where it stood beside the network. A classifier of several layers is left out.
    """
    if (
        any(key in tensors for key in ("head.weight", "head.fc.weight"))
        or "patch_embed.proj.weight" not in tensors
    ):
        return tensors, ""
    norm = tensors.get("norm.weight", tensors.get("fc_norm.weight"))
    width = None if norm is None else norm.shape[0]
    for where in (tensors, left):
        heads = {
            key.removesuffix(".weight")
            for key, value in where.items()
            if key.endswith(".weight") and value.ndim == 2 and _HEAD.match(key.removesuffix(".weight"))
        }
        if not heads:
            continue
        if len(heads) > 1 or (width and where[f"{next(iter(heads))}.weight"].shape[1] != width):
            dropped = [key for key in where if any(key.startswith(head.split(".")[0]) for head in heads)]
            for key in dropped:
                del where[key]
            return tensors, "without its classifier, which is more than one linear layer over the embedding"
        name = heads.pop()
        classes = where[f"{name}.weight"].shape[0]
        for part in ("weight", "bias"):
            if f"{name}.{part}" in where:
                tensors[f"head.{part}"] = where.pop(f"{name}.{part}")
        tensors.setdefault("head.bias", torch.zeros(classes))
        return tensors, ""
    return tensors, ""


def _without_prefixes(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Remove what wrappers put before names (`module.`, `model.` …) where most names start with it."""
    current = dict(tensors)
    while current:
        prefix = next(
            (p for p in _PREFIXES if sum(key.startswith(p) for key in current) * 2 > len(current)), None
        )
        if prefix is None:
            break
        shortened = {key.removeprefix(prefix): value for key, value in current.items()}
        if len(shortened) != len(current):
            # Two networks in one file: the one under the prefix is the model.
            shortened = {
                key.removeprefix(prefix): value for key, value in current.items() if key.startswith(prefix)
            }
        current = shortened
    return current
