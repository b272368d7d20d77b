"""Several projects side by side: memory, instructions, the bound of a board, accuracy; for terminal, JSON and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcu_sdk.markdown import table

if TYPE_CHECKING:
    from rich.table import Table

    from mcu_sdk.project.report import Report


@dataclass(frozen=True)
class Compared:
    """One project. `title`: what its column is called; `report`: None where there is no project, for `note`."""

    title: str
    report: Report | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is unknown is null."""
        return {
            "title": self.title,
            "note": self.note or None,
            "report": self.report.to_json() if self.report is not None else None,
        }


_UNKNOWN = "-"


def rows_of(compared: Sequence[Compared]) -> list[tuple[str, list[str]]]:
    """Label and the value of each project; only the rows in which something is known."""
    regions = dict.fromkeys(
        region.name
        for one in compared
        if one.report is not None
        for region in one.report.regions
        if region.used
    )
    rows = [
        ("board", [one.report.board if one.report else _UNKNOWN for one in compared]),
        *(_sizes(label, name, compared) for label, name in _SIZES),
        *((f"  in {name}", [_used(one.report, name) for one in compared]) for name in regions),
        ("instructions of the last step", [_instructions(one.report) for one in compared]),
        ("at most in a second (a bound)", [_bound(one.report) for one in compared]),
        ("error of the outputs (RMS)", [_error(one.report) for one in compared]),
        ("choices like the original's", [_choices(one.report) for one in compared]),
        ("note", [one.note or _UNKNOWN for one in compared]),
    ]
    return [(label, values) for label, values in rows if any(value != _UNKNOWN for value in values)]


_SIZES = (
    ("flash or image", "flash"),
    ("  weights (.pte)", "weights"),
    ("  code and tables", "code"),
    ("RAM", "ram"),
    ("  arena", "arena"),
    ("  KV cache", "kv_cache"),
)


def _sizes(label: str, name: str, compared: Sequence[Compared]) -> tuple[str, list[str]]:
    found = [getattr(one.report, name) if one.report is not None else None for one in compared]
    return label, [f"{size:,}" if size is not None else _UNKNOWN for size in found]


def _used(report: Report | None, name: str) -> str:
    used = {region.name: region for region in report.regions} if report is not None else {}
    return f"{used[name].used:,} of {used[name].size:,}" if name in used else _UNKNOWN


def _instructions(report: Report | None) -> str:
    count = report.run.number("instructions_last") if report is not None and report.run is not None else None
    return f"{count:,}" if count is not None else _UNKNOWN


def _bound(report: Report | None) -> str:
    if report is None or report.bound is None:
        return _UNKNOWN
    return f"{report.bound.per_second:,.4g} {report.bound.unit}s, by {report.bound.limit}"


def _error(report: Report | None) -> str:
    known = report is not None and report.accuracy is not None
    return f"{report.accuracy.relative_rms_error:.3g}" if known else _UNKNOWN  # type: ignore[union-attr]


def _choices(report: Report | None) -> str:
    share = report.accuracy.top1_agreement if report is not None and report.accuracy is not None else None
    return f"{100 * share:.4g} %" if share is not None else _UNKNOWN


def to_markdown(compared: Sequence[Compared]) -> str:
    """A table with a column for each project."""
    rows = [(label, *values) for label, values in rows_of(compared)]
    return "\n".join(table(["", *(one.title for one in compared)], "l" + "r" * len(compared), rows)) + "\n"


def to_table(compared: Sequence[Compared]) -> Table:
    """What rich prints."""
    from rich.table import Table
    from rich.text import Text

    columns = Table(box=None, pad_edge=False)
    columns.add_column("")
    for one in compared:
        columns.add_column(Text(one.title), justify="right", overflow="fold")
    for label, values in rows_of(compared):
        columns.add_row(Text(label), *map(Text, values))
    return columns
