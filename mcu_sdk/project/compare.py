"""Several projects side by side: memory, instructions, the bound of a board, accuracy; for terminal, JSON and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def to_tables(compared: Sequence[Compared], width: int) -> list[Table]:
    """What rich prints: tables one below the other, each of as many projects as `width` holds without breaking a word."""
    rows = rows_of(compared)
    labels = [label for label, _ in rows]
    columns = [[one.title, *(values[n] for _, values in rows)] for n, one in enumerate(compared)]
    groups: list[list[list[str]]] = []
    left = 0
    for column in columns:
        needs = _GAP + _longest_word(column)
        if not groups or needs > left:
            groups.append([])
            left = width - max(map(len, labels))
        groups[-1].append(column)
        left -= needs
    return [_table(labels, group, width) for group in groups]


_GAP = 2
"""Characters between two columns."""


def _longest_word(texts: Iterable[str]) -> int:
    return max((len(word) for text in texts for word in text.split()), default=0)


def _table(labels: Sequence[str], columns: Sequence[Sequence[str]], width: int) -> Table:
    """`columns`: a title and a value for each label. Each has the width of its longest word, and what is left of `width`
    as far as it is of use."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    shown.add_column("", no_wrap=True)
    left = width - max(map(len, labels)) - sum(_GAP + _longest_word(column) for column in columns)
    for column in columns:
        least = _longest_word(column)
        more = min(max(left, 0), max(map(len, column)) - least)
        left -= more
        shown.add_column(Text(column[0]), justify="right", overflow="fold", width=least + more)
    for number, label in enumerate(labels, start=1):
        shown.add_row(Text(label), *(Text(column[number]) for column in columns))
    return shown
