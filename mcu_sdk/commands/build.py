"""`mcu-sdk build`: a project's firmware, and how large it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mcu_sdk.commands.options import BoardOption, JsonOption, ProjectArgument


def build_command(
    project: ProjectArgument,
    preset: Annotated[
        str, typer.Option("--preset", help="release, debug, host or host-debug (with sanitizers).")
    ] = "release",
    board: BoardOption = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="A firmware that tests each of its kernels at boot.")
    ] = False,
    objects: Annotated[
        bool,
        typer.Option(
            "--objects",
            help="Of a project for ExecuTorch's runtime: compile against the installed headers, and link nothing.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Build a project with CMake and report flash and RAM by region."""
    from mcu_sdk.api import build
    from mcu_sdk.errors import UsageError
    from mcu_sdk.project.report import print_report

    if preset not in ("release", "debug", "host", "host-debug"):
        raise UsageError(
            f"There is no preset {preset!r}.", hint="The presets are release, debug, host, host-debug."
        )
    if objects:
        _compile(project, preset, board, as_json=as_json)
        return
    found = build(project, preset, board=board, self_test=self_test)
    built, report = found.result, found.report
    if as_json:
        facts: dict[str, object] = {
            "preset": preset,
            "program": str(built.program),
            "edited": list(built.edited),
        }
        if built.archive is not None:
            facts["archive"] = str(built.archive)
        print(json.dumps({**facts, **report.to_json()}, indent=2))
        return
    if built.sizes is not None:
        print_report(report)
    print(f"{built.archive or built.program}")


def _compile(project: Path, preset: str, board: str | None, *, as_json: bool) -> None:
    """Compile a project's objects, and say how large they are: more than in an image, of which a linker drops a part."""
    from dataclasses import asdict

    from mcu_sdk.project.build import build
    from mcu_sdk.project.opened import open_project

    built = build(open_project(project, board).folder, preset, objects=True)
    if as_json:
        print(json.dumps({part: asdict(sizes) for part, sizes in built.objects.items()}, indent=2))
        return
    print(f"{'compiled, not linked':24} {'code':>10} {'variables':>10}")
    for part, sizes in built.objects.items():
        print(f"{part:24} {sizes.code:>10,} {sizes.variables:>10,}")
    print(f"{built.program}")
