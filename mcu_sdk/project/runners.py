"""What runs a project's requests: a serial port, a simulator, or this computer; beside a simulated NPU where it has one."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from mcu_sdk.errors import UsageError
from mcu_sdk.project.asked import Where
from mcu_sdk.project.build import BuildResult, build
from mcu_sdk.project.elf import build_id
from mcu_sdk.project.opened import Project
from mcu_sdk.targets import serial
from mcu_sdk.targets.image import Image
from mcu_sdk.targets.ports import called, find_port
from mcu_sdk.targets.process import DEFAULT_TIMEOUT, check_timeout
from mcu_sdk.targets.protocol import Message, OnText, Request, Transcript
from mcu_sdk.targets.runner import HOST, RUNNERS, Job, runner
from mcu_sdk.targets.verdict import check_verdict

if TYPE_CHECKING:
    from mcu_sdk.npu.registers import Observer

Run = Callable[[Request], Transcript]


@dataclass(frozen=True)
class Device:
    """What runs a project's requests. `each` gives the answer to each message of one run, whatever its verdict; `name`:
    what messages call it; `stays`: whether it goes on between runs, as a board does."""

    name: str
    each: Callable[[Iterable[Message]], Generator[Transcript, None, None]]
    stays: bool = False

    def __call__(self, request: Message) -> Transcript:
        """The answer to one request, whose verdict is "ok"."""
        with closing(self.each([request])) as answers:
            return check_verdict(next(answers), self.name)


def device_runner(
    project: Project,
    program: Path,
    *,
    simulator: str | None = None,
    port: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
) -> Device:
    """What runs requests on the device: a serial port, a simulator ("qemu", "fvp"), or this computer ("host").

    Without a choice: the board's first simulator, or this computer for a native board. Raises UsageError for a
    simulator that does not exist, or that the board does not have. A board at a port has to run `program`, or the run
    raises OtherImageError.
    """
    if port is not None:
        check_alone(simulator)
        baud = project.board.uart.baud if project.board.uart is not None else 115200
        image, port = image_of(project, program), find_port(project.board, port)
        each = partial(serial.each, port, baud=baud, timeout=timeout, on_text=on_text, image=image)
        return Device(called(port), each, stays=True)
    return simulator_device(
        choose_simulator(project, simulator), project, program, timeout=timeout, on_text=on_text
    )


@dataclass(frozen=True)
class BuiltDevice:
    """A build, and the device that runs it. `target`: a simulator, a port, or this computer."""

    target: str
    built: BuildResult
    device: Device


def built_device(
    project: Project, *, self_test: bool = False, on_text: OnText | None = None, **where: Unpack[Where]
) -> BuiltDevice:
    """Choose what the firmware runs on, build it for that, and make what gives requests to it.

    With `self_test` the firmware tests its kernels at boot. A board at a port runs what was flashed; its build still
    tells the sizes. Raises what `target_of`, `build` and `device_runner` raise.
    """
    target = target_of(project, **where)
    built = build(project.folder, project.preset_for(target), self_test=self_test)
    return BuiltDevice(target, built, device_runner(project, built.program, on_text=on_text, **where))


def target_of(project: Project, **where: Unpack[Where]) -> str:
    """What the firmware runs on: a port, or a simulator's name. What can be wrong with it is found before any build.

    Raises UsageError, DeviceMissingError for a port that there is not, and what the runner's `check` raises.
    """
    port, simulator = where.get("port"), where.get("simulator")
    check_timeout(where.get("timeout", DEFAULT_TIMEOUT))
    if port is not None:
        check_alone(simulator)
        find_port(project.board, port)
        return port
    name = choose_simulator(project, simulator)
    runner(name).check(Job(project.board, project.folder / "firmware", project.accelerator))
    return name


def check_alone(simulator: str | None) -> None:
    """Raises UsageError for a simulator beside a port."""
    if simulator is not None:
        raise UsageError("--port and --simulator exclude each other.", hint="Leave one of them out.")


def simulator_device(
    name: str,
    project: Project,
    program: Path,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
) -> Device:
    """A project's firmware on the runner `name`, beside a simulated NPU where it needs one."""
    chosen = runner(name)
    job = Job(project.board, program, project.accelerator, timeout, on_text)
    chosen.check(job)
    return Device(chosen.called, partial(chosen.each, job))


def image_of(project: Project, program: Path) -> Image:
    """What a board says of itself that runs `program`."""
    shown = os.path.relpath(program, project.folder)
    return Image(project.manifest.model.sha256, build_id(program), shown)


def run_on(
    name: str,
    project: Project,
    program: Path,
    request: Request,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    observer: Observer | None = None,
) -> Transcript:
    """Run a project's firmware once on the runner `name`, beside a simulated NPU where it needs one (`observer` sees
    its runs)."""
    job = Job(project.board, program, project.accelerator, timeout)
    return runner(name).run(job, request, observer)


def choose_simulator(project: Project, simulator: str | None) -> str:
    """A name of RUNNERS. Raises UsageError for anything else."""
    board = project.board
    if simulator is None:
        if board.is_host:
            return HOST
        found = next((name for name in RUNNERS if name in board.simulator), None)
        if found is None:
            raise UsageError(
                f"{board.name} has no simulator.", hint="Name the board's serial port with --port."
            )
        return found
    if simulator not in RUNNERS:
        *others, last = RUNNERS
        raise UsageError(
            f"There is no simulator {simulator!r}.",
            hint=f"The simulators are {', '.join(others)} and {last}.",
        )
    if simulator != HOST and simulator not in board.simulator:
        known = ", ".join([*board.simulator, HOST])
        raise UsageError(f"The board {board.name} has no simulator {simulator!r}.", hint=f"It has: {known}.")
    return simulator
