"""Putting a project's firmware onto its board, by one of the board's runners."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcu_sdk.errors import BuildError, UsageError
from mcu_sdk.project.build import build, build_folder, find_tool
from mcu_sdk.project.opened import Project
from mcu_sdk.targets.flash.runner import FlashJob, FlashRunner, flash_runner
from mcu_sdk.targets.flash.segments import Segment, check_segments, read_segments
from mcu_sdk.targets.process import DEFAULT_TIMEOUT, check_timeout

PRESET = "release"
_PROTOCOL = b"@mcu ready=1"
"""In the image of every app/ that answers requests; such a one names its model and board, too."""


@dataclass(frozen=True)
class Flashing:
    """A runner and what it is to put where; all of it checked, nothing of it done."""

    runner: FlashRunner
    job: FlashJob


def prepare(
    project: Project,
    *,
    runner: str | None = None,
    probe: str | None = None,
    with_build: bool = True,
    timeout: float = DEFAULT_TIMEOUT,
    self_test: bool = False,
) -> Flashing:
    """Build the project's firmware (with `self_test` the one that tests its kernels at boot), and check that it is this
    project's, that its board has the memories it lies in, and that the runner can write it.

    Raises UsageError where the board has no such runner, ToolMissingError where the tool is not installed, BuildError for
    an image that is another project's, that must not be written, or, without `with_build`, is older than its sources; and
    what `build` raises.
    """
    check_timeout(timeout)
    chosen = flash_runner(choose_runner(project, runner))
    if chosen.programs:
        chosen.program()
    program = build_folder(project.folder.resolve(), PRESET, self_test=self_test) / "firmware.elf"
    if with_build:
        program = build(project.folder, PRESET, self_test=self_test).program.resolve()
    else:
        check_built(project.folder, program)
    segments = read_segments(program)
    check_belongs(segments, project, program)
    check_segments(segments, project.board)
    job = FlashJob(project.board, program, segments, probe, timeout)
    chosen.check(job)
    return Flashing(chosen, job)


def choose_runner(project: Project, runner: str | None) -> str:
    """The runner that was asked for, or the board's default one. Raises UsageError if there is none."""
    board = project.board
    if board.is_host:
        raise UsageError(
            f"The board {board.name} is this computer; there is nothing to flash.",
            hint="`mcu-sdk run` runs it.",
        )
    if runner is not None:
        return runner
    if board.flash is None:
        raise UsageError(
            f"The board {board.name} has no [flash] in its board.toml.",
            hint="Add it (docs/flash.md), or name a debug server: --runner gdb --probe HOST:PORT.",
        )
    return board.flash.runners[0]


def check_built(folder: Path, program: Path) -> None:
    """Raises BuildError if the program is not there, or older than what it is made of."""
    command = f"mcu-sdk build {folder}"
    if program.parent == build_folder(folder.resolve(), PRESET, self_test=True):
        command += " --self-test"
    if not program.is_file():
        raise BuildError(f"There is no {program}: the project has not been built.", hint=f"Run `{command}`.")
    # Ninja knows every file that the program depends on, headers and the compiler's own files included.
    look = [find_tool("ninja"), "-C", str(program.parent), "-n"]
    done = subprocess.run(look, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0 or "no work to do" not in done.stdout:
        raise BuildError(
            f"{program} is older than what it is made of.",
            hint=f"Run `{command}`, or leave --no-build out.",
        )


def check_belongs(segments: Sequence[Segment], project: Project, program: Path) -> None:
    """Raises BuildError for an image that was made from another project: it says which model and board it is of."""
    if not any(_PROTOCOL in segment.data for segment in segments):
        return  # an app/ of its own kind, which says nothing of itself
    model, board = project.manifest.model.sha256, project.board.name
    for what, name in (("model", model), ("board", board)):
        if not any(name.encode() + b"\0" in segment.data for segment in segments):
            raise BuildError(
                f"{program} was not made for the project's {what} {name[:12]!r}.",
                hint=f"Run `mcu-sdk regenerate {project.folder}`, and build it again.",
            )
