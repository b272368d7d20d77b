"""Memory that firmware and simulated NPU share, by the addresses that the firmware knows."""

from __future__ import annotations

import ctypes
import mmap
import os
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mcu_sdk.errors import RunError
from mcu_sdk.npu.registers import BusError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class FileMemory:
    """An open file that stands for the addresses from `origin` on, mapped for as long as this object is open."""

    def __init__(self, file: int, origin: int) -> None:
        self._origin = origin
        self._map = mmap.mmap(file, 0)
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

    def __init__(self) -> None:
        self._mappings = Mappings("self")

    def view(self, address: int) -> NDArray[np.uint8]:
        """Bytes from `address` to the end of what is mapped there. Raises BusError."""
        mapping = self._mappings.around(address)
        found = np.ctypeslib.as_array((ctypes.c_uint8 * (mapping.end - address)).from_address(address))
        found.flags.writeable = mapping.writable
        return found


class ProcessMemory:
    """Another process's memory, through /proc: copied in for a run, and what has changed copied out after it.

    Raises RunError where the system does not let this process reach the other's memory.
    """

    def __init__(self, process: int) -> None:
        self._mappings = Mappings(str(process))
        self._copies: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}
        self._constants: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}  # copied once
        try:
            self._file = os.open(f"/proc/{process}/mem", os.O_RDWR)
        except OSError as error:
            raise RunError(
                f"The memory of the firmware's process cannot be shared with a simulated NPU: {error.strerror}.",
                hint="A simulated NPU beside a process needs Linux's /proc, and to be allowed to trace the process.",
            ) from error

    def view(self, address: int) -> NDArray[np.uint8]:
        """A copy of the bytes from `address` to the end of what is mapped there; views of the same bytes share theirs,
        and `write_back` returns what was changed. Raises BusError."""
        mapping = self._mappings.around(address)
        copies = self._copies if mapping.writable else self._constants
        if mapping.begin not in copies:
            try:
                data = os.pread(self._file, mapping.end - mapping.begin, mapping.begin)
            except OSError as error:
                raise BusError(f"{address:#x} cannot be read: {error.strerror}") from error
            before = np.frombuffer(data, np.uint8)
            copies[mapping.begin] = (before.copy() if mapping.writable else before), before
        copy, _ = copies[mapping.begin]
        if address - mapping.begin >= copy.size:
            raise BusError(f"{address:#x} cannot be read")
        return copy[address - mapping.begin :]

    def write_back(self) -> None:
        """Write what has changed since `view`, and forget the copies. Raises BusError."""
        copies, self._copies = self._copies, {}
        for begin, (copy, before) in copies.items():
            changed = np.flatnonzero(copy != before)
            if not changed.size:
                continue
            first, last = int(changed[0]), int(changed[-1]) + 1
            try:
                os.pwrite(self._file, copy[first:last].tobytes(), begin + first)
            except OSError as error:
                raise BusError(f"{begin + first:#x} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        os.close(self._file)


@dataclass(frozen=True)
class Mapping:
    """Addresses from `begin` to before `end`."""

    begin: int
    end: int
    writable: bool


class Mappings:
    """Where a process has memory, as /proc tells; asked again for an address that was not mapped before."""

    def __init__(self, process: str) -> None:
        self._path = f"/proc/{process}/maps"
        self._known: list[Mapping] = []

    def around(self, address: int) -> Mapping:
        """What is mapped without a gap around the address. Raises BusError where nothing is."""
        for fresh in (False, True):
            if fresh:
                self._known = self._read()
            place = bisect_right(self._known, address, key=lambda mapping: mapping.begin) - 1
            if place >= 0 and address < self._known[place].end:
                return self._known[place]
        raise BusError(f"{address:#x} is no address of the firmware's process")

    def _read(self) -> list[Mapping]:
        """Neighbours with the same rights as one: a program's zeroed data goes on behind the page that its file fills."""
        try:
            with open(self._path, encoding="ascii", errors="replace") as lines:
                entries = [line.split(maxsplit=2) for line in lines]
        except OSError as error:
            raise BusError(f"the process's mappings are unknown: {error.strerror}") from error
        found: list[Mapping] = []
        for bounds, rights, *_ in entries:
            if rights[0] != "r":
                continue
            begin, end = (int(part, 16) for part in bounds.split("-"))
            writable = rights[1] == "w"
            if found and found[-1].end == begin and found[-1].writable == writable:
                begin = found.pop().begin
            found.append(Mapping(begin, end, writable))
        return found
