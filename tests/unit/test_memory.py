"""Freed memory is kept for the next pass where the C library can be asked to."""

import platform
import subprocess
import sys

import pytest

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
