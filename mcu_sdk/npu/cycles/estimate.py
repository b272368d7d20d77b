"""Cycles of a command stream, operation by operation: estimates from what the stream says, no measurements.

Computing operations run one after the other, a DMA beside them until something waits for it. An operation takes as long
as the busiest of: the MAC array with the output stage behind it, the port to the scratch, the port to the constants. The
commands themselves come through the latter too, which Vela's estimate leaves out. Where an operation has to wait for the one
before it to end (BLOCKDEP 0), nothing hides the first read's latency and the last write's.

What is not modelled: ports that a DMA and an operation use at the same time, other bus masters, refresh and pages of a
DRAM. Nothing here has been compared with hardware.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from mcu_sdk.npu.accelerator import U85
from mcu_sdk.npu.blob import WEIGHTS_REGION
from mcu_sdk.npu.cycles.memories import MemorySystem
from mcu_sdk.npu.cycles.rates import rates_u85
from mcu_sdk.npu.cycles.schedule import Start, starts
from mcu_sdk.npu.cycles.work import Moved, Work
from mcu_sdk.npu.cycles.work_u55 import work as work_u55
from mcu_sdk.npu.cycles.work_u85 import work as work_u85
from mcu_sdk.npu.decode import decode
from mcu_sdk.npu.operations import Dma
from mcu_sdk.npu.stream import CommandStream
from mcu_sdk.npu.u85.decode import decode as decode_u85
from mcu_sdk.npu.u85.operations import DmaOfRows

_RUNNING = 3
"""Computing operations that may be on their way at once: the next one is not begun before (`max_outstanding_kernels` of
ethosu/vela/architecture_features.py)."""


@dataclass(frozen=True)
class OperationCycles:
    """One operation. `index`: its command's first word; `cycles`: by how much later the stream ends for it. What its parts
    are busy for: the MAC `array`, the `output` stage, the port to the `scratch` and that to the `constants`, with the
    commands; `waited` is latency that nothing hides. `constant_bytes` (without commands), `scratch_bytes` and
    `command_bytes` are moved for it."""

    index: int
    name: str
    cycles: int
    macs: int
    array: int
    output: int
    scratch: int
    constants: int
    waited: int
    constant_bytes: int
    scratch_bytes: int
    command_bytes: int


@dataclass(frozen=True)
class StreamCycles:
    """All operations of one stream, in order."""

    accelerator: str
    system_config: str
    memory_mode: str
    clock_hz: float
    macs_per_cycle: int
    operations: tuple[OperationCycles, ...]

    @property
    def cycles(self) -> int:
        return sum(operation.cycles for operation in self.operations)

    @property
    def macs(self) -> int:
        return sum(operation.macs for operation in self.operations)

    @property
    def mac_use(self) -> float:
        """The share of the multiplications that the array could have made."""
        return self.macs / max(1, self.cycles * self.macs_per_cycle)

    def bytes_moved(self) -> tuple[int, int]:
        """From the memory of constants, commands included, and from and to the scratch's."""
        constants = sum(each.constant_bytes + each.command_bytes for each in self.operations)
        return constants, sum(each.scratch_bytes for each in self.operations)

    def by_name(self) -> list[tuple[str, int, int, int, int, int]]:
        """Name, count, cycles, MACs, bytes of constants with commands, bytes of the scratch of each kind of operation; the most
        cycles first."""
        kinds: dict[str, list[OperationCycles]] = {}
        for each in self.operations:
            kinds.setdefault(each.name, []).append(each)
        rows = [
            (
                name,
                len(some),
                sum(one.cycles for one in some),
                sum(one.macs for one in some),
                sum(one.constant_bytes + one.command_bytes for one in some),
                sum(one.scratch_bytes for one in some),
            )
            for name, some in kinds.items()
        ]
        return sorted(rows, key=lambda row: -row[2])

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse is `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> StreamCycles:
        """Raises KeyError or TypeError for what `to_json` did not write."""
        operations = tuple(_checked(OperationCycles(**each)) for each in data["operations"])
        return _checked(StreamCycles(**{**data, "operations": operations}))


def estimate(stream: CommandStream, system: MemorySystem) -> StreamCycles:
    """Cycles of a stream in that system. Raises SimulationError for a stream that has no defined meaning."""
    accelerator = stream.config.accelerator
    begun = starts(stream)
    timeline = _Timeline(system)
    found = []
    if accelerator.kind is U85:
        for each in decode_u85(stream):
            start = begun[each.index]
            if isinstance(each, (Dma, DmaOfRows)):
                found.append(timeline.transfer(each, start, rates_u85(accelerator).copies_in_flight))
            else:
                work = work_u85(each, start, accelerator, system.bus_bytes)
                found.append(timeline.compute(each.name, start, work))
    else:
        for one in decode(stream):
            start = begun[one.index]
            if isinstance(one, Dma):
                found.append(timeline.transfer(one, start, None))
            else:
                work = work_u55(one, start, accelerator, system.bus_bytes)
                found.append(timeline.compute(one.name, start, work))
    return StreamCycles(
        accelerator.name,
        system.system_config,
        system.memory_mode,
        system.clock_hz,
        accelerator.macs,
        tuple(found),
    )


class _Timeline:
    """When each operation ends, in cycles from the stream's start."""

    def __init__(self, system: MemorySystem) -> None:
        self._system = system
        self._issued = 0.0
        self._kernels: list[float] = []
        self._transfers: list[float] = []
        self._end = 0.0

    def compute(self, name: str, start: Start, work: Work) -> OperationCycles:
        """A computing operation: after the one before it."""
        self._issue(start)
        waited = 0
        if not start.overlaps or start.kernels == 0:
            waited = self._system.scratch.read_latency + self._system.scratch.write_latency
        engine = max(work.array, work.output) + min(work.array, work.output) / work.blocks
        return self._run(self._kernels, name, start, work, engine, waited)

    def transfer(self, operation: Dma | DmaOfRows, start: Start, in_flight: float | None) -> OperationCycles:
        """A DMA: beside the computing operations, after the DMA before it."""
        self._issue(start)
        bus, source = self._system.bus_bytes, operation.source
        rows, target = 1, None
        moved: list[Moved] = []
        if isinstance(operation, DmaOfRows):
            rows, target = operation.rows, operation.target
            moved.append(Moved(operation.indices.region, operation.indices.length))
        else:
            target = operation.destination
        count = rows * -(-source.length // bus) * bus
        moved.append(Moved(source.region, count, in_flight))
        waited = self._system.of(source.region).read_latency
        if target is not None:
            moved.append(Moved(target.region, count))
            waited += self._system.of(target.region).write_latency
        return self._run(
            self._transfers, operation.name, start, Work(0, 0.0, 0.0, 1, tuple(moved)), 0.0, waited
        )

    def _issue(self, start: Start) -> None:
        """When its command is acted on: after what it waits for, and no more than `_RUNNING` operations ahead."""
        for ends, left in ((self._kernels, start.kernels), (self._transfers, start.transfers)):
            if left is not None and len(ends) > left:
                self._issued = max(self._issued, ends[-1 - left])
        if len(self._kernels) >= _RUNNING:
            self._issued = max(self._issued, self._kernels[-_RUNNING])

    def _run(
        self, ends: list[float], name: str, start: Start, work: Work, engine: float, waited: int
    ) -> OperationCycles:
        """Put it behind the last of `ends`."""
        constants, scratch = self._ports(start, work)
        begin = max([self._issued, *ends[-1:]])
        ends.append(begin + max(engine, constants, scratch) + waited)
        before, self._end = self._end, max(self._end, ends[-1])
        constant_bytes = sum(each.count for each in work.moved if each.region == WEIGHTS_REGION)
        return OperationCycles(
            index=start.index,
            name=name,
            cycles=round(self._end) - round(before),
            macs=work.macs,
            array=round(work.array),
            output=round(work.output),
            scratch=round(scratch),
            constants=round(constants),
            waited=waited,
            constant_bytes=constant_bytes,
            scratch_bytes=sum(each.count for each in work.moved) - constant_bytes,
            command_bytes=start.command_bytes,
        )

    def _ports(self, start: Start, work: Work) -> tuple[float, float]:
        """Cycles of the port to the constants, commands included, and of that to the scratch: of all that it moves, and no
        faster than each thing can come. One memory for both has one port, the former."""
        found: list[float] = []
        for memory, commands in ((self._system.constants, start.command_bytes), (self._system.scratch, 0)):
            if found and memory is self._system.constants:
                found.append(0.0)
                continue
            moved = [each for each in work.moved if self._system.of(each.region) is memory]
            total = memory.cycles(commands + sum(each.count for each in moved))
            found.append(max([total, *(memory.cycles(each.count, each.in_flight) for each in moved)]))
        return found[0], found[1]


Checked = TypeVar("Checked", OperationCycles, StreamCycles)

_KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}


def _checked(found: Checked) -> Checked:
    """Raises TypeError where a field is not of its type."""
    for entry in fields(found):
        value = getattr(found, entry.name)
        if type(value) not in _KINDS.get(str(entry.type), (type(value),)):
            raise TypeError(f"{entry.name} is {value!r}")
    return found
