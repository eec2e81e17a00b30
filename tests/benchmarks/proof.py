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
from torch.profiler import ProfilerActivity, profile

import vitviz
from vitviz.images.photo import photo_from_array

MODELS = (
    ("deit_tiny_patch16_224", 224),
    ("vit_base_patch16_224", 224),
    ("swin_tiny_patch4_window7_224", 224),
    ("vit_base_patch14_reg4_dinov2", 518),
)


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
        module = timm.create_model(name, **({} if "swin" in name else {"img_size": size})).eval()
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
