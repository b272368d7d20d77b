"""Runs the guest beside a simulated NPU: `python -m tests.npu.cosimulated KIND PROGRAM BLOCK`, or `run`.

As a program it is what the tests interrupt and kill: it prints the firmware's process id, once a run is under way or the
firmware hangs behind its first access to the NPU.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from mcu_sdk.board.board import load_board
from mcu_sdk.errors import McuSdkError
from mcu_sdk.npu.accelerator import accelerator
from mcu_sdk.npu.cosimulation import CoSimulation, ProcessCoSimulation, QemuCoSimulation
from mcu_sdk.npu.registers import Observer
from mcu_sdk.targets import host, qemu
from mcu_sdk.targets.protocol import Request, Transcript
from tests.npu import guest

U55 = accelerator("ethos-u55-128")


def prepare(kind: str, observer: Observer | None = None) -> CoSimulation:
    """`kind` is "qemu" or "host"."""
    if kind == "host":
        return ProcessCoSimulation(U55, observer)
    board = load_board("corstone-300")
    assert board.npu is not None and board.npu.shared is not None
    shared = board.regions[board.npu.shared]
    return QemuCoSimulation(U55, shared.origin, board.simulator["qemu"].shared_bytes, observer)


def run(
    kind: str,
    program: Path,
    block: str,
    *,
    steps: int = 1,
    timeout: float = 30,
    observer: Observer | None = None,
    under_way: Callable[[int], None] | None = None,
) -> tuple[Transcript, CoSimulation]:
    """The firmware's answer. `under_way` is told the process id at the firmware's first access to the NPU."""
    request = Request(steps=steps, seed=guest.number(block))
    with prepare(kind, observer) as npu:
        if under_way is not None:
            _tell(npu, under_way)
        if kind == "host":
            return host.run(program, request, timeout=timeout, npu=npu), npu
        return qemu.run(load_board("corstone-300"), program, request, timeout=timeout, npu=npu), npu


def _tell(npu: CoSimulation, under_way: Callable[[int], None]) -> None:
    started, connected = npu.started, npu._connected
    process: list[int] = []

    def on_start(identifier: int) -> None:
        process.append(identifier)
        started(identifier)

    def on_connection() -> None:
        connected()
        if process:
            under_way(process.pop())

    npu.started, npu._connected = on_start, on_connection  # type: ignore[method-assign]


def main() -> None:
    kind, program, block = sys.argv[1:4]
    try:
        run(kind, Path(program), block, timeout=100, under_way=lambda process: print(process, flush=True))
    except McuSdkError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
