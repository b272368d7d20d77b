"""Running a firmware on Arm's Fixed Virtual Platform, by the command line that its board.toml gives.

The program is found on the PATH, or named by $MCU_SDK_FVP. docs/fvp.md says what has been tested.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mcu_sdk.board.board import Board
from mcu_sdk.errors import UsageError
from mcu_sdk.targets.process import DEFAULT_TIMEOUT, converse, run_process
from mcu_sdk.targets.protocol import Message, OnText, Request, Transcript
from mcu_sdk.targets.runner import Job, Runner

if TYPE_CHECKING:
    from mcu_sdk.npu.cosimulation import CoSimulation

INSTALL = "download the board's Ecosystem FVP from developer.arm.com, and name its program in $MCU_SDK_FVP"


def command_line(board: Board, elf: Path, target: str | None = None) -> list[str]:
    """The FVP's command line for `elf`, with the NPU of `target`; "{input}" stays in it.

    Raises UsageError if the board has none.
    """
    if "fvp" not in board.simulator:
        raise UsageError(
            f"The board {board.name!r} has no [simulator.fvp].",
            hint=f"`mcu-sdk boards {board.name}` shows what it has.",
        )
    command = board.simulator_command("fvp", target)
    program, *rest = (part.replace("{elf}", str(elf.resolve())) for part in command)
    return [os.environ.get("MCU_SDK_FVP") or program, *rest]


def run(
    board: Board,
    elf: Path,
    request: Request,
    *,
    target: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
) -> Transcript:
    """Run `elf` and return its answer, whose verdict is "ok"; errors as `run_process` raises them."""
    command = command_line(board, elf, target)
    return run_process(command, request, name="the FVP", install=INSTALL, timeout=timeout, on_text=on_text)


class _Fvp(Runner):
    """The NPU is the FVP's own."""

    name = "fvp"
    title = "FVP"
    called = "the FVP"

    def check(self, job: Job) -> None:
        command_line(job.board, job.program, job.accelerator)

    def start(
        self, job: Job, messages: Iterable[Message], npu: CoSimulation | None
    ) -> Generator[Transcript, None, None]:
        command = command_line(job.board, job.program, job.accelerator)
        return converse(
            command, messages, name=self.called, install=INSTALL, timeout=job.timeout, on_text=job.on_text
        )


RUNNER = _Fvp()
