"""Running a firmware on Arm's Fixed Virtual Platform, by the command line that its board.toml gives.

The program is found on the PATH, or named by $MCU_SDK_FVP. docs/fvp.md says what has been tested.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Generator, Iterable, Sequence
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from mcu_sdk.board.board import Board
from mcu_sdk.errors import BoardError, RunError, ToolMissingError, UsageError
from mcu_sdk.targets.process import DEFAULT_TIMEOUT, converse, run_process
from mcu_sdk.targets.protocol import Message, OnText, Request, Transcript
from mcu_sdk.targets.runner import Job, Runner
from mcu_sdk.text import one_line

if TYPE_CHECKING:
    from mcu_sdk.npu.cosimulation import CoSimulation

_PARAMETER = re.compile(r"^\s*([A-Za-z_][\w.-]*)=", re.MULTILINE)
_SECONDS_TO_LIST = 120

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


def check_parameters(command: Sequence[str], board: str) -> None:
    """Hold the parameters that `command` sets (`-C name=value`) against those that the FVP itself lists.

    Raises ToolMissingError if the program cannot be started, RunError if it does not list its parameters, and
    BoardError with the names that it lacks.
    """
    wanted = [value.split("=", 1)[0] for flag, value in pairwise(command) if flag == "-C"]
    known = parameters_of(command[0])
    missing = [name for name in wanted if name not in known]
    if not missing:
        return
    close = [near for name in missing for near in get_close_matches(name, sorted(known), n=1, cutoff=0.6)]
    similar = f" It has {', '.join(dict.fromkeys(close))}." if close else ""
    raise BoardError(
        f"The FVP {command[0]!r} has no parameter {', '.join(missing)}, which [simulator.fvp] of the board {board!r} sets."
        + similar,
        hint=f"Is it the board's FVP? `{command[0]} --list-params` prints all that it has.",
    )


@cache
def parameters_of(program: str) -> frozenset[str]:
    """The names in the output of `program --list-params`: a line `instance.parameter=value  # (type, ...) ...` each."""
    try:
        done = subprocess.run(
            [program, "--list-params"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS_TO_LIST,
            check=False,
        )
    except OSError as error:
        raise ToolMissingError(
            f"the FVP cannot be started as {program!r}: {error.strerror}.", hint=f"Install it: {INSTALL}."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise RunError(
            f"The FVP {program!r} did not list its parameters within {_SECONDS_TO_LIST} seconds.",
            hint="Does it wait for a licence? Start it by hand with --list-params.",
        ) from error
    text = done.stdout.decode("utf-8", "replace")
    found = frozenset(_PARAMETER.findall(text))
    if not found:
        said = one_line(text + done.stderr.decode("utf-8", "replace"))[-300:]
        raise RunError(
            f"The FVP {program!r} was expected to list its parameters; it ended with code {done.returncode}"
            + (f" and said: {said}" if said else "."),
            hint="Is it one of Arm's FVPs, and licensed? Start it by hand with --list-params.",
        )
    return found


def run(
    board: Board,
    elf: Path,
    request: Request,
    *,
    target: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
) -> Transcript:
    """Run `elf` and return its answer, whose verdict is "ok"; errors as `check_parameters` and `run_process` raise them."""
    command = command_line(board, elf, target)
    check_parameters(command, board.name)
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
        check_parameters(command, job.board.name)
        return converse(
            command, messages, name=self.called, install=INSTALL, timeout=job.timeout, on_text=job.on_text
        )


RUNNER = _Fvp()
