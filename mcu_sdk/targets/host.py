"""Running a project's host build: the same sources as a process on this computer."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mcu_sdk.targets.process import DEFAULT_TIMEOUT, converse, run_process
from mcu_sdk.targets.protocol import Message, OnText, Request, Transcript
from mcu_sdk.targets.runner import Job, Runner

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mcu_sdk.npu.cosimulation import CoSimulation
    from mcu_sdk.npu.registers import Observer

INSTALL = "build the project's preset `host`"


def run(
    program: Path,
    request: Request,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
    npu: CoSimulation | None = None,
) -> Transcript:
    """Run the executable and return its answer, whose verdict is "ok"; errors as `run_process` raises them."""
    command = [str(program.resolve())]
    return run_process(
        command, request, name="the host", install=INSTALL, timeout=timeout, on_text=on_text, npu=npu
    )


class _Host(Runner):
    """A process of the host build; a simulated NPU is reached through pipes."""

    name = "host"
    title = "This computer"
    called = "the host"
    simulates_npu = True

    def check(self, job: Job) -> None:
        """A program needs no command line of the board's."""

    def npu(self, job: Job, observer: Observer | None = None) -> AbstractContextManager[CoSimulation | None]:
        if job.accelerator is None:
            return super().npu(job)
        from mcu_sdk.npu.accelerator import accelerator
        from mcu_sdk.npu.cosimulation import ProcessCoSimulation

        return ProcessCoSimulation(accelerator(job.accelerator), observer)

    def start(
        self, job: Job, messages: Iterable[Message], npu: CoSimulation | None
    ) -> Generator[Transcript, None, None]:
        command = [str(job.program.resolve())]
        return converse(
            command,
            messages,
            name=self.called,
            install=INSTALL,
            timeout=job.timeout,
            on_text=job.on_text,
            npu=npu,
        )


RUNNER = _Host()
