"""Text on pictures: Pillow's own font, the same on every machine, and a system font for letters it lacks."""

import math
import unicodedata
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

PAPER, INK, QUIET = (255, 255, 255), (26, 28, 32), (96, 100, 108)
_SPELLED = str.maketrans(
    {"×": "x", "–": "-", "—": "-", "−": "-", "→": "->", "≤": "<=", "≥": ">=", "∇": "grad "}
)


_FINE = 4
"""Letters are drawn this many times larger and scaled down: Pillow puts each on a whole pixel, spacing them badly."""


@lru_cache(maxsize=64)
def _font(size: float, wide: bool) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, the same on every machine; `wide` asks for a system font that knows more letters."""
    if wide:
        for name in ("DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf", "Arial.ttf", "NotoSans-Regular.ttf"):
            try:
                return ImageFont.truetype(name, size)
            except OSError:
                continue
    return ImageFont.load_default(size)


@lru_cache(maxsize=1024)
def _known(letter: str) -> bool:
    font = ImageFont.load_default(20)
    box = font.getmask("\uffff")
    return bytes(font.getmask(letter)) != bytes(box) or letter.isspace()


def _spelled(text: str) -> tuple[str, bool]:
    """The text as it can be written, and whether it needs a font with more letters than Pillow's own."""
    plain = unicodedata.normalize("NFKD", text.translate(_SPELLED))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return (plain, False) if all(map(_known, plain)) else (text, True)


def width_of(text: str, size: float) -> float:
    """How many pixels wide a text is."""
    words, wide = _spelled(text)
    return _font(size * _FINE, wide).getlength(words) / _FINE


def write(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: float,
    color: tuple[int, int, int],
    anchor: str = "la",
) -> None:
    """Write a text at a place; `anchor` as in Pillow, "la" for its top left corner."""
    words, wide = _spelled(text)
    if not words.strip():
        return
    font = _font(size * _FINE, wide)
    x, y = place[0] * _FINE, place[1] * _FINE
    left, top, right, bottom = font.getbbox(words, anchor=anchor)
    first = math.floor((x + left) / _FINE), math.floor((y + top) / _FINE)
    columns, rows = math.ceil((x + right) / _FINE) - first[0], math.ceil((y + bottom) / _FINE) - first[1]
    large = Image.new("L", (columns * _FINE, rows * _FINE))
    origin = x - first[0] * _FINE, y - first[1] * _FINE
    ImageDraw.Draw(large).text(origin, words, fill=255, font=font, anchor=anchor)
    draw.bitmap(first, large.resize((columns, rows), Image.Resampling.BOX), fill=color)


def wrapped(text: str, size: float, room: float) -> list[str]:
    """The text in lines no wider than `room` pixels; a single wider word is not broken."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
