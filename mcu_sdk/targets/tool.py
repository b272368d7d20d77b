"""Running a tool that talks to a board: it is waited for, listened to, and never left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcu_sdk.errors import TargetTimeoutError, ToolMissingError
from mcu_sdk.targets.process import end_with_parent

_SHOWN_LINES = 3


@dataclass(frozen=True)
class Finished:
    """A tool's exit code, and what it said on both of its streams together."""

    code: int
    output: str

    @property
    def last_lines(self) -> str:
        """The end of what it said, on one line."""
        lines = [line.strip() for line in self.output.splitlines()]
        return " | ".join([line for line in lines if line][-_SHOWN_LINES:])


def find_program(names: Sequence[str], install: str) -> str:
    """The first of these programs that there is: on the PATH, or beside Python, where pip puts them.

    Raises ToolMissingError with the line that installs it.
    """
    beside_python = str(Path(sys.executable).parent)
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=beside_python)
        if found is not None:
            return found
    raise ToolMissingError(f"{' or '.join(names)} was not found.", hint=f"Install it: {install}.")


def run_tool(command: Sequence[str], *, name: str, timeout: float) -> Finished:
    """Run a tool to its end, whatever its exit code.

    Raises ToolMissingError if it cannot be started, TargetTimeoutError after `timeout` seconds. Whatever happens, also on
    Ctrl-C, the process and everything that it started are gone afterwards.
    """
    try:
        done = run_group(command, timeout=timeout)
    except OSError as error:
        raise ToolMissingError(
            f"{name} cannot be started as {command[0]!r}: {error.strerror}.", hint="Is it installed whole?"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise TargetTimeoutError(
            f"{name} did not end within {timeout:g} seconds.",
            hint="Is the board powered, and the probe connected to it? Unplug both and try again.",
        ) from error
    return Finished(done.returncode, done.stdout.decode("utf-8", "replace"))


def run_group(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program that may start others to its end; both its streams are in `stdout`. Whatever happens, also on Ctrl-C or
    SIGTERM to this process alone, it and all that it started are gone afterwards.

    Raises OSError if it cannot be started, subprocess.TimeoutExpired after `timeout` seconds. For the main thread.
    """
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=end_with_parent,  # noqa: PLW1509  one system call, which takes no lock
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return subprocess.CompletedProcess(command, process.returncode, output)
