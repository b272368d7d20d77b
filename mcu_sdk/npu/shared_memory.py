"""Memory that a simulated NPU shares with a firmware: QEMU's, a process's, or this program's own."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mcu_sdk.errors import RunError
from mcu_sdk.npu.registers import BusError

if TYPE_CHECKING:
    from numpy.typing import NDArray


_CLOSE = 256
"""Bytes: changes of a process's memory that are no further apart are written together."""


class FileMemory:
    """A file that stands for the addresses from `origin` on, mapped for as long as this object is open."""

    def __init__(self, path: Path, origin: int) -> None:
        self._origin = origin
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._bytes = np.frombuffer(self._map, np.uint8)

    def view(self, address: int) -> NDArray[np.uint8]:
        """Bytes from `address` to the file's end. Raises BusError for an address outside."""
        offset = address - self._origin
        if not 0 <= offset < self._bytes.size:
            end = self._origin + self._bytes.size
            raise BusError(f"{address:#x} is outside the shared memory, {self._origin:#x} to {end:#x}")
        return self._bytes[offset:]

    def close(self) -> None:
        """Unmap; views that are still used keep the mapping until they are gone."""
        del self._bytes
        try:
            self._map.close()
        except BufferError:  # a view is alive
            return


class OwnMemory:
    """This process's memory, for a library that was loaded into it. Addresses are taken as they are."""

    REACH = 1 << 28

    def view(self, address: int) -> NDArray[np.uint8]:
        """Bytes from `address` on; how many there are nobody knows, so that a wrong stream can end the process."""
        if address == 0:
            raise BusError("address 0")
        return np.ctypeslib.as_array((ctypes.c_uint8 * self.REACH).from_address(address))


class ProcessMemory:
    """Another process's memory, through /proc: what a run touches is copied in before and out after it.

    Raises RunError if the system does not allow it.
    """

    def __init__(self, process: int) -> None:
        try:
            self._file = os.open(f"/proc/{process}/mem", os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise RunError(
                f"The simulated NPU cannot reach the memory of process {process}: {error.strerror}.",
                hint="Linux has to allow it (/proc/sys/kernel/yama/ptrace_scope at most 1); QEMU does not need it.",
            ) from error
        self._process = process
        self._copies: list[tuple[int, NDArray[np.uint8], NDArray[np.uint8]]] = []

    def view(self, address: int) -> NDArray[np.uint8]:
        """Bytes of a copy, from `address` to the end of its mapping; `write_back` returns what was changed.

        Views of the same mapping share one copy, as regions of an NPU may overlap. Raises BusError.
        """
        for begin, copy, _ in self._copies:
            if begin <= address < begin + copy.size:
                return copy[address - begin :]
        begin, end = self._mapping(address)
        try:
            data = os.pread(self._file, end - begin, begin)
        except OSError as error:
            raise BusError(f"{address:#x} cannot be read: {error.strerror}") from error
        before = np.frombuffer(data, np.uint8)
        if not before.size > address - begin:
            raise BusError(f"{address:#x} cannot be read: the process has ended")
        copy = before.copy()
        self._copies.append((begin, copy, before))
        return copy[address - begin :]

    def write_back(self) -> None:
        """Write what has changed since `view`, and forget the copies."""
        copies, self._copies = self._copies, []
        for begin, copy, before in copies:
            changed = np.flatnonzero(copy != before)
            # One call for what lies close together; bytes further apart are not touched in between.
            for run in np.split(changed, np.flatnonzero(np.diff(changed) > _CLOSE) + 1):
                if run.size:
                    first, last = int(run[0]), int(run[-1]) + 1
                    os.pwrite(self._file, copy[first:last].tobytes(), begin + first)

    def close(self) -> None:
        os.close(self._file)

    def _mapping(self, address: int) -> tuple[int, int]:
        """The mapping of that address with its neighbours: an array can reach from .data's last page into .bss."""
        begin = end = 0
        for low, high in self._readable():
            if low != end:
                if begin <= address < end:
                    break
                begin = low
            end = high
        if begin <= address < end:
            return begin, end
        raise BusError(f"{address:#x} is no address of the process")

    def _readable(self) -> Iterator[tuple[int, int]]:
        """Mappings in the order of their addresses."""
        try:
            with open(f"/proc/{self._process}/maps", encoding="ascii", errors="replace") as maps:
                for line in maps:
                    span, rights, *_ = line.split()
                    if rights.startswith("r") and "[v" not in line:  # [vvar], [vsyscall] cannot be read
                        low, high = (int(part, 16) for part in span.split("-"))
                        yield low, high
        except OSError as error:
            raise BusError("the process has ended") from error
