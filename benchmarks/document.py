"""The tables of docs/performance.md, between comments that mark them: they are written with the baseline."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.durations import Duration
from benchmarks.reference import Reference
from benchmarks.results import Figures
from mcu_sdk.errors import UsageError
from mcu_sdk.project.profile import Cost, by_kind, total


def figures_markdown(figures: Mapping[str, Figures], reference: Reference) -> str:
    """A row for each case."""
    lines = [
        "| case | | ideal | first | last | stock | stock / first | RAM | code |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, now in figures.items():
        stock = reference.stock.get(name, {}).get("instructions")
        against = f"{stock:,} | {stock / now.instructions_first:.1f}" if stock else " | "
        lines.append(
            f"| {name} | {CASES[name].title} | {_known(now.ideal_instructions)} | {now.instructions_first:,} | "
            f"{now.instructions_last:,} | {against} | {now.ram_bytes:,} | {now.code_bytes:,} |"
        )
    return "\n".join(lines)


def against_stock_markdown(figures: Mapping[str, Figures], reference: Reference) -> str:
    """The README's table: the cases that the stock runtime was measured with."""
    lines = ["| case | ours | stock | |", "|---|---:|---:|---:|"]
    for name, now in figures.items():
        stock = reference.stock.get(name, {}).get("instructions")
        if stock is not None:
            times = f"{stock / now.instructions_first:.1f} x"
            lines.append(f"| {CASES[name].title} | {now.instructions_first:,} | {stock:,} | {times} |")
    return "\n".join(lines)


def int4_markdown(figures: Mapping[str, Figures]) -> str:
    """What int4 weights change: a row for each pair of cases."""
    lines = [
        "| case | .pte, bytes | | code, bytes | | RAM, bytes | | instructions at position 7 | |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        "| | int8 | int4 | int8 | int4 | int8 | int4 | int8 | int4 |",
    ]
    for name, now in figures.items():
        before = figures.get(name.removesuffix("-int4"))
        if not name.endswith("-int4") or before is None:
            continue
        cells = [
            f"{getattr(one, figure):,}"
            for figure in ("pte_bytes", "code_bytes", "ram_bytes", "instructions_first")
            for one in (before, now)
        ]
        lines.append(f"| {CASES[name.removesuffix('-int4')].title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def size_markdown(figures: Mapping[str, Figures]) -> str:
    """Case B for speed and for size."""
    lines = ["| `--optimize` | code and constants, bytes | instructions at position 7 |", "|---|---:|---:|"]
    for name, option in (("B", "speed"), ("B-size", "size")):
        if name in figures:
            lines.append(
                f"| `{option}` | {figures[name].code_bytes:,} | {figures[name].instructions_first:,} |"
            )
    return "\n".join(lines)


def memory_markdown(figures: Mapping[str, Figures], reference: Reference) -> str:
    """RAM of the cases that have a bar for it."""
    lines = ["| case | RAM, bytes | bar |", "|---|---:|---:|"]
    for name, now in figures.items():
        bar = reference.goal.get(name, {}).get("ram_bytes")
        if bar is not None:
            lines.append(f"| {name} | {now.ram_bytes:,} | {bar:,} |")
    return "\n".join(lines)


def durations_markdown(durations: Sequence[Duration]) -> str:
    """Ratios of processor time; seconds would be those of one machine."""
    lines = ["| what | against | ratio | bar |", "|---|---|---:|---:|"]
    lines += [f"| {one.name} | {one.unit} | {one.ratio:.2f} | {one.bar:g} |" for one in durations]
    return "\n".join(lines)


def _known(value: int) -> str:
    return f"{value:,}" if value else ""


def profile_markdown(rows: Sequence[Cost]) -> str:
    """A row for each kind of call, the dearest first, and the sum."""
    everything = total(rows)
    lines = [
        "| operator | module | calls | instructions | share | ideal | / ideal |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in (*by_kind(rows), everything):
        share = f"{100 * row.instructions / max(1, everything.instructions):.1f} %"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        module = row.module.replace("*", "\\*")
        lines.append(
            f"| {row.operator} | {module} | {row.calls} | {row.instructions:,} | {share} | {row.ideal:,} | {ratio} |"
        )
    return "\n".join(lines)


def replace_block(path: Path, name: str, text: str) -> None:
    """Put `text` between `<!-- NAME -->` and `<!-- end of NAME -->`. Raises UsageError if they are not there, once."""
    page = path.read_text(encoding="utf-8")
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    if len(block.findall(page)) != 1:
        raise UsageError(
            f"{path.name} should have <!-- {name} --> and <!-- end of {name} --> once; it does not.",
            hint="Put them back: the tables between them are written by `make bench-baseline`.",
        )
    path.write_text(block.sub(lambda found: found[1] + text + "\n" + found[2], page), encoding="utf-8")
