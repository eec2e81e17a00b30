"""Position tables and split logits as pictures and sentences: pure functions."""

from typing import TYPE_CHECKING

import numpy as np

from vitviz.app.panels.positions.compute import PositionTable
from vitviz.app.ui import number_format
from vitviz.app.widgets.pictures.gallery import GalleryPicture
from vitviz.render.picture_rows import colored, tiled

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace
    from vitviz.explain.internals.logit_parts import Split
    from vitviz.explain.internals.positions import Change

Patch = tuple[int, int]

MOST = 1600
"""Positions whose maps are shown side by side: 40×40; of larger grids every second row and column."""
LEGEND = {
    "similarity": "Each small map: the cosine between one position's embedding and all others. Red: alike, blue: opposite. "
    "Point at a map to see it large. Where near patches, or a whole row or column, are alike, the model knows its grid.",
    "components": "The three directions in which embeddings differ most, as red, green and blue: positions of like "
    "colour are alike in them.",
    "likeness": " Likeness: the cosine with the stored embedding of the nearest place; the brighter, the less has changed.",
    "norm": "The length of each embedding: a longer one has more weight in its token.",
    "bias": "What its place adds to the logit of each key, for one query, head by head on one scale: red adds, blue takes "
    "away; 1 more makes attention e = 2.7 times as strong. Grey: padding, or masked. A click shows a head's content too.",
    "relative bias": "Logits before the softmax, of one query over all keys. Content: what it looks for; position: what its "
    "place adds; 1 more makes attention e = 2.7 times as strong. Grey: padding, or masked. Attention: to its own maximum.",
    "rotary": "The model turns queries and keys by angles that depend on their places. Not rotated: the logits with both "
    "turned back; rotation: what turning them changes; 1 more makes attention e = 2.7 times as strong. "
    "Attention: to its own maximum.",
}


def maps(
    mode: str, name: str, table: PositionTable, scale: tuple[float, float], colormap: str, lead: bool = False
) -> list[GalleryPicture]:
    """A table in one of the modes "similarity", "components" or "norm"; `scale` is that of norms.

    `lead`: whether the grid of maps takes most of the space.
    """
    if mode == "similarity":
        values = table.similarity
        if values.shape[0] * values.shape[1] > MOST:
            values = values[::2, ::2]
        pixels = tiled(colored(values, -1, 1), 1, (128, 128, 128))
        cells = values.shape[0], values.shape[1]
        aspect = pixels.shape[1] / pixels.shape[0]
        return [
            GalleryPicture(
                pixels,
                "every position" if lead else name,
                cells,
                1,
                aspect=aspect,
                lead=lead,
            )
        ]
    if mode == "components":
        pixels = np.round(table.components.colors * 255).astype(np.uint8)
    else:
        pixels = colored(table.norm, *scale, colormap)
    return [_map(pixels, name)]


def beside(table: PositionTable, place: Patch | None, which: str = "") -> list[GalleryPicture]:
    """What lies beside the grid of maps: the map of one position, or without one those of the prefix tokens."""
    if place is not None:
        return [
            _map(colored(table.similarity[place], -1, 1), f"({place[0]}, {place[1]}) {which or 'beside all'}")
        ]
    return [
        _map(colored(values, -1, 1), f"{name} {which or 'token'}")
        for name, values in zip(table.prefix.names, table.prefix.patches, strict=True)
    ]


def changed(change: "Change", colormap: str) -> GalleryPicture:
    """What interpolation changed: for each position the cosine with the nearest stored embedding."""
    low = float(change.nearest.min())
    return _map(colored(change.nearest, low, 1.0, colormap), f"likeness {low:.2f} to 1".replace("-", "−"))


def prefix_keys(found: "Split", head: int | None) -> str:
    """The logits over prefix tokens, which have no place on the maps, as numbers; empty without any."""
    if not found.prefix:
        return ""
    parts = [
        values.mean(0) if head is None else values[head]
        for values in (found.content, found.position, found.logits, found.attention)
    ]
    few = len(found.prefix) <= 2
    told = [
        f"{name} {content:+.2f} {position:+.2f} = {logits:+.2f}"
        + (f" (attention {number_format.number(float(share))})" if few else "")
        for name, content, position, logits, share in zip(found.prefix, *parts, strict=False)
    ]
    # What belongs together stays on one line.
    return (
        "Keys without a place: "
        + "; ".join(one.replace("-", "−").replace(" ", "\u00a0") for one in told)
        + "."
    )


def key_words(trace: "Trace", found: "Split", head: int | None, spot: tuple[int, int], whole: bool) -> str:
    """The numbers of one key of a split in one head, or the mean of all; `whole`: content and mask too, not position alone.

    Empty for padding.
    """
    token = int(found.keys[len(found.prefix) + spot[0] * found.shape[1] + spot[1]])
    layer = next(layer for layer in trace.layers if layer.name == found.layer)
    place = None if token < 0 else layer.layout.place(token)
    if place is None:
        return ""
    content, position, mask, logits, share = (
        float(found.picture(values, head)[spot])
        for values in (found.content, found.position, found.mask, found.logits, found.attention)
    )
    name = f"Key ({place[0]}, {place[1]})"
    first, second = ("content", "position") if found.kind != "rotary" else ("not rotated", "rotation")
    if not whole:
        return f"{name}, head {head}: {second} {position:+.2f} logits".replace("-", "−")
    masked = f" + mask {mask:.0f}" if mask < 0 else ""
    told = (
        f"{name}: {first} {content:+.2f}, {second} {position:+.2f}{masked} = {logits:+.2f} logits; attention "
    )
    return told.replace("-", "−") + number_format.number(share)


def sentence(mode: str, table: PositionTable, place: Patch | None, prefix: int = 0) -> str:
    """What a mode shows, with the numbers of the chosen position. `prefix`: how many prefix tokens the model has."""
    if mode == "components":
        shares = ", ".join(f"{share:.0%}" for share in table.components.shares)
        return f"Three components as colours: {shares} of the table's variance"
    if mode == "norm":
        if place is not None:
            ratio = float(table.norm[place] / max(float(table.norm.mean()), 1e-12))
            return f"Position ({place[0]}, {place[1]}): length {table.norm[place]:.2f}, {ratio:.2f}× the mean"
        return f"The length of the embedding of each of {table.norm.size} positions"
    if place is None:
        others, names = table.prefix.each_other, table.prefix.names
        pairs = [
            f"{names[i]} and {names[j]} {others[i, j]:.2f}"
            for i in range(len(names))
            for j in range(i + 1, len(names))
        ]
        if prefix and not names:
            pairs = ["prefix tokens get no position"]
        return "; ".join(["Each position beside all others", *pairs[:3]])
    values = table.similarity[place].copy()
    values[place] = -np.inf
    best = np.unravel_index(int(values.argmax()), values.shape)
    return f"Position ({place[0]}, {place[1]}) is most like ({best[0]}, {best[1]}): cosine {values.max():.2f}"


def on_table(cells: tuple[int, int], trace: "Trace", patch: Patch) -> Patch:
    """A patch of the photo on a table's own grid."""
    return trace.patches.nearest_in(trace.patches.divided(*cells), *patch)


def on_photo(cells: tuple[int, int], trace: "Trace", row: int, column: int) -> Patch:
    """The patch of the photo in the middle of a cell of another grid over the same picture."""
    return trace.patches.divided(*cells).nearest_in(trace.patches, row, column)


def _map(pixels: np.ndarray, caption: str) -> GalleryPicture:
    rows, cols = pixels.shape[:2]
    return GalleryPicture(pixels, caption, (rows, cols), aspect=cols / rows)
