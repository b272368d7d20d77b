"""Testing a project's firmware on its target: known answers, and what it takes against a baseline (docs/testing.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mcu_sdk.console import step
from mcu_sdk.errors import FailedTestsError, OutputDiffersError
from mcu_sdk.project import committed
from mcu_sdk.project.build import BuildResult, build
from mcu_sdk.project.committed import Answer, Baseline
from mcu_sdk.project.junit import Case
from mcu_sdk.project.opened import Project
from mcu_sdk.project.runners import choose_simulator, device_runner, run_on
from mcu_sdk.targets.process import DEFAULT_TIMEOUT
from mcu_sdk.targets.protocol import Request, Transcript

Status = Literal["ok", "failed", "skipped"]

TOKENS = 24
"""Of the answers that `update` asks for by itself."""


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
        lines = [f"### {self.name} on {self.board} ({self.target})", ""]
        lines += [
            "| " + " | ".join(head) + " |",
            "|---|---|---:|---:|" + ("---:|---:|" if has_before else ""),
        ]
        for row in self.rows:
            found = _cell(row.detail) if row.found is None else f"{row.found:,}"
            cells = [marks[row.status], _cell(row.name), found, _number(row.baseline)]
            if has_before:
                known = row.before is not None and row.found is not None
                delta = change(row.before or 0, row.found or 0) if known else ""
                cells += [_number(row.before), delta]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


# ---- testing


def run_tests(
    project: Project,
    *,
    simulator: str | None = None,
    port: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    before: Path | None = None,
) -> Findings:
    """Build the firmware, ask the known questions on its target, and hold answers and figures against what is committed.

    `before`: another baseline, to be shown beside. Raises UsageError where there are no known answers or no baseline,
    or another model's or board's, before anything is built, and what building and running raise. What fails is told by
    the result.
    """
    target = port or choose_simulator(project, simulator)
    answers, baseline = committed.read_answers(project), committed.read_baseline(project)
    other = committed.parse_baseline(before).measures if before is not None else {}
    built, transcripts = _ask(
        project, [answer.request for answer in answers], target, simulator, port, timeout
    )
    rows = [
        _compare(number, answer, transcript)
        for number, (answer, transcript) in enumerate(zip(answers, transcripts, strict=True), 1)
    ]
    rows += _gates(baseline, measures_of(project, built, transcripts), other)
    name, model = project.manifest.name, project.manifest.model.sha256
    return Findings(name, project.board.name, target, model, tuple(rows))


def update(
    project: Project,
    more: Sequence[Request] = (),
    *,
    simulator: str | None = None,
    port: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> tuple[Path, Path]:
    """Write known answers and baseline, and return their paths; the requests that are there stay, and `more` come to them.

    The answers are this computer's, which `verify` holds against PyTorch; the target's have to be the same. Raises
    OutputDiffersError, and changes nothing, if they are not.
    """
    target = port or choose_simulator(project, simulator)
    requests = list(dict.fromkeys([*committed.requests_in(project), *more])) or default_requests(project)
    tolerance = committed.kept_tolerance(project)
    built, transcripts = _ask(project, requests, target, simulator, port, timeout)
    reference = build(project.folder, project.host_preset)
    with step("Running on the host"):
        answers = [
            Answer.of(request, run_on("host", project, reference.program, request, timeout=timeout))
            for request in requests
        ]
    rows = [
        _compare(number, answer, transcript)
        for number, (answer, transcript) in enumerate(zip(answers, transcripts, strict=True), 1)
    ]
    wrong = next((row for row in rows if row.status == "failed"), None)
    if wrong is not None:
        raise OutputDiffersError(
            f"{target} does not answer as this computer does, so there are no answers to be known: {wrong.name}, "
            f"{wrong.detail}.",
            hint="`mcu-sdk verify PROJECT` looks for the first step that differs.",
        )
    measures = measures_of(project, built, transcripts)
    return (
        committed.write_answers(project, answers),
        committed.write_baseline(project, measures, tolerance),
    )


def default_requests(project: Project) -> list[Request]:
    """What is asked where nobody said what: a greedy text and one by chance, or made-up inputs."""
    if not project.is_language_model:
        return [project.request(seed=1)]
    greedy = project.request(tokens=min(TOKENS, project.manifest.model.max_sequence_length))
    return [greedy, replace(greedy, temperature=0.8, top_k=40, seed=1)]


def _ask(
    project: Project,
    requests: Sequence[Request],
    target: str,
    simulator: str | None,
    port: str | None,
    timeout: float,
) -> tuple[BuildResult, list[Transcript]]:
    built = build(project.folder, project.preset_for(target))
    run = device_runner(project, built.program, simulator=simulator, port=port, timeout=timeout)
    with step(f"Running on {target}"):
        return built, [run(request) for request in requests]


def _compare(number: int, answer: Answer, transcript: Transcript) -> Row:
    name = f"answer {number}: {describe(answer.request)}"
    for what, known, found in (
        ("tokens", answer.ids, transcript.ids),
        ("digest", answer.digest, transcript.digest),
        ("text", answer.text, transcript.text),
    ):
        if known != found:
            return Row(name, "failed", f"{what} {_short(found)}, known {_short(known)}")
    return Row(name, "ok", f"digest {answer.digest}")


def describe(request: Request) -> str:
    """A request in a few words."""
    if request.steps is not None:
        return f"{request.steps} steps, seed {request.seed}"
    prompt = f"text {_short(request.text)}" if request.text is not None else f"ids {_short(request.ids)}"
    chance = f", temperature {request.temperature:g}, seed {request.seed}" if request.temperature else ""
    return f"{prompt}, {request.tokens} tokens{chance}"


def _short(value: object, limit: int = 40) -> str:
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    text = ascii(text)[1:-1]
    return text if len(text) <= limit else text[: limit - 3] + "..."


def measures_of(project: Project, built: BuildResult, transcripts: Sequence[Transcript]) -> dict[str, int]:
    """What the firmware takes, by name. Bytes, and instructions where the target counts them; what cannot be known on
    this target is not in it."""
    found: dict[str, int | None] = {}
    if built.sizes is not None:
        found |= {"flash_bytes": built.sizes.flash, "ram_bytes": built.sizes.ram}
        used = built.sizes.by_region(project.board)
        found |= {f"region_{name}_bytes": used[name] for name in used if used[name]}
        if built.stack is not None:
            found["stack_bound_bytes"] = built.stack.bytes
    for key in ("arena", "kv_cache", "stack_used"):
        found[f"{key}_bytes"] = _largest(transcripts, key)
    for number, transcript in enumerate(transcripts, 1):
        for which in ("first", "last", "total"):
            key = f"instructions_{which}"
            found[f"answer_{number}_{key}"] = transcript.number(key)
    return {name: value for name, value in found.items() if value is not None}


def _largest(transcripts: Sequence[Transcript], key: str) -> int | None:
    """The high-water mark of all runs."""
    return max((value for t in transcripts if (value := t.number(key)) is not None), default=None)


def _gates(baseline: Baseline, found: Mapping[str, int], before: Mapping[str, int]) -> Iterator[Row]:
    """A row for each figure of either."""
    for name in dict.fromkeys([*found, *baseline.measures]):
        now, limit = found.get(name), baseline.measures.get(name)
        label, earlier = name.replace("_", " "), before.get(name)
        if now is None:
            yield Row(label, "skipped", "cannot be measured on this target", None, limit, earlier)
        elif limit is None:
            yield Row(label, "skipped", "not in the baseline", now, None, earlier)
        else:
            allowed = limit * (1 + baseline.tolerance_percent / 100)
            over = now > allowed
            why = f"more than {baseline.tolerance_percent:g} % above" if over else ""
            yield Row(label, "failed" if over else "ok", why, now, limit, earlier)
