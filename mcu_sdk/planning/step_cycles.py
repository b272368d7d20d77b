"""How many cycles one token takes by estimate, where a board has an NPU: of the processor, of the NPU, of waiting for weights.

The processor: PER_IDEAL instructions for each one of its operators' bound (planning/ideal.py), of attention PER_IDEAL_ATTENTION,
a cycle each, in the middle of the cache; and what its weights take to arrive beyond the time of the loads themselves, of which
nothing else hides any. The NPU: our model of the command stream (npu/cycles), which has its waits in it. Both run one after the other,
at one clock.

The memory of the weights is the first region with room that the board has for them. It delivers what board.toml says
(`bytes_per_access` or `bytes_per_second`, and [clock]), to both; where the file does not say, what Vela's system
configuration, which the file names, says of the NPU's constants: that the processor gets them as fast is an assumption, and
the report says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mcu_sdk.board.board import Board
from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.npu.cycles.memories import MemorySystem
from mcu_sdk.operators.table import Work
from mcu_sdk.planning.constants import instructions_of
from mcu_sdk.planning.ideal import Rates, ideal_instructions, rates_of
from mcu_sdk.planning.instruction import Instruction, Space, Tensor
from mcu_sdk.planning.npu_streams import DELEGATE, command_streams, estimate_streams, system_of
from mcu_sdk.planning.operands import touched
from mcu_sdk.planning.plan import Plan, PlannedCall

PER_IDEAL, PER_IDEAL_ATTENTION = 1.3, 1.8
"""Instructions that a step takes for one of its operators' bound: what comes within an eighth of those that docs/performance.md
counts of the bundled model (cache 512, both positions) and of case B."""

BUS_BYTES = 8
"""What a load moves in a cycle without wait states: the 64 bits of a Cortex-M55's or -M85's bus; a vector takes two."""

DRIVER_INSTRUCTIONS = 500
"""Of firmware/drivers/ethos_u for a delegate, polls left out: some 40 registers, each written by a function."""


@dataclass(frozen=True)
class Supply:
    """How fast the memory of the weights delivers them; `told`: what says so."""

    bytes_per_cycle: float
    told: str

    def waiting(self, count: int, rates: Rates) -> int:
        """Cycles that `count` bytes take beyond the time of the loads themselves."""
        load = min(rates.vector_bytes, BUS_BYTES)
        return max(0, round(count / self.bytes_per_cycle - count / load))


@dataclass(frozen=True)
class StepCycles:
    """One token by estimate. `instructions` of the processor, a cycle each, and its `waiting` for `weight_bytes`; `npu`:
    cycles of `delegates`, waits included; `supply`: by what weights come to the processor, `npu_supply` to the NPU."""

    instructions: int
    weight_bytes: int
    waiting: int
    supply: str
    npu: int = 0
    delegates: int = 0
    npu_supply: str = ""

    @property
    def cycles(self) -> int:
        """All of it."""
        return self.instructions + self.waiting + self.npu

    def to_json(self) -> dict[str, Any]:
        """Plain data; "estimated" says what it is."""
        return {"estimated": True, "cycles": self.cycles, **asdict(self)}

    @staticmethod
    def from_json(data: dict[str, Any]) -> StepCycles:
        """Raises KeyError, TypeError or ValueError for what `to_json` did not write."""
        found = StepCycles(
            **{key: value for key, value in data.items() if key not in ("estimated", "cycles")}
        )
        if found.to_json() != data or any(
            type(v) is not int for v in vars(found).values() if not isinstance(v, str)
        ):
            raise ValueError("not an estimate of a step")
        return found


def step_cycles(plan: Plan, board: Board, npu: NpuTarget, position: int) -> StepCycles | None:
    """The estimate for `forward` at a position of the cache, on a board whose NPU is `npu`; None where a command stream is
    not understood. Raises what `system_of` raises, and PteError for a corrupt delegate."""
    rates, system = rates_of(board.core), system_of(npu)
    delegated = [i for i in instructions_of(plan) if i.operator == DELEGATE]
    own = [i for i in instructions_of(plan) if i.operator != DELEGATE]
    place = board.with_npu_memory() if delegated else board  # where a project with delegates has its .pte
    supply = processor_supply(place, plan.model_bytes, system)
    written = {planned.instruction.index: planned.writes for planned in plan.calls}
    weights = sum(_weights_read(instruction, written[instruction.index]) for instruction in own)
    instructions = round(sum(_instructions(each, rates, position) for each in own)) + _around(
        plan.calls, rates
    )
    found = StepCycles(instructions, weights, supply.waiting(weights, rates), supply.told)
    if not delegated:
        return found
    system, told = npu_system(board, plan.model_bytes, system)
    streams = estimate_streams(command_streams(delegated), npu, system)
    if len(streams) != len(delegated):
        return None
    cycles = sum(stream.cycles for stream in streams)
    return replace(found, npu=cycles, delegates=len(streams), npu_supply=told)


def processor_supply(board: Board, size: int, system: MemorySystem) -> Supply:
    """How fast a .pte of `size` bytes comes to the processor."""
    known = _of_board(board, board.placement.weights if board.placement else (), size)
    if known is not None:
        return known
    told = f"as to the NPU, which is assumed ({system.system_config}, {system.memory_mode})"
    return Supply(system.constants.bytes_per_cycle, told)


def npu_system(board: Board, size: int, system: MemorySystem) -> tuple[MemorySystem, str]:
    """The NPU's memories with what the board says of that of a .pte of `size` bytes, and what says it. In a memory mode with
    one memory for all, that one is Vela's."""
    wanted = board.npu.weights if board.npu else None
    known = _of_board(board, wanted or (), size)
    if known is None or system.constants is system.scratch:
        return system, f"{system.system_config}, {system.memory_mode}"
    constants = replace(system.constants, bytes_per_cycle=known.bytes_per_cycle)
    return replace(system, constants=constants), known.told


def _of_board(board: Board, names: Sequence[str], size: int) -> Supply | None:
    """What board.toml says of the first of these regions that has room; None where that is nothing."""
    region = next((board.regions[name] for name in names if board.regions[name].size >= size), None)
    if region is None or board.clock is None:
        return None
    bandwidth = region.bandwidth(board.clock.core_hz)
    if bandwidth is None:
        return None
    return Supply(bandwidth / board.clock.core_hz, f"board.toml of {region.name}")


def _instructions(instruction: Instruction, rates: Rates, position: int) -> float:
    row = instruction.row
    attends = row is not None and row.work is Work.ATTENTION
    ideal = ideal_instructions(instruction, rates, position)
    return ideal * (PER_IDEAL_ATTENTION if attends else PER_IDEAL)


def _weights_read(instruction: Instruction, written: Sequence[Tensor]) -> int:
    """Of an operator that the table does not know (a row of a table that is selected) no more than what it writes."""
    read = sum(amount for tensor, amount in touched(instruction) if tensor.space is Space.MODEL)
    is_known = instruction.row is not None and instruction.row.work is not Work.UNKNOWN
    return read if is_known else min(read, sum(tensor.nbytes for tensor in written))


def _around(calls: Iterable[PlannedCall], rates: Rates) -> int:
    """The processor's instructions for delegates: the driver's, and copies into the scratch and out of it, a load and a store
    for each vector."""
    found = 0
    for planned in calls:
        if planned.instruction.operator == DELEGATE:
            size = planned.call.arguments[-1] if planned.call.function == "mcu_copy" else None
            found += 2 * -(-size // rates.vector_bytes) if isinstance(size, int) else DRIVER_INSTRUCTIONS
    return found
