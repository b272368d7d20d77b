"""What the functions of this API return, and the report in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcu_sdk.project.asked import Where
from mcu_sdk.project.build import BuildResult
from mcu_sdk.project.opened import Project
from mcu_sdk.project.prompts import Answer
from mcu_sdk.project.report import Report, make_report
from mcu_sdk.project.runners import choose_simulator
from mcu_sdk.project.texts import TextAnswer
from mcu_sdk.targets.protocol import Transcript

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.project.verdict import Verdict


@dataclass(frozen=True)
class Built:
    """A build and what it takes of the board's memories."""

    result: BuildResult
    report: Report


@dataclass(frozen=True)
class Ran:
    """What the firmware said (`transcript.text`, `.ids`, `.digest`), and the report on it. `outputs`: by name, of a model
    that was given inputs or a text, which `answer` is about."""

    transcript: Transcript
    report: Report
    outputs: dict[str, NDArray[Any]] = field(default_factory=dict)
    answer: TextAnswer | None = None


@dataclass(frozen=True)
class Answered:
    """The answer to each prompt (`.prompt`, `.transcript`, `.error` where it was refused), and the report on the last."""

    answers: tuple[Answer, ...]
    report: Report


@dataclass(frozen=True)
class Read:
    """The answer to each text (`.labels`, `.outputs`, `.dropped` tokens, `.transcript`), and the report on the last."""

    answers: tuple[TextAnswer, ...]
    report: Report


@dataclass(frozen=True)
class Verified:
    """What was compared (`verdict.ok`, `.checks`), and the report on the device's run."""

    verdict: Verdict
    report: Report


def verified_of(project: Project, verdict: Verdict, where: Where) -> Verified:
    """What `verify` returns, of a run at `where`."""
    port = where.get("port")
    target = port if port is not None else choose_simulator(project, where.get("simulator"))
    agreement = "ok" if verdict.ok else "DIFFERS"
    return Verified(verdict, report_of(project, verdict.built, verdict.device, target, agreement))


def report_of(
    project: Project,
    built: BuildResult | None,
    run: Transcript | None = None,
    target: str | None = None,
    agreement: str | None = None,
) -> Report:
    """What is known of a project, and what a build and a run on `target` said."""
    return make_report(
        project.manifest.name,
        project.board,
        built,
        run,
        target=target,
        npu=project.npu_on(target) if target is not None else None,
        npu_details=project.npu_details(),
        accuracy=project.accuracy(),
        bound=project.bound(),
        experts=project.experts(),
        decode=project.decode(),
        when_full=project.manifest.model.when_full,
        agreement=agreement,
    )
