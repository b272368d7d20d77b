"""How many steps a second a board's clock and memories allow at most: a bound, never a measurement.

A step takes at least as long as its instructions at the most that the core begins in a cycle, and at least as long as
each memory needs to deliver what the step reads of it: the larger of these. Memories are read side by side, as if
every load came early enough; those that share a bus one after the other.

What a region delivers: each operand of each operator once, constants, KV cache (all of it: a step at the cache's end)
and arena; what a step writes is not counted. Of operators that the table does not know (slices, selections) no more
than what they write. Behind a data cache each byte counts once in a step, and as many bytes as the cache holds may
still be there from the step before. Code is taken to come from the instruction cache. So whatever is left out makes
the bound higher, and no board is faster.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from mcu_sdk.board.board import Board
from mcu_sdk.board.core import CORES, MOST_ISSUE
from mcu_sdk.board.memory import Region
from mcu_sdk.operators.table import Work
from mcu_sdk.planning.constants import constants_of, instructions_of
from mcu_sdk.planning.fit import Layout
from mcu_sdk.planning.ideal import Rates, ideal_instructions, rates_of
from mcu_sdk.planning.instruction import Instruction, Space, Tensor
from mcu_sdk.planning.operands import touched
from mcu_sdk.planning.pieces import Places
from mcu_sdk.planning.plan import Plan

Counted = Literal["ideal", "measured"]


@dataclass(frozen=True)
class RegionReads:
    """`bytes` that a step reads of a region at least, and how many it delivers in a second; None: not known."""

    name: str
    bytes: int
    bytes_per_second: float | None
    bus: str | None = None

    @property
    def seconds(self) -> float:
        """0 where the bandwidth is not known."""
        return self.bytes / self.bytes_per_second if self.bytes_per_second else 0.0


@dataclass(frozen=True)
class Bound:
    """What limits a step. `instructions`: of a step, as planning/ideal.py has it or as a simulator `counted` them;
    `issue`: the most that the core begins in a cycle; `unit`: what a step makes."""

    core_hz: int
    issue: int
    instructions: int
    counted: Counted
    regions: tuple[RegionReads, ...]
    unit: Literal["token", "step"] = "step"

    @property
    def instruction_seconds(self) -> float:
        return self.instructions / self.issue / self.core_hz

    @property
    def memory_seconds(self) -> dict[str, float]:
        """By region, or by bus with the names of its regions ("flash + psram")."""
        buses: dict[str, list[RegionReads]] = defaultdict(list)
        for region in self.regions:
            buses[f"bus {region.bus}" if region.bus else region.name].append(region)
        return {
            " + ".join(region.name for region in some): sum(region.seconds for region in some)
            for some in buses.values()
        }

    @property
    def seconds(self) -> float:
        """The least that a step can take."""
        return max(self.instruction_seconds, *self.memory_seconds.values(), 0.0)

    @property
    def per_second(self) -> float:
        """Steps, or tokens, in a second at most."""
        return 1 / self.seconds

    @property
    def limit(self) -> str:
        """What the bound comes from: "instructions", or the regions that are read for the longest."""
        times = {"instructions": self.instruction_seconds, **self.memory_seconds}
        return max(times, key=lambda name: times[name])

    def measured(self, instructions: int | None) -> Bound:
        """The same with a step's instructions as they were counted; as it is, without."""
        return self if instructions is None else replace(self, instructions=instructions, counted="measured")

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of the report's lines."""
        what = {"ideal": "the least for its operators", "measured": "counted in the run's last step"}
        full = " with a full cache" if self.unit == "token" else ""
        rows = [
            (
                f"{self.unit}s per second",
                f"at most {_rate(self.per_second)}{full}: a bound by {self.limit}, no measurement",
            ),
            (
                "  instructions",
                f"{_time(self.instruction_seconds)}: {self.instructions:,}, {what[self.counted]}; "
                f"{self.issue} a cycle at {self.core_hz / 1e6:g} MHz",
            ),
        ]
        for region in self.regions:
            if region.bytes_per_second is None:
                text = f"{region.bytes:,} bytes; no bandwidth is known, so it does not count"
            else:
                speed = f"{region.bytes_per_second / 1e6:,.4g} MB a second"
                text = f"{_time(region.seconds)}: {region.bytes:,} bytes, {speed}"
                text += f", on bus {region.bus}" if region.bus else ""
            rows.append((f"  read of {region.name}", text))
        return rows

    def to_json(self) -> dict[str, Any]:
        """Plain data, and what follows from it."""
        derived = {"per_second": self.per_second, "seconds": self.seconds, "limit": self.limit}
        return {**asdict(self), "regions": [asdict(region) for region in self.regions], **derived}


def bound_from_json(data: Any) -> Bound | None:
    """What `to_json` wrote; None for anything else."""
    try:
        regions = tuple(RegionReads(**region) for region in data["regions"])
        names = ("core_hz", "issue", "instructions", "counted", "unit")
        bound = Bound(regions=regions, **{name: data[name] for name in names})
        return bound if bound.to_json() == data else None
    except (TypeError, KeyError, AttributeError, ZeroDivisionError):
        return None


def step_bound(board: Board, plan: Plan, layout: Layout, length: int | None = None) -> Bound | None:
    """The bound for a plan that lies as `layout` says; None for a board without [clock] and for a model on an NPU.

    `length`: positions of a language model's cache.
    """
    if board.clock is None or any(i.operator.startswith("delegate::") for i in instructions_of(plan)):
        return None
    hz, core, rates = board.clock.core_hz, CORES.get(board.core.cpu), rates_of(board.core)
    position, written = length - 1 if length else 0, _written(plan)
    regions = []
    for region in board.region:
        amount = _bytes_read(region, _reads_of(plan, layout, region.name), board.core.data_cache)
        if amount:
            regions.append(RegionReads(region.name, amount, region.bandwidth(hz), region.bus))
    bound = Bound(
        core_hz=hz,
        issue=core.issue if core is not None else MOST_ISSUE,
        instructions=sum(
            _least(instruction, rates, position, written[instruction.index])
            for instruction in instructions_of(plan)
        ),
        counted="ideal",
        regions=tuple(regions),
        unit="step" if length is None else "token",
    )
    return bound if bound.seconds else None


def _written(plan: Plan) -> dict[int, tuple[Tensor, ...]]:
    """What each instruction writes."""
    return {planned.instruction.index: planned.writes for planned in plan.calls}


def _least(instruction: Instruction, rates: Rates, position: int, written: Sequence[Tensor]) -> int:
    """The fewest instructions: of an operator whose work is not known, a store for each vector of what it writes."""
    if _is_known(instruction):
        return ideal_instructions(instruction, rates, position)
    return sum(-(-tensor.nbytes // rates.vector_bytes) for tensor in written)


def _is_known(instruction: Instruction) -> bool:
    """Whether a row says what an operator reads and counts."""
    row = instruction.row
    return row is not None and row.work is not Work.UNKNOWN


def _reads_of(plan: Plan, layout: Layout, region: str) -> list[tuple[Tensor, int]]:
    """What a step's instructions read of a region: the tensors, and bytes of each."""
    constants, written = constants_of(plan), _written(plan)
    found = []
    for instruction in instructions_of(plan):
        results = sum(tensor.nbytes for tensor in written[instruction.index])
        for tensor, amount in touched(instruction):
            amount = amount if _is_known(instruction) else min(amount, results)
            if tensor.space is Space.MODEL:
                used = any(c.offset <= tensor.offset < c.end for c in constants)
                here = used and _region_of(tensor, layout) == region
            else:
                here = tensor not in written[instruction.index]
                here = here and layout.regions[tensor.space.value] == region
            if here and amount:
                found.append((tensor, amount))
    return found


def _region_of(constant: Tensor, layout: Layout) -> str:
    """The region of a constant that a kernel reads."""
    found = Places(layout.pieces).find(constant.offset)
    return layout.regions["weights"] if found is None else found[0].region


def _bytes_read(region: Region, reads: Sequence[tuple[Tensor, int]], cache: int) -> int:
    """The bytes that have to come out of a region in a step."""
    if not region.cached:
        return sum(amount for _, amount in reads)
    return max(0, sum(_distinct(same) for same in _by_space(reads).values()) - cache)


def _by_space(reads: Iterable[tuple[Tensor, int]]) -> Mapping[Space, list[tuple[Tensor, int]]]:
    found: dict[Space, list[tuple[Tensor, int]]] = defaultdict(list)
    for tensor, amount in reads:
        found[tensor.space].append((tensor, amount))
    return found


def _distinct(reads: Sequence[tuple[Tensor, int]]) -> int:
    """The bytes of one space that are read, each once: of tensors that share bytes, at least the most of any."""
    total, end, most, whole = 0, -1, 0, 0
    covered = -1
    for tensor, amount in sorted(reads, key=lambda read: (read[0].offset, -read[1])):
        if tensor.offset >= end:
            total += max(most, whole)
            most, whole, covered = 0, 0, tensor.offset
        end = max(end, tensor.offset + tensor.nbytes)
        most = max(most, amount)
        if amount == tensor.nbytes:
            whole += max(0, tensor.offset + tensor.nbytes - max(covered, tensor.offset))
            covered = max(covered, tensor.offset + tensor.nbytes)
    return total + max(most, whole)


def _time(seconds: float) -> str:
    """ "5.2 ms"."""
    return f"{seconds * 1e3:,.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:,.3g} us"


def _rate(per_second: float) -> str:
    """ "1,234", "12.34"."""
    return f"{per_second:,.0f}" if per_second >= 1000 else f"{per_second:.4g}"
