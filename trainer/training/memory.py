"""Keeping freed memory in the process, for the next tensor of the same size."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # mallopt's numbers, malloc.h
LARGEST = 2**31 - 1


def keep_memory() -> bool:
    """Tell glibc not to hand large blocks back to the system; whether it was told.

    Each meta-step makes tensors of up to a hundred megabytes anew, and a block fetched from the
    system is cleared page by page at its first use: half of the time of a step on a CPU.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    return bool(mallopt(TRIM_THRESHOLD, LARGEST)) and bool(mallopt(MMAP_MAX, 0))
