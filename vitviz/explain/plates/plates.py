"""Plates to save: windows, positions and patches of a trace, each a picture with its title, scale and legend.

    >>> vitviz.plate(trace, "similarity").save("similarity.png")        # doctest: +SKIP

To add a plate: a function of (trace, options) and a line in PLATES.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitviz.attention.layout import footprint
from vitviz.attention.trace import Query, Trace
from vitviz.errors import MethodError
from vitviz.explain.internals import patches, positions
from vitviz.explain.query import find_layer
from vitviz.render.colors import DEFAULT_COLORMAP
from vitviz.render.export import with_legend
from vitviz.render.picture_rows import (
    NOTHING,
    PlatePicture,
    beside,
    colored,
    common,
    enlarged,
    footprint_on_photo,
    in_rows,
    shifted_windows,
    side_by_side,
    tiled,
    windows_on_photo,
    with_caption,
)


@dataclass(frozen=True)
class Options:
    """What a plate may depend on; each uses what it needs."""

    layer: int | str = -1
    head: int | None = None
    query: Query = None
    stored: bool = False
    colormap: str = DEFAULT_COLORMAP


def plate(
    trace: Trace,
    what: str,
    *,
    layer: int | str = -1,
    head: int | None = None,
    query: Query = None,
    stored: bool | Literal["both"] = False,
    colormap: str = DEFAULT_COLORMAP,
) -> Image.Image:
    """A plate of a trace, one of PLATES: "windows", "shifted", "merge", "matrix", "similarity", "prefix", "components",
    "norm", "split", "bias", "patches", "filters", "embedding", "stem".

    `query`: the token whose window or logits are shown; `stored`: the position table before interpolation, or both. Raises
    MethodError where the model has nothing of the kind, with the reason.
    """
    if what not in PLATES:
        raise MethodError(f"There is no plate {what!r}; there are: {', '.join(PLATES)}.")
    options = Options(layer, head, query, stored is True, colormap)
    if stored == "both" and what in TABLES:
        return beside([PLATES[what](trace, replace(options, stored=one)) for one in (True, False)])
    return PLATES[what](trace, options)


def _windows(trace: Trace, options: Options) -> Image.Image:
    layer = find_layer(trace, options.layer)
    windows = layer.layout.windows
    if windows is None:
        raise MethodError(f"{trace.model.name} attends over the whole photo at once: it has no windows.")
    window = None
    if options.query is not None:
        weights = trace.query_weights(layer, options.query)
        window = windows.slot(int(np.argmax(weights)))[0] if weights is not None else None
    image = windows_on_photo(trace.photo, trace.framing, layer.layout, window)
    (rows, cols), (height, width) = windows.across, windows.size
    shift = f"shifted by {windows.shift[0]}, {windows.shift[1]}" if any(windows.shift) else "not shifted"
    note = f"{rows} × {cols} windows of {height} × {width} tokens, {shift}"
    if windows.padding:
        note += f", {windows.padding} slots of padding"
    if window is not None:
        note += f"; bright: window {window}; parts of different letters may not see each other"
    return _titled(image, f"The windows of {layer.name} on the photo", note)


def _shifted(trace: Trace, options: Options) -> Image.Image:
    layer = find_layer(trace, options.layer)
    if layer.layout.windows is None:
        raise MethodError(f"{trace.model.name} attends over the whole photo at once: it has no windows.")
    image = shifted_windows(trace.photo, trace.framing, layer.layout)
    note = "parts of one window with different letters may not see each other; grey: padding"
    return _titled(image, f"The photo as {layer.name} cuts it into windows, after the cyclic shift", note)


def _merge(trace: Trace, options: Options) -> Image.Image:
    layer = find_layer(trace, options.layer)
    weights = trace.query_weights(layer, options.query)
    tokens = [] if weights is None else np.nonzero(weights)[0].tolist()
    place = layer.layout.place(tokens[0]) if len(tokens) == 1 else None
    if place is None:
        raise MethodError("Choose one patch: the plate shows what its token was merged from.")
    steps = footprint([one.layout for one in trace.layers], trace.layers.index(layer), *place)
    if len(steps) == 1:
        raise MethodError(f"The tokens of {layer.name} are the first patches: nothing was merged before it.")
    image = footprint_on_photo(trace.photo, trace.framing, steps)
    title = f"What token ({place[0]}, {place[1]}) of {layer.name} was merged from"
    counts = " ← ".join(
        f"{round(step.box.area)} of {step.layout.patches.rows}×{step.layout.patches.cols}" for step in steps
    )
    return _titled(
        image,
        title,
        f"{counts}; white: the token; blue, green, pink: what it was merged from, stage by stage",
    )


def _matrix(trace: Trace, options: Options) -> Image.Image:
    layer = find_layer(trace, options.layer)
    windows = layer.layout.windows
    if windows is None:
        raise MethodError(f"{trace.model.name} attends over the whole photo at once: it has no windows.")
    weights = trace.query_weights(layer, options.query)
    window = 0 if weights is None else windows.slot(int(np.argmax(weights)))[0]
    attention = layer.weights(None, window)[0].detach().float().cpu().numpy()
    bias = positions.position_bias(trace, layer)
    heads = range(layer.heads) if options.head is None else [options.head]
    same = np.array([common(one) for one in bias])[:, None, None]
    limit = float(np.abs(bias - same).max()) or 1.0
    masked = colored(np.where(windows.masked(window), 1.0, 0.0), 0, 1, "gray")
    pictures = []
    for head in heads:
        shares = colored(attention[head], 0, float(attention[head].max()), options.colormap)
        pictures += [
            PlatePicture(shares, f"head {head}: attention"),
            PlatePicture(
                colored(bias[head] - same[head], -limit, limit),
                "relative position bias" + (f" less {same[head].item():.2f}" if same[head] else ""),
            ),
            PlatePicture(masked, "masked pairs (white)"),
        ]
    image = in_rows(pictures, 3, 240)
    title = f"Window {window} of {layer.name}: query (down) by key (across)"
    return with_legend(
        image, title=title, low=-limit, high=limit, unit="bias in logits", style="tint", opacity=1.0,
        note="attention: each matrix from 0 to its own maximum",
    )  # fmt: skip


def _similarity(trace: Trace, options: Options) -> Image.Image:
    values = positions.similarity(trace, options.stored)
    tiles = colored(values, -1, 1)
    own = np.arange(tiles.shape[0])[:, None], np.arange(tiles.shape[1])[None, :]
    tiles[own[0], own[1], own[0], own[1]] = (20, 20, 20)
    image = enlarged(Image.fromarray(tiled(tiles, 2)), 1100)
    title = f"Cosine of each position's embedding with every other's, {_which(options.stored)}"
    return _scaled(image, title, -1, 1, "cosine", "one map per position; dark: the position itself")


def _prefix(trace: Trace, options: Options) -> Image.Image:
    found = positions.prefix_similarity(trace, options.stored)
    if not found.names:
        raise MethodError(f"{trace.model.name} adds no position to its prefix tokens.")
    pictures = [
        PlatePicture(colored(values, -1, 1), f"{name} token")
        for name, values in zip(found.names, found.patches, strict=True)
    ]
    count = len(found.names)
    pairs = [
        f"{found.names[i]} and {found.names[j]} {found.each_other[i, j]:.2f}"
        for i in range(count)
        for j in range(i + 1, count)
    ]
    title = f"Cosine of prefix tokens' embeddings with every position's, {_which(options.stored)}"
    return _scaled(in_rows(pictures, 3), title, -1, 1, "cosine", "; ".join(pairs).replace("-", "−"))


def _components(trace: Trace, options: Options) -> Image.Image:
    found = positions.components(trace, options.stored)
    image = side_by_side([PlatePicture(_bytes(found.colors), "")], 480)
    shares = ", ".join(f"{share:.0%}" for share in found.shares)
    title = f"The position table's principal components 1, 2, 3 as red, green, blue, {_which(options.stored)}"
    return _titled(image, title, f"they explain {shares} of its variance; {positions.change(trace).sentence}")


def _norm(trace: Trace, options: Options) -> Image.Image:
    values = positions.norm(trace, options.stored)
    title = f"Length of each position's embedding, {_which(options.stored)}"
    return _map(values, title, "length", options.colormap)


def _split(trace: Trace, options: Options) -> Image.Image:
    found = positions.split(trace, options.layer, options.query)
    pictures, limit, more = split_pictures(found, options.head, options.colormap)
    heads = f"head {options.head}" if options.head is not None else f"mean of {len(found.content)} heads"
    title = f"Logits of {found.subject} in {found.layer}, {heads}: content + position = sum"
    note = "a difference of 1 is a factor of e; grey: padding or masked; attention from 0 to its own maximum"
    note = f"{note}. {more}" if more else note
    return _scaled(side_by_side(pictures), title, -limit, limit, "logits", note)


SAME = (
    "What position adds equally to all keys changes no attention; it is subtracted and written below the map."
)


class Shown(NamedTuple):
    """Pictures of logits on a scale from −limit to limit, and a note on them."""

    pictures: list[PlatePicture]
    limit: float
    note: str


def split_pictures(found: positions.Split, head: int | None, colormap: str = DEFAULT_COLORMAP) -> Shown:
    """Content, position, their sum and the attention they give; the limit is that of the first three."""
    names = (
        ("content", "position", "sum") if found.kind != "rotary" else ("not rotated", "rotation", "logits")
    )
    masked = found.picture(found.mask, head) < 0
    maps = [found.picture(values, head) for values in (found.content, found.position, found.logits)]
    maps = [np.where(masked, np.nan, values) for values in maps]
    same = common(maps[1])
    less = f" less {same:.2f}" if same else ""
    maps = [maps[0], maps[1] - same, maps[2] - same]
    limit = max(float(np.nanmax(np.abs(values))) for values in maps) or 1.0
    pictures = [
        PlatePicture(colored(values, -limit, limit), name + (less if number else ""), joint)
        for number, (values, name, joint) in enumerate(zip(maps, names, ("+", "=", "→"), strict=True))
    ]
    shares = found.picture(found.attention, head)
    pictures.append(PlatePicture(colored(shares, 0, float(np.nanmax(shares)), colormap), "attention"))
    return Shown(pictures, limit, SAME if same else "")


def _bias(trace: Trace, options: Options) -> Image.Image:
    found = positions.split(trace, options.layer, options.query)
    pictures, limit, more = bias_pictures(found)
    what = "rotation" if found.kind == "rotary" else "position"
    title = f"What {what} adds to the logits of {found.subject} in {found.layer}, head by head"
    note = "a difference of 1 is a factor of e; grey: padding or masked" + (f". {more}" if more else "")
    return _scaled(in_rows(pictures, 6, 200), title, -limit, limit, "logits", note)


def bias_pictures(found: positions.Split) -> Shown:
    """What position adds in each head, on one scale."""
    maps = [
        np.where(found.picture(found.mask, head) < 0, np.nan, found.picture(found.position, head))
        for head in range(len(found.position))
    ]
    same = [common(values) for values in maps]
    maps = [values - one for values, one in zip(maps, same, strict=True)]
    limit = max(float(np.nanmax(np.abs(values))) for values in maps) or 1.0
    pictures = [
        PlatePicture(colored(values, -limit, limit), f"head {head}" + (f" less {one:.2f}" if one else ""))
        for head, (values, one) in enumerate(zip(maps, same, strict=True))
    ]
    return Shown(pictures, limit, SAME if any(same) else "")


def _patches(trace: Trace, options: Options) -> Image.Image:
    cut = patches.pictures(trace)
    image = enlarged(Image.fromarray(tiled(patch_tiles(cut), max(2, cut.shape[2] // 6))), 1000)
    low, high = float(np.nanmin(cut)), float(np.nanmax(cut))
    note = (
        f"(value − mean) ÷ standard deviation per channel, from {low:.2f} (darkest) to {high:.2f} (brightest)"
    )
    return _titled(image, f"The {cut.shape[0]} × {cut.shape[1]} patches as the model sees them", note)


def patch_tiles(cut: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Normalised patches as colours: one scale for all, from the least to the greatest value; NaN is NOTHING."""
    low, high = float(np.nanmin(cut)), float(np.nanmax(cut))
    unit = (cut - low) / (high - low if high > low else 1)
    pixels: NDArray[np.uint8] = np.round(np.nan_to_num(unit) * 255).astype(np.uint8)
    pixels[np.isnan(cut).any(-1)] = NOTHING
    return pixels


def _filters(trace: Trace, options: Options) -> Image.Image:
    found = patches.filters(trace.model)
    tiles = found.tiles()
    cols = 7 if len(tiles) > 7 else len(tiles)
    tiles = tiles[: len(tiles) // cols * cols]
    image = Image.fromarray(tiled(tiles.reshape(-1, cols, *tiles.shape[1:]), 2))
    image = enlarged(image, 700)
    title = f"The first {len(tiles)} principal components of {found.filters} filters of the {found.whose}"
    note = f"they explain {found.shares[: len(tiles)].sum():.0%} of the filters' variance; grey is 0"
    return _titled(image, title, note)


def _embedding(trace: Trace, options: Options) -> Image.Image:
    found = patches.embedding(trace)
    return _map(found.norms, "Length of each patch's embedding", "length", options.colormap)


def _stem(trace: Trace, options: Options) -> Image.Image:
    found = patches.embedding(trace)
    if found.stem is None:
        raise MethodError(
            f"{trace.model.name} has no convolutional stem: its patches are cut from the photo itself."
        )
    return _map(found.stem, "Length of the stem's features", "length", options.colormap)


def _map(values: NDArray[np.float32], title: str, unit: str, colormap: str) -> Image.Image:
    low, high = float(values.min()), float(values.max())
    image = side_by_side([PlatePicture(colored(values, low, high, colormap), "")], 480)
    return with_legend(
        image, title=title, low=low, high=high, unit=unit, colormap=colormap, style="tint", opacity=1.0
    )


def _scaled(
    image: Image.Image, title: str, low: float, high: float, unit: str, note: str = ""
) -> Image.Image:
    return with_legend(
        image, title=title, low=low, high=high, unit=unit, note=note, style="tint", opacity=1.0
    )


def _titled(image: Image.Image, title: str, note: str) -> Image.Image:
    """A plate whose colours are no scale: title and note only."""
    return with_caption(image, title, note)


def _bytes(colors: NDArray[np.float32]) -> NDArray[np.uint8]:
    levels: NDArray[np.uint8] = np.round(colors * 255).astype(np.uint8)
    return levels


def _which(stored: bool) -> str:
    return "as it was stored" if stored else "as this input uses it"


PLATES: dict[str, Callable[[Trace, Options], Image.Image]] = {
    "windows": _windows,
    "shifted": _shifted,
    "merge": _merge,
    "matrix": _matrix,
    "similarity": _similarity,
    "prefix": _prefix,
    "components": _components,
    "norm": _norm,
    "split": _split,
    "bias": _bias,
    "patches": _patches,
    "filters": _filters,
    "embedding": _embedding,
    "stem": _stem,
}
"""Every plate by name."""

LAYERED = ("windows", "shifted", "merge", "matrix", "split", "bias")
"""Plates of a layer."""
TABLES = ("similarity", "prefix", "components", "norm")
"""Plates of the position table."""
