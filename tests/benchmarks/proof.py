"""What the proof of a model costs: `python tests/benchmarks/proof.py` prints the table.

The first trace of a model proves the five claims of its maps; the next one does not. Both are measured in plain forward
passes of the same model in the same process.
"""

import statistics
import time
from functools import partial

import numpy as np
import timm
import torch

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


def main() -> None:
    print(
        "| model | plain pass | first trace, in plain passes | next trace | all claims hold |\n|---|---|---|---|---|"
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
        proved = vitviz.trace(model, photo).check.proved
        print(
            f"| {name}, {size} px | {plain * 1000:.0f} ms | {first / plain:.1f} | {following / plain:.2f} | "
            f"{'yes' if proved else 'no'} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
