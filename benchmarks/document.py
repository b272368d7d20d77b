"""The tables of docs/performance.md, between comments that mark them: they are written with the baseline."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.cases import CASES
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
            f"| {name} | {CASES[name].title} | {now.ideal_instructions:,} | {now.instructions_first:,} | "
            f"{now.instructions_last:,} | {against} | {now.ram_bytes:,} | {now.code_bytes:,} |"
        )
    return "\n".join(lines)


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
