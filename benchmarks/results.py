"""Figures on disk: what this run found, and what an earlier one did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from mcu_sdk.errors import UsageError

FOLDER = Path(__file__).resolve().parent
BASELINE = FOLDER / "baseline.json"
LATEST = FOLDER / "latest.json"
REFERENCE = FOLDER / "reference.json"

TOLERANCES = {"instructions_first": 0.005, "instructions_last": 0.005, "ram_bytes": 0.005, "code_bytes": 0.01}
"""How much worse than the baseline a figure may be; smaller is better in all of them. The counts repeat to the digit; a
change of the source that is none of the speed's business may still move a few instructions."""


@dataclass(frozen=True)
class Figures:
    """One case. Instructions of one step at the case's two positions; bytes of RAM with the reserved stack, and of
    code and tables without the .pte; the instructions that the case's products need at the least, 0 where that is not
    known; bytes of the .pte."""

    instructions_first: int
    instructions_last: int
    ram_bytes: int
    code_bytes: int
    ideal_instructions: int
    pte_bytes: int = 0


@dataclass(frozen=True)
class Worse:
    """A figure that got worse by more than its tolerance."""

    case: str
    figure: str
    before: int
    now: int

    def __str__(self) -> str:
        change = 100 * (self.now / self.before - 1) if self.before else float("inf")
        return f"{self.case}: {self.figure} went from {self.before:,} to {self.now:,} (+{change:.1f} %)"


def compare(baseline: Mapping[str, Figures], latest: Mapping[str, Figures]) -> list[Worse]:
    """The figures of `latest` that are worse than the baseline's by more than TOLERANCES; new cases have none."""
    return [
        Worse(case, figure, before, now)
        for case, figures in latest.items()
        if case in baseline
        for figure, tolerance in TOLERANCES.items()
        for before, now in [(getattr(baseline[case], figure), getattr(figures, figure))]
        if now - before > before * tolerance
    ]


def read(path: Path) -> dict[str, Figures]:
    """The figures in a file; none if it does not exist. Raises UsageError for a file that holds something else."""
    if not path.exists():
        return {}
    names = {field.name for field in fields(Figures)}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            case: Figures(**{name: int(value) for name, value in row.items() if name in names})
            for case, row in content.items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path.name} should hold the figures of each case; it does not: {error}.",
            hint="Write it again: make bench-baseline.",
        ) from error


def write(path: Path, figures: Mapping[str, Figures]) -> None:
    """Put `figures`, and nothing else, into the file."""
    rows = {case: asdict(figures[case]) for case in sorted(figures)}
    path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
