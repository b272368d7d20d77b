"""`mcu-sdk verify`: device, host and PyTorch compute the same, or the first step where they do not."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from mcu_sdk.project.report import Report
    from mcu_sdk.project.verify import Verdict


def verify_command(
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
    python: Annotated[bool, typer.Option(help="Also compare with the .pte executed in PyTorch.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Run the same request on device and host, and the .pte in PyTorch; exit 7 if they differ."""
    from mcu_sdk.api import verify
    from mcu_sdk.project.report import print_report

    found = verify(
        project,
        prompt=prompt,
        ids=parse_ids(ids),
        steps=steps,
        tokens=tokens,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
        simulator=simulator,
        port=port,
        timeout=timeout,
        board=board,
        with_python=python,
    )
    verdict, report = found.verdict, found.report
    if as_json:
        print(json.dumps(_json(verdict, report), indent=2))
    else:
        print_report(report)
        _print_checks(verdict)
    verdict.require()


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
