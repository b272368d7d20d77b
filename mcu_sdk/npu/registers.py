"""The NPU's registers as the driver sees them; writing RUN executes the command stream on a `Simulator`.

Offsets, bits and values after a reset: Arm's technical reference manuals of the Ethos-U55 and U65, and for the U85
ethos_u85_interface.hpp in ethos-u-vela's source distribution. Time stands still: a
read of STATUS after RUN finds the stream finished. Performance counters and debug registers are not modelled, nor are
STATUS's history of interrupts and the channel of a fault; an access to a register that is not here is an error.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mcu_sdk.errors import McuSdkError, RunError
from mcu_sdk.npu.accelerator import U85, Accelerator
from mcu_sdk.npu.errors import SimulationError
from mcu_sdk.npu.memory_access import OutOfBounds
from mcu_sdk.npu.simulator import Simulator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ID, STATUS, CMD, RESET = 0x00, 0x04, 0x08, 0x0C
QBASE, QREAD, QCONFIG, QSIZE, PROT, CONFIG = 0x10, 0x18, 0x1C, 0x20, 0x24, 0x28
LOCK, REGIONCFG, AXI_LIMIT, BASEP = 0x2C, 0x3C, 0x40, 0x80
MEM_ATTR, AXI_SRAM, AXI_EXT = 0x40, 0x50, 0x54  # of a U85, in AXI_LIMIT's place and behind
REGIONS = 8

_IRQ_RAISED, _BUS_ERROR, _PARSE_ERROR, _END_REACHED = 1 << 1, 1 << 2, 1 << 4, 1 << 5
_RUN, _CLEAR_IRQ, _CLOCK_GATE, _POWER_GATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_GATES = _CLOCK_GATE | _POWER_GATE
_LEVELS = 0b11
"""Privilege and security, in RESET and PROT."""
_CHIP, _CHIP_U85 = 6 << 12 | 1, 7 << 12
"""In ID below the architecture: product 6, revision 0.1; product 7, revision 0.0."""

_COMMON_BITS = {
    QBASE: 0xFFFF_FFFF,
    QBASE + 4: 0xFFFF_FFFF,
    QCONFIG: 0b11,
    QSIZE: 0xFFFF_FFFF,
    LOCK: 0xFFFF_FFFF,
    REGIONCFG: 0xFFFF,
    **{BASEP + 4 * i: 0xFFFF_FFFF for i in range(2 * REGIONS)},
}
"""Registers that keep what is written, and which bits of it. Addresses have 40 on the NPU; a host needs more."""
_BITS = {**_COMMON_BITS, **{AXI_LIMIT + 4 * i: 0x1F3F_00F3 for i in range(4)}}
_BITS_U85 = {
    **_COMMON_BITS,
    **{MEM_ATTR + 4 * i: 0xF7 for i in range(4)},
    AXI_SRAM: 0x3_1F3F,
    AXI_EXT: 0x3_1F3F,
}


class BusError(Exception):
    """An address that no memory answers to."""


class Memory(Protocol):
    """What the NPU reaches, by address."""

    def view(self, address: int) -> NDArray[np.uint8]:
        """Writable bytes from `address` to the end of its memory. Raises BusError."""
        ...


@dataclass(frozen=True)
class Run:
    """One run: the command block's stream, and each region's bytes from its base pointer on (None: none)."""

    stream: bytes
    regions: tuple[NDArray[np.uint8] | None, ...]


Observer = Callable[[Run], Callable[[], None]]
"""Called before a run; what it returns is called after it."""


@dataclass
class RegisterModel:
    """One NPU behind its registers.

    `error` is what went wrong in the last run, to be shown to the user; the driver sees it as a bit of STATUS.
    `stopped` is asked between operations whether to give up.
    """

    accelerator: Accelerator
    memory: Memory
    observer: Observer | None = None
    stopped: Callable[[], bool] | None = None
    error: McuSdkError | None = None
    runs: int = 0
    _simulator: Simulator = field(init=False)
    _bits: dict[int, int] = field(init=False)
    _identity: int = field(init=False)
    _values: dict[int, int] = field(default_factory=dict)
    _status: int = 0
    _gates: int = _GATES
    _levels: int = 0

    def __post_init__(self) -> None:
        self._simulator = Simulator(self.accelerator)
        is_u85 = self.accelerator.kind is U85
        self._bits = _BITS_U85 if is_u85 else _BITS
        major, minor, patch = self.accelerator.kind.architecture
        self._identity = major << 28 | minor << 20 | patch << 16 | (_CHIP_U85 if is_u85 else _CHIP)

    def read(self, offset: int) -> int:
        """A register's 32 bits. Raises RunError for one that is not modelled."""
        if offset == ID:
            return self._identity
        if offset == CONFIG:
            return _configuration(self.accelerator)
        if offset == STATUS:
            return self._status
        if offset == CMD:
            return self._gates
        if offset == PROT:
            return self._levels
        if offset in self._bits or offset in (QREAD, RESET):
            return self._values.get(offset, 0)
        raise _not_modelled("read", offset)

    def write(self, offset: int, value: int) -> None:
        """Set a register. CMD with RUN executes the stream before it returns; read-only ones stay as they are.

        Raises RunError for a register that is not modelled.
        """
        if offset == RESET:
            self._values.clear()
            self._status = 0
            self._gates = _GATES
            self._levels = value & _LEVELS
        elif offset == CMD:
            self._gates = value & _GATES
            if value & _CLEAR_IRQ:
                self._status &= ~_IRQ_RAISED
            # A fault stays until the next reset.
            if value & _RUN and not self._status & (_BUS_ERROR | _PARSE_ERROR):
                self._run()
        elif offset in self._bits:
            self._values[offset] = value & self._bits[offset]
        elif offset not in (ID, STATUS, QREAD, PROT, CONFIG):
            raise _not_modelled("wrote", offset)

    def _run(self) -> None:
        self.runs += 1
        self._status = _IRQ_RAISED
        try:
            stream = self._stream()
            regions = tuple(self._region(index) for index in range(REGIONS))
            finish = self.observer(Run(stream, regions)) if self.observer else None
            self._simulator.run(self._block(stream), regions, self.stopped)
            if finish is not None:
                finish()
        except BusError as error:
            self.error = _bus_error(str(error))
            self._status |= _BUS_ERROR
        except McuSdkError as error:
            self.error = error
            self._status |= _BUS_ERROR if isinstance(error.__cause__, OutOfBounds) else _PARSE_ERROR
            if isinstance(error, SimulationError):
                self._values[QREAD] = 4 * error.index
        else:
            self._values[QREAD] = self._values.get(QSIZE, 0)
            self._status |= _END_REACHED

    def _stream(self) -> bytes:
        size = self._values.get(QSIZE, 0)
        memory = self.memory.view(self._address(QBASE))
        if size % 4 or not 0 < size <= memory.size:
            raise BusError(f"a command stream cannot have {size} bytes; its memory goes on for {memory.size}")
        return memory[:size].tobytes()

    def _region(self, index: int) -> NDArray[np.uint8] | None:
        address = self._address(BASEP + 8 * index)
        return self.memory.view(address) if address else None

    def _address(self, offset: int) -> int:
        return self._values.get(offset + 4, 0) << 32 | self._values.get(offset, 0)

    def _block(self, stream: bytes) -> bytes:
        """The stream as a command block for this NPU: the simulator takes what Vela writes."""
        words = len(stream) // 4
        header = [int.from_bytes(b"COP1", "little"), 1, _configuration(self.accelerator), self._identity]
        header.append(2 | (words >> 16) << 8 | (words & 0xFFFF) << 16)
        return struct.pack("<5I", *header) + stream


def _configuration(accelerator: Accelerator) -> int:
    """CONFIG: product, KiB of SHRAM, stream version, binary logarithm of the MACs. Of a U85 the binary logarithms of
    its ports to SRAM and to other memory, and of its weight streams."""
    kind = accelerator.kind
    word = kind.product << 28 | kind.stream_version << 4 | (accelerator.macs.bit_length() - 1)
    if kind is not U85:
        return word | accelerator.shram_bytes // 1024 << 8
    sram, external = accelerator.port_bits
    return word | sram << 8 | external << 10 | (accelerator.cores.bit_length() - 1) << 12


def _bus_error(what: str) -> McuSdkError:
    return RunError(
        f"The simulated NPU met a bus error: {what}.",
        hint="What the NPU reads and writes has to lie in memory that it shares with the simulator.",
    )


def _not_modelled(did: str, offset: int) -> McuSdkError:
    return RunError(
        f"The firmware {did} the NPU's register {offset:#06x}, which is not modelled.",
        hint="docs/npu_cosimulation.md lists those that are.",
    )
