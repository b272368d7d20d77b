"""`mcu-sdk run`: a prompt in, the firmware's text out, or a text, an image or a sound in and what a model says of it; then the
report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from mcu_sdk.commands.real_data import (
    can_converse,
    media,
    read_inputs,
    run_chat,
    run_prompts,
    run_tensors,
    say,
)
from mcu_sdk.commands.text_data import run_table, run_text
from mcu_sdk.console import step
from mcu_sdk.errors import UsageError
from mcu_sdk.project.asked import (
    Asked,
    Texts,
    Where,
    asked_in,
    sampling_in,
    text_in,
    where_in,
    with_text_as_prompt,
)

if TYPE_CHECKING:
    from mcu_sdk.commands.real_data import Files
    from mcu_sdk.project.asked import Sampling
    from mcu_sdk.project.opened import Project
    from mcu_sdk.project.report import Report
    from mcu_sdk.targets.protocol import Request


@with_options(Asked, Texts, Where)
def run_command(
    given: Given,
    project: ProjectArgument,
    prompts: PromptsOption = None,
    inputs: InputOption = None,
    image: ImageOption = None,
    audio: AudioOption = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            help="Where to write what --input, --text, --image or --audio gives: FILE.npy, or NAME=FILE.npy for each output.",
            show_default=False,
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            help="Texts for an encoder (columns text, text_pair), or rows of numbers for a model of tensors; a label "
            "and score for each row.",
        ),
    ] = None,
    board: BoardOption = None,
    chat: ChatOption = False,
    system: SystemOption = None,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Count the instructions of each operator in the last step instead."),
    ] = False,
    etdump: Annotated[
        Path | None,
        typer.Option(
            "--etdump",
            help="With --profile: also write it as an ETDump, for ExecuTorch's Inspector.",
            show_default=False,
        ),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the report as Markdown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build a project if need be, run it on a simulator or a board, and report what it used."""
    from mcu_sdk.project.opened import open_project

    exclude(("--json", as_json), ("--markdown", markdown))
    options, asked, where = given.run, asked_in(given.run), where_in(given.run)
    prompt, ids, steps = options["prompt"], options["ids"], options["steps"]
    starts = (("--prompt", prompt is not None), ("--ids", ids), ("--prompts", prompts), ("--steps", steps))
    text = text_in(options)
    own = (("--input", inputs), ("--text", text), ("--csv", table), ("--image", image), ("--audio", audio))
    exclude(*starts, *own)
    file = media(image, audio)
    if outputs and not inputs and text is None and file is None:
        raise UsageError(
            "--output writes what --input, --text, --image or --audio gives.", hint="Name one, too."
        )
    exclude(("--profile", profile), ("--prompts", prompts), *own)
    if etdump is not None and not profile:
        raise UsageError("--etdump is what --profile counts, in a file.", hint="Add --profile.")
    exclude(("--markdown", markdown), ("--prompts", prompts), ("--csv", table))
    others = (("--ids", ids), ("--steps", steps), ("--profile", profile), ("--markdown", markdown), *own)
    check_chat(chat=chat, system=system, others=others)
    opened = open_project(project, board)
    if text is not None and opened.answers_texts:
        options, text = with_text_as_prompt(options), None
        prompt, asked = options["prompt"], asked_in(options)
        if outputs:
            raise UsageError("--output is for tensors; this model answers with a text.", hint="Leave it out.")
    starts = (("--prompt", prompt is not None), *starts[1:])
    opened.check_effect(
        given.named,
        options["temperature"],
        given_inputs=bool(inputs) or table is not None or file is not None,
        given_text=text is not None,
    )
    if table is not None:
        run_table(opened, table, where, as_json=as_json)
        return
    if text is not None:
        run_text(opened, text, parse_files(outputs, "--output"), where, as_json=as_json, markdown=markdown)
        return
    if (inputs or file is not None) and opened.answers_tensors:
        if outputs or profile:
            raise UsageError("--output is for tensors; this model answers with a text.", hint="Leave it out.")
        given_files = file or parse_files(inputs, "--input")
        shown = as_json, markdown
        _show(_run_heard(opened, given_files, sampling_in(options), where, shows_text=not as_json), *shown)
        return
    if inputs or file is not None:
        given_files = file or parse_files(inputs, "--input")
        files = parse_files(outputs, "--output")
        run_tensors(opened, given_files, files, where, as_json=as_json, markdown=markdown)
        return
    if chat:
        texts = [prompt] if prompt is not None else None
        run_chat(opened, texts, prompts, system, sampling_in(options), where, as_json=as_json)
        return
    is_plain = not (any(value for _, value in starts) or profile or as_json or markdown)
    if prompts is not None or (is_plain and can_converse(opened)):
        run_prompts(opened, prompts, sampling_in(options), where, as_json=as_json)
        return
    request = opened.request(**asked)
    if profile:
        if options["port"] is not None or markdown or options["simulator"] == "host":
            raise UsageError(
                "--profile runs on the board's simulator and prints a table; --port, --markdown and --simulator host "
                "do not go with it.",
                hint="Leave them out.",
            )
        _profile(opened, request, where, as_json, etdump)
        return
    report = _run(opened, request, where, prompt or "", shows_text=opened.is_language_model and not as_json)
    _show(report, as_json, markdown)


def _show(report: Report, as_json: bool, markdown: bool) -> None:
    from mcu_sdk.project.report import print_report

    if as_json:
        print(json.dumps(report.to_json(), indent=2))
    elif markdown:
        print("\n" + report.to_markdown(), end="")
    else:
        print()
        print_report(report)


def _run_heard(
    opened: Project, files: Files, sampling: Sampling, where: Where, *, shows_text: bool
) -> Report:
    """Run a model on what its encoder takes; with `shows_text` its answer is printed as it comes."""
    from mcu_sdk.api import run_heard
    from mcu_sdk.project.heard import Heard

    heard = Heard.of(opened, read_inputs(opened, files), **sampling)
    if not shows_text:
        return run_heard(opened, heard, **where).report
    try:
        return run_heard(opened, heard, on_text=say, **where).report
    finally:
        say("\n")


def _run(opened: Project, request: Request, where: Where, prompt: str, *, shows_text: bool) -> Report:
    """Run one request; with `shows_text` the prompt and what comes after it are printed as it comes."""
    from mcu_sdk.api import run_request

    if not shows_text:
        return run_request(opened, request, **where).report
    started = False

    def start() -> None:
        nonlocal started
        started = True
        say(prompt)

    try:
        return run_request(opened, request, on_text=say, on_start=start, **where).report
    finally:
        if started:
            say("\n")


def _profile(opened: Project, request: Request, where: Where, as_json: bool, etdump: Path | None) -> None:
    """Run the project's profiled twin, and show what each operator costs; `etdump`: where to write it as an ETDump."""
    from rich.console import Console

    from mcu_sdk.project import profile
    from mcu_sdk.project.etdump import check_place, etdump_of
    from mcu_sdk.project.runners import built_device, choose_simulator
    from mcu_sdk.project.verify_device import last_position
    from mcu_sdk.regeneration import make_profiled

    choose_simulator(opened, where.get("simulator"))  # before the twin is generated
    if etdump is not None:
        check_place(etdump)
    folder, plan = make_profiled(opened)
    twin = built_device(replace(opened, folder=folder), **where)
    with step(f"Running on {twin.target}"):
        transcript = twin.device(request)
    position = last_position(transcript)
    rows = profile.costs(plan, transcript.profile, position, opened.board.core)
    if etdump is not None:
        etdump.write_bytes(etdump_of(plan, transcript.profile))
    if as_json:
        print(json.dumps(profile.to_json(rows, position), indent=2))
        return
    title = f"{opened.manifest.name}, instructions at position {position}"
    console = Console(highlight=False)
    console.print(profile.to_table(rows, title, console.width))
