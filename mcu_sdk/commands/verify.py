"""`mcu-sdk verify`: device, host and PyTorch compute the same, or the first step where they do not."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mcu_sdk.commands.options import (
    AudioOption,
    BoardOption,
    ChatOption,
    Given,
    ImageOption,
    InputOption,
    JsonOption,
    ProjectArgument,
    PromptsOption,
    SystemOption,
    check_chat,
    exclude,
    parse_files,
    with_options,
)
from mcu_sdk.commands.real_data import media, read_inputs, read_lines
from mcu_sdk.project.asked import Asked, Texts, Where, sampling_in, text_in, where_in, with_text_as_prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcu_sdk.api import Verified
    from mcu_sdk.project.junit import Case
    from mcu_sdk.project.report import Report
    from mcu_sdk.project.verdict import Verdict


@with_options(Asked, Texts, Where)
def verify_command(
    given: Given,
    project: ProjectArgument,
    prompts: PromptsOption = None,
    inputs: InputOption = None,
    image: ImageOption = None,
    audio: AudioOption = None,
    board: BoardOption = None,
    chat: ChatOption = False,
    system: SystemOption = None,
    python: Annotated[bool, typer.Option(help="Also compare with the .pte executed in PyTorch.")] = True,
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Also write the checks to this file, as JUnit's XML.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the same request on device and host, and the .pte in PyTorch; exit 7 if they differ."""
    from mcu_sdk import api
    from mcu_sdk.project.junit import check_writable, errors_in, write
    from mcu_sdk.project.opened import open_project
    from mcu_sdk.project.texts import check_takes_texts

    options = given.run
    prompt, ids, steps = options["prompt"], options["ids"], options["steps"]
    text = text_in(options)
    others = (
        ("--ids", ids),
        ("--steps", steps),
        ("--input", inputs),
        ("--text", text),
        ("--image", image),
        ("--audio", audio),
    )
    exclude(("--prompt", prompt is not None), ("--prompts", prompts), *others)
    check_chat(chat=chat, system=system, has_text=prompt is not None or prompts is not None, others=others)
    file = media(image, audio)
    check_writable(junit)
    opened = open_project(project, board)
    if text is not None and opened.answers_texts:
        options, text = with_text_as_prompt(options), None
    opened.check_effect(
        given.named,
        options["temperature"],
        given_inputs=bool(inputs) or file is not None,
        given_text=text is not None,
    )
    if text is not None:
        check_takes_texts(opened)
    lines = read_lines(prompts) if prompts is not None else []
    arrays = None
    if inputs or file is not None:
        arrays = read_inputs(opened, file or parse_files(inputs, "--input"))
    suite = f"mcu-sdk verify {opened.manifest.name} on {opened.board.name}"
    if chat and prompt is not None:
        lines = [prompt]
    with errors_in(junit, suite):
        if chat:
            sampling, where = sampling_in(options), where_in(options)
            found = api.verify_chat(opened, lines, system=system, with_python=python, **sampling, **where)
        elif lines:
            sampling, where = sampling_in(options), where_in(options)
            found = api.verify_prompts(opened, lines, with_python=python, **sampling, **where)
        elif arrays is not None:
            more = sampling_in(options) if opened.answers_tensors else {}
            found = [api.verify(opened, inputs=arrays, with_python=python, **more, **where_in(options))]
        else:
            found = [api.verify(opened, with_python=python, **options)]
    if junit is not None:
        write(junit, suite, _cases(lines, found))
    if lines:
        _show_prompts(lines, found, as_json)
    else:
        _show(found[0], as_json)
    for one in found:
        one.verdict.require()


def _cases(prompts: Sequence[str], found: Sequence[Verified]) -> list[Case]:
    """Each check as a test; of several prompts with the prompt's number and text in its name."""
    from mcu_sdk.project.junit import Case

    return [
        Case(
            f"{number} {prompts[number - 1]!r}: {check.name}" if prompts else check.name,
            "passed" if check.ok else "failed",
            check.detail,
        )
        for number, one in enumerate(found, start=1)
        for check in one.verdict.checks
    ]


def _show(found: Verified, as_json: bool) -> None:
    """The report and the checks."""
    from mcu_sdk.project.report import print_report

    if as_json:
        print(json.dumps(_json(found.verdict, found.report), indent=2))
    else:
        print_report(found.report)
        _print_checks(found.verdict)


def _show_prompts(prompts: Sequence[str], found: Sequence[Verified], as_json: bool) -> None:
    """The checks of each prompt, then the report on the last."""
    from mcu_sdk.project.report import print_report

    if as_json:
        told = [
            {"prompt": prompt, **_json(one.verdict, one.report)}
            for prompt, one in zip(prompts, found, strict=True)
        ]
        print(json.dumps({"ok": all(one.verdict.ok for one in found), "answers": told}, indent=2))
    else:
        for prompt, one in zip(prompts, found, strict=True):
            print(prompt)
            _print_checks(one.verdict)
            print()
        print_report(found[-1].report)


def _json(verdict: Verdict, report: Report) -> dict[str, Any]:
    from mcu_sdk.project.report import transcript_json

    return {
        "ok": verdict.ok,
        "checks": [asdict(check) for check in verdict.checks],
        "host": transcript_json(verdict.host),
        **report.to_json(),
    }


def _print_checks(verdict: Verdict) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for check in verdict.checks:
        mark = Text("✓", style="green") if check.ok else Text("✗", style="bold red")
        table.add_row(mark, Text(check.name), Text(check.detail))
    console = Console(highlight=False)
    console.print()
    console.print(table)
