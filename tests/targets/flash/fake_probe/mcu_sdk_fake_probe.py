"""A debug probe for pyOCD, found as a plugin, behind which a Cortex-M's memory is a file.

$FAKE_PROBES: ids between commas. $FAKE_CHIP: a JSON file, {"cpuid": ..., "words": {address: word}, "dies_after": bytes
that can be written}; what was written is added to its "written". A debug port, one AHB access port, a ROM table with a
system control space: what pyOCD asks for until it takes it for a Cortex-M that stands still.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pyocd.core.exceptions import ProbeDisconnected
from pyocd.core.memory_interface import MemoryInterface
from pyocd.core.plugin import Plugin
from pyocd.probe.debug_probe import DebugProbe

ROM, SCS = 0xE00FF000, 0xE000E000
CPUID, AIRCR, DHCSR, DEMCR = 0xE000ED00, 0xE000ED0C, 0xE000EDF0, 0xE000EDFC


def component(base: int, kind: int, part: int) -> dict[int, int]:
    """The identification registers of a CoreSight component by Arm (designer 0x43B)."""
    ids = {0xFF0: 0x0D, 0xFF4: kind << 4, 0xFF8: 0x05, 0xFFC: 0xB1}
    ids |= {
        0xFE0: part & 0xFF,
        0xFE4: 0xB0 | part >> 8,
        0xFE8: 0x0B,
        0xFEC: 0,
        0xFD0: 4,
        0xFD4: 0,
        0xFD8: 0,
        0xFDC: 0,
    }
    return {base + offset: value for offset, value in ids.items()}


class Memory(MemoryInterface):
    """Words by address; a few of them are registers."""

    def __init__(self) -> None:
        self.file = Path(os.environ["FAKE_CHIP"])
        self.chip: dict[str, Any] = json.loads(self.file.read_text())
        self.words = component(ROM, 1, 0x4C4) | component(SCS, 0xE, 0x00C)
        self.words |= {ROM: (SCS - ROM) & 0xFFFFF000 | 3, ROM + 4: 0, CPUID: self.chip["cpuid"]}
        self.words |= {int(address): word for address, word in self.chip["words"].items()}
        self.bytes = {int(address): byte for address, byte in self.chip.get("written", {}).items()}
        self.halted = False

    def _byte(self, address: int) -> int:
        if address in self.bytes:
            return self.bytes[address]
        return self._word(address & ~3) >> 8 * (address & 3) & 0xFF

    def _word(self, address: int) -> int:
        if address == DHCSR:
            return 1 << 16 | self.halted << 17 | 1
        return self.words.get(address, 0)

    def read_memory(self, addr: int, transfer_size: int = 32, now: bool = True, **attributes: Any) -> Any:
        value = sum(self._byte(addr + at) << 8 * at for at in range(transfer_size // 8))
        return value if now else lambda: value

    def write_memory(self, addr: int, data: int, transfer_size: int = 32, **attributes: Any) -> None:
        if addr >= 0xE0000000:
            self.words[addr] = data
            if addr == DHCSR:
                self.halted = bool(data & 2)
            if addr == AIRCR and data & 4:
                self.halted = bool(self.words.get(DEMCR, 0) & 1)
            return
        for at in range(transfer_size // 8):
            if len(self.bytes) >= self.chip.get("dies_after", 1 << 30):
                raise ProbeDisconnected("the fake probe was unplugged")
            self.bytes[addr + at] = data >> 8 * at & 0xFF

    def read_memory_block8(self, addr: int, size: int, **attributes: Any) -> list[int]:
        return [self._byte(addr + at) for at in range(size)]

    def write_memory_block8(self, addr: int, data: Any, **attributes: Any) -> None:
        for at, byte in enumerate(data):
            self.write_memory(addr + at, byte, 8)

    def read_memory_block32(self, addr: int, size: int, **attributes: Any) -> list[int]:
        return [self.read_memory(addr + 4 * at) for at in range(size)]

    def write_memory_block32(self, addr: int, data: Any, **attributes: Any) -> None:
        for at, word in enumerate(data):
            self.write_memory(addr + 4 * at, word)

    def keep(self) -> None:
        self.file.write_text(json.dumps(self.chip | {"written": self.bytes}))


class FakeProbe(DebugProbe):
    @classmethod
    def get_all_connected_probes(
        cls, unique_id: str | None = None, is_explicit: bool = False
    ) -> list[FakeProbe]:
        return [cls(each) for each in os.environ.get("FAKE_PROBES", "").split(",") if each]

    @classmethod
    def get_probe_with_id(cls, unique_id: str, is_explicit: bool = False) -> FakeProbe | None:
        return next((each for each in cls.get_all_connected_probes() if each.unique_id == unique_id), None)

    def __init__(self, unique_id: str) -> None:
        super().__init__()
        self._id = unique_id
        self._memory: Memory | None = None
        self._control = 0
        self._registers: dict[int, int] = {}

    vendor_name = property(lambda self: "Fake")
    product_name = property(lambda self: "Probe")
    description = property(lambda self: "Fake Probe")
    unique_id = property(lambda self: self._id)
    supported_wire_protocols = property(lambda self: [DebugProbe.Protocol.DEFAULT, DebugProbe.Protocol.SWD])
    wire_protocol = property(lambda self: DebugProbe.Protocol.SWD)
    is_open = property(lambda self: self._memory is not None)
    capabilities = property(lambda self: {DebugProbe.Capability.MANAGED_AP_SELECTION})

    def open(self) -> None:
        self._memory = Memory()

    def close(self) -> None:
        if self._memory is not None:
            self._memory.keep()
        self._memory = None

    def connect(self, protocol: Any = None) -> None: ...
    def disconnect(self) -> None: ...
    def set_clock(self, frequency: float) -> None: ...
    def flush(self) -> None: ...

    def reset(self) -> None:
        assert self._memory is not None
        self._memory.halted = False

    def assert_reset(self, asserted: bool) -> None:
        self.reset()

    def is_reset_asserted(self) -> bool:
        return False

    def read_dp(self, addr: int, now: bool = True) -> Any:
        # DPIDR of a version 1 port; CTRL/STAT: what is asked to be powered is.
        value = {0: 0x2BA01477, 4: self._control | (self._control & 0x50000000) << 1}.get(addr & 0xF, 0)
        return value if now else lambda: value

    def write_dp(self, addr: int, data: int) -> None:
        if addr & 0xF == 4:
            self._control = data

    def read_ap(self, addr: int, now: bool = True) -> Any:
        fixed = {0xFC: 0x24770011, 0xF8: ROM | 3, 0xF4: 0, 0x00: 0x23000042}
        value = fixed.get(addr & 0xFF, self._registers.get(addr & 0xFF, 0)) if addr >> 24 == 0 else 0
        return value if now else lambda: value

    def write_ap(self, addr: int, data: int) -> None:
        self._registers[addr & 0xFF] = data

    def get_memory_interface_for_ap(self, ap_address: Any) -> Memory | None:
        return self._memory


class FakeProbePlugin(Plugin):
    name = property(lambda self: "fake")
    description = property(lambda self: "A probe whose chip is a file")

    def load(self) -> type[FakeProbe]:
        return FakeProbe
