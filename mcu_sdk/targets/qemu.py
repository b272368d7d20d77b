"""Running a firmware in QEMU, by the command line that its board.toml gives."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mcu_sdk.board.board import Board
from mcu_sdk.errors import UsageError
from mcu_sdk.targets.process import DEFAULT_TIMEOUT, converse, run_process
from mcu_sdk.targets.protocol import Message, OnText, Request, Transcript
from mcu_sdk.targets.runner import Job, Runner

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mcu_sdk.npu.cosimulation import CoSimulation
    from mcu_sdk.npu.registers import Observer

INSTALL = "apt-get install qemu-system-arm"


def command_line(board: Board, elf: Path, *, with_npu: bool = False) -> list[str]:
    """QEMU's command line for `elf`; `with_npu`: with memory that a simulated NPU shares ("{shared}" stays in it).

    Raises UsageError if the board has none.
    """
    simulator = board.simulator.get("qemu")
    if simulator is None:
        raise UsageError(
            f"The board {board.name!r} has no [simulator.qemu].",
            hint=f"`mcu-sdk boards {board.name}` shows what it has.",
        )
    command = simulator.command
    if with_npu:
        if not simulator.npu_command:
            raise UsageError(
                f"The board {board.name!r} has no command line for QEMU beside a simulated NPU.",
                hint="docs/boards.md: [simulator.qemu] npu_command.",
            )
        command = simulator.npu_command
    return [part.replace("{elf}", str(elf.resolve())) for part in command]


def run(
    board: Board,
    elf: Path,
    request: Request,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
    npu: CoSimulation | None = None,
) -> Transcript:
    """Run `elf` and return its answer, whose verdict is "ok"; errors as `run_process` raises them."""
    command = command_line(board, elf, with_npu=npu is not None)
    return run_process(
        command,
        request,
        name="QEMU",
        install=INSTALL,
        timeout=timeout,
        on_text=on_text,
        npu=npu,
        after_ready=board.simulator["qemu"].after_ready,
    )


class _Qemu(Runner):
    """A simulated NPU shares one of the board's memories with it."""

    name = "qemu"
    title = "QEMU"
    called = "QEMU"
    simulates_npu = True

    def check(self, job: Job) -> None:
        command_line(job.board, job.program, with_npu=job.accelerator is not None)

    def npu(self, job: Job, observer: Observer | None = None) -> AbstractContextManager[CoSimulation | None]:
        if job.accelerator is None:
            return super().npu(job)
        from mcu_sdk.npu.accelerator import accelerator
        from mcu_sdk.npu.cosimulation import QemuCoSimulation

        board = job.board
        assert board.npu is not None and board.npu.shared is not None, "board.py checks it"
        origin, size = board.regions[board.npu.shared].origin, board.simulator["qemu"].shared_bytes
        return QemuCoSimulation(accelerator(job.accelerator), origin, size, observer)

    def start(
        self, job: Job, messages: Iterable[Message], npu: CoSimulation | None
    ) -> Generator[Transcript, None, None]:
        command = command_line(job.board, job.program, with_npu=npu is not None)
        return converse(
            command,
            messages,
            name=self.called,
            install=INSTALL,
            timeout=job.timeout,
            on_text=job.on_text,
            npu=npu,
            after_ready=job.board.simulator["qemu"].after_ready,
        )


RUNNER = _Qemu()
