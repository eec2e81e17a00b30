"""What recording costs and saves, as ratios within one run: `python tests/benchmarks/heart.py` prints README.md's table.

Times are medians of pairs taken in turn, so that a machine that slows down slows both. Weights are random: attention costs
the same. `--device cuda --dtype bfloat16` measures there.
"""

import argparse
import multiprocessing
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import timm
import torch
from timm.layers import set_fused_attn
from timm.utils import AttentionExtract
from torch import nn

import vitviz
from vitviz.attention.recording.recorder import run
from vitviz.explain.methods.rollout import roll
from vitviz.images.framing import frame
from vitviz.images.photo import Photo, photo_from_array
from vitviz.memory import keep_freed_memory

Row = tuple[str, str, str]
DINO = "vit_base_patch14_reg4_dinov2"


def ratio(
    first: Callable[[], object], second: Callable[[], object], pairs: int
) -> tuple[float, float, float]:
    """Median of first/second over interleaved pairs, and the medians in seconds."""
    first()
    second()
    ratios, times = [], ([], [])
    for number in range(pairs):
        took = [0.0, 0.0]
        for which in (0, 1) if number % 2 else (1, 0):
            start = perf_counter()
            (first, second)[which]()
            took[which] = perf_counter() - start
            times[which].append(took[which])
        ratios.append(took[0] / took[1])
    return statistics.median(ratios), statistics.median(times[0]), statistics.median(times[1])


def picture(size: tuple[int, int]) -> Photo:
    return photo_from_array(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8), "noise")


def load(name: str, where: argparse.Namespace) -> vitviz.Model:
    module = timm.create_model(name, num_classes=1000).to(getattr(torch, where.dtype))
    return vitviz.load_model(module, device=where.device)


def recording(name: str, pairs: int, goal: float, where: argparse.Namespace) -> list[Row]:
    model = load(name, where)
    photo = picture(model.input_size)
    inputs = torch.from_numpy(vitviz.trace(model, photo).framing.apply(photo))[None].to(
        model.device, model.dtype
    )

    def finish() -> None:
        if model.device.type == "cuda":
            torch.cuda.synchronize()

    def plain() -> None:
        with torch.no_grad():
            model.module(inputs)
        finish()

    def recorded() -> None:
        run(model.module, inputs)
        finish()

    def framed_and_plain() -> None:
        pixels = frame(photo.size, model.data).apply(photo)
        with torch.no_grad():
            model.module(torch.from_numpy(pixels)[None].to(model.device, model.dtype)).float().cpu()
        finish()

    size = model.input_size[0]
    alone, _, forward = ratio(recorded, plain, pairs)
    whole, _, _ = ratio(lambda: vitviz.trace(model, photo), framed_and_plain, pairs)
    return [
        (
            f"Recorded forward pass over the plain one ({forward * 1000:.0f} ms), {name}, {size} px",
            f"{alone:.3f}",
            f"≤ {goal:.2f}",
        ),
        (
            "– `trace()` of a photo over framing it and the plain forward pass",
            f"{whole:.3f}",
            f"≤ {goal:.2f}",
        ),
    ]


def memory(where: argparse.Namespace) -> list[Row]:
    trace = vitviz.trace(load(DINO, where), picture((518, 518)))
    everything = sum(layer.heads * layer.layout.tokens**2 * 4 for layer in trace.layers)
    kept = trace.bytes / everything
    what = f"kept by a trace over all N×N in float32, {DINO}, 518 px"
    return [
        (
            f"Memory {what}",
            f"1/{1 / kept:.1f} ({trace.bytes / 2**20:.0f} of {everything / 2**20:.0f} MiB)",
            "≤ 1/6",
        )
    ]


def rollout(pairs: int, where: argparse.Namespace) -> list[Row]:
    trace = vitviz.trace(load(DINO, where), picture((518, 518)))

    def vector() -> object:
        return roll(trace, trace.layers, None, "mean", 0.0)

    def product() -> torch.Tensor:
        result = eye
        for matrix in residual:
            result = matrix @ result
        return result

    start = perf_counter()
    flow = vector()
    first = perf_counter() - start
    eye = torch.eye(trace.layers[0].layout.tokens, device=trace.model.device)
    start = perf_counter()
    residual = [(torch.cat([c.mean(0) for _, c in layer.chunks()]) + eye) / 2 for layer in trace.layers]
    building = perf_counter() - start
    row = product()[0]
    assert torch.allclose(flow.weights, row, atol=1e-6)
    faster, dense, took = ratio(product, vector, pairs)
    return [
        (
            f"Rollout of a query, matrix product ({dense * 1000:.0f} ms) over vector ({took * 1000:.0f} ms), {DINO}, 518 px",
            f"{faster:.1f}×",
            "≥ 10×",
        ),
        (
            "– the first query, which also computes the attention, against that and the product",
            f"{(building + took) / first:.1f}×",
            "",
        ),
    ]


def against_extract(name: str, size: int, pairs: int, where: argparse.Namespace) -> list[Row]:
    """timm's own way to attention maps: AttentionExtract with fused attention off."""
    model = load(name, where)
    photo = picture((size, size))
    set_fused_attn(False)
    unfused = timm.create_model(name, num_classes=1000).eval().to(where.device, getattr(torch, where.dtype))
    set_fused_attn(True)
    extract = AttentionExtract(unfused, method="hook")
    inputs = torch.from_numpy(vitviz.trace(model, photo).framing.apply(photo))[None].to(
        model.device, model.dtype
    )

    def theirs() -> object:
        with torch.no_grad():
            return extract(inputs)

    slower, _, _ = ratio(theirs, lambda: run(model.module, inputs), pairs)
    kept = sum(t.numel() * t.element_size() for t in theirs().values())
    _, operations = run(model.module, inputs)
    ours = sum(operation.bytes for operation in operations)
    rows = [
        (
            f"`AttentionExtract`, fused attention off, over vitviz: time, {name}, {size} px",
            f"{slower:.2f}×",
            "> 1×",
        ),
        ("– memory kept for the attention", f"{kept / ours:.1f}×", "> 1×"),
    ]
    if where.device == "cpu":
        theirs_grew, ours_grew = (_in_fresh_process(way, name, size) for way in ("extract", "vitviz"))
        grew = f"{theirs_grew:.0f} against {ours_grew:.0f} MiB"
        rows.append(("– growth of the process to its peak during the pass", grew, "less"))
    return rows


def _in_fresh_process(way: str, name: str, size: int) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth, (way, name, size))


def _growth(way: str, name: str, size: int) -> float:
    """MiB by which this process's memory grows at most during one pass (Linux: the high-water mark is reset before it)."""
    if way == "extract":
        set_fused_attn(False)
    module: nn.Module = timm.create_model(name, num_classes=1000).eval()
    inputs = torch.randn(1, 3, size, size)
    extract = AttentionExtract(module, method="hook") if way == "extract" else None
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    with torch.no_grad():
        kept = extract(inputs) if extract is not None else run(module, inputs)
    assert kept
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    """A field of this process's status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--pairs", type=int, default=40, help="pairs for the fast ones; the slow take fewer")
    where = parser.parse_args()
    keep_freed_memory()  # as the program does
    device = (
        torch.cuda.get_device_name()
        if where.device.startswith("cuda")
        else f"CPU, {torch.get_num_threads()} threads"
    )
    print(f"{device}, {where.dtype}, torch {torch.__version__}, timm {timm.__version__}\n")
    print("| what | measured | goal |\n|---|---|---|", flush=True)
    sections: tuple[Callable[[], list[Row]], ...] = (
        lambda: recording("vit_base_patch16_224", max(5, where.pairs // 2), 1.05, where),
        lambda: recording("deit_tiny_patch16_224", where.pairs * 2, 1.10, where),
        lambda: memory(where),
        lambda: rollout(max(3, where.pairs // 8), where),
        lambda: against_extract("vit_base_patch16_224", 224, max(5, where.pairs // 4), where),
        lambda: against_extract(DINO, 518, max(3, where.pairs // 10), where),
    )
    for section in sections:
        for what, measured, goal in section():
            print(f"| {what} | {measured} | {goal} |", flush=True)


if __name__ == "__main__":
    main()
