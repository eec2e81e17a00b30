"""How this process treats freed memory; to be called by programs, not by libraries."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 1 << 30


def keep_freed_memory() -> bool:
    """Let glibc keep up to 1 GiB of freed memory for later allocations. Returns whether glibc accepted it.

    A trace holds its q, k and v until the next one replaces it. By default glibc returns that memory to the system and
    requests it again with each pass, page by page, which costs a small model more than all the recording.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_TRIM_THRESHOLD, KEPT)) and bool(libc.mallopt(M_MMAP_THRESHOLD, KEPT))
