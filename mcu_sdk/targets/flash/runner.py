"""What can put an image onto a board: a class for each tool, with what it is capable of."""

from __future__ import annotations

import os
import shlex
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import ClassVar

from mcu_sdk.board.board import Board
from mcu_sdk.board.flash import FLASH_RUNNERS
from mcu_sdk.console import step
from mcu_sdk.errors import UsageError
from mcu_sdk.targets.flash.segments import Segment
from mcu_sdk.targets.process import DEFAULT_TIMEOUT
from mcu_sdk.targets.tool import Finished, find_program, run_tool


@dataclass(frozen=True)
class Capabilities:
    """`probe`: what --probe names. `checks_chip`: whether the chip is read before anything is written. `verifies`: whether
    what was written is read again. `writes_ram`: whether an image may lie in RAM. `needs_table`: whether a board has to
    have parameters for it."""

    probe: str
    checks_chip: bool = False
    verifies: bool = False
    writes_ram: bool = False
    needs_table: bool = True


@dataclass(frozen=True)
class FlashJob:
    """An image for a board. `segments` are those of `program`; `probe` as --probe names it, where it does."""

    board: Board
    program: Path
    segments: tuple[Segment, ...]
    probe: str | None = None
    timeout: float = DEFAULT_TIMEOUT

    @property
    def bytes(self) -> int:
        return sum(len(segment.data) for segment in self.segments)

    def beside(self, name: str) -> Path:
        """A file beside the program, for what a tool reads."""
        return self.program.with_name(name)


@dataclass(frozen=True)
class Step:
    """A command, and what is made of its end: `judge` raises what was wrong."""

    title: str
    command: tuple[str, ...]
    judge: Callable[[Finished], None]


class FlashRunner(ABC):
    """`title` is what messages call the tool; `programs` are its names, the first that is found is taken."""

    name: ClassVar[str]
    title: ClassVar[str]
    programs: ClassVar[tuple[str, ...]] = ()
    install: ClassVar[str] = ""
    capabilities: ClassVar[Capabilities]

    def check(self, job: FlashJob) -> None:
        """Raises UsageError where the board or the image is none for this runner."""
        flash = job.board.flash
        if self.capabilities.needs_table and (flash is None or getattr(flash, self.name) is None):
            known = ", ".join(flash.runners) if flash is not None else "none"
            raise UsageError(
                f"The board {job.board.name} has no [flash.{self.name}] in its board.toml; what it has: {known}.",
                hint="Take another --runner, or add the table (docs/flash.md).",
            )
        if not self.capabilities.writes_ram:
            for segment in job.segments:
                region = next(
                    (each for each in job.board.region if each.origin <= segment.address < each.end), None
                )
                if region is not None and region.kind == "ram":
                    raise UsageError(
                        f"{self.title} writes flash; the image has {len(segment.data):,} bytes in {region.name}, which is "
                        "RAM.",
                        hint="Take another --runner: gdb, pyocd, openocd and jlink load RAM, too.",
                    )

    def program(self) -> str:
        """The tool's path. Raises ToolMissingError with the line that installs it."""
        return find_program(self.programs, self.install)

    def files(self, job: FlashJob) -> Mapping[Path, bytes]:
        """What the commands read besides the program; written before they run, and for --dry-run."""
        return {}

    @abstractmethod
    def steps(self, job: FlashJob) -> list[Step]:
        """What is done, in order."""

    def lines(self, job: FlashJob) -> list[str]:
        """The commands as a shell takes them."""
        return [shlex.join(each.command) for each in self.steps(job)]

    def flash(self, job: FlashJob) -> None:
        """Put the image onto the board and start it.

        Raises ToolMissingError where the tool or the probe is not there, BoardError where the chip is another, UsageError
        where a choice is missing, RunError where the tool failed, TargetTimeoutError.
        """
        steps = self.steps(job)
        self.write_files(job)
        for each in steps:
            with step(each.title):
                each.judge(run_tool(each.command, name=self.title, timeout=job.timeout))

    def write_files(self, job: FlashJob) -> None:
        """Write `files`, each whole or not at all."""
        for path, content in self.files(job).items():
            write_whole(path, content)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def flash_runner(name: str) -> FlashRunner:
    """The runner of that name. Raises UsageError if there is none."""
    if name not in FLASH_RUNNERS:
        raise UsageError(f"There is no runner {name!r}.", hint=f"The runners are {', '.join(FLASH_RUNNERS)}.")
    found: FlashRunner = import_module(f"mcu_sdk.targets.flash.{name}").RUNNER
    return found
