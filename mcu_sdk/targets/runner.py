"""What runs a firmware that is a file: one class for each kind of simulator, found by its name.

A new one is a file mcu_sdk/targets/NAME.py with its RUNNER, and NAME among the simulators that a board.toml may have
(board.SIMULATORS); its command line is the board's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mcu_sdk.board.board import Board
from mcu_sdk.board.devices import SIMULATORS
from mcu_sdk.targets.process import DEFAULT_TIMEOUT
from mcu_sdk.targets.protocol import Message, OnText, Transcript
from mcu_sdk.targets.verdict import check_verdict

if TYPE_CHECKING:
    from mcu_sdk.npu.cosimulation import CoSimulation
    from mcu_sdk.npu.registers import Observer

HOST = "host"
RUNNERS = (*SIMULATORS, HOST)
"""Every runner's name; of a board's simulators the first one is its own choice."""


@dataclass(frozen=True)
class Job:
    """A firmware to run. `accelerator`: the NPU that parts of its model were compiled for, by Vela's name."""

    board: Board
    program: Path
    accelerator: str | None = None
    timeout: float = DEFAULT_TIMEOUT
    on_text: OnText | None = None


class Runner(ABC):
    """`title` is what people call it, `called` what it is in a sentence. `simulates_npu`: whether our simulated NPU stands beside it; one that does not
    has the NPU itself."""

    name: ClassVar[str]
    title: ClassVar[str]
    called: ClassVar[str]
    simulates_npu: ClassVar[bool] = False

    @abstractmethod
    def check(self, job: Job) -> None:
        """Raises UsageError where the board has no command line for it: before anything is built or started."""

    def npu(self, job: Job, observer: Observer | None = None) -> AbstractContextManager[CoSimulation | None]:
        """The simulated NPU beside the firmware, open for one run; none where the firmware needs none, or the runner
        has it. `observer` sees its runs."""
        return nullcontext()

    @abstractmethod
    def start(
        self, job: Job, messages: Iterable[Message], npu: CoSimulation | None
    ) -> Generator[Transcript, None, None]:
        """The answers of one run, as `converse` gives them, and its errors."""

    def each(
        self, job: Job, messages: Iterable[Message], observer: Observer | None = None
    ) -> Generator[Transcript, None, None]:
        """Run the firmware beside its NPU, once for all messages, and give the answer to each, whatever its verdict;
        errors as `converse` raises them, and those of the NPU."""
        self.check(job)
        with self.npu(job, observer) as npu:
            yield from self.start(job, messages, npu)

    def run(self, job: Job, request: Message, observer: Observer | None = None) -> Transcript:
        """Run the firmware for one request and return its answer, whose verdict is "ok"; what `each` and
        `check_verdict` raise."""
        with closing(self.each(job, [request], observer)) as answers:
            return check_verdict(next(answers), self.called)


def runner(name: str) -> Runner:
    """The runner of that name, one of RUNNERS."""
    found: Runner = import_module(f"mcu_sdk.targets.{name}").RUNNER
    return found
