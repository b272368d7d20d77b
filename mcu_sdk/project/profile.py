"""Where a step spends its instructions: the table of what a profiled firmware counted for each call of its plan."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mcu_sdk.errors import RunError
from mcu_sdk.text import folded

if TYPE_CHECKING:
    from rich.table import Table

    from mcu_sdk.board.devices import Core
    from mcu_sdk.planning.plan import Plan


@dataclass(frozen=True)
class Cost:
    """What `calls` calls of one kind cost: instructions counted, and the least that they could be (planning/ideal.py)."""

    operator: str
    module: str
    calls: int
    instructions: int
    ideal: int

    @property
    def ratio(self) -> float | None:
        return self.instructions / self.ideal if self.ideal else None


def costs(plan: Plan, counts: Sequence[int], position: int, core: Core) -> list[Cost]:
    """One row for each call, in order. `counts`: the instructions of each; `position`: that of the step, from 0;
    `core`: what ran it.

    An instruction's bound stands at the last of its calls. Raises RunError if the numbers do not match.
    """
    from mcu_sdk.planning.ideal import ideal_instructions, rates_of

    if len(counts) != len(plan.calls):
        raise RunError(
            f"The firmware was expected to count {len(plan.calls)} calls; it counted {len(counts)}.",
            hint="The board's counter has to count instructions: on a simulator, not on a board at a port.",
        )
    rates = rates_of(core)
    rows = []
    for number, (planned, count) in enumerate(zip(plan.calls, counts, strict=True)):
        last = number + 1 == len(plan.calls) or plan.calls[number + 1].instruction is not planned.instruction
        ideal = ideal_instructions(planned.instruction, rates, position) if last else 0
        rows.append(Cost(planned.instruction.operator, planned.name, 1, count, ideal))
    return rows


def by_kind(rows: Sequence[Cost]) -> list[Cost]:
    """Rows of one operator in one kind of module ("layers.*.mlp.up_proj") together; the dearest first."""
    found: dict[tuple[str, str], Cost] = {}
    for row in rows:
        key = (row.operator, re.sub(r"(?<![^.])\d+(?![^.])", "*", row.module))
        before = found.get(key, Cost(*key, 0, 0, 0))
        found[key] = Cost(
            *key,
            before.calls + row.calls,
            before.instructions + row.instructions,
            before.ideal + row.ideal,
        )
    return sorted(found.values(), key=lambda cost: (-cost.instructions, cost.operator, cost.module))


def _names(row: Cost, width: int) -> tuple[str, ...]:
    if width >= NARROW:
        return row.operator, row.module
    return (f"{row.operator}\n{folded(row.module, width - _NUMBERS)}".rstrip("\n"),)


def total(rows: Sequence[Cost]) -> Cost:
    """The sum of the rows."""
    return Cost(
        "total",
        "",
        sum(row.calls for row in rows),
        sum(row.instructions for row in rows),
        sum(row.ideal for row in rows),
    )


def to_json(rows: Sequence[Cost], position: int) -> dict[str, Any]:
    """Plain data: the step's position, the sums, and each row."""
    return {"position": position, "total": asdict(total(rows)), "calls": [asdict(row) for row in rows]}


NARROW = 110
"""Columns of a terminal below which the module stands under its operator."""
_NUMBERS = 46
"""Columns that the numbers take."""


def to_table(rows: Sequence[Cost], title: str, width: int = NARROW) -> Table:
    """What rich prints: the rows by kind, and their sum. `width`: the terminal's columns."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False)
    table.add_column("operator", no_wrap=True)
    if width >= NARROW:
        table.add_column("module", no_wrap=True)
    for name in ("calls", "instructions", "%", "ideal", "x"):
        table.add_column(name, justify="right", no_wrap=True)
    everything = total(rows)
    for row in (*by_kind(rows), everything):
        if row is everything:
            table.add_section()
        table.add_row(
            *_names(row, width),
            f"{row.calls:,}",
            f"{row.instructions:,}",
            f"{100 * row.instructions / max(1, everything.instructions):.1f}",
            f"{row.ideal:,}",
            "" if row.ratio is None else f"{row.ratio:.2f}",
        )
    return table
