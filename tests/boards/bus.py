"""The peripherals of a chip as far as start-up and console need them: registers, who may touch them and when.

Every access is held against the vendor's description. What is wrong is collected, not raised: an exception would
have to cross the emulator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mcu_sdk.board.board import Board
from tests.boards.registers import Register, RegisterMap

_CORE = {
    0xE0001000: 0x40000000,  # DWT_CTRL
    0xE0001004: 0,  # DWT_CYCCNT
    0xE0001FB0: 0,  # DWT_LAR
    0xE000ED08: 0,  # VTOR
    0xE000ED14: 0x200,  # CCR
    0xE000ED24: 0,  # SHCSR
    0xE000ED78: 0x09000003,  # CLIDR
    0xE000ED80: 0xF01FE019,  # CCSIDR: 32 KB of four ways
    0xE000ED84: 0,  # CSSELR
    0xE000ED88: 0,  # CPACR
    0xE000ED90: 0x1000,  # MPU_TYPE: 16 regions
    0xE000ED94: 0,  # MPU_CTRL
    0xE000ED98: 0,  # MPU_RNR
    0xE000ED9C: 0,  # MPU_RBAR
    0xE000EDA0: 0,  # MPU_RASR
    0xE000EDFC: 0,  # DEMCR
    0xE000EF3C: 0,  # FPDSCR
    0xE000EF50: 0,  # ICIALLU
    0xE000EF60: 0,  # DCISW
}
"""Registers of the ARMv7-M and ARMv8-M architectures that the platform uses, and their values after a reset."""

_CYCLES = 0xE0001004


@dataclass(frozen=True)
class Mirror:
    """A status that follows a control: bits `mask` of `control` appear in `status`, shifted left by `shift`.

    `inverted`: a bit that is zero appears as one."""

    control: str
    mask: int
    status: str
    shift: int
    inverted: bool = False


class Memory(Protocol):
    """RAM, as a peripheral that reads and writes it by itself (DMA) sees it."""

    def read(self, address: int, size: int) -> bytes | None:
        """What is there; None where there is no RAM."""

    def write(self, address: int, data: bytes) -> bool:
        """Whether there is RAM."""


Mutation = Callable[["Register | None", int, int], tuple[int, int]]
"""Changes the address and the value of a write, to see whether that is noticed."""


class Uart(Protocol):
    """A serial port's registers, by their offset."""

    def read(self, bus: Bus, register: Register) -> int | None:
        """What a read gives; None for what was written last."""

    def write(self, bus: Bus, register: Register, value: int) -> None:
        """What a write does beside being kept."""


@dataclass(frozen=True)
class Chip:
    """What is known of a chip beside its registers.

    `uart`: the console's peripheral, and its model. `gates`: for each peripheral the field that turns its clock on
    ("RCC.AHB1ENR.GPIOAEN"; "!RESETS.RESET.UART0" for one that keeps it in reset), "" for one that always has a clock. `core_hz`, `uart_hz` and `baud` compute from the
    registers' values, by the clock tree of the reference manual, what the chip does. `check` says what is wrong with a
    write at this moment ("" for nothing); `boot` takes the image's bytes at an address and returns where the vector
    table is, as the chip's boot ROM finds it. `final` says what is wrong when the firmware is ready; `initial`:
    registers that the chip sets itself. `exempt`: bits that the manual lets one write, though the description calls them
    reserved or read-only. `sets`: registers whose ones set bits of another one.
    `free`: bits that the firmware sets and could do without, as far as a model can see: pull-ups, caches, what only makes
    it faster, and the lowest bits of a divider. `spaces`: begin and size of address ranges with registers outside of those that the
    architecture has for peripherals. `memory_gates`: regions that are off after reset, and the fields (with spaces between) that turn
    each on.
    """

    registers: RegisterMap
    uart: str
    model: Callable[[str], Uart]
    gates: Mapping[str, str]
    core_hz: Callable[[Bus], float]
    uart_hz: Callable[[Bus], float]
    baud: Callable[[Bus], float]
    mirrors: tuple[Mirror, ...] = ()
    write: Callable[[Bus, Register, int], None] = lambda bus, register, value: None
    check: Callable[[Bus, Register, int], str] = lambda bus, register, value: ""
    boot: Callable[[Board, Callable[[int, int], bytes]], int] | None = None
    final: Callable[[Bus], str] = lambda bus: ""
    exempt: Mapping[str, int] = field(default_factory=dict)
    initial: Mapping[str, int] = field(default_factory=dict)
    memory_gates: Mapping[str, str] = field(default_factory=dict)
    spaces: tuple[tuple[int, int], ...] = ()
    sets: Mapping[str, str] = field(default_factory=dict)
    free: Mapping[str, int] = field(default_factory=dict)

    def writers(self, register: str) -> set[str]:
        """The registers by which a register's bits are turned on: itself, and those that set them."""
        return {register, *(name for name, target in self.sets.items() if target == register)}


@dataclass
class Bus:
    """The registers' values, what was sent and is to be received, and what was wrong.

    `idle` counts accesses since a byte was sent or taken.
    """

    chip: Chip
    memory: Memory
    values: dict[int, int] = field(default_factory=dict)
    core: dict[int, int] = field(default_factory=lambda: dict(_CORE))
    sent: bytearray = field(default_factory=bytearray)
    waiting: bytearray = field(default_factory=bytearray)
    used: dict[str, Register] = field(default_factory=dict)
    written: dict[str, Register] = field(default_factory=dict)
    last_writes: list[tuple[str, int]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    idle: int = 0
    mutate: Mutation = lambda register, address, value: (address, value)

    def __post_init__(self) -> None:
        self.uart = self.chip.model(self.chip.uart)
        self._reads = 0
        for name, value in self.chip.initial.items():
            self.set(name, value)

    # ---- for models

    def value(self, name: str) -> int:
        """A register's value, by "PERIPHERAL.REGISTER"."""
        return self.value_of(self.chip.registers.named(name))

    def value_of(self, register: Register) -> int:
        return self.values.get(register.address, register.reset & register.reset_mask)

    def first_value(self, register: Register) -> int:
        """Its value before the firmware runs."""
        return self.chip.initial.get(register.full_name, register.reset & register.reset_mask)

    def set(self, name: str, value: int) -> None:
        """Give a register a value, as the chip itself does."""
        register = self.chip.registers.named(name)
        self.values[register.address] = value & register.all_bits

    def get(self, name: str) -> int:
        """A field's value, by "PERIPHERAL.REGISTER.FIELD"."""
        register_name, _, field_name = name.rpartition(".")
        register = self.chip.registers.named(register_name)
        mask = register.field(field_name).mask
        return (self.value_of(register) & mask) // (mask & -mask)

    def is_on(self, gate: str) -> bool:
        """Whether a gate's field is not zero; with "!" before it, whether it is (a reset that is over)."""
        return not self.get(gate[1:]) if gate.startswith("!") else bool(self.get(gate))

    def send(self, value: int) -> None:
        """A byte leaves the chip."""
        self.sent.append(value & 0xFF)
        self.idle = 0

    def receive(self) -> int:
        """The next byte that came; 0 if there is none."""
        self.idle = 0
        return self.waiting.pop(0) if self.waiting else 0

    def load(self, address: int, size: int) -> bytes:
        """What a peripheral reads of RAM by itself."""
        found = self.memory.read(address, size)
        if found is None:
            self.complain(f"a peripheral reads {size} bytes at {address:#010x}, where there is no RAM")
        return found or bytes(size)

    def store(self, address: int, data: bytes) -> None:
        """A peripheral writes RAM by itself."""
        if not self.memory.write(address, data):
            self.complain(f"a peripheral writes {len(data)} bytes at {address:#010x}, where there is no RAM")

    def complain(self, what: str) -> None:
        if what not in self.wrong:
            self.wrong.append(what)

    # ---- for the emulator

    def read(self, address: int, size: int) -> int:
        self.idle += 1
        if self._is_core(address):
            return self._read_core(address)
        register = self._checked(address, size, "read")
        if register is None:
            return 0
        if not register.can_be_read:
            self.complain(f"{register.full_name} is read, and can only be written")
        value = self.uart.read(self, register) if register.peripheral == self.chip.uart else None
        value = self.value_of(register) if value is None else value
        return value >> 8 * (address - register.address) & (1 << 8 * size) - 1

    def write(self, address: int, size: int, value: int) -> None:
        self.idle += 1
        if self._is_core(address):
            self._write_core(address, value)
            return
        address, value = self.mutate(self._register_at(address), address, value)
        register = self._checked(address, size, "written")
        if register is None:
            return
        if not register.can_be_written:
            self.complain(f"{register.full_name} is written, and can only be read")
            return
        self.written.setdefault(register.full_name, register)
        self.last_writes = [*self.last_writes[-7:], (register.full_name, value)]
        before = self.value_of(register)
        for bits, what in ((register.reserved, "reserved"), (register.read_only, "read-only")):
            changed = (
                (value ^ before) & bits & register.reset_mask & ~self.chip.exempt.get(register.full_name, 0)
            )
            if changed:
                self.complain(f"{register.full_name}: {what} bits {changed:#x} are changed by {value:#x}")
        complaint = self.chip.check(self, register, value)
        if complaint:
            self.complain(complaint)
        if register.can_be_read:
            self.values[register.address] = value
        if register.peripheral == self.chip.uart:
            self.uart.write(self, register, value)
        target = self.chip.sets.get(register.full_name)
        if target is not None:
            self.set(target, self.value(target) | value)
        self.chip.write(self, register, value)
        self._mirror(target or register.full_name)

    def _mirror(self, written: str) -> None:
        """What follows the control register that was written, or had bits set."""
        for mirror in self.chip.mirrors:
            if mirror.control != written:
                continue
            bits = self.value(mirror.control) ^ (mirror.mask if mirror.inverted else 0)
            status = self.value(mirror.status) & ~_shifted(mirror.mask, mirror.shift)
            status |= _shifted(bits & mirror.mask, mirror.shift)
            self.set(mirror.status, status)

    def _checked(self, address: int, size: int, how: str) -> Register | None:
        """The register at an address, if there is one that may be touched so."""
        register = self._register_at(address)
        if register is None:
            self.complain(f"{address:#010x} is {how}, where there is no register")
            return None
        if size != register.size or address != register.address:
            self.complain(
                f"{register.full_name}, which has {register.size} bytes, is {how} with {size} at {address:#x}"
            )
        self.used.setdefault(register.full_name, register)
        gate = self.chip.gates.get(register.peripheral)
        if gate is None:
            self.complain(f"{register.peripheral} is used, and nothing is known of its clock")
        elif gate and not self.is_on(gate):
            self.complain(
                f"{register.full_name} is {how} before the clock of {register.peripheral} is on ({gate})"
            )
        return register

    def _register_at(self, address: int) -> Register | None:
        """The register there; of several peripherals the one that the board uses."""
        found = self.chip.registers.at(address)
        used = [register for register in found if register.peripheral in self.chip.gates]
        return next(iter(used or found), None)

    def _is_core(self, address: int) -> bool:
        """Whether the processor itself has the register; a vendor may have some of its own in the same range."""
        return address >= 0xE0000000 and (
            address in self.core
            or not any(r.peripheral in self.chip.gates for r in self.chip.registers.at(address))
        )

    def _read_core(self, address: int) -> int:
        if address not in self.core:
            self.complain(
                f"{address:#010x} is read, which is no register of the processor's that is known here"
            )
        if address == _CYCLES:
            self._reads += 1
            self.core[address] += self._reads  # so that no two steps seem to take the same time
        return self.core.get(address, 0)

    def _write_core(self, address: int, value: int) -> None:
        if address not in self.core:
            self.complain(
                f"{address:#010x} is written, which is no register of the processor's that is known here"
            )
        self.core[address] = value


def _shifted(bits: int, left: int) -> int:
    return bits << left if left >= 0 else bits >> -left
