"""What runs a project's requests: a serial port, a simulator, or this computer; beside a simulated NPU where it has one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mcu_sdk.errors import UsageError
from mcu_sdk.project.opened import Project
from mcu_sdk.targets import fvp, host, qemu, serial
from mcu_sdk.targets.process import DEFAULT_TIMEOUT
from mcu_sdk.targets.protocol import OnText, Request, Transcript

if TYPE_CHECKING:
    from mcu_sdk.npu.registers import Observer

Run = Callable[[Request], Transcript]


def device_runner(
    project: Project,
    program: Path | None,
    *,
    simulator: str | None = None,
    port: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
) -> Run:
    """What runs requests on the device: a serial port, a simulator ("qemu", "fvp"), or this computer ("host").

    Without a choice: the board's first simulator, or this computer for a native board. Raises UsageError for a
    simulator that does not exist, or that the board does not have.
    """
    if port is not None:
        if simulator is not None:
            raise UsageError("--port and --simulator exclude each other.", hint="Leave one of them out.")
        baud = project.board.uart.baud if project.board.uart is not None else 115200
        return lambda request: serial.run(port, request, baud=baud, timeout=timeout, on_text=on_text)
    assert program is not None
    return SIMULATORS[choose_simulator(project, simulator)](project, program, timeout, on_text)


def run_on_host(
    project: Project,
    program: Path,
    request: Request,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
    observer: Observer | None = None,
) -> Transcript:
    """Run the host's program, beside a simulated NPU where the project has one (`observer` sees its runs)."""
    if project.accelerator is None:
        return host.run(program, request, timeout=timeout, on_text=on_text)
    from mcu_sdk.npu.accelerator import accelerator
    from mcu_sdk.npu.cosimulation import ProcessCoSimulation

    with ProcessCoSimulation(accelerator(project.accelerator), observer) as npu:
        return host.run(program, request, timeout=timeout, on_text=on_text, npu=npu)


def run_in_qemu(
    project: Project,
    program: Path,
    request: Request,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
    observer: Observer | None = None,
) -> Transcript:
    """Run the firmware in QEMU, beside a simulated NPU where the project has one (`observer` sees its runs)."""
    board = project.board
    qemu.command_line(board, program, with_npu=project.accelerator is not None)
    if project.accelerator is None:
        return qemu.run(board, program, request, timeout=timeout, on_text=on_text)
    from mcu_sdk.npu.accelerator import accelerator
    from mcu_sdk.npu.cosimulation import QemuCoSimulation

    assert board.npu is not None and board.npu.shared is not None, "board.py checks it"
    origin, size = board.regions[board.npu.shared].origin, board.simulator["qemu"].shared_bytes
    with QemuCoSimulation(accelerator(project.accelerator), origin, size, observer) as npu:
        return qemu.run(board, program, request, timeout=timeout, on_text=on_text, npu=npu)


def _qemu(project: Project, program: Path, timeout: float, on_text: OnText | None) -> Run:
    return lambda request: run_in_qemu(project, program, request, timeout=timeout, on_text=on_text)


def _fvp(project: Project, program: Path, timeout: float, on_text: OnText | None) -> Run:
    board, target = project.board, project.accelerator
    fvp.command_line(board, program, target)
    return lambda request: fvp.run(board, program, request, target=target, timeout=timeout, on_text=on_text)


def _host(project: Project, program: Path, timeout: float, on_text: OnText | None) -> Run:
    return lambda request: run_on_host(project, program, request, timeout=timeout, on_text=on_text)


HOST = "host"
SIMULATORS: dict[str, Callable[[Project, Path, float, OnText | None], Run]] = {
    "qemu": _qemu,
    "fvp": _fvp,
    HOST: _host,
}
"""What starts a firmware, by name; a board's default is the first that it has. The names of all but the host are those
of the board file's [simulator] tables."""


def choose_simulator(project: Project, simulator: str | None) -> str:
    """A name of SIMULATORS. Raises UsageError for anything else."""
    board = project.board
    if simulator is None:
        if board.is_host:
            return HOST
        found = next((name for name in SIMULATORS if name in board.simulator), None)
        if found is None:
            raise UsageError(
                f"{board.name} has no simulator.", hint="Name the board's serial port with --port."
            )
        return found
    if simulator not in SIMULATORS:
        *others, last = SIMULATORS
        raise UsageError(
            f"There is no simulator {simulator!r}.",
            hint=f"The simulators are {', '.join(others)} and {last}.",
        )
    if simulator != HOST and simulator not in board.simulator:
        known = ", ".join([*board.simulator, HOST])
        raise UsageError(f"The board {board.name} has no simulator {simulator!r}.", hint=f"It has: {known}.")
    return simulator
