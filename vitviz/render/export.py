"""Writing pictures: the legend that states the scale, and PNG files written completely or not at all."""

import errno
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from vitviz.errors import ExportError
from vitviz.render import colors
from vitviz.render.colors import DEFAULT_COLORMAP, heat_table
from vitviz.render.lettering import INK, PAPER, QUIET, width_of, wrapped, write
from vitviz.render.overlay import LEVELS


def save_png(image: Image.Image, path: str | Path, metadata: Mapping[str, str] | None = None) -> Path:
    """Write a picture as PNG with metadata as its text chunks; returns the path.

    "Software: vitviz <version>" is always among them. ExportError names the path and the reason.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ExportError(f"{path}: pictures are written as PNG, so the name must end in .png.")
    text = PngInfo()
    # Looked up, not imported: the package itself imports higher layers.
    version = getattr(sys.modules.get("vitviz"), "__version__", "")
    for key, value in {"Software": f"vitviz {version}".strip(), **(metadata or {})}.items():
        text.add_text(key, value)
    # Level 2 writes a 24-megapixel photo three times as fast as the default and a tenth larger.
    write_whole(path, lambda file: image.save(file, format="PNG", pnginfo=text, compress_level=2))
    return path


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a new file beside `path` and move it into place: after a failure the old file is unchanged.

    ExportError names the path and the reason: no such folder, no permission, disk full, a folder there.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        try:
            with open(new, "wb") as file:
                write(file)
            os.replace(new, path)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise ExportError(
            f"{path} cannot be written: {_reason(error, path)}.", details=repr(error)
        ) from error


def _reason(error: OSError, path: Path) -> str:
    reasons = {
        errno.ENOENT: f"there is no folder {path.parent}",
        errno.ENOTDIR: f"{path.parent} is not a folder",
        errno.EACCES: f"no permission to write in {path.parent}",
        errno.EPERM: f"no permission to write in {path.parent}",
        errno.EROFS: "that disk is read-only",
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EISDIR: "it is a folder",
        errno.ENAMETOOLONG: "the name is too long",
    }
    return reasons.get(error.errno or 0, error.strerror or str(error))


def with_legend(
    image: Image.Image,
    *,
    title: str,
    low: float,
    high: float,
    unit: str = "",
    note: str = "",
    colormap: str = DEFAULT_COLORMAP,
    opacity: float = 0.85,
    style: str = "glow",
    log: bool = False,
    temperature: float = 1.0,
) -> Image.Image:
    """The picture with a white strip below it: title, colour bar with its ends' numbers and unit, note.

    Where colours do not follow values proportionally the bar has a third number, half-way along or at zero.

    Sizes follow the picture's width. The bar shows the colours as they lie on the photo, over middle grey.
    """
    width = image.width
    size = float(np.clip(width / 48, 11, 120))
    gap = round(size * 0.7)
    inner = width - 2 * gap
    line, small = round(size * 1.35), round(size * 1.15)
    if low < high:
        low, high = colors.value_range((), (low, high), log)
    scale, bent = colors.bar(low, high, log, temperature), colors.bending(low, log, temperature)
    signed = colors.is_signed(low, high)
    suffix = " ".join(filter(None, (unit, f"({bent})" if bent else "")))
    ends = [number_text(low), f"{number_text(high)} {suffix}".strip()]
    titles, below = wrapped(title, size, inner), wrapped(note, size * 0.85, inner)
    if inner - sum(width_of(end, size) for end in ends) - 2 * gap < 6 * size:
        # Too narrow for bar and unit side by side.
        ends[1] = number_text(high)
        below = wrapped(suffix, size * 0.85, inner) + below
    bar_top = gap + line * len(titles) + gap // 2
    ticked = bool(bent) or signed
    notes_top = bar_top + line + gap // 2 + (small if ticked else 0)
    strip = Image.new("RGB", (width, notes_top + small * len(below) + gap // 2), PAPER)
    draw = ImageDraw.Draw(strip)
    for number, words in enumerate(titles):
        write(draw, (gap, gap // 2 + line * number), words, size, INK)
    for number, words in enumerate(below):
        write(draw, (gap, notes_top + small * number), words, size * 0.85, QUIET)
    middle = bar_top + line / 2
    left = gap + round(width_of(ends[0], size) + gap * 0.6)
    right = min(width - gap - round(width_of(ends[1], size) + gap * 0.6), left + round(size * 22))
    if right - left >= 8:
        height = round(size * 0.9)
        table = heat_table(colormap, opacity, style, signed)
        strip.paste(_bar(right - left, height, table, style, scale), (left, round(middle - height / 2)))
        if ticked:
            x, below_bar = left + scale.place * (right - left), round(middle + height / 2)
            draw.line((x, below_bar, x, below_bar + height // 4), fill=QUIET, width=max(1, height // 10))
            words = number_text(scale.middle)
            write(draw, (x, below_bar + height // 3), words, size * 0.85, INK, anchor="ma")
    write(draw, (gap, middle), ends[0], size, INK, anchor="lm")
    write(draw, (max(left, right) + round(gap * 0.6), middle), ends[1], size, INK, anchor="lm")
    picture = Image.new("RGB", (width, image.height + strip.height))
    picture.paste(image, (0, 0))
    picture.paste(strip, (0, image.height))
    return picture


def number_text(value: float) -> str:
    """A number in three significant figures, without needless zeros: 0, 0.083, 1.5, 2.1e-5."""
    if value == 0:
        return "0"
    text = f"{value:.3g}"
    mantissa, mark, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if mark else text


def _bar(width: int, height: int, table: np.ndarray, style: str, scale: colors.Bar) -> Image.Image:
    place = np.linspace(scale.first, scale.last, width) * 255
    shades = np.broadcast_to(table[np.rint(place).astype(np.intp)], (height, width, 4)).copy()
    if style == "contour":
        thick = max(2, height // 6)
        shown = np.zeros(width, dtype=bool)
        for level in range(1, LEVELS):
            centre = round(width * (level / LEVELS - scale.first) / (scale.last - scale.first))
            shown[max(0, centre - thick // 2) : centre - thick // 2 + thick] = True
        shades[:, ~shown, 3] = 0
    bar = Image.new("RGBA", (width, height), (160, 160, 160, 255) if style != "dim" else (255, 255, 255, 255))
    bar.alpha_composite(Image.fromarray(shades))
    ImageDraw.Draw(bar).rectangle((0, 0, width - 1, height - 1), outline=(*QUIET, 255))
    return bar.convert("RGB")
