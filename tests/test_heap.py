"""What a process keeps of tensors that it freed."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLOCKS, SIZE = 24, 8 << 20
PROGRAM = f"""
import sys
import numpy as np
from mcu_sdk.heap import return_freed_tensors

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if sys.argv[1] == "told":
    assert return_freed_tensors()
np.ones({SIZE}, np.uint8)  # its end is what raises the threshold
before = resident()
blocks = [np.ones({SIZE}, np.uint8) for _ in range({BLOCKS})]
del blocks[:-1]  # the last one lies above the others: the heap cannot shrink below it
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator, and /proc")
def test_freed_tensors_go_back_to_the_system() -> None:
    kept = {
        way: int(
            subprocess.run(
                [sys.executable, "-c", PROGRAM, way], check=True, capture_output=True, text=True
            ).stdout
        )
        for way in ("told", "not")
    }
    assert kept["told"] < 2 * SIZE
    assert kept["not"] > BLOCKS // 2 * SIZE, (
        "the C library returns them by itself: heap.py has no reason left"
    )
