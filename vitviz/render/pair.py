"""Pictures side by side, each with its caption: the file that a comparison is saved as, or one picture with its caption."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from vitviz.render.lettering import INK, PAPER, QUIET, wrapped, write


@dataclass(frozen=True, eq=False)
class Side:
    """A picture and the lines over it, the first of which names it."""

    image: Image.Image
    lines: tuple[str, ...]


def levelled(images: Sequence[Image.Image]) -> list[Image.Image]:
    """The pictures scaled to the height of the highest."""
    height = max(image.height for image in images)
    sizes = [(max(1, round(image.width * height / image.height)), height) for image in images]
    return [
        image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
        for image, size in zip(images, sizes, strict=True)
    ]


def paired(sides: Sequence[Side]) -> Image.Image:
    """The pictures in a row on white, tops level, captions above them."""
    size = letters(sum(side.image.width for side in sides))
    gap, line = round(size * 0.7), round(size * 1.35)
    captions = [
        [
            (words, INK if number == 0 else QUIET)
            for number, text in enumerate(side.lines)
            for words in wrapped(text, size, side.image.width - 2 * gap)
        ]
        for side in sides
    ]
    longest = max(map(len, captions))
    head = gap + line * longest + gap // 2 if longest else 0
    width = sum(side.image.width for side in sides) + gap * (len(sides) - 1)
    whole = Image.new("RGB", (width, head + max(side.image.height for side in sides)), PAPER)
    draw = ImageDraw.Draw(whole)
    left = 0
    for side, caption in zip(sides, captions, strict=True):
        for number, (words, color) in enumerate(caption):
            write(draw, (left + gap, gap // 2 + line * number), words, size, color)
        whole.paste(side.image, (left, head))
        left += side.image.width + gap
    return whole


def letters(width: int) -> float:
    """The size of letters on a picture of some width; that of a legend below it."""
    return float(np.clip(width / 48, 11, 120))
