"""`mcu-sdk run`: a prompt in, the firmware's text out, then the report."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mcu_sdk.commands.options import (
    BoardOption,
    IdsOption,
    JsonOption,
    PortOption,
    ProjectArgument,
    PromptOption,
    SeedOption,
    SimulatorOption,
    StepsOption,
    TemperatureOption,
    TimeoutOption,
    TokensOption,
    TopKOption,
    parse_ids,
)
from mcu_sdk.console import step
from mcu_sdk.errors import UsageError

if TYPE_CHECKING:
    from mcu_sdk.project.opened import Project
    from mcu_sdk.targets.protocol import Request


def run_command(
    project: ProjectArgument,
    prompt: PromptOption = None,
    ids: IdsOption = None,
    steps: StepsOption = None,
    tokens: TokensOption = 100,
    temperature: TemperatureOption = 0.0,
    top_k: TopKOption = 0,
    seed: SeedOption = 0,
    simulator: SimulatorOption = None,
    port: PortOption = None,
    timeout: TimeoutOption = 600.0,
    board: BoardOption = None,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Count the instructions of each operator in the last step instead."),
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the report as Markdown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build a project if need be, run it on a simulator or a board, and report what it used."""
    from mcu_sdk.api import run_request
    from mcu_sdk.project.opened import open_project
    from mcu_sdk.project.report import print_report

    if as_json and markdown:
        raise UsageError("--json and --markdown exclude each other.", hint="Leave one of them out.")
    opened = open_project(project, board)
    request = opened.request(
        prompt=prompt,
        ids=parse_ids(ids),
        steps=steps,
        tokens=tokens,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
    )
    if profile:
        if port is not None or markdown or simulator == "host":
            raise UsageError(
                "--profile runs on the board's simulator and prints a table; --port, --markdown and --simulator host "
                "do not go with it.",
                hint="Leave them out.",
            )
        _profile(opened, request, simulator, timeout, as_json)
        return
    shows_text = opened.is_language_model and not as_json
    started = False

    def start() -> None:
        nonlocal started
        started = True
        if prompt:
            _say(prompt)

    try:
        ran = run_request(
            opened,
            request,
            simulator=simulator,
            port=port,
            timeout=timeout,
            on_text=_say if shows_text else None,
            on_start=start if shows_text else None,
        )
    finally:
        if started:
            _say("\n")
    report = ran.report
    if as_json:
        print(json.dumps(report.to_json(), indent=2))
    elif markdown:
        print("\n" + report.to_markdown(), end="")
    else:
        print()
        print_report(report)


def _profile(opened: Project, request: Request, simulator: str | None, timeout: float, as_json: bool) -> None:
    """Run the project's profiled twin, and show what each operator costs."""
    from rich.console import Console

    from mcu_sdk.project import profile
    from mcu_sdk.project.build import build
    from mcu_sdk.project.runners import choose_simulator, device_runner
    from mcu_sdk.project.verify import last_position
    from mcu_sdk.regeneration import make_profiled

    target = choose_simulator(opened, simulator)
    folder, plan = make_profiled(opened)
    built = build(folder, opened.preset_for(target))
    run = device_runner(opened, built.program, simulator=simulator, timeout=timeout)
    with step(f"Running on {target}"):
        transcript = run(request)
    position = last_position(transcript)
    rows = profile.costs(plan, transcript.profile, position, opened.board.core)
    if as_json:
        print(json.dumps(profile.to_json(rows, position), indent=2))
        return
    title = f"{opened.manifest.name}, instructions at position {position}"
    console = Console(highlight=False)
    console.print(profile.to_table(rows, title, console.width))


def _say(text: str) -> None:
    """Pass on the model's text at once."""
    sys.stdout.write(text)
    sys.stdout.flush()
