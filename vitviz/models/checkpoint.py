"""Weight files: what is in them, read without running any code that they may carry.

Decision: `torch.load(weights_only=True)` and safetensors only. A file that needs more (a pickled module, TorchScript) is
refused with advice, because unpickling can run code.
"""

import argparse
import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vitviz.errors import ModelError

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")

# Averaged weights first: they are the ones a training run is evaluated with, and timm's own choice.
_WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "teacher",
    "target_encoder",
    "encoder",
    "net",
    "network",
    "backbone",
    "weights",
    "params",
    "student",
)
_PREFIXES = (
    "module.",
    "_orig_mod.",
    "model.",
    "backbone.",
    "student.",
    "teacher.",
    "net.",
    "network.",
    "base_model.",
)
_HINT_KEYS = ("architecture", "arch", "model_name", "timm_model", "model")


@dataclass(frozen=True)
class WeightFile:
    """The tensors of a weight file by name, prefixes removed; `hints`: architecture names found beside them."""

    path: Path
    tensors: Mapping[str, torch.Tensor]
    hints: tuple[str, ...] = ()
    part: str = ""
    """Which part of the file was taken ("state_dict_ema"), empty where the file holds nothing else."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """The JSON card beside the file, as vitviz writes it; empty if there is none."""


def read_weight_file(path: Path) -> WeightFile:
    """Read the tensors of a .safetensors file or of a file that `torch.save` wrote.

    Raises ModelError for a file that is missing, empty, broken, without tensors, or that holds code.
    """
    if not path.is_file():
        raise ModelError(f"There is no weight file {path}.")
    if path.stat().st_size == 0:
        raise ModelError(f"{path.name} is empty; perhaps its download was not completed.")
    with path.open("rb") as file:
        head = file.read(16)
    # Some .bin and .pth files are safetensors by content: eight bytes of length, then a JSON object.
    if path.suffix.lower() == ".safetensors" or head[8:9] == b"{":
        content, hints = _read_safetensors(path)
    else:
        content, hints = _read_torch(path)
    found, part = _unwrap(content)
    tensors = _without_prefixes(found)
    if not tensors:
        raise ModelError(f"{path.name} holds no weights (no tensors were found in it).")
    whole = [
        key for key, value in tensors.items() if value.dtype in (torch.int8, torch.uint8) and value.ndim > 1
    ]
    if whole:
        raise ModelError(
            f"{path.name} holds quantised weights (whole numbers), which vitviz does not load; use the original weights.",
            ", ".join(whole[:8]),
        )
    return WeightFile(path, tensors, hints, part, read_card(path))


def read_card(path: Path) -> Mapping[str, Any]:
    """The card beside a weight file: a JSON file of the same stem that says how to build the model.

    {"timm": {"architecture": name, "kwargs": {…}}, "labels": […], "data": {"mean": …}, "name": …}; {} if there is none.
    """
    card = path.with_suffix(".json")
    if not card.is_file():
        return {}
    try:
        content = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"The card {card.name} beside {path.name} is not valid JSON.", str(error)) from error
    # A JSON file of the same name without an entry for timm is not a card.
    return content if isinstance(content, dict) and isinstance(content.get("timm"), dict) else {}


def _read_safetensors(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata: Mapping[str, Any] = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"{path.name} cannot be read as safetensors: it is cut off, damaged or another kind of file.",
            str(error),
        ) from error
    return tensors, _hints(metadata)


def _read_torch(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    try:
        # timm's own training files carry their options as a Namespace, which holds no code.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refused(path, str(error)) from error
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read ({error.strerror or error}).", str(error)) from error
    # A damaged file can make the unpickler fail with any exception.
    except Exception as error:
        raise _refused(path, f"{type(error).__name__}: {error}") from error
    if not isinstance(content, Mapping):
        raise ModelError(f"{path.name} holds a {type(content).__name__}, not the weights of a model.")
    options = content.get("args")
    extra = vars(options) if isinstance(options, argparse.Namespace) else options
    hints = _hints(content)
    if isinstance(extra, Mapping):
        hints += _hints(extra)
    return dict(content), hints


def _refused(path: Path, reason: str) -> ModelError:
    """The sentence for a file that torch does not read as weights."""
    if "TorchScript" in reason:
        return ModelError(
            f"{path.name} is a TorchScript program, not weights; save the model's state_dict() and load that.",
            reason,
        )
    unsafe = re.search(r"(?:Unsupported (?:global|class): )?GLOBAL ([\w.]+)", reason)
    if unsafe or "Unsupported class" in reason:
        what = f" ({unsafe.group(1)})" if unsafe else ""
        return ModelError(
            f"{path.name} holds Python objects{what} besides weights, and loading those could run code, so it was not "
            "loaded. Save the model's state_dict() alone, or as .safetensors.",
            reason,
        )
    return ModelError(f"{path.name} is no weight file, or it is cut off or damaged.", reason)


def _hints(values: Mapping[Any, Any]) -> tuple[str, ...]:
    return tuple(value for key in _HINT_KEYS if isinstance(value := values.get(key), str) and value)


def _unwrap(content: Mapping[str, Any], depth: int = 3) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors of the outermost dictionary that is a state dict, and the path of keys to it."""
    for key in _WRAPPERS if depth else ():
        inner = content.get(key)
        if isinstance(inner, Mapping):
            found, part = _unwrap(inner, depth - 1)
            if found:
                return found, f"{key}.{part}" if part else key
    return {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}, ""


def _without_prefixes(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Remove what wrappers put before names (`module.`, `_orig_mod.` …) where most names start with it."""
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
