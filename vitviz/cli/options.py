"""Options that several commands share, and how their values are parsed."""

import argparse
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from vitviz.models.model import Model

SOURCE = (
    "a timm name (deit_tiny_patch16_224), hf-hub:user/repository, a weight file (.safetensors, .pth, .npz), a model "
    "folder, demo/vit, demo/deit, demo/swin, or random/ and a timm name (random weights)"
)


def add_device(parser: argparse._ActionsContainer) -> None:
    """--device."""
    parser.add_argument(
        "--device",
        default="auto",
        help="cpu, cuda, cuda:1, mps or auto: CUDA, else MPS, else CPU (default: auto)",
    )


def add_framing(parser: argparse._ActionsContainer, default: str | None = "crop") -> None:
    """--framing; a `default` of None keeps the framing in use."""
    parser.add_argument(
        "--framing",
        choices=("crop", "squash", "fit"),
        default=default,
        help="crop: as in the model's evaluation; squash: the whole photo, aspect lost; fit: the whole photo, aspect "
        "kept (default: crop)",
    )


def add_loading(parser: argparse._ActionsContainer) -> None:
    """--image-size, --architecture, --outputs, --precision, --class-names and --device: what `load` reads."""
    parser.add_argument(
        "--image-size", type=size, metavar="N or H,W", help="the model's input in pixels, if not its own"
    )
    parser.add_argument(
        "--architecture",
        metavar="NAME",
        help="the timm name of a weight file's model, where its tensors fit several",
    )
    parser.add_argument(
        "--outputs",
        choices=("classes", "values", "embedding"),
        help="what the model's numbers are, if not what it states: classes have probabilities, values (a regression) and "
        "an embedding have none",
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "float16"),
        help="compute in this precision; float16 needs a GPU (default: that of the weights, float32)",
    )
    parser.add_argument(
        "--class-names", metavar="FILE", help="class names: .txt (one per line), .json or .csv"
    )
    add_device(parser)


def load(source: "str | nn.Module", arguments: argparse.Namespace) -> "Model":
    """The model, with a line that says what is happening meanwhile."""
    from vitviz.models.loading import load_model

    model = load_model(
        source,
        device=arguments.device,
        image_size=arguments.image_size,
        labels=arguments.class_names,
        precision=arguments.precision,
        architecture=arguments.architecture if isinstance(source, str) else None,
        outputs=arguments.outputs,
        progress=progress(),
    )
    clear_progress()
    return model


def size(text: str) -> int | tuple[int, int]:
    """“384" → 384; "256,208" or "256x208" → (256, 208)."""
    sides = [int(part) for part in re.split(r"[,x×]", text)]
    if len(sides) not in (1, 2) or min(sides) < 1:
        raise ValueError(f"not one or two sides: {text}")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def pair(text: str) -> tuple[float, float]:
    """“0,0.1" → (0.0, 0.1)."""
    low, high = text.split(",")
    return float(low), float(high)


def query(text: str) -> tuple[int, int] | tuple[tuple[int, int], ...] | str:
    """“4,7” → (4, 7); “4,7 5,7” → both; anything without a comma is a prefix token's name."""
    if "," not in text:
        return text
    patches = []
    for part in re.split(r"[;\s]+", text.strip()):
        row, col = part.split(",")
        patches.append((int(row), int(col)))
    return patches[0] if len(patches) == 1 else tuple(patches)


def number_or_name(text: str) -> int | str:
    """“-1" → -1; "blocks.3.attn" stays as it is."""
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else text


def progress() -> Callable[[str, float | None], None] | None:
    """A line on stderr that says what is happening, overwritten as it goes on; None without a terminal."""
    if not sys.stderr.isatty():
        return None

    def show(what: str, part: float | None) -> None:
        done = "" if part is None else f" {part:4.0%}"
        print(f"\r\x1b[K{what}{done}", end="", file=sys.stderr, flush=True)

    return show


def clear_progress() -> None:
    """Clear the progress line."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
