"""The figures for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from benchmarks.durations import Duration
from benchmarks.growth import Series
from benchmarks.reference import Reference
from benchmarks.results import Figures
from benchmarks.shapes import Row


def instructions_table(
    latest: Mapping[str, Figures], baseline: Mapping[str, Figures], reference: Reference
) -> Table:
    """A row for each case: ours, the change against the baseline, the goal, the stock runtime."""
    table = Table(title="instructions per step in QEMU (counts, not cycles)")
    table.add_column("case")
    for name in (
        "ideal",
        "first",
        "/ ideal",
        "change",
        "goal",
        "last",
        "change",
        "goal",
        "stock",
        "stock / first",
    ):
        table.add_column(name, justify="right")
    for case, now in latest.items():
        before = baseline.get(case)
        stock, goal = reference.stock.get(case, {}), reference.goal.get(case, {})
        table.add_row(
            case,
            _number(now.ideal_instructions or None),
            f"{now.instructions_first:,}",
            _ratio(now.instructions_first, now.ideal_instructions),
            _change(before.instructions_first if before else None, now.instructions_first),
            _goal(goal.get("instructions_first"), now.instructions_first),
            f"{now.instructions_last:,}",
            _change(before.instructions_last if before else None, now.instructions_last),
            _goal(goal.get("instructions_last"), now.instructions_last),
            _number(stock.get("instructions")),
            _ratio(stock.get("instructions"), now.instructions_first),
        )
    return table


def bytes_table(
    latest: Mapping[str, Figures], baseline: Mapping[str, Figures], reference: Reference
) -> Table:
    """A row for each case: RAM with the reserved stack, code and tables without the .pte."""
    table = Table(title="bytes")
    table.add_column("case")
    for name in ("RAM", "change", "goal", "stock", "code", "change", "goal", "stock"):
        table.add_column(name, justify="right")
    for case, now in latest.items():
        before = baseline.get(case)
        stock, goal = reference.stock.get(case, {}), reference.goal.get(case, {})
        table.add_row(
            case,
            f"{now.ram_bytes:,}",
            _change(before.ram_bytes if before else None, now.ram_bytes),
            _goal(goal.get("ram_bytes"), now.ram_bytes),
            _number(stock.get("ram_bytes")),
            f"{now.code_bytes:,}",
            _change(before.code_bytes if before else None, now.code_bytes),
            _goal(goal.get("code_bytes"), now.code_bytes),
            _number(stock.get("code_bytes")),
        )
    return table


def shapes_table(rows: Sequence[Row]) -> Table:
    """A row for each kernel at a shape on a board: instructions, the change, and the part of CMSIS-NN's."""
    table = Table(title="kernels at single shapes, instructions in QEMU")
    table.add_column("board")
    table.add_column("shape")
    for name in ("instructions", "change", "CMSIS-NN", "ours / CMSIS-NN", "bar"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.board,
            row.shape,
            f"{row.now:,}",
            _change(row.baseline or None, row.now),
            _number(row.cmsis_nn or None),
            _ratio(row.now, row.cmsis_nn),
            f"{row.bar:g}" if row.bar else "",
        )
    return table


def growth_table(series: Sequence[Series]) -> Table:
    """A row for each point: instructions, arithmetic, and how both grew since the point before."""
    table = Table(title="growth of a step's cost")
    table.add_column("axis")
    for name in ("size", "instructions", "x", "arithmetic", "x"):
        table.add_column(name, justify="right")
    for one in series:
        before = None
        for point in one.points:
            table.add_row(
                one.name,
                f"{point.size:,}",
                f"{point.instructions:,}",
                f"{point.instructions / before.instructions:.3f}" if before else "",
                f"{point.arithmetic:,}",
                f"{point.arithmetic / before.arithmetic:.3f}" if before else "",
            )
            before = point
        table.add_section()
    return table


def durations_table(durations: Sequence[Duration]) -> Table:
    """A row for each: seconds of processor time here and now, those of its unit, and the ratio beside its bar."""
    table = Table(title="processor time of the SDK itself")
    table.add_column("what")
    table.add_column("against")
    for name in ("seconds", "unit", "ratio", "bar"):
        table.add_column(name, justify="right")
    for one in durations:
        color = "green" if one.met else "red"
        table.add_row(
            one.name,
            one.unit,
            f"{one.seconds:.3f}",
            f"{one.unit_seconds:.3f}",
            f"{one.ratio:.2f}",
            f"[{color}]{one.bar:g}[/]",
        )
    return table


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _ratio(value: int | None, divisor: int) -> str:
    return "" if value is None or not divisor else f"{value / divisor:.2f}"


def _change(before: int | None, now: int) -> str:
    """In percent; "new" without a baseline."""
    if before is None:
        return "new"
    return "=" if now == before else f"{100 * (now / before - 1):+.1f} %"


def _goal(goal: int | None, now: int) -> str:
    """The bar, green where it is met."""
    if goal is None:
        return ""
    return f"[{'green' if now <= goal else 'red'}]{goal:,}[/]"
