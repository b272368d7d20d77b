"""Running a project's host build: the same sources as a process on this computer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mcu_sdk.targets.process import DEFAULT_TIMEOUT, run_process
from mcu_sdk.targets.protocol import OnText, Request, Transcript

if TYPE_CHECKING:
    from mcu_sdk.npu.cosimulation import CoSimulation

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
