"""Curves as a picture, with Pillow alone: charts side by side, each with a legend that holds its numbers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageDraw

from vitviz.render.lettering import INK, PAPER, QUIET, width_of, wrapped, write
from vitviz.render.strokes import Color

Point = tuple[float, float]

FINER = 3
"""Curves are drawn this many times larger and averaged down, which smooths their edges."""
_GRID: Color = (226, 228, 232)


@dataclass(frozen=True)
class Line:
    """A curve: `xs` from 0 to 1, `ys` (see `Chart.shares`), its name, its number, and half the width of its band."""

    label: str
    number: str
    xs: Sequence[float]
    ys: Sequence[float]
    color: Color
    dashes: tuple[float, ...] = ()
    half: Sequence[float] | None = None
    strong: bool = False
    """Drawn thicker and on top."""


@dataclass(frozen=True)
class Chart:
    """Curves over one pair of axes. The legend keeps the lines' order."""

    title: str
    across: str
    up: str
    lines: tuple[Line, ...]
    shares: bool = True
    """Whether the values lie from 0 to 1, so that the axis begins at 0; otherwise it spans what the lines do."""


def plot(charts: Sequence[Chart], *, width: int = 1600, title: str = "", note: str = "") -> Image.Image:
    """The charts side by side on white, RGB, `width` pixels wide and as high as their legends need."""
    size = max(12.0, width / 80)
    gap, line = round(size), round(size * 1.45)
    room = (width - gap * (len(charts) + 1)) // len(charts)
    titles = wrapped(title, size * 1.1, width - 2 * gap)
    notes = wrapped(note, size * 0.85, width - 2 * gap)
    top = gap + line * len(titles) + (gap // 2 if titles else 0)
    height = round(room * 0.62)
    legends = max(len(chart.lines) for chart in charts)
    bottom = top + line + height + round(line * 2.4) + line * legends
    picture = Image.new("RGB", (width, bottom + gap + round(size * 1.2) * len(notes)), PAPER)
    draw = ImageDraw.Draw(picture)
    for number, words in enumerate(titles):
        write(draw, (gap, gap + line * number), words, size * 1.1, INK)
    for number, chart in enumerate(charts):
        _chart(picture, chart, (gap + number * (room + gap), top, room, height), size, line)
    for number, words in enumerate(notes):
        write(draw, (gap, bottom + gap // 2 + round(size * 1.2) * number), words, size * 0.85, QUIET)
    return picture


def ceiling(highest: float) -> float:
    """Where an axis from 0 ends: the next of 0.1, 0.2, 0.4, 0.6, 0.8 and 1."""
    return next((end for end in (0.1, 0.2, 0.4, 0.6, 0.8) if highest <= end), 1.0)


def axis(charts: Sequence[Chart]) -> tuple[float, float, list[float]]:
    """The lowest and the highest value of the axis that charts share, and its ticks."""
    edges = [
        y + sign * (0.0 if line.half is None or math.isnan(line.half[i]) else line.half[i])
        for chart in charts
        for line in chart.lines
        for i, y in enumerate(line.ys)
        for sign in (-1, 1)
    ]
    if all(chart.shares for chart in charts):
        end = ceiling(min(1.0, max(edges, default=1.0)))
        parts = 4 if end in (0.2, 0.4, 0.8, 1.0) else 3
        return 0.0, end, [end * tick / parts for tick in range(parts + 1)]
    low, high = min(edges, default=0.0), max(edges, default=1.0)
    rough = max(high - low, 1e-6) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    last = max(last, first + 1)
    return first * step, last * step, [number * step for number in range(first, last + 1)]


def dashed(points: Sequence[Point], dashes: Sequence[float]) -> list[list[Point]]:
    """A line through `points` cut into dashes (dash, gap, dash, …, in the points' unit); whole without them."""
    if not dashes:
        return [list(points)]
    pieces: list[list[Point]] = [[points[0]]]
    part, left = 0, float(dashes[0])
    for (x0, y0), (x1, y1) in pairwise(points):
        length = math.dist((x0, y0), (x1, y1))
        done = 0.0
        while length - done > left:
            done += left
            cut = (x0 + (x1 - x0) * done / length, y0 + (y1 - y0) * done / length)
            if part % 2 == 0:
                pieces[-1].append(cut)
            else:
                pieces.append([cut])
            part = (part + 1) % len(dashes)
            left = float(dashes[part])
        left -= length - done
        if part % 2 == 0:
            pieces[-1].append((x1, y1))
    return pieces


def _chart(
    picture: Image.Image, chart: Chart, box: tuple[int, int, int, int], size: float, line: int
) -> None:
    left, top, room, height = box
    draw = ImageDraw.Draw(picture)
    write(draw, (left, top), chart.title, size, INK)
    low, end, ticks = axis([chart])
    labels = [f"{tick:.2f}" if 0 < end - low <= 0.2 else f"{tick:g}" for tick in (round(t, 3) for t in ticks)]
    small = size * 0.85
    frame_left = left + round(max(width_of(label, small) for label in labels) + size * 0.8)
    frame_right = left + room - round(width_of("100 %", small) / 2)
    frame_top, frame_bottom = top + line + round(size * 0.4), top + line + height

    def place(x: float, y: float) -> Point:
        return (
            frame_left + x * (frame_right - frame_left),
            frame_bottom - min(max((y - low) / (end - low), 0.0), 1.0) * (frame_bottom - frame_top),
        )

    for tick, label in zip(ticks, labels, strict=True):
        y = round(place(0, tick)[1])
        draw.line((frame_left, y, frame_right, y), fill=_GRID, width=max(1, round(size / 16)))
        write(draw, (frame_left - size * 0.5, y), label, small, QUIET, anchor="rm")
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = round(place(share, 0)[0])
        draw.line((x, frame_bottom, x, frame_bottom + size * 0.3), fill=QUIET, width=max(1, round(size / 16)))
        write(
            draw,
            (x, frame_bottom + size * 0.45),
            f"{share:.0%}".replace("%", " %"),
            small,
            QUIET,
            anchor="ma",
        )
    _curves(picture, chart, place, (frame_left, frame_top, frame_right, frame_bottom), size)
    below = frame_bottom + round(line * 1.05)
    write(
        draw, ((frame_left + frame_right) / 2, below), f"{chart.across} · up: {chart.up}", small, QUIET, "ma"
    )
    _legend(draw, chart, (frame_left, below + round(line * 1.1)), size, line)


def _curves(
    picture: Image.Image,
    chart: Chart,
    place: Callable[[float, float], Point],
    frame: tuple[int, int, int, int],
    size: float,
) -> None:
    """Bands below, then lines, the strong ones last; antialiased by drawing them larger."""
    margin = round(size)
    corner = (frame[0] - margin, frame[1] - margin)
    room = (frame[2] - frame[0] + 2 * margin, frame[3] - frame[1] + 2 * margin)

    def points(xs: Sequence[float], ys: Sequence[float]) -> list[Point]:
        spots = (place(x, y) for x, y in zip(xs, ys, strict=True))
        return [((x - corner[0]) * FINER, (y - corner[1]) * FINER) for x, y in spots]

    for band in (True, False):
        for one in sorted(chart.lines, key=lambda each: each.strong):
            if band and (one.half is None or any(math.isnan(half) for half in one.half)):
                continue
            mask = Image.new("L", (room[0] * FINER, room[1] * FINER))
            pen = ImageDraw.Draw(mask)
            if band and one.half is not None:
                low = points(one.xs, [y - half for y, half in zip(one.ys, one.half, strict=True)])
                high = points(one.xs, [y + half for y, half in zip(one.ys, one.half, strict=True)])
                pen.polygon([*low, *reversed(high)], fill=56)
            else:
                thick = _thick(one, size) * FINER
                for piece in dashed(points(one.xs, one.ys), [thick * dash for dash in one.dashes]):
                    pen.line(piece, fill=255, width=round(thick), joint="curve")
            picture.paste(one.color, corner, mask.reduce(FINER))


def _thick(line: Line, size: float) -> float:
    return size * (0.22 if line.strong else 0.15)


def _legend(draw: ImageDraw.ImageDraw, chart: Chart, corner: tuple[int, int], size: float, line: int) -> None:
    left, top = corner
    swatch = size * 2.4
    column = (
        left + swatch + size * 0.6 + max((width_of(one.label, size) for one in chart.lines), default=0) + size
    )
    for number, one in enumerate(chart.lines):
        middle = top + line * (number + 0.5)
        thick = _thick(one, size)
        for piece in dashed([(left, middle), (left + swatch, middle)], [thick * dash for dash in one.dashes]):
            draw.line(piece, fill=one.color, width=max(2, round(thick)))
        write(draw, (left + swatch + size * 0.6, middle), one.label, size, INK, anchor="lm")
        write(draw, (column, middle), one.number, size, INK, anchor="lm")
