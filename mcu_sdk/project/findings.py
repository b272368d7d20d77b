"""What a test of a project's firmware found: one row for each check, as a table, JSON, JUnit's cases or Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mcu_sdk.errors import FailedTestsError
from mcu_sdk.markdown import table
from mcu_sdk.project.junit import Case

Status = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Row:
    """One check. `found`, `limit`: numbers that are compared; `before`: that of another baseline, only to be shown."""

    name: str
    status: Status
    detail: str = ""
    found: int | None = None
    baseline: int | None = None
    before: int | None = None

    @property
    def text(self) -> str:
        """What was found, in words."""
        if self.found is None:
            return self.detail
        text = f"{self.found:,}"
        if self.baseline is not None:
            text += f" (baseline {self.baseline:,}, {change(self.baseline, self.found)})"
        return f"{text} {self.detail}".rstrip()


def change(before: int, now: int) -> str:
    """ "+128, +0.4 %", "no change"."""
    if now == before:
        return "no change"
    share = f", {100 * (now - before) / before:+.1f} %" if before else ""
    return f"{now - before:+,}{share}"


@dataclass(frozen=True)
class Findings:
    """The rows of one test on `target`."""

    name: str
    board: str
    target: str
    model: str
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        return all(row.status != "failed" for row in self.rows)

    def require(self) -> None:
        """Raises FailedTestsError that names what failed."""
        failed = [row for row in self.rows if row.status == "failed"]
        if failed:
            told = "; ".join(f"{row.name}: {row.text}" for row in failed[:3])
            more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
            raise FailedTestsError(
                f"{len(failed)} of {len(self.rows)} tests failed: {told}{more}.",
                hint="If it is meant to be so, `mcu-sdk test PROJECT --update` makes it the baseline; else `mcu-sdk "
                "verify PROJECT` looks for the first step that differs.",
            )

    def to_json(self) -> dict[str, Any]:
        rows = [
            {"name": row.name, "status": row.status, "detail": row.text, "found": row.found,
             "baseline": row.baseline, "before": row.before}
            for row in self.rows
        ]  # fmt: skip
        head = {"ok": self.ok, "name": self.name, "board": self.board, "target": self.target}
        return {**head, "model": self.model, "tests": rows}

    def to_junit(self) -> list[Case]:
        outcomes: dict[Status, Literal["passed", "failed", "skipped"]] = {
            "ok": "passed",
            "failed": "failed",
            "skipped": "skipped",
        }
        return [Case(row.name, outcomes[row.status], row.text) for row in self.rows]

    def to_markdown(self) -> str:
        """A heading and a table; with a column for each baseline that there is."""
        has_before = any(row.before is not None for row in self.rows)
        marks = {"ok": "✅", "failed": "❌", "skipped": "–"}
        head = ["", "test", "found", "baseline"] + (["before", "change"] if has_before else [])
        rows = []
        for row in self.rows:
            found = row.detail if row.found is None else f"{row.found:,}"
            rows.append([marks[row.status], row.name, found, _number(row.baseline)])
            if has_before:
                known = row.before is not None and row.found is not None
                delta = change(row.before or 0, row.found or 0) if known else ""
                rows[-1] += [_number(row.before), delta]
        lines = [
            f"### {self.name} on {self.board} ({self.target})",
            "",
            *table(head, "llrrrr"[: len(head)], rows),
        ]
        return "\n".join(lines) + "\n"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
