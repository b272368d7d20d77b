"""Testing a project's firmware on its target: known answers, and what it takes against a baseline (docs/testing.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from mcu_sdk.console import step
from mcu_sdk.errors import OutputDiffersError
from mcu_sdk.project import committed
from mcu_sdk.project.asked import TOKENS, Where
from mcu_sdk.project.build import BuildResult, build
from mcu_sdk.project.committed import Answer, Baseline, Question, tokens_of
from mcu_sdk.project.findings import Findings, Row
from mcu_sdk.project.kernel_tests import kernel_rows
from mcu_sdk.project.opened import Project
from mcu_sdk.project.runners import BuiltDevice, built_device, simulator_device
from mcu_sdk.project.self_test import check_firmware
from mcu_sdk.targets.process import DEFAULT_TIMEOUT
from mcu_sdk.targets.protocol import Request, Transcript
from mcu_sdk.targets.runner import HOST
from mcu_sdk.targets.texts import TextRequest

# ---- testing


def run_tests(
    project: Project, *, before: Path | None = None, self_test: bool = False, **where: Unpack[Where]
) -> Findings:
    """Build the firmware, ask the known questions on its target, and hold answers and figures against what is committed.

    `before`: another baseline, to be shown beside. `self_test`: first every kernel, by a second firmware that tests them
    at boot; a board at a port runs that one, and is asked the questions too. Raises UsageError where there are no known
    answers or no baseline, or another model's or board's, before anything is built, and what building and running raise.
    What fails is told by the result.
    """
    answers, baseline = committed.read_answers(project), committed.read_baseline(project)
    other = committed.parse_baseline(before).measures if before is not None else {}
    if self_test:
        check_firmware(project.folder)
    plain = built_device(project, **where)
    running, rows, asked = plain, [], answers
    if self_test:
        tested = built_device(project, self_test=True, **where)
        with step(f"Testing the kernels on {tested.target}"):
            rows = kernel_rows(project, tested.device)
        if tested.device.stays:  # there is one image on a board
            running = tested
            asked = [] if any(row.status == "failed" for row in rows) else answers
    transcripts = _ask(running, [answer.request for answer in asked])
    rows += [
        _compare(number, answer, transcript)
        for number, (answer, transcript) in enumerate(zip(asked, transcripts, strict=True), 1)
    ]
    rows += [_not_asked(number, answer) for number, answer in enumerate(answers[len(asked) :], 1)]
    measures = measures_of(project, plain.built, transcripts)
    if running is not plain:
        measures.pop("stack_used_bytes", None)  # the baseline's is another image's
    rows += _gates(baseline, measures, other)
    name, model = project.manifest.name, project.manifest.model.sha256
    return Findings(name, project.board.name, plain.target, model, tuple(rows))


def update(project: Project, more: Sequence[Question] = (), **where: Unpack[Where]) -> tuple[Path, Path]:
    """Write known answers and baseline, and return their paths; the requests that are there stay, and `more` come to them.

    The answers are this computer's, which `verify` holds against PyTorch; the target's have to be the same. Raises
    OutputDiffersError, and changes nothing, if they are not.
    """
    requests: list[Question] = list(
        dict.fromkeys([*committed.requests_in(project), *more])
    ) or default_requests(project)
    tolerance = committed.kept_tolerance(project)
    running = built_device(project, **where)
    transcripts = _ask(running, requests)
    reference = build(project.folder, project.host_preset)
    timeout = where.get("timeout", DEFAULT_TIMEOUT)
    with step("Running on the host"):
        host = simulator_device(HOST, project, reference.program, timeout=timeout)
        answers = [Answer.of(request, host(request)) for request in requests]
    rows = [
        _compare(number, answer, transcript)
        for number, (answer, transcript) in enumerate(zip(answers, transcripts, strict=True), 1)
    ]
    wrong = next((row for row in rows if row.status == "failed"), None)
    if wrong is not None:
        raise OutputDiffersError(
            f"{running.target} does not answer as this computer does, so there are no answers to be known: {wrong.name}, "
            f"{wrong.detail}.",
            hint="`mcu-sdk verify PROJECT` looks for the first step that differs.",
        )
    measures = measures_of(project, running.built, transcripts)
    return (
        committed.write_answers(project, answers),
        committed.write_baseline(project, measures, tolerance),
    )


def default_requests(project: Project) -> list[Question]:
    """What is asked where nobody said what: a greedy text and one by chance, or made-up inputs."""
    if not project.is_language_model:
        return [project.request(seed=1)]
    tokens = max(min(TOKENS, project.manifest.model.max_sequence_length), project.shortest_answer)
    greedy = project.request(tokens=tokens)
    return [greedy, replace(greedy, temperature=0.8, top_k=40, seed=1)]


def _ask(running: BuiltDevice, requests: Sequence[Question]) -> list[Transcript]:
    if not requests:
        return []
    with step(f"Running on {running.target}"):
        return [running.device(request) for request in requests]


def _not_asked(number: int, answer: Answer) -> Row:
    why = "not asked: a firmware that found a broken kernel answers nothing"
    return Row(f"answer {number}: {describe(answer.request)}", "skipped", why)


def _compare(number: int, answer: Answer, transcript: Transcript) -> Row:
    name = f"answer {number}: {describe(answer.request)}"
    for what, known, found in (
        ("tokens", answer.ids, tokens_of(answer.request, transcript)),
        ("digest", answer.digest, transcript.digest),
        ("text", answer.text, transcript.text),
    ):
        if known != found:
            return Row(name, "failed", f"{what} {_short(found)}, known {_short(known)}")
    return Row(name, "ok", f"digest {answer.digest}")


def describe(request: Question) -> str:
    """A request in a few words."""
    if isinstance(request, TextRequest):
        beside = f" and {_short(request.pair)}" if request.pair is not None else ""
        return f"text {_short(request.text)}{beside}, read"
    if request.steps is not None:
        return f"{request.steps} steps, seed {request.seed}"
    prompt = f"text {_short(request.text)}" if request.text is not None else f"ids {_short(request.ids)}"
    chance = f", temperature {request.temperature:g}, seed {request.seed}" if request.temperature else ""
    return f"{prompt}, {request.tokens} tokens{chance}{_more(request)}"


def _more(request: Request) -> str:
    """What else is asked for, in the order of the options."""
    told = [
        (name, getattr(request, name), getattr(Request, name))
        for name in ("top_p", "min_p", "repetition_penalty")
    ]
    words = [f", {name.replace('_', ' ')} {value:g}" for name, value, default in told if value != default]
    words += [f", {len(request.biases)} logit biases"] if request.biases else []
    words += [f", {len(request.stop)} stop texts"] if request.stop else []
    return "".join(words)


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
