"""The memories that a simulated NPU works on: a mapped file, another process, this process."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mcu_sdk.errors import RunError
from mcu_sdk.npu.registers import BusError
from mcu_sdk.npu.shared_memory import FileMemory, OwnMemory, ProcessMemory

ORIGIN, SIZE = 0x6000_0000, 8192


@pytest.fixture
def memory_file(tmp_path: Path) -> Path:
    path = tmp_path / "memory"
    path.write_bytes(np.random.default_rng(1).bytes(SIZE))
    return path


def test_a_file_is_read_and_written_by_address(memory_file: Path) -> None:
    before = memory_file.read_bytes()
    memory = FileMemory(memory_file, ORIGIN)
    view = memory.view(ORIGIN + 100)
    assert view.size == SIZE - 100 and view.tobytes() == before[100:]
    view[:4] = (1, 2, 3, 4)
    assert memory_file.read_bytes() == before[:100] + bytes((1, 2, 3, 4)) + before[104:]
    with memory_file.open("r+b") as file:
        file.write(b"other")
    assert memory.view(ORIGIN)[:5].tobytes() == b"other"
    memory.close()


@pytest.mark.parametrize("address", [0, ORIGIN - 1, ORIGIN + SIZE, ORIGIN + (1 << 32), (1 << 64) - 1])
def test_an_address_outside_the_file(memory_file: Path, address: int) -> None:
    memory = FileMemory(memory_file, ORIGIN)
    assert memory.view(ORIGIN + SIZE - 1).size == 1
    with pytest.raises(
        BusError, match=f"{address:#x} is outside the shared memory, 0x60000000 to 0x60002000"
    ):
        memory.view(address)
    memory.close()


def test_a_closed_file_is_unmapped(memory_file: Path) -> None:
    """At once, or with the last view of it."""

    def mappings() -> int:
        return Path("/proc/self/maps").read_text().count(str(memory_file))

    memory = FileMemory(memory_file, ORIGIN)
    view = memory.view(ORIGIN)
    assert mappings() == 1
    memory.close()
    assert view[0] == memory_file.read_bytes()[0]
    del view, memory
    assert mappings() == 0


def test_own_memory_is_taken_as_it_is() -> None:
    buffer = (ctypes.c_uint8 * 64)(*range(64))
    view = OwnMemory().view(ctypes.addressof(buffer) + 10)
    assert view[:4].tolist() == [10, 11, 12, 13]
    view[0] = 99
    assert buffer[10] == 99
    with pytest.raises(BusError, match="address 0"):
        OwnMemory().view(0)


# ---- another process

CHILD = """
import ctypes, mmap, sys
# Two mappings side by side with different rights, as .data and .bss are two.
pages = mmap.mmap(-1, 3 * 4096)
buffer = (ctypes.c_uint8 * len(pages)).from_buffer(pages)
for i in range(len(pages)):
    buffer[i] = i % 251
address = ctypes.addressof(buffer)
ctypes.CDLL(None).mprotect(ctypes.c_void_p(address + 4096), 4096, 1 | 2 | 4)
print(address, flush=True)
for line in sys.stdin:
    first, count = map(int, line.split())
    print(bytes(buffer[first : first + count]).hex(), flush=True)
"""


class Child:
    """A process with 12288 bytes of known content: byte i is i % 251."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address = int(self.process.stdout.readline())

    def bytes(self, first: int, count: int) -> bytes:
        """What the process itself finds there."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{first} {count}\n")
        self.process.stdin.flush()
        return bytes.fromhex(self.process.stdout.readline())


@pytest.fixture
def child() -> Iterator[Child]:
    running = Child()
    yield running
    running.process.kill()
    running.process.communicate()


@pytest.fixture
def memory(child: Child) -> Iterator[ProcessMemory]:
    opened = ProcessMemory(child.process.pid)
    yield opened
    opened.close()


def pattern(first: int, count: int) -> bytes:
    return bytes(i % 251 for i in range(first, first + count))


def test_a_process_is_read_and_written(child: Child, memory: ProcessMemory) -> None:
    view = memory.view(child.address + 100)
    assert view[:50].tobytes() == pattern(100, 50)
    view[5:8] = (7, 8, 9)
    view[1000] = 1
    assert child.bytes(100, 50) == pattern(100, 50)  # a copy until it is written back
    memory.write_back()
    assert child.bytes(100, 10) == pattern(100, 5) + bytes((7, 8, 9)) + pattern(108, 2)
    assert child.bytes(1100, 1) == b"\1"
    assert memory.view(child.address + 100)[5:8].tolist() == [7, 8, 9]


def test_an_array_may_span_mappings(child: Child, memory: ProcessMemory) -> None:
    """The linker puts .bss behind the last page of .data: two mappings, and arrays that begin in one."""
    view = memory.view(child.address + 4000)
    assert view.size >= 8288 and view[:8288].tobytes() == pattern(4000, 8288)
    view[90:5000] = 3
    memory.write_back()
    assert child.bytes(4000, 8288) == pattern(4000, 90) + bytes([3] * 4910) + pattern(9000, 3288)


def test_views_of_one_mapping_are_one_memory(child: Child, memory: ProcessMemory) -> None:
    """Regions 1 and 2 are both the scratch: what is written through one is read through the other."""
    low, high, again = (memory.view(child.address + offset) for offset in (0, 64, 0))
    low[70] = 200
    high[7] = 201
    assert again[70] == 200 and high[6] == 200 and low[71] == 201
    memory.write_back()
    assert child.bytes(69, 4) == bytes((69, 200, 201, 72))


def test_what_is_not_changed_is_not_written(child: Child, memory: ProcessMemory) -> None:
    """The process may go on: its own changes between two of the NPU's stay."""
    view = memory.view(child.address)
    view[0], view[4095] = 90, 91
    other = ProcessMemory(child.process.pid)
    other.view(child.address)[2000] = 92
    other.write_back()
    other.close()
    memory.write_back()
    assert child.bytes(0, 1) + child.bytes(2000, 1) + child.bytes(4095, 1) == bytes((90, 92, 91))


def test_addresses_that_the_process_does_not_have(child: Child, memory: ProcessMemory) -> None:
    for address in (0, 16, 1 << 62):
        with pytest.raises(BusError, match="is no address of the process"):
            memory.view(address)
    assert memory.view(child.address).size >= 12288


def test_a_process_that_has_ended(child: Child, memory: ProcessMemory) -> None:
    """Its memory is gone: a bus error on reading, nothing on writing back."""
    view = memory.view(child.address)
    view[0] ^= 255
    child.process.send_signal(signal.SIGKILL)
    child.process.wait()
    memory.write_back()
    with pytest.raises(BusError):
        memory.view(child.address)
    with pytest.raises(RunError, match="cannot reach the memory of process"):
        ProcessMemory(child.process.pid)


def test_nothing_stays_open(child: Child) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        memory = ProcessMemory(child.process.pid)
        memory.view(child.address)
        memory.close()
    assert len(os.listdir("/proc/self/fd")) == before
