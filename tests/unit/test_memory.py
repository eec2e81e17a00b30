"""Memory: what the proof of a model takes; freed memory is kept for the next pass where the C library can be asked to."""

import gc
import platform
import subprocess
import sys
from collections.abc import Callable
from itertools import accumulate

import numpy as np
import pytest
from proof_models import DATA, Block, HandWritten, strong
from small_models import VIT, small
from torch.profiler import ProfilerActivity, profile

import vitviz
from vitviz.images.photo import photo_from_array

PROGRAM = """
from vitviz.memory import keep_freed_memory
import ctypes, resource
if {ask}:
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
size = 64 << 20
for turn in range(6):
    if turn == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(size)
    ctypes.memset(block, turn, size)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_memory_is_not_asked_for_again() -> None:
    faults = []
    for ask in (True, False):
        program = [sys.executable, "-c", PROGRAM.format(ask=ask)]
        faults.append(int(subprocess.run(program, capture_output=True, text=True, check=True).stdout))
    assert faults[0] < faults[1] / 10


def peak(work: Callable[[], object]) -> int:
    """The largest sum of bytes of all tensors that live at the same time while some work is done, beside those before."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        work()
    changes = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in changes))


WIDE = {**VIT, "patch_size": 8, "embed_dim": 192, "depth": 12}
MODELS = {
    "ViT": lambda: small("vit_tiny_patch16_224", **WIDE),
    "distilled ViT": lambda: small("deit_tiny_distilled_patch16_224", **WIDE),
    "Swin": lambda: small(
        "swin_tiny_patch4_window7_224",
        img_size=112,
        depths=(2, 2, 4),
        num_heads=(3, 6, 12),
        num_classes=10,
    ),
    "hand-written": lambda: HandWritten(*(Block() for _ in range(24))),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_proof_takes_at_most_twice_the_memory_of_a_trace(name: str) -> None:
    model = vitviz.load_model(
        strong(MODELS[name]()), device="cpu", data=DATA if name == "hand-written" else None
    )
    photo = photo_from_array(
        np.random.default_rng(0).integers(0, 256, (*model.input_size, 3), np.uint8), "noise"
    )
    first = peak(lambda: vitviz.trace(model, photo))
    assert first < 2 * peak(lambda: vitviz.trace(model, photo))
