"""Statistics of attention, per layer and head: distance, entropy, what prefix tokens get, and which heads agree.

All are means over the patches as queries; matrices are computed in chunks and never held for all heads at once.

Decisions:

- Distances are means over patch keys only, whose weights are scaled to sum 1, because prefix tokens and padding have no
  position. The distance with the weights as they are is given too.
- Head-to-head similarity is the cosine of two heads' rows (0: no key in common, 1: proportional). Rejected: 1 − the
  Jensen-Shannon divergence, which takes the logarithm of each pair of heads' mixture (66 per entry for 12 heads; the
  cosine is one product) and is undefined for rows that are not shares.
- Swin's padding is among the keys that a query may see, because the model's mask lets it see them.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitviz.attention.layer import CHUNK_ENTRIES, Layer
from vitviz.attention.recording.recorder import Cancelled
from vitviz.attention.trace import Trace
from vitviz.explain.measures.csv_tables import write_csv
from vitviz.images.framing import PatchGrid
from vitviz.models.devices import memory_guard

Numbers = NDArray[np.float64]
Cancel = Callable[[], bool]
Progress = Callable[[str, float | None], None]


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """One layer; each number is a mean over the patches as queries. NaN where it has no meaning."""

    name: str
    prefix_names: tuple[str, ...]
    distance: Numbers
    """heads: Σ_j A_ij·‖c_i − c_j‖ over patch keys, renormalised to them, in input pixels (Dosovitskiy 2021, Fig. 7)."""
    distance_unnormalised: Numbers
    """heads: the same with the weights as they are; what prefix tokens and padding get counts as no distance."""
    entropy: Numbers
    """heads: −Σ_j A_ij log A_ij over all keys, divided by log(keys the query may see): 0 is one key, 1 is uniform."""
    prefix: Numbers
    """prefix tokens×heads: the share of attention that each gets."""
    padding: Numbers
    """heads: the share that Swin's padding gets."""
    similarity: Numbers
    """heads×heads: the cosine between two heads' rows."""
    uniform_distance: Numbers
    """The renormalised distance of uniform attention, in input pixels: the reference for distances."""
    uniform_share: Numbers
    """What each key gets if all that a query may see get the same: the reference for shares."""

    @property
    def heads(self) -> int:
        """The number of heads."""
        return len(self.distance)


FIELDS = (
    "distance",
    "distance_unnormalised",
    "entropy",
    "prefix",
    "padding",
    "similarity",
    "uniform_distance",
    "uniform_share",
)
"""The numbers of a layer."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """All layers of one photo, or their mean or standard deviation over photos."""

    model_name: str
    layers: tuple[LayerStatistics, ...]

    def save(self, path: Path | str) -> Path:
        """Write a CSV, one line per head. Raises ExportError."""
        return save_statistics(path, self, None)


def statistics(trace: Trace, *, cancel: Cancel | None = None, progress: Progress | None = None) -> Statistics:
    """The statistics of every layer and head of a trace; kept as long as the trace.

    `cancel` is called before each layer; if it returns True, Cancelled is raised. `progress` is called with (text, part
    done). Raises DeviceMemoryError.
    """
    known: Statistics | None = trace.kept.get("statistics")
    if known is not None:
        return known
    layers = []
    with memory_guard(trace.model.name, trace.model.device), torch.no_grad():
        for number, layer in enumerate(trace.layers):
            if cancel is not None and cancel():
                raise Cancelled
            if progress is not None:
                progress(f"Statistics of {layer.name}", number / len(trace.layers))
            layers.append(_layer(layer))
    found = Statistics(trace.model.full_name, tuple(layers))
    trace.kept["statistics"] = found
    return found


class _Part(NamedTuple):
    """A piece of a layer's attention with patches as queries: g windows (or 1), q queries, k keys."""

    weights: Tensor
    """g×heads×q×k."""
    distances: Tensor
    """g×q×k in input pixels; 0 to keys without a position."""
    placed: Tensor
    """g×1×k: 1 for keys that are patches."""
    real: Tensor
    """g×q: 1 for queries that are patches, 0 for padding."""
    visible: Tensor
    """g×q×k or 1×1×1: 1 where a query may see a key."""
    seen: Tensor
    """g×heads (or 1)×q: how many keys a query may see."""


def _layer(layer: Layer) -> LayerStatistics:
    heads = layer.heads
    prefix = layer.layout.prefix
    if layer.pooling or layer.queries is not None:  # no patch attends
        return _nothing(layer)
    sums = {name: np.zeros(heads) for name in ("distance", "unnormalised", "entropy", "padding")}
    counts = {name: np.zeros(heads) for name in ("distance", "entropy")}
    shares, similarity = np.zeros((len(prefix), heads)), np.zeros((heads, heads))
    even = share = 0.0
    queries = 0.0
    for part in _parts(layer):
        real = part.real[:, None]
        queries += float(part.real.sum())
        moved = (part.weights * part.distances[:, None]).sum(-1)
        mass = (part.weights * part.placed[:, None]).sum(-1)
        counted = real * (mass > 0)
        sums["unnormalised"] += _sum(moved * real)
        sums["distance"] += _sum(torch.where(counted > 0, moved / mass.clamp_min(1e-30), 0.0))
        counts["distance"] += _sum(counted.expand_as(mass))
        choosing = (real * (part.seen > 1)).expand_as(mass)
        entropy = torch.special.entr(part.weights.clamp_min(0)).sum(-1) / part.seen.clamp_min(2).log()
        sums["entropy"] += _sum(entropy * choosing)
        counts["entropy"] += _sum(choosing)
        if prefix:
            got = part.weights[..., : len(prefix)] * real[..., None]
            shares += got.sum((0, 2)).double().cpu().numpy().T
        total = part.weights.sum(-1)
        on_prefix = part.weights[..., : len(prefix)].sum(-1)
        sums["padding"] += _sum((total - mass - on_prefix) * real)
        rows = part.weights / part.weights.norm(dim=-1, keepdim=True).clamp_min(1e-30) * real[..., None]
        rows = rows.transpose(0, 1).flatten(1)
        similarity += (rows @ rows.T).double().cpu().numpy()
        reached = part.placed * part.visible * part.real[..., None]
        far = (part.distances * reached).sum(-1) / reached.sum(-1).clamp_min(1)
        even += float(far.sum())
        share += float((real / part.seen).expand(-1, heads, -1).sum()) / heads
    nan = np.full(heads, np.nan)
    shared = layer.is_distribution
    with np.errstate(invalid="ignore"):
        return LayerStatistics(
            name=layer.name,
            prefix_names=prefix,
            distance=sums["distance"] / counts["distance"] if shared else nan,
            distance_unnormalised=sums["unnormalised"] / queries if shared else nan,
            entropy=sums["entropy"] / counts["entropy"] if shared else nan,
            prefix=shares / queries if shared else np.full((len(prefix), heads), np.nan),
            padding=np.maximum(sums["padding"] / queries, 0) if _padded(layer) else np.zeros(heads),
            similarity=similarity / queries,
            uniform_distance=np.array(even / queries),
            uniform_share=np.array(share / queries),
        )


def _nothing(layer: Layer) -> LayerStatistics:
    nan = np.full(layer.heads, np.nan)
    prefix = layer.layout.prefix
    return LayerStatistics(
        layer.name,
        prefix,
        nan,
        nan,
        nan,
        np.full((len(prefix), layer.heads), np.nan),
        nan,
        np.full((layer.heads, layer.heads), np.nan),
        np.array(np.nan),
        np.array(np.nan),
    )


def _padded(layer: Layer) -> bool:
    return layer.layout.windows is not None and layer.layout.windows.padding > 0


def _sum(values: Tensor) -> Numbers:
    """g×heads×q → heads, in float64 from here on."""
    summed: Numbers = values.sum((0, 2)).double().cpu().numpy()
    return summed


def _parts(layer: Layer) -> Iterator[_Part]:
    return _plain(layer) if layer.layout.windows is None else _windowed(layer)


def _plain(layer: Layer) -> Iterator[_Part]:
    prefix = len(layer.layout.prefix)
    for rows, chunk in layer.chunks():
        first = max(rows.start, prefix)
        if first >= rows.stop:
            continue
        weights = chunk[None, :, first - rows.start :]
        one = torch.ones((), device=chunk.device)
        where = centres(layer.layout.patches).to(chunk.device)
        away = torch.zeros(1, rows.stop - first, chunk.shape[-1], device=chunk.device)
        away[0, :, prefix:] = _apart(where[first - prefix : rows.stop - prefix], where)
        placed = torch.ones(1, 1, chunk.shape[-1], device=chunk.device)
        placed[..., :prefix] = 0
        real = one.expand(1, rows.stop - first)
        yield _Part(weights, away, placed, real, one.expand(1, 1, 1), _seen(layer, first, rows.stop, one))


def _seen(layer: Layer, first: int, end: int, one: Tensor) -> Tensor:
    """1×heads (or 1)×rows: all keys, less those that a bias of −∞ forbids."""
    operation = layer.operations[0]
    keys = operation.shape[3]
    bias = operation.bias
    if bias is None or not bool(torch.isneginf(bias).any()):
        return (one * keys).expand(1, 1, end - first)
    forbidden = torch.isneginf(bias.expand(operation.shape)[:, :, first:end])
    return (~forbidden).sum(-1).float()


def _windowed(layer: Layer) -> Iterator[_Part]:
    windows = layer.layout.windows
    assert windows is not None
    count, heads, slots, _ = layer.operations[0].shape
    where = centres(layer.layout.patches)
    whole = count * heads * slots * slots <= CHUNK_ENTRIES
    groups: list[int | None] = [None] if whole else list(range(count))
    for window in groups:
        weights = layer.weights(None, window)
        device = weights.device
        chosen = slice(None) if window is None else slice(window, window + 1)
        index = torch.from_numpy(windows.index[chosen])
        regions = torch.from_numpy(windows.regions[chosen])
        real = (index >= 0).float()
        visible = (regions[:, :, None] == regions[:, None, :]).float()
        places = where[index.clamp_min(0)]
        away = _apart(places, places) * real[:, None, :]
        yield _Part(
            weights,
            away.to(device),
            real[:, None].to(device),
            real.to(device),
            visible.to(device),
            visible.sum(-1)[:, None].to(device),
        )


def centres(patches: PatchGrid) -> Tensor:
    """(rows·cols)×2: the centres (y, x) of the cells in input pixels."""
    (top, left), (height, width) = patches.origin, patches.cell
    y = top + (torch.arange(patches.rows) + 0.5) * height
    x = left + (torch.arange(patches.cols) + 0.5) * width
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2)


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """…×n×2 and …×m×2 → …×n×m, the distance between each pair of points."""
    return (one[..., :, None, :] - other[..., None, :, :]).square().sum(-1).sqrt()


def save_statistics(path: Path | str, found: "Statistics", deviation: "Statistics | None") -> Path:
    """One line per layer and head; with standard deviations where there are any. Raises ExportError."""
    names = list(dict.fromkeys(name for layer in found.layers for name in layer.prefix_names))
    most = max(layer.heads for layer in found.layers)
    columns = ["distance in input pixels", "distance, prefix tokens and padding as 0", "entropy"]
    columns += [f"share on {name}" for name in names] + ["share on padding"]
    header = ["layer", "name", "head", *columns]
    if deviation is not None:
        header += [f"{column}, standard deviation" for column in columns]
    header += [f"cosine with head {head}" for head in range(most)]
    lines: list[list[object]] = []
    for number, layer in enumerate(found.layers):
        spread = None if deviation is None else deviation.layers[number]
        for head in range(layer.heads):
            line: list[object] = [number, layer.name, head, *_numbers(layer, head, names)]
            line += [] if spread is None else _numbers(spread, head, names)
            lines.append([*line, *layer.similarity[head].tolist(), *[math.nan] * (most - layer.heads)])
    return write_csv(path, header, lines)


def _numbers(layer: "LayerStatistics", head: int, names: list[str]) -> list[float]:
    found = dict(zip(layer.prefix_names, layer.prefix[:, head].tolist(), strict=True))
    return [
        float(layer.distance[head]),
        float(layer.distance_unnormalised[head]),
        float(layer.entropy[head]),
        *(found.get(name, math.nan) for name in names),
        float(layer.padding[head]),
    ]
