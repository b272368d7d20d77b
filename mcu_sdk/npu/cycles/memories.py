"""The memories around an NPU as Vela's configuration describes them: bandwidth, latency, and what lies where."""

from __future__ import annotations

from dataclasses import dataclass

from mcu_sdk.errors import BoardError
from mcu_sdk.npu.accelerator import Family
from mcu_sdk.npu.blob import WEIGHTS_REGION
from mcu_sdk.npu.vela_ini import MODE, SYSTEM, read_sections


@dataclass(frozen=True)
class Memory:
    """`bytes_per_cycle` and latencies in cycles of the NPU's clock."""

    name: str
    bytes_per_cycle: float
    read_latency: int
    write_latency: int

    def cycles(self, count: int, in_flight: float | None = None) -> float:
        """What `count` bytes take once they flow; of reads at most `in_flight` bytes are on their way at any time."""
        rate = self.bytes_per_cycle
        if in_flight is not None and self.read_latency:
            rate = min(rate, in_flight / self.read_latency)
        return count / rate


@dataclass(frozen=True)
class MemorySystem:
    """`constants` holds commands, weights, scales and tables (region 0), `scratch` everything else; they are the same
    object where the memory mode has one memory for all. A port of the NPU moves `bus_bytes` at once."""

    system_config: str
    memory_mode: str
    clock_hz: float
    bus_bytes: int
    constants: Memory
    scratch: Memory

    def of(self, region: int) -> Memory:
        """The memory of a region."""
        return self.constants if region == WEIGHTS_REGION else self.scratch


def memory_system(family: Family, system_config: str, memory_mode: str) -> MemorySystem:
    """A system configuration and memory mode of Vela's Arm/vela.ini, for NPUs of that family.

    A memory's bandwidth is that of its ports (`Family.bus_bytes` each) times its clock's share of the NPU's. Raises
    BoardError for a name that is none, ToolMissingError without Vela.
    """
    sections = read_sections()
    for kind, name in ((SYSTEM, system_config), (MODE, memory_mode)):
        if (kind, name) not in sections:
            raise BoardError(
                f"A section {kind}.{name} of Vela's Arm/vela.ini was expected; there is none.",
                hint=f"Choose one of {', '.join(n for k, n in sections if k == kind)}.",
            )
    system, mode = sections[SYSTEM, system_config], sections[MODE, memory_mode]
    memories: dict[str, Memory] = {}

    def memory(area: str) -> Memory:
        name = system[f"{mode[area].lower()}_port"]
        if name not in memories:
            ports, scale = (
                int(system.get(f"{name}_ports_used".lower(), "1")),
                system[f"{name}_clock_scale".lower()],
            )
            memories[name] = Memory(
                name,
                family.bus_bytes * ports * float(scale),
                int(system[f"{name}_read_latency".lower()]),
                int(system[f"{name}_write_latency".lower()]),
            )
        return memories[name]

    return MemorySystem(
        system_config,
        memory_mode,
        float(system["core_clock"]),
        family.bus_bytes,
        memory("const_mem_area"),
        memory("arena_mem_area"),
    )
