"""What each method costs, as ratios within one run: `python tests/benchmarks/methods.py` prints README.md's tables.

The first table is of time: a method from the photo on over what any such computation needs at least, which is framing the
photo and one plain forward pass or, where a class is explained, one forward pass and one backward pass to the input. The
second is against the straightforward implementation: fused attention off, every N×N stored with its gradient, products of
whole matrices; for relevance in two ways, with `backward()`, which also fills the gradients of all weights, as scripts that
are published do it, and with gradients of the attention alone. Times are medians of pairs taken in turn, so that a machine
that slows down slows both. Weights are random: attention costs the same.
"""

import argparse
import ctypes
import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import timm
import torch
from heart import _status, load, picture, ratio
from timm.layers import set_fused_attn
from torch import Tensor, nn

import vitviz
from vitviz.explain.heatmap import Heatmap
from vitviz.explain.registry import METHODS
from vitviz.images.framing import frame
from vitviz.memory import keep_freed_memory

MODELS = {224: "vit_base_patch16_224", 518: "vit_base_patch14_reg4_dinov2"}
GOALS = {"attention": "≤ 1.3", "rollout": "≤ 1.3", "relevance": "≤ 1.5"}
Row = tuple[str, str, str]


def costs(size: int, names: list[str], pairs: int, where: argparse.Namespace) -> Iterator[Row]:
    """Each method over a forward pass, or a forward and a backward pass."""
    model = load(MODELS[size], where)
    photo = picture((size, size))
    vitviz.trace(model, photo)  # which checks itself
    for parameter in model.module.parameters():  # so that the plain pass does no more than it must
        parameter.requires_grad_(False)

    def inputs() -> Tensor:
        pixels = frame(photo.size, model.data).apply(photo)
        return torch.from_numpy(pixels)[None].to(model.device, model.dtype)

    def forward() -> None:
        with torch.no_grad():
            model.module(inputs()).float().cpu()

    def forward_and_backward() -> None:
        pixels = inputs().requires_grad_()
        torch.autograd.grad(model.module(pixels)[0, 0], pixels)[0].float().cpu()

    for method in METHODS:
        if method.name not in names:
            continue

        def whole(name: str = method.name, gradient: bool = method.gradient) -> None:
            vitviz.explain(vitviz.trace(model, photo, gradients=gradient), name)

        over, _, took = ratio(whole, forward_and_backward if method.gradient else forward, pairs)
        passes = "forward and backward" if method.gradient else "forward"
        yield (
            f"{method.label} over {passes} ({took * 1000:.0f} ms), {MODELS[size]}, {size} px",
            f"{over:.2f}",
            GOALS.get(method.name, ""),
        )


def straightforward_relevance(module: nn.Module, inputs: Tensor, backward: bool = True) -> Tensor:
    """As scripts do it: A kept by a hook on each attn_drop, its gradient by autograd, R as a product of matrices.

    `backward`: by `backward()`, as in the notebooks of Chefer, Gur & Wolf (2021); otherwise for the attention alone.
    """
    kept, logits = _with_attention(module, inputs)
    if backward:
        for attention in kept:
            attention.retain_grad()
        module.zero_grad()
        logits[0, 0].backward()
        found = [attention.grad for attention in kept]
    else:
        found = list(torch.autograd.grad(logits[0, 0], kept))
    result = torch.eye(kept[0].shape[-1], device=inputs.device)
    for attention, gradient in zip(kept, found, strict=True):
        assert gradient is not None
        result = result + (gradient * attention.detach())[0].clamp(min=0).mean(0).float() @ result
    return result[0].detach()


def straightforward_rollout(module: nn.Module, inputs: Tensor) -> Tensor:
    """As scripts do it: A kept by a hook on each attn_drop, the product of whole matrices."""
    with torch.no_grad():
        kept, _ = _with_attention(module, inputs)
    result = eye = torch.eye(kept[0].shape[-1], device=inputs.device)
    for attention in kept:
        result = (attention[0].mean(0).float() + eye) / 2 @ result
    return result[0]


def _with_attention(module: nn.Module, inputs: Tensor) -> tuple[list[Tensor], Tensor]:
    kept: list[Tensor] = []
    handles = [
        block.attn.attn_drop.register_forward_hook(lambda _m, _i, output: kept.append(output))
        for block in module.blocks
    ]
    try:
        return kept, module(inputs)
    finally:
        for handle in handles:
            handle.remove()


def against_straightforward(size: int, pairs: int, where: argparse.Namespace) -> Iterator[Row]:
    """Relevance and rollout from the photo on, and relevance of a further class, against scripts."""
    model = load(MODELS[size], where)
    photo = picture((size, size))
    trace = vitviz.trace(model, photo)
    classes = count()
    set_fused_attn(False)
    unfused = timm.create_model(MODELS[size], num_classes=1000).eval()
    set_fused_attn(True)
    unfused.load_state_dict(model.module.state_dict())
    unfused = unfused.to(model.device, model.dtype)

    def inputs() -> Tensor:
        pixels = frame(photo.size, model.data).apply(photo)
        return torch.from_numpy(pixels)[None].to(model.device, model.dtype)

    def relevance_script() -> Tensor:
        return straightforward_relevance(unfused, inputs())

    def leaner_relevance_script() -> Tensor:
        return straightforward_relevance(unfused, inputs(), backward=False)

    def rollout_script() -> Tensor:
        return straightforward_rollout(unfused, inputs())

    def relevance() -> Heatmap:
        return vitviz.explain(vitviz.trace(model, photo, gradients=True), "relevance", target=0)

    def relevance_of_a_further_class() -> Heatmap:
        return vitviz.explain(trace, "relevance", target=next(classes))

    def rollout() -> Heatmap:
        return vitviz.explain(vitviz.trace(model, photo), "rollout")

    def forward(module: nn.Module) -> None:
        with torch.no_grad():
            module(inputs())

    def forward_and_backward(module: nn.Module) -> None:
        pixels = inputs().requires_grad_()
        torch.autograd.grad(module(pixels)[0, 0], pixels)

    for what, passes in (
        ("A plain forward pass", forward),
        ("A plain forward and backward pass", forward_and_backward),
    ):
        slower, long, took = ratio(partial(passes, unfused), partial(passes, model.module), pairs)
        yield (
            f"{what}: unfused ({long * 1000:.0f} ms) over fused ({took * 1000:.0f} ms), {MODELS[size]}, {size} px",
            f"{slower:.2f}×",
            "",
        )
    for what, script, ours in (
        ("Relevance from the photo on, by `backward()`", relevance_script, relevance),
        ("Relevance from the photo on, attention's gradients alone", leaner_relevance_script, relevance),
        ("Relevance of a further class, by `backward()`", relevance_script, relevance_of_a_further_class),
        ("Rollout from the photo on", rollout_script, rollout),
    ):
        if ours is not relevance_of_a_further_class:
            expected, close = script()[len(trace.prefix) :].cpu().numpy(), 1e-3 if ours is relevance else 1e-4
            error = abs(ours().values.reshape(-1) - expected).max()
            assert error <= close * expected.max()
        slower, long, took = ratio(script, ours, pairs)
        yield (
            f"{what}: unfused with stored N×N ({long * 1000:.0f} ms) over vitviz ({took * 1000:.0f} ms), "
            f"{MODELS[size]}, {size} px",
            f"{slower:.2f}×",
            "> 1×",
        )
    if where.device == "cpu":
        theirs, grew = (_in_fresh_process(way, size) for way in ("script", "vitviz"))
        yield (
            "– the same, attention's gradients alone: growth of the process to its peak",
            f"{theirs / grew:.1f}× ({theirs:.0f} against {grew:.0f} MiB)",
            "> 1×",
        )


def _in_fresh_process(way: str, size: int) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth, (way, size))


def _growth(way: str, size: int) -> float:
    """MiB by which this process's memory grows at most (Linux: the high-water mark is reset before), not the first time."""
    where = argparse.Namespace(device="cpu", dtype="float32")
    set_fused_attn(way != "script")
    model = load(MODELS[size], where)
    photo = picture((size, size))
    inputs = torch.from_numpy(frame(photo.size, model.data).apply(photo))[None]

    def explain() -> None:
        if way == "script":
            straightforward_relevance(model.module, inputs, backward=False)
        else:
            vitviz.explain(vitviz.trace(model, photo, gradients=True), "relevance", target=0)

    explain()  # vitviz checks the model then, and both load what they need
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    explain()
    return (_status("VmHWM") - before) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--sizes", type=int, nargs="+", choices=tuple(MODELS), default=list(MODELS))
    parser.add_argument("--methods", nargs="+", default=[method.name for method in METHODS])
    parser.add_argument("--pairs", type=int, default=12, help="pairs at 224 pixels; at 518 a quarter of them")
    where = parser.parse_args()
    keep_freed_memory()  # as the program does
    cuda = where.device.startswith("cuda")
    device = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    load_average = "" if cuda else f", load {os.getloadavg()[0]:.1f} when begun"
    print(f"{device}, {where.dtype}, torch {torch.__version__}, timm {timm.__version__}{load_average}\n")
    print("| what | measured | goal |\n|---|---|---|", flush=True)
    tables: tuple[Callable[[int, int], Iterator[Row]], ...] = (
        lambda size, pairs: costs(size, where.methods, pairs, where),
        lambda size, pairs: against_straightforward(size, pairs, where),
    )
    for table in tables:
        for size in where.sizes:
            for what, measured, goal in table(size, where.pairs if size == 224 else max(1, where.pairs // 4)):
                print(f"| {what} | {measured} | {goal} |", flush=True)


if __name__ == "__main__":
    main()
