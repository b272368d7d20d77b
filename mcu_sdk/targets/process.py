"""A target that is a process: a simulator, or the host build. It is started, listened to, and never left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mcu_sdk.errors import RunError, TargetTimeoutError, ToolMissingError
from mcu_sdk.targets.protocol import EOT, Listener, News, OnText, Request, Transcript, new_number
from mcu_sdk.targets.verdict import check_verdict

if TYPE_CHECKING:
    from mcu_sdk.npu.cosimulation import CoSimulation

DEFAULT_TIMEOUT = 600.0
"""Seconds that a whole run may take."""

LARGEST_OUTPUT = 16 << 20
"""Bytes of output after which a target counts as gone mad: an answer is a few kilobytes."""

_SECONDS_TO_LEAVE = 2.0  # for a process whose answer is complete
_PIECE = 1 << 16
_PR_SET_PDEATHSIG = 1
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None  # looked up before a fork


def run_process(
    command: Sequence[str],
    request: Request,
    *,
    name: str,
    install: str,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
    check: bool = True,
    npu: CoSimulation | None = None,
) -> Transcript:
    """Start `command`, send it the request and EOT, and listen until the answer ends.

    A part "{input}" in the command stands for a file with those bytes; without it they go to standard input.
    `name` is what messages call the target, `install` how it is installed. With `check` the verdict must be ok.
    `npu`: a simulated NPU that has been opened for this run; what it stops at is raised.

    Raises ToolMissingError if the program does not exist, TargetTimeoutError after `timeout` seconds, RunError if
    the process ends, floods, starts again or fails without a verdict, and what `check_verdict` raises. Whatever
    happens, also on Ctrl-C, the process and everything that it started are gone afterwards.
    """
    number = new_number()
    data = request.encode(number) + bytes((EOT,))
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile())
        uses_file = any("{input}" in part for part in command)
        if uses_file:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mcu-sdk-"))
            input_file = Path(folder) / "input"
            input_file.write_bytes(data)
            command = [part.replace("{input}", str(input_file)) for part in command]
        if npu is not None:
            command = npu.command(command)
        process = _start(command, errors, uses_file, name, install, npu.popen_arguments if npu else {})
        stack.callback(_end, process)
        if npu is not None:
            npu.started(process.pid)
        listener = Listener(number, on_text)
        problem = _converse(process, b"" if uses_file else data, listener, timeout, npu)
        if npu is not None and npu.error is not None:
            raise npu.error
        if problem == "answered":
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_TO_LEAVE)
            transcript = listener.transcript()
            return check_verdict(transcript, name) if check else transcript
        if (
            listener.complaint is not None
        ):  # nobody else speaks here: the firmware failed before it had the request
            return check_verdict(listener.complaint, name) if check else listener.complaint
        if problem == "":
            problem = _obituary(process)
        said = _last_lines(errors)
    if problem == "timeout":
        raise TargetTimeoutError(
            f"{name} gave no complete answer within {timeout:g} seconds ({listener.received:,} bytes came).",
            hint="Ask for fewer tokens, or allow more with --timeout.",
        )
    if problem == "damaged":
        raise RunError(
            f"The answer of {name} ended without a verdict that fits it ({listener.received:,} bytes came).",
            hint="The firmware died, or prints by other means than sdk/runtime/print.h: look at what it printed.",
        )
    raise RunError(
        f"{name} {problem} before the verdict line of its answer ({listener.received:,} bytes came)."
        + (f" It said: {said}" if said else ""),
        hint="Build the project again; `mcu-sdk --debug run` and the command in its README help to look closer.",
    )


def _start(
    command: Sequence[str],
    errors: IO[bytes],
    uses_file: bool,
    name: str,
    install: str,
    more: Mapping[str, Any],
) -> subprocess.Popen[bytes]:
    """The process, in a session of its own so that all it starts can be ended together."""
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if uses_file else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509  one system call, which takes no lock
            **more,
        )
    except FileNotFoundError as error:
        raise ToolMissingError(
            f"{name} was not found as {command[0]!r}.", hint=f"Install it: {install}."
        ) from error
    except OSError as error:
        raise ToolMissingError(
            f"{name} cannot be started as {command[0]!r}: {error.strerror}.", hint=f"Install it: {install}."
        ) from error


def _end_with_parent() -> None:
    """Runs in the child: what started it may be killed without a chance to clean up (Linux; nothing elsewhere)."""
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _converse(
    process: subprocess.Popen[bytes],
    data: bytes,
    listener: Listener,
    timeout: float,
    npu: CoSimulation | None,
) -> str:
    """Write `data`, feed the listener; returns "answered", "" if the process ended, or what went wrong."""
    started = False
    deadline = time.monotonic() + timeout
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if npu is not None:
            selector.register(npu.failed, selectors.EVENT_READ)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return "timeout"
            for key, _ in selector.select(left):
                if key.fileobj is process.stdin:
                    data = _write(process, data)
                    if not data:
                        selector.unregister(process.stdin)
                    continue
                if key.fileobj is not process.stdout:
                    return "lost its simulated NPU"
                piece = os.read(process.stdout.fileno(), _PIECE)
                if not piece:
                    return ""
                for news in listener.feed(piece):
                    if news is News.ANSWERED:
                        return "answered"
                    if news is News.DAMAGED:
                        return "damaged"
                    if news is News.READY and started:
                        return "started again"
                    if news is News.OTHER and listener.complaint is not None:
                        return "failed"
                    started = started or news is News.STARTED
                if listener.received > LARGEST_OUTPUT:
                    return "flooded its output"


def _write(process: subprocess.Popen[bytes], data: bytes) -> bytes:
    """Write what can be written without waiting; returns the rest. Closed input is no error: the output tells."""
    assert process.stdin is not None
    try:
        return data[os.write(process.stdin.fileno(), data[:_PIECE]) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return b""


def _obituary(process: subprocess.Popen[bytes]) -> str:
    """How the process ended, as words that follow its name."""
    try:
        code = process.wait(_SECONDS_TO_LEAVE)
    except subprocess.TimeoutExpired:
        return "closed its output"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and everything in its session's group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    process.wait()


def _last_lines(errors: IO[bytes], count: int = 3) -> str:
    """The end of what the process wrote to its standard error, on one line."""
    errors.seek(0, os.SEEK_END)
    errors.seek(max(0, errors.tell() - 2000))
    lines = [line.strip() for line in errors.read().decode("utf-8", "replace").splitlines()]
    return " | ".join([line for line in lines if line][-count:])
