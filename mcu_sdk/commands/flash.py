"""`mcu-sdk flash`: the firmware onto the board."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mcu_sdk.commands.options import BoardOption, JsonOption, ProjectArgument

if TYPE_CHECKING:
    from mcu_sdk.project.flash import Flashing


def flash_command(
    project: ProjectArgument,
    runner: Annotated[
        str | None,
        typer.Option("--runner", help="pyocd, openocd, gdb, uf2, jlink or teensy. Default: the board's."),
    ] = None,
    probe: Annotated[
        str | None,
        typer.Option(
            "--probe", help="Which probe (a serial number), debug server (HOST:PORT) or drive (a folder)."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands instead of running them.")
    ] = False,
    with_build: Annotated[
        bool,
        typer.Option("--build/--no-build", help="Build first, or take what is built if it is up to date."),
    ] = True,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="The firmware that tests each of its kernels at boot.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds that each step may take.")] = 600.0,
    board: BoardOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a project if need be, check that the chip is its board's, write the firmware and start it."""
    from mcu_sdk.console import log
    from mcu_sdk.project.flash import prepare
    from mcu_sdk.project.opened import open_project

    opened = open_project(project, board)
    flashing = prepare(
        opened, runner=runner, probe=probe, with_build=with_build, timeout=timeout, self_test=self_test
    )
    chosen, job = flashing.runner, flashing.job
    if dry_run:
        chosen.write_files(job)
        if not as_json:
            print("\n".join(chosen.lines(job)))
    else:
        chosen.flash(job)
        log(f"✓ {opened.board.name} runs {job.bytes:,} bytes of {opened.manifest.name}")
    if as_json:
        print(json.dumps(_json(flashing, dry_run), indent=2))


def _json(flashing: Flashing, dry_run: bool) -> dict[str, Any]:
    runner, job = flashing.runner, flashing.job
    return {
        "board": job.board.name,
        "runner": runner.name,
        "probe": job.probe,
        "program": str(job.program),
        "flashed": not dry_run,
        "bytes": job.bytes,
        "segments": [{"address": each.address, "bytes": len(each.data)} for each in job.segments],
        "commands": [list(each.command) for each in runner.steps(job)],
        "chip_checked": runner.capabilities.checks_chip and not dry_run,
        "verified": runner.capabilities.verifies and not dry_run,
    }
