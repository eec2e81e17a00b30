"""What the proof of a model costs: `python tests/benchmarks/proof.py` prints the table.

The first trace of a model proves the five claims of its maps; the next one does not. Both are measured in plain forward
passes of the same model in the same process. Memory is the most that all tensors take at the same time beside the model.
"""

import gc
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import accumulate

import numpy as np
import timm
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import vitviz
from vitviz.images.photo import photo_from_array

HAND_WRITTEN = "a hand-written ViT-Tiny/16"
MODELS = (
    ("deit_tiny_patch16_224", 224),
    ("vit_base_patch16_224", 224),
    ("swin_tiny_patch4_window7_224", 224),
    ("vit_base_patch14_reg4_dinov2", 518),
    (HAND_WRITTEN, 224),
)


class HandWritten(nn.Module):
    """A ViT-Tiny that no family knows: its layout is read off it."""

    def __init__(self, width: int = 192, depth: int = 12, classes: int = 1000) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, width, 16, 16)
        self.first = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.places = nn.Parameter(torch.randn(1, 197, width) * 0.02)
        self.blocks = nn.Sequential(*(HandWrittenBlock(width) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)
        self.num_classes = classes

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.norm(self.blocks(x))[:, 0])


class HandWrittenBlock(nn.Module):
    """Attention with 3 heads, written out, and an MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.one(x)).unflatten(2, (3, 3, -1)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).flatten(2))
        return x + self.mlp(self.two(x))


def made(name: str, size: int) -> nn.Module:
    """The model of a row, with random weights."""
    if name == HAND_WRITTEN:
        return HandWritten().eval()
    module: nn.Module = timm.create_model(name, **({} if "swin" in name else {"img_size": size}))
    return module.eval()


def seconds(work) -> float:
    """How long a piece of work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak(work: Callable[[], object]) -> float:
    """The most MiB that tensors take at the same time while some work is done, beside those before."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        work()
    changes = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in changes)) / 2**20


def main() -> None:
    print(
        "| model | plain pass | first trace, in plain passes | next trace | memory of the first over the next | "
        "all claims hold |\n|---|---|---|---|---|---|"
    )
    for name, size in MODELS:
        torch.manual_seed(0)
        module = made(name, size)
        model = vitviz.load_model(module, device="cpu")
        noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
        photo, inputs = photo_from_array(noise, "noise"), torch.randn(1, 3, size, size)
        with torch.inference_mode():
            module(inputs)
            plain = statistics.median(seconds(partial(module, inputs)) for _ in range(3))
        first = seconds(partial(vitviz.trace, model, photo))
        following = statistics.median(seconds(partial(vitviz.trace, model, photo)) for _ in range(3))
        again = vitviz.load_model(module, device="cpu")
        proving, tracing = (peak(partial(vitviz.trace, again, photo)) for _ in range(2))
        proved = vitviz.trace(model, photo).check.proved
        print(
            f"| {name}, {size} px | {plain * 1000:.0f} ms | {first / plain:.1f} | {following / plain:.2f} | "
            f"{proving / tracing:.2f} ({proving:.0f} of {tracing:.0f} MiB) | {'yes' if proved else 'no'} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
