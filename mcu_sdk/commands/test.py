"""`mcu-sdk test`: known answers, and flash, RAM and instructions against a baseline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcu_sdk.commands.options import (
    BoardOption,
    Given,
    JsonOption,
    ProjectArgument,
    exclude,
    with_options,
)
from mcu_sdk.errors import UsageError
from mcu_sdk.project.asked import TOKENS, Asked, Start, Texts, Where, asked_in, text_in, where_in

if TYPE_CHECKING:
    from mcu_sdk.project.findings import Findings
    from mcu_sdk.project.opened import Project
    from mcu_sdk.targets.protocol import Request
    from mcu_sdk.targets.texts import TextRequest


@with_options(Asked, Texts, Where, defaults={"tokens": TOKENS})
def test_command(
    given: Given,
    project: ProjectArgument,
    update: Annotated[
        bool,
        typer.Option("--update", help="Write tests/answers.json and tests/baseline.json from what is found."),
    ] = False,
    board: BoardOption = None,
    before: Annotated[
        Path | None,
        typer.Option("--before", help="Another baseline.json, such as the main branch's, to show beside."),
    ] = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Also test each kernel, by a firmware that does so at boot.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Also write the result to this file, as JUnit's XML.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a project's known questions on its target and compare answers, memory and instructions with what is
    committed in its tests/; exit 7 where something differs. With --update a prompt, ids, steps or a text are a new question."""
    from mcu_sdk.project import testing
    from mcu_sdk.project.effect import FLAGS, SAMPLING
    from mcu_sdk.project.junit import check_writable, errors_in, write
    from mcu_sdk.project.opened import open_project

    exclude(("--json", as_json), ("--markdown", markdown))
    options, named = given.run, given.named
    asked = any(options.get(name) is not None for name in (*Start.__annotations__, *Texts.__annotations__))
    if asked and not update:
        raise UsageError(
            "--prompt, --ids, --steps and --text make a new known answer.",
            hint="Add --update, or leave them out.",
        )
    if not asked and named & set(SAMPLING):
        raise UsageError(
            f"{', '.join(FLAGS[:-1])} and {FLAGS[-1]} belong to a new known answer.",
            hint="Add --update with --prompt, --ids or --steps, or leave them out.",
        )
    if update and (junit is not None or before is not None or markdown or self_test):
        raise UsageError(
            "--update tests nothing.", hint="Leave --self-test, --junit, --before and --markdown out."
        )
    check_writable(junit)
    opened = open_project(project, board)
    if update:
        _update(opened, given, asked=asked, as_json=as_json)
        return
    suite = f"mcu-sdk test {opened.manifest.name} on {opened.board.name}"
    with errors_in(junit, suite):
        tested = testing.run_tests(opened, before=before, self_test=self_test, **where_in(options))
    if junit is not None:
        write(junit, suite, tested.to_junit())
    if as_json:
        print(json.dumps(tested.to_json(), indent=2))
    elif markdown:
        print(tested.to_markdown(), end="")
    else:
        _print(tested)
    tested.require()


def _update(opened: Project, given: Given, *, asked: bool, as_json: bool) -> None:
    """Write answers and baseline, with a new question if one was `asked`, and print where they are."""
    from mcu_sdk.project import testing

    options, text = given.run, text_in(given.run)
    more: list[Request | TextRequest] = []
    if text is not None:
        exclude(("--text", text), *((f"--{name}", options.get(name)) for name in Start.__annotations__))
        opened.check_effect(given.named, options["temperature"], given_text=True)
        more = [_sent(opened, text)]
    elif asked:
        opened.check_effect(given.named, options["temperature"])
        question = asked_in(options)
        if not opened.is_language_model:
            question = {"steps": options["steps"], "seed": options["seed"]}
        more = [opened.request(**question)]
    paths = [str(path) for path in testing.update(opened, more, **where_in(options))]
    print(json.dumps({"written": paths}, indent=2) if as_json else "\n".join(paths))


def _sent(opened: Project, text: TextRequest) -> TextRequest:
    """The text as it goes to a firmware. Raises UsageError for a project that reads none, TextError."""
    from mcu_sdk.origin import text_encoder_of
    from mcu_sdk.project.texts import Reader

    return Reader.of(opened, text_encoder_of(opened)).ask(text, for_answer=False).sent


def _print(tested: Findings) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    marks = {
        "ok": Text("✓", style="green"),
        "failed": Text("✗", style="bold red"),
        "skipped": Text("-", style="dim"),
    }
    table = Table.grid(padding=(0, 2))
    for row in tested.rows:
        table.add_row(marks[row.status], Text(row.name), Text(row.text))
    console = Console(highlight=False)
    console.print(Text(f"{tested.name} on {tested.board} ({tested.target})", style="bold"))
    console.print(table)
