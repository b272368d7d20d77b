"""A board in unicorn: its memory as board.toml says, its chip's registers, and nothing else.

An access to any other address ends the run, and so does an instruction that the core does not have. RAM begins with
noise, so that what start-up forgets to write shows.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from unicorn import (
    UC_ARCH_ARM,
    UC_MODE_MCLASS,
    UC_MODE_THUMB,
    UC_PROT_ALL,
    UC_PROT_EXEC,
    UC_PROT_READ,
    Uc,
    UcError,
)
from unicorn.arm_const import (
    UC_ARM_REG_MSP,
    UC_ARM_REG_PC,
    UC_CPU_ARM_CORTEX_M4,
    UC_CPU_ARM_CORTEX_M7,
    UC_CPU_ARM_CORTEX_M33,
)

from mcu_sdk.board.board import Board
from mcu_sdk.targets.protocol import EOT
from tests.boards.bus import Bus, Chip

_MODELS = {
    "cortex-m4": UC_CPU_ARM_CORTEX_M4,
    "cortex-m7": UC_CPU_ARM_CORTEX_M7,
    "cortex-m33": UC_CPU_ARM_CORTEX_M33,
}
_PAGE = 4096
_PERIPHERALS = ((0x4000_0000, 0x2000_0000), (0xE000_0000, 0x10_0000))
_WFI = 0xBF30
_READY = b"@mcu ready=1\n"
_PATIENCE = 5_000
"""Accesses without a byte in or out, after which the firmware is taken to wait for ever."""

_HOST_SECONDS = 300
"""Before a run without any access to a register is given up."""


class MachineError(Exception):
    """The firmware did what the board cannot do."""


@dataclass(frozen=True)
class Run:
    """`output`: every byte that the UART sent."""

    output: bytes
    bus: Bus


@dataclass(frozen=True)
class _Ram:
    """The board's RAM, for peripherals."""

    board: Board
    cpu: Uc

    def read(self, address: int, size: int) -> bytes | None:
        return bytes(self.cpu.mem_read(address, size)) if self._is_there(address, size) else None

    def write(self, address: int, data: bytes) -> bool:
        there = self._is_there(address, len(data))
        if there:
            self.cpu.mem_write(address, data)
        return there

    def _is_there(self, address: int, size: int) -> bool:
        return any(
            region.kind == "ram" and region.origin <= address and address + size <= region.end
            for region in self.board.region
        )


class Machine:
    """One board with a firmware in its flash."""

    def __init__(self, board: Board, chip: Chip, elf: Path) -> None:
        self.board = board
        self.cpu = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
        self.bus = Bus(chip, _Ram(board, self.cpu))
        self.cpu.ctl_set_cpu_model(_MODELS[board.core.cpu])
        self._requests: bytes = b""
        self._failure = ""
        self._off = dict(chip.memory_gates)
        for memory in _memories(board, self._off):
            self._map(*memory)
        for start, size in (*_PERIPHERALS, *chip.spaces):
            self.cpu.mmio_map(start, size, self._read, start, self._write, start)
        for address, data in stored(elf):
            self.cpu.mem_write(address, data)

    def run(self, request: bytes) -> Run:
        """From reset until the firmware sleeps, having answered `request`.

        Raises MachineError if it does not come that far.
        """
        self._requests = request + bytes([EOT])
        vectors = self._vectors()
        stack, entry = (int.from_bytes(self.cpu.mem_read(vectors + i, 4), "little") for i in (0, 4))
        self.cpu.reg_write(UC_ARM_REG_MSP, stack)
        try:
            self.cpu.emu_start(entry, 0xFFFFFFFF, timeout=_HOST_SECONDS * 1_000_000)
        except UcError as error:
            at = self.cpu.reg_read(UC_ARM_REG_PC)
            raise MachineError(
                f"{error} at {at:#010x}; said so far: {bytes(self.bus.sent)[-200:]!r}"
            ) from error
        if self._failure:
            raise MachineError(self._failure)
        for name, gate in self._off.items():
            self.bus.complain(f"the memory {name} stays off ({gate})")
        at = self.cpu.reg_read(UC_ARM_REG_PC)
        asleep = any(self._halfword(at - back) == _WFI for back in (0, 2))
        if not asleep:
            raise MachineError(f"the firmware stopped at {at:#010x}, and does not sleep there")
        return Run(bytes(self.bus.sent), self.bus)

    def _map(self, start: int, end: int, kind: str) -> None:
        self.cpu.mem_map(start, end - start, UC_PROT_ALL if kind == "ram" else UC_PROT_READ | UC_PROT_EXEC)
        filling = random.Random(start).randbytes(end - start) if kind == "ram" else b"\xff" * (end - start)
        self.cpu.mem_write(start, filling)

    def _vectors(self) -> int:
        chip, placement = self.bus.chip, self.board.placement
        if chip.boot is not None:
            return chip.boot(self.board, lambda address, size: bytes(self.cpu.mem_read(address, size)))
        assert placement is not None
        return self.board.regions[placement.vectors[0]].origin

    def _halfword(self, address: int) -> int:
        return int.from_bytes(self.cpu.mem_read(address, 2), "little")

    def _read(self, cpu: Uc, offset: int, size: int, base: int) -> int:
        if self.bus.idle > _PATIENCE:
            self._stop(f"the firmware waits for ever for something at {base + offset:#010x}")
        return self.bus.read(base + offset, size)

    def _write(self, cpu: Uc, offset: int, size: int, value: int, base: int) -> None:
        self.bus.write(base + offset, size, value)
        for name in [name for name, gates in self._off.items() if all(map(self.bus.is_on, gates.split()))]:
            del self._off[name]
            region = self.board.regions[name]
            self._map(region.origin, region.end, region.kind)
        if self.bus.sent.endswith(_READY):
            self.bus.waiting += self._requests
            self._requests = b""

    def _stop(self, why: str) -> None:
        self._failure = self._failure or why
        self.cpu.emu_stop()


def stored(elf: Path) -> Iterator[tuple[int, bytes]]:
    """What a flasher writes: the bytes of every LOAD segment and their address."""
    with elf.open("rb") as file:
        for segment in ELFFile(file).iter_segments():
            if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]:
                yield segment["p_paddr"], segment.data()


def _memories(board: Board, off: Collection[str]) -> list[tuple[int, int, str]]:
    """Begin, end and kind of the memories; those that touch are one, since pages may belong to two. Without the regions
    that are `off`."""
    parts = [(region.origin, region.end, region.kind) for region in board.region if region.name not in off]
    parts += [(words.origin, words.end, "rom") for words in board.reserved if words.contents]
    merged: list[tuple[int, int, str]] = []
    for start, end, kind in sorted(parts):
        if merged and merged[-1][1:] == (start, kind):
            merged[-1] = (merged[-1][0], end, kind)
        else:
            merged.append((start, end, kind))
    for start, end, _ in merged:
        assert start % _PAGE == 0 and end % _PAGE == 0, (
            f"{board.name}: {start:#x} to {end:#x} is no whole page"
        )
    return merged
