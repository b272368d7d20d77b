"""Memory that a simulated NPU shares with a firmware: QEMU's, a process's, or this program's own."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mcu_sdk.npu.registers import BusError

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    """Another process's memory, through /proc: what a run touches is copied in before and out after it."""

    def __init__(self, process: int) -> None:
        self._file = os.open(f"/proc/{process}/mem", os.O_RDWR)
        self._process = process
        self._copies: list[tuple[int, NDArray[np.uint8], bytes]] = []

    def view(self, address: int) -> NDArray[np.uint8]:
        """A copy of the mapping's bytes from `address` on; `write_back` returns what was changed. Raises BusError."""
        end = self._end_of_mapping(address)
        try:
            data = os.pread(self._file, end - address, address)
        except OSError as error:
            raise BusError(f"{address:#x} cannot be read: {error.strerror}") from error
        copy = np.frombuffer(data, np.uint8).copy()
        self._copies.append((address, copy, data))
        return copy

    def write_back(self) -> None:
        """Write what has changed since `view`, and forget the copies."""
        for address, copy, before in self._copies:
            changed = np.flatnonzero(copy != np.frombuffer(before, np.uint8))
            if changed.size:
                first, last = int(changed[0]), int(changed[-1]) + 1
                os.pwrite(self._file, copy[first:last].tobytes(), address + first)
        self._copies.clear()

    def close(self) -> None:
        os.close(self._file)

    def _end_of_mapping(self, address: int) -> int:
        with open(f"/proc/{self._process}/maps", encoding="ascii", errors="replace") as maps:
            for line in maps:
                begin, end = (int(part, 16) for part in line.split()[0].split("-"))
                if begin <= address < end:
                    return end
        raise BusError(f"{address:#x} is no address of the process")
