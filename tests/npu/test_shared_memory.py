"""Memory of a file, of this process and of another one, as the simulated NPU reaches it."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from mcu_sdk.errors import RunError
from mcu_sdk.npu.registers import BusError
from mcu_sdk.npu.shared_memory import FileMemory, Mappings, OwnMemory, ProcessMemory

ORIGIN = 0x6000_0000
PAGE = mmap.PAGESIZE

CHILD = """
import ctypes, mmap, sys
memory = mmap.mmap(-1, 4 * mmap.PAGESIZE)
memory[:] = bytes(range(256)) * (len(memory) // 256)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
constant = libc.mmap(None, mmap.PAGESIZE, 1, 0x22, -1, 0)
print(address, constant, flush=True)
for line in sys.stdin:
    begin, end = map(int, line.split())
    print(memory[begin:end].hex(), flush=True)
"""


class Child:
    """A process with memory that counts up, and a page that it may only read."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address, self.constant = map(int, self.process.stdout.readline().split())

    def bytes(self, begin: int, end: int) -> bytes:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{begin} {end}\n")
        self.process.stdin.flush()
        return bytes.fromhex(self.process.stdout.readline())


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.process.kill()
    child.process.communicate()


def test_a_file_s_bytes_are_seen_and_written() -> None:
    file = os.memfd_create("test")
    os.ftruncate(file, 4 * PAGE)
    memory = FileMemory(file, ORIGIN)
    memory.view(ORIGIN + PAGE)[:4] = (1, 2, 3, 4)
    assert memory.view(ORIGIN + PAGE + 2).size == 3 * PAGE - 2
    assert os.pread(file, 4, PAGE) == bytes((1, 2, 3, 4))
    os.pwrite(file, b"\x09", PAGE + 3)
    assert memory.view(ORIGIN + PAGE)[3] == 9
    for outside in (ORIGIN - 1, ORIGIN + 4 * PAGE, 0):
        with pytest.raises(BusError, match="outside the shared memory, 0x60000000 to 0x60004000"):
            memory.view(outside)
    memory.close()
    os.close(file)


def test_a_closed_file_keeps_views_that_are_used() -> None:
    file = os.memfd_create("test")
    os.ftruncate(file, PAGE)
    memory = FileMemory(file, ORIGIN)
    view = memory.view(ORIGIN)
    memory.close()
    os.close(file)
    view[0] = 7
    assert view[0] == 7


def test_own_memory_is_the_same_memory_and_ends_where_it_ends() -> None:
    mapped = mmap.mmap(-1, 2 * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    view = OwnMemory().view(address + 8)
    view[:2] = (5, 6)
    assert mapped[8:10] == b"\x05\x06"
    assert view.size >= 2 * PAGE - 8 and view[2 * PAGE - 9] == 0
    assert int(view[-1]) in range(256), "the last byte can be read"


def test_own_constants_cannot_be_written() -> None:
    first = Mappings("self")._read()
    constant = next(mapping for mapping in first if not mapping.writable)
    view = OwnMemory().view(constant.begin)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


@pytest.mark.parametrize("address", [0, 1, (1 << 40) - 1])
def test_an_address_without_memory_is_a_bus_error(address: int, child: Child) -> None:
    for memory in (OwnMemory(), ProcessMemory(child.process.pid)):
        with pytest.raises(BusError, match=f"{address:#x} is no address"):
            memory.view(address)


def test_a_new_mapping_is_found() -> None:
    memory = OwnMemory()
    memory.view(ctypes.addressof(ctypes.c_char.from_buffer(bytearray(1))))
    mapped = mmap.mmap(-1, 64 * PAGE)
    mapped[0] = 3
    assert memory.view(ctypes.addressof(ctypes.c_char.from_buffer(mapped)))[0] == 3


def test_neighbours_with_the_same_rights_are_one() -> None:
    mappings = Mappings("self")._read()
    for left, right in pairwise(mappings):
        assert left.end < right.begin or (left.end == right.begin and left.writable != right.writable)


def test_another_process_s_memory_is_written_back_where_it_changed(child: Child) -> None:
    memory = ProcessMemory(child.process.pid)
    view = memory.view(child.address + PAGE)
    assert list(view[:3]) == [0, 1, 2]
    view[1] = 77
    assert child.bytes(PAGE, PAGE + 3) == bytes((0, 1, 2)), "not yet"
    memory.write_back()
    assert child.bytes(PAGE, PAGE + 3) == bytes((0, 77, 2))
    assert memory.view(child.address + PAGE)[1] == 77
    memory.view(child.address + PAGE)[1] = 1
    memory.write_back()
    memory.close()


def test_two_views_of_the_same_bytes_are_the_same_bytes(child: Child) -> None:
    """A delegate's region 2 can be its region 1."""
    memory = ProcessMemory(child.process.pid)
    first, second = memory.view(child.address), memory.view(child.address + 16)
    first[20] = 200
    assert second[4] == 200
    second[5] = 201
    memory.write_back()
    assert child.bytes(19, 23) == bytes((19, 200, 201, 22))
    memory.close()


def test_another_process_s_constants_cannot_be_written(child: Child) -> None:
    """The system would let a tracer do it."""
    memory = ProcessMemory(child.process.pid)
    with pytest.raises(ValueError, match="read-only"):
        memory.view(child.constant)[0] = 1
    assert np.array_equal(memory.view(child.constant)[:4], np.zeros(4, np.uint8))
    memory.close()


def test_a_process_that_is_gone_is_an_error() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(RunError, match="cannot be shared"):
        ProcessMemory(process.pid)
