"""Cards and configs beside weights, which anyone may have written: what is in them is checked before it is used.

Nothing they say reaches the network or another file. They may name an architecture of timm and give plain values to its
options; whatever else they hold is not used. How large a model may become is checked before it is built.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitviz import files
from vitviz.errors import ModelError

_CARD_LIMIT = 8 << 20
_MOST = 100_000
"""The largest whole number that a model's option may be."""
_DEEPEST = 200
"""The most layers; the deepest vision transformers have 48."""
_WIDEST = 20_000
_MOST_PARAMETERS = 30e9
# Options of timm's models that are not plain settings: what they name is fetched, opened or run.
_FORBIDDEN = frozenset(
    [
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "pretrained_strict",
        "checkpoint_path",
        "cache_dir",
        "features_only",
        "scriptable",
        "exportable",
        "no_jit",
        "device",
        "dtype",
        "jit",
        "block_fn",
        "embed_layer",
        "norm_layer",
        "act_layer",
        "mlp_layer",
        "attn_layer",
    ]
)
_LAYERS = frozenset(["depth", "depths", "num_layers", "num_hidden_layers"])


def read_card(path: Path) -> Mapping[str, Any]:
    """The card beside a weight file: a JSON file of the same stem that says how to build the model.

    {"timm": {"architecture": name, "kwargs": {…}}, "labels": […], "data": {"mean": …}, "name": …}; {} if there is none.
    Raises ModelError for a card that cannot be read or holds what a card may not say.
    """
    card = path.with_suffix(".json")
    if not card.is_file():
        return {}
    content = json_of(card, f"The card {card.name} beside {path.name}", _CARD_LIMIT)
    # A JSON file of the same name without an entry for timm is not a card.
    if not isinstance(content, dict) or not isinstance(content.get("timm"), dict):
        return {}
    what = f"The card {card.name} beside {path.name}"
    told = content["timm"]
    if not isinstance(told.get("architecture"), str):
        raise ModelError(f"The card beside {path.name} names no timm architecture.")
    checked: dict[str, Any] = {
        "timm": {
            "architecture": architecture_name(told["architecture"], what),
            "kwargs": options_of(told.get("kwargs", {}), what),
        }
    }
    if content.get("labels") is not None:
        checked["labels"] = label_list(content["labels"], what)
    if content.get("data") is not None:
        checked["data"] = data_settings(content["data"], what)
    if isinstance(content.get("name"), str):
        checked["name"] = content["name"][:200]
    return checked


def json_of(path: Path, what: str, limit: int = _CARD_LIMIT) -> Any:
    """The content of a JSON file of at most `limit` bytes; `what` begins the sentence of the ModelError."""
    try:
        text = files.small_text(path, limit)
    except ValueError as error:
        raise ModelError(f"{what} cannot be read: {error}.", str(error.__cause__ or "")) from error
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ModelError(f"{what} is nested too deeply to be read.") from error
    except ValueError as error:
        raise ModelError(f"{what} is not valid JSON.", str(error)) from error


def architecture_name(name: object, what: str) -> str:
    """A bare name of a timm architecture; a source (hf-hub:…, local-dir:…) or a path is refused."""
    from vitviz.models.architectures import require_known

    if not isinstance(name, str) or not name or len(name) > 200:
        raise ModelError(f"{what} names no timm architecture.")
    if any(sign in name for sign in ":/\\"):
        raise ModelError(f"{what} names the source “{name}” where a timm architecture should stand.")
    require_known(name)
    return name


def options_of(options: object, what: str) -> dict[str, Any]:
    """Options of a timm model: plain values within what any model has."""
    if not isinstance(options, Mapping):
        raise ModelError(f"{what} gives a {_kind(options)} as the model's options, not an object.")
    checked = {}
    for name, value in options.items():
        if name in _FORBIDDEN and value not in (None, False):
            raise ModelError(f"{what} sets the option {name}, which a card may not set.")
        if name in _FORBIDDEN or value is None:
            continue
        checked[str(name)] = _plain_value(str(name), value, what)
    return checked


def label_list(labels: object, what: str) -> list[str] | dict[str, str]:
    """Names of classes in a list or by number; a path is not opened."""
    if isinstance(labels, Mapping):
        return {str(key): _label(value, what) for key, value in labels.items()}
    if not isinstance(labels, list):
        raise ModelError(f"{what} gives a {_kind(labels)} as its labels, not a list of names.")
    return [_label(value, what) for value in labels]


def data_settings(data: object, what: str) -> dict[str, Any]:
    """The settings of the preprocessing, with the types that they must have."""
    if not isinstance(data, Mapping):
        raise ModelError(f"{what} gives a {_kind(data)} as its preprocessing, not an object.")
    checked: dict[str, Any] = {}
    for key in ("mean", "std"):
        if data.get(key) is not None:
            checked[key] = _numbers(data[key], f"{what} gives {key}", (1, 3))
            if key == "std" and min(checked[key]) <= 0:
                raise ModelError(f"{what} gives std {list(checked[key])}, and it must be above 0.")
    if data.get("input_size") is not None:
        size = _numbers(data["input_size"], f"{what} gives input_size", (2, 3))
        if any(side != int(side) or not 0 < side <= _WIDEST for side in size):
            raise ModelError(f"{what} gives input_size {list(size)}, which no model takes.")
        checked["input_size"] = tuple(int(side) for side in size)
    if data.get("crop_pct") is not None:
        crop = data["crop_pct"]
        if isinstance(crop, bool) or not isinstance(crop, int | float) or not 0.01 <= crop <= 100:
            raise ModelError(
                f"{what} gives crop_pct {_short(crop)}, and it must be a number from 0.01 to 100."
            )
        checked["crop_pct"] = float(crop)
    for key, choices in (
        ("interpolation", ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")),
        ("crop_mode", ("center", "squash", "border")),
    ):
        if data.get(key) is not None:
            if data[key] not in choices:
                raise ModelError(
                    f"{what} gives {key} {_short(data[key])}; it must be one of {', '.join(choices)}."
                )
            checked[key] = data[key]
    return checked


def require_size(parameters: int, what: str) -> None:
    """Refuse a model that no machine holds, before it is allocated."""
    if parameters > _MOST_PARAMETERS:
        raise ModelError(
            f"{what} describes a model of {parameters / 1e9:.0f} billion parameters, more than vitviz loads."
        )


def require_numbers(content: Mapping[str, Any], what: str) -> None:
    """Refuse a config of transformers whose numbers no model has, before anything is built from it."""
    for name, value in content.items():
        if isinstance(value, bool | str) or value is None or name in ("id2label", "label2id"):
            continue
        if isinstance(value, Mapping):
            if name.endswith("_config"):
                require_numbers(value, what)
            continue
        _plain_value(str(name), value, what)


def _plain_value(name: str, value: object, what: str, depth: int = 0) -> Any:
    """A value of an option: a number of a size that a model may have, a word, or a list of these."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) > 200 or any(sign in value for sign in ":/\\"):
            raise ModelError(f"{what} gives {name} “{value[:40]}”, which is no plain setting.")
        return value
    if isinstance(value, int | float):
        most = _DEEPEST if name in _LAYERS else _MOST
        if not math.isfinite(value) or abs(value) > most:
            raise ModelError(f"{what} gives {name} {_short(value)}, more than any model has.")
        zero_or_less = isinstance(value, int) and value <= 0
        if zero_or_less and (name in _LAYERS or name in _POSITIVE):
            raise ModelError(f"{what} gives {name} {value}, and it must be above 0.")
        return value
    if isinstance(value, list) and depth < 2 and len(value) <= 1000:
        return tuple(_plain_value(name, one, what, depth + 1) for one in value)
    raise ModelError(f"{what} gives a {_kind(value)} as {name}, which is no plain setting.")


_POSITIVE = frozenset(
    [
        "embed_dim",
        "num_heads",
        "patch_size",
        "img_size",
        "in_chans",
        "hidden_size",
        "num_attention_heads",
        "intermediate_size",
        "image_size",
        "num_channels",
        "window_size",
        "mlp_ratio",
    ]
)


def _numbers(value: object, what: str, lengths: tuple[int, ...]) -> tuple[float, ...]:
    fits = isinstance(value, list | tuple) and len(value) in lengths
    if not fits or not all(
        isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) and abs(one) < 1e6
        for one in value  # type: ignore[attr-defined]
    ):
        raise ModelError(f"{what} {_short(value)}, and it must be {lengths[-1]} numbers.")
    return tuple(value)  # type: ignore[arg-type]


def _label(value: object, what: str) -> str:
    if not isinstance(value, str) or not value or len(value) > 2000:
        raise ModelError(f"{what} gives {_short(value)} as the name of a class.")
    return value


def _kind(value: object) -> str:
    words = {bool: "truth value", int: "number", float: "number", str: "text", list: "list", dict: "object"}
    return words.get(type(value), "empty value" if value is None else type(value).__name__)


def _short(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        text = _kind(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
