"""Weight files: what is in them, read without running any code that they may carry.

Decision: `torch.load(weights_only=True)` and safetensors only. A file that needs more (a pickled module, TorchScript) is
refused with advice, because unpickling can run code.
"""

import argparse
import json
import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitviz import files
from vitviz.errors import ModelError
from vitviz.models.cards import json_of, read_card
from vitviz.models.file_kinds import other_kind
from vitviz.models.networks import find_network, is_adapter, is_optimizer

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar", ".npz")

_HINT_KEYS = ("architecture", "arch", "model_name", "timm_model", "model", "backbone")
_OPTION_KEYS = ("args", "config", "hyper_parameters", "hparams", "model_args", "model_kwargs", "cfg")
_INDEX_LIMIT = 32 << 20
_MOST_SHARDS = 1000
# What training programs store beside weights; none of it holds code.
_HARMLESS: tuple[Any, ...] = (argparse.Namespace, np.dtype, type(np.dtype("f8")), type(np.dtype("f4")))
_HARMLESS += (type(np.dtype("i8")), type(np.dtype("bool")), np.ndarray)
# NumPy 2 calls this module numpy._core; files carry the name that it had where they were written.
_MULTIARRAY: Any = getattr(np, "_core" if np.__version__ >= "2" else "core").multiarray
_HARMLESS += tuple(
    (getattr(_MULTIARRAY, part), f"{home}.multiarray.{part}")
    for part in ("scalar", "_reconstruct")
    for home in ("numpy._core", "numpy.core")
)


class DamagedFileError(ModelError):
    """A weight file of which something is missing: its download, or the copying of it, can be repeated."""

    def __init__(self, message: str, details: str = "", path: Path | None = None) -> None:
        super().__init__(message, details)
        self.path = path


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
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Numbers that the file states about its network ("num_heads", "img_size"), by their names there."""
    note: str = ""
    """What was left out of the file, as a part of a sentence."""


def read_weight_file(path: Path) -> WeightFile:
    """Read the tensors of a .safetensors file, of a file that `torch.save` wrote, or of the shards of an index.

    Raises ModelError for a file that is missing, empty, broken, without tensors, of another kind, or that holds code.
    """
    content, hints, settings = read_content(path)
    if is_optimizer(content):
        raise ModelError(
            f"{path.name} holds the state of an optimizer, not weights; open the file that holds the model."
        )
    network = find_network(content)
    tensors = network.tensors
    if not tensors:
        raise ModelError(f"{path.name} holds no weights (no tensors were found in it).")
    if is_adapter(tensors):
        raise ModelError(
            f"{path.name} holds an adapter (LoRA or the like), which changes the weights of another model. Merge it into "
            "that model with PEFT's merge_and_unload(), save the model's state_dict(), and open that.",
            ", ".join(list(tensors)[:8]),
        )
    whole = [
        key for key, value in tensors.items() if value.dtype in (torch.int8, torch.uint8) and value.ndim > 1
    ]
    if whole:
        raise ModelError(
            f"{path.name} holds quantised weights (whole numbers), which vitviz does not load; use the original weights.",
            ", ".join(whole[:8]),
        )
    return WeightFile(path, tensors, hints, network.part, read_card(path), settings, network.note)


Content = tuple[dict[str, Any], tuple[str, ...], Mapping[str, Any]]


def read_content(path: Path) -> Content:
    """What a weight file holds, with names of architectures and numbers found beside the tensors."""
    require_readable(path)
    if path.suffix.lower() == ".json":
        return _read_shards(path)
    with _reading(path):
        require_kind(path)
        with path.open("rb") as file:
            head = file.read(16)
    if head.startswith(b"PK") and path.suffix.lower() == ".npz":
        from vitviz.models.jax_files import read_npz

        return read_npz(path)
    # Some .bin and .pth files are safetensors by content: eight bytes of length, then a JSON object.
    if path.suffix.lower() == ".safetensors" or head[8:9] == b"{":
        return _read_safetensors(path)
    return _read_torch(path)


def require_readable(path: Path) -> None:
    """Raise a ModelError for what is no file, before it is opened."""
    reason = files.refusal(path)
    if reason == "there is no such file":
        raise ModelError(f"There is no weight file {path}.")
    if reason is not None:
        raise ModelError(f"{path} cannot be opened as weights: {reason}.")


def require_kind(path: Path) -> None:
    """Raise a ModelError for a file that holds no weights by its first bytes, and a DamagedFileError for one cut off."""
    kind = other_kind(path)
    if kind is not None:
        sentence = f"{path.name} {kind.sentence}."
        raise DamagedFileError(sentence, path=path) if kind.damaged else ModelError(sentence)
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:9] == b"{":
        _require_whole(path, int.from_bytes(head[:8], "little"))


def _require_whole(path: Path, header: int) -> None:
    """Compare the length of a safetensors file with the one that its header states."""
    size = path.stat().st_size
    end = header + 8
    if end <= size and header < 100 << 20:
        with path.open("rb") as file:
            file.seek(8)
            try:
                told = json.loads(file.read(header))
                ends = [one["data_offsets"][1] for key, one in told.items() if key != "__metadata__"]
                end += max(ends, default=0)
            except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
                return  # the library that reads it says what is wrong
    if end > size and header < 100 << 20:
        raise DamagedFileError(
            f"{path.name} is cut off: {size / 1e6:.1f} of {end / 1e6:.1f} MB are there; download or copy it again.",
            path=path,
        )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {files.reason_of(error)}.", str(error)) from error


def shard_names(path: Path) -> list[str]:
    """The weight files that an index (`model.safetensors.index.json`) names; all of its own folder."""
    index = json_of(path, path.name, _INDEX_LIMIT)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise ModelError(f"{path.name} is a JSON text, not weights; open the weight file itself.")
    shards = sorted(set(places.values()))
    if not shards or len(shards) > _MOST_SHARDS or any(Path(name).name != name for name in shards):
        raise ModelError(f"{path.name} does not list weight files of its own folder.")
    return shards


def shard_paths(path: Path) -> list[Path]:
    """The weight files that an index names, which must lie beside it."""
    shards = shard_names(path)
    missing = [name for name in shards if files.refusal(path.parent / name) is not None]
    if missing:
        raise DamagedFileError(
            f"{path.name} lists {len(shards)} weight files, and {missing[0]} is not beside it"
            f"{f' ({len(missing)} are missing)' if len(missing) > 1 else ''}; put them into the same folder.",
            ", ".join(missing),
        )
    return [path.parent / name for name in shards]


def _read_shards(path: Path) -> Content:
    tensors: dict[str, Any] = {}
    for shard in shard_paths(path):
        tensors |= read_content(shard)[0]
    return tensors, (), {}


def _read_safetensors(path: Path) -> Content:
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
    return tensors, _hints(metadata), _settings(metadata)


def _read_torch(path: Path) -> Content:
    try:
        with torch.serialization.safe_globals([*_HARMLESS]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refused(path, str(error)) from error
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read ({error.strerror or error}).", str(error)) from error
    except MemoryError as error:
        raise ModelError(f"There is not enough memory to read {path.name}.") from error
    # A damaged file can make the unpickler fail with any exception.
    except Exception as error:
        raise _refused(path, f"{type(error).__name__}: {error}") from error
    if not isinstance(content, Mapping):
        raise ModelError(f"{path.name} holds a {type(content).__name__}, not the weights of a model.")
    hints, settings = _hints(content), dict(_settings(content))
    for key in _OPTION_KEYS:
        options = content.get(key)
        options = vars(options) if isinstance(options, argparse.Namespace) else options
        if isinstance(options, Mapping):
            hints += _hints(options)
            settings |= _settings(options)
    return dict(content), hints, settings


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


def _settings(values: Mapping[Any, Any]) -> Mapping[str, Any]:
    """The whole numbers, also written as text, and pairs of them that stand beside the tensors."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, str) and value.isdecimal() and len(value) < 10:
            value = int(value)
        pair = (
            isinstance(value, tuple | list)
            and len(value) in (2, 3)
            and all(type(one) is int for one in value)
        )
        if isinstance(key, str) and (type(value) is int or pair):
            found[key] = value
    return found
