"""`mcu-sdk verify`: device, host and PyTorch compute the same, or the first step where they do not."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
    from numpy.typing import NDArray

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
    from mcu_sdk.options import GenerateRequest
    from mcu_sdk.project.opened import open_project
    from mcu_sdk.project.report import make_report, print_report
    from mcu_sdk.project.runners import choose_simulator
    from mcu_sdk.project.verify import verify

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
    asked = GenerateRequest.from_manifest({"board": opened.manifest.board, **opened.manifest.options})
    accuracy = opened.accuracy()

    def reference(tokens: Sequence[int]) -> NDArray[Any] | None:
        from mcu_sdk.recipes.reference import checkpoint_reference

        return checkpoint_reference(asked.model, accuracy.checkpoint if accuracy else None, tokens)

    verdict = verify(
        opened,
        request,
        simulator=simulator,
        port=port,
        timeout=timeout,
        with_python=python,
        checkpoint=reference if asked.pte is None else None,
    )
    target = port or choose_simulator(opened, simulator)
    report = make_report(
        opened.manifest.name,
        opened.board,
        verdict.built,
        verdict.device,
        target=target,
        npu=opened.npu_on(target),
        npu_details=opened.npu_details(),
        accuracy=opened.accuracy(),
        agreement="ok" if verdict.ok else "DIFFERS",
    )
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
