"""`mcu-sdk run`: a prompt in, the firmware's text out, then the report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from mcu_sdk.commands.options import (
    BoardOption,
    IdsOption,
    InputOption,
    JsonOption,
    PortOption,
    ProjectArgument,
    PromptOption,
    PromptsOption,
    SeedOption,
    SimulatorOption,
    StepsOption,
    TemperatureOption,
    TimeoutOption,
    TokensOption,
    TopKOption,
    exclude,
    named_options,
    parse_files,
    parse_ids,
)
from mcu_sdk.commands.real_data import Where, can_converse, run_prompts, run_tensors, say
from mcu_sdk.console import step
from mcu_sdk.errors import UsageError

if TYPE_CHECKING:
    from mcu_sdk.project.opened import Project
    from mcu_sdk.targets.protocol import Request


def run_command(
    context: typer.Context,
    project: ProjectArgument,
    prompt: PromptOption = None,
    ids: IdsOption = None,
    prompts: PromptsOption = None,
    steps: StepsOption = None,
    inputs: InputOption = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            help="Where to write what --input gives: FILE.npy, or NAME=FILE.npy for each output.",
            show_default=False,
        ),
    ] = None,
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

    exclude(("--json", as_json), ("--markdown", markdown))
    given = (("--prompt", prompt is not None), ("--ids", ids), ("--prompts", prompts), ("--steps", steps))
    exclude(*given, ("--input", inputs))
    if outputs and not inputs:
        raise UsageError("--output writes what --input gives.", hint="Name an input, too.")
    exclude(("--profile", profile), ("--prompts", prompts), ("--input", inputs))
    exclude(("--markdown", markdown), ("--prompts", prompts))
    opened = open_project(project, board)
    opened.check_effect(named_options(context), temperature, given_inputs=bool(inputs))
    where = Where(simulator, port, timeout)
    if inputs:
        files = parse_files(inputs, "--input"), parse_files(outputs, "--output")
        run_tensors(opened, *files, where, as_json=as_json, markdown=markdown)
        return
    is_plain = not (any(value for _, value in given) or profile or as_json or markdown)
    if prompts is not None or (is_plain and can_converse(opened)):
        sampling = {"tokens": tokens, "temperature": temperature, "top_k": top_k, "seed": seed}
        run_prompts(opened, prompts, sampling, where, as_json=as_json)
        return
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
            say(prompt)

    try:
        ran = run_request(
            opened,
            request,
            simulator=simulator,
            port=port,
            timeout=timeout,
            on_text=say if shows_text else None,
            on_start=start if shows_text else None,
        )
    finally:
        if started:
            say("\n")
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
