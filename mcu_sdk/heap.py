"""Freed tensors go back to the system at once."""

from __future__ import annotations

import ctypes
import sys

M_MMAP_THRESHOLD = -3
"""mallopt(3), <malloc.h>: from this many bytes on a block is a mapping of its own."""
BLOCK = 1 << 20


def return_freed_tensors() -> bool:
    """Let the C library map every block of a MiB or more by itself; whether it could be told.

    glibc raises that threshold up to 32 MiB as such blocks are freed, and takes later ones from its heap, where what
    a compilation freed stays with the process between what it still holds: a third of the peak for a model of 135 M
    parameters. Naming the threshold keeps it fixed. Other C libraries are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_THRESHOLD, BLOCK))
