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
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mcu_sdk.errors import RunError, TargetTimeoutError, ToolMissingError, UsageError
from mcu_sdk.targets.protocol import EOT, Listener, Message, News, OnText, Transcript, new_number
from mcu_sdk.targets.verdict import check_verdict

if TYPE_CHECKING:
    from mcu_sdk.npu.cosimulation import CoSimulation

DEFAULT_TIMEOUT = 600.0
LONGEST_TIMEOUT = 1e6


def check_timeout(seconds: float) -> None:
    """Raises UsageError for what is no time to wait: clocks take neither infinity nor NaN."""
    if not 0 < seconds <= LONGEST_TIMEOUT:
        raise UsageError(
            f"--timeout is a number of seconds above 0, at most {LONGEST_TIMEOUT:,.0f}, not {seconds:g}."
        )


"""Seconds that an answer may take."""

LARGEST_OUTPUT = 16 << 20
"""Bytes of output after which a target counts as gone mad: an answer is a few kilobytes."""

_SECONDS_TO_LEAVE = 2.0  # for a process whose answer is complete
_PIECE = 1 << 16
_PR_SET_PDEATHSIG = 1
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None  # looked up before a fork


def run_process(
    command: Sequence[str],
    request: Message,
    *,
    name: str,
    install: str,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
    check: bool = True,
    npu: CoSimulation | None = None,
    after_ready: bool = False,
) -> Transcript:
    """`converse` with one message. With `check` the verdict must be ok; raises what `check_verdict` raises, too."""
    answers = converse(
        command,
        [request],
        name=name,
        install=install,
        timeout=timeout,
        on_text=on_text,
        npu=npu,
        after_ready=after_ready,
    )
    with contextlib.closing(answers):
        transcript = next(answers)
    return check_verdict(transcript, name) if check else transcript


def converse(
    command: Sequence[str],
    messages: Iterable[Message],
    *,
    name: str,
    install: str,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
    npu: CoSimulation | None = None,
    after_ready: bool = False,
) -> Generator[Transcript, None, None]:
    """Start `command`, send it the messages and EOT, and give the answer to each, whatever its verdict.

    A sequence of messages is sent as it is; of anything else each message is taken when the one before is answered, so
    that it can depend on the answer. A part "{input}" in the command stands for a file with what is sent; without it
    that goes to standard input. With a file and no sequence, each message has a process of its own.
    `name` is what error messages call the target, `install` how it is installed. `timeout`: seconds for each answer.
    `npu`: a simulated NPU that has been opened for this run; what it stops at is raised. `after_ready`: nothing is sent
    before the target says that it is ready, for one that loses what comes earlier.

    Raises ToolMissingError if the program does not exist, TargetTimeoutError after `timeout` seconds, RunError if
    the process ends, floods, starts again or fails without a verdict. Whatever happens, also on Ctrl-C, the process
    and everything that it started are gone when the generator is closed.
    """
    uses_file = any("{input}" in part for part in command)
    if uses_file and not isinstance(messages, Sequence):
        for message in messages:
            yield from converse(
                command, [message], name=name, install=install, timeout=timeout, on_text=on_text, npu=npu
            )
        return
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile())
        asked = ((message, new_number()) for message in messages)
        data = b""
        if isinstance(messages, Sequence):
            listed = list(asked)
            data = b"".join(message.encode(number) for message, number in listed) + bytes((EOT,))
            asked = (pair for pair in listed)
        if uses_file:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mcu-sdk-"))
            input_file = Path(folder) / "input"
            input_file.write_bytes(data)
            data = b""
            command = [part.replace("{input}", str(input_file)) for part in command]
        if npu is not None:
            command = npu.command(command)
        process = _start(command, errors, uses_file, name, install, npu.popen_arguments if npu else {})
        stack.callback(_end, process)
        if npu is not None:
            npu.started(process.pid)
        line = _Line(process, npu, data, after_ready=after_ready)
        stack.callback(line.close)
        for message, number in asked:
            if not isinstance(messages, Sequence):
                line.send(message.encode(number))
            listener = Listener(number, on_text)
            problem = line.listen(listener, timeout)
            if npu is not None and npu.error is not None:
                raise npu.error
            if problem == "answered":
                yield listener.transcript()
            elif listener.complaint is not None:
                # nobody else speaks here: the firmware could not read the request, or failed before it had it
                yield listener.complaint
            else:
                raise _failure(problem or _obituary(process), name, listener, timeout, errors)
        if not isinstance(messages, Sequence):
            line.send(bytes((EOT,)))
        line.finish()


def _failure(
    problem: str, name: str, listener: Listener, timeout: float, errors: IO[bytes]
) -> RunError | TargetTimeoutError:
    """The error for an answer that did not come; `problem`: in words that follow the target's name."""
    said = _last_lines(errors)
    if problem == "timeout":
        return TargetTimeoutError(
            f"{name} gave no complete answer within {timeout:g} seconds ({listener.received:,} bytes came).",
            hint="Ask for fewer tokens, or allow more with --timeout.",
        )
    if problem == "damaged":
        return RunError(
            f"The answer of {name} ended without a verdict that fits it ({listener.received:,} bytes came).",
            hint="The firmware died, or prints by other means than sdk/runtime/print.h: look at what it printed.",
        )
    return RunError(
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
            preexec_fn=end_with_parent,  # noqa: PLW1509  one system call, which takes no lock
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


def end_with_parent() -> None:
    """Runs in the child: what started it may be killed without a chance to clean up (Linux; nothing elsewhere)."""
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _Line:
    """Both streams of a process: `data` and what `send` adds are written while `listen` reads."""

    def __init__(
        self, process: subprocess.Popen[bytes], npu: CoSimulation | None, data: bytes, *, after_ready: bool
    ) -> None:
        assert process.stdout is not None
        self._process = process
        self._output = process.stdout.fileno()
        self._input = process.stdin.fileno() if process.stdin is not None else None
        self._unsent = memoryview(b"")
        self._unheard = b""  # what came behind the last answer
        self._started = False
        self._held: bytes | None = b"" if after_ready else None  # what is sent once the target is ready
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        if npu is not None:
            self._selector.register(npu.failed, selectors.EVENT_READ)
        if self._input is not None:
            os.set_blocking(self._input, False)
        self.send(data)

    def close(self) -> None:
        self._selector.close()

    def send(self, data: bytes) -> None:
        """Have it written as soon as there is room."""
        if not data or self._input is None:
            return
        if self._held is not None:
            self._held += data
            return
        if not self._unsent:
            self._selector.register(self._input, selectors.EVENT_WRITE)
        self._unsent = memoryview(bytes(self._unsent) + data)

    def listen(self, listener: Listener, timeout: float) -> str:
        """Feed the listener; returns "answered", "" if the process ended, or what went wrong."""
        deadline = time.monotonic() + timeout
        piece, self._unheard = self._unheard, b""
        while True:
            problem = self._hear(listener, piece) if piece else None
            if problem is not None:
                return problem
            left = deadline - time.monotonic()
            if left <= 0:
                return "timeout"
            piece = b""
            for key, _ in self._selector.select(left):
                if key.fd == self._input:
                    self._write()
                elif key.fd != self._output:
                    return "lost its simulated NPU"
                else:
                    piece = os.read(self._output, _PIECE)
                    if not piece:
                        return ""

    def _hear(self, listener: Listener, piece: bytes) -> str | None:
        """What a piece of output means to whoever waits; None: nothing yet. What comes behind an end is kept."""
        while piece:
            end = piece.find(b"\n") + 1 or len(piece)
            line, piece = piece[:end], piece[end:]
            for news in listener.feed(line):
                self._unheard = piece
                if news is News.ANSWERED:
                    return "answered"
                if news is News.DAMAGED:
                    return "damaged"
                if news is News.READY and self._started:
                    return "started again"
                if news is News.READY and self._held is not None:
                    held, self._held = self._held, None
                    self.send(held)
                if news is News.OTHER and listener.complaint is not None:
                    return "failed"
                self._started = self._started or news is News.STARTED
        self._unheard = b""
        return "flooded its output" if listener.received > LARGEST_OUTPUT else None

    def _write(self) -> None:
        """Write what can be written without waiting. Closed input is no error: the output tells."""
        assert self._input is not None
        try:
            self._unsent = self._unsent[os.write(self._input, self._unsent[:_PIECE]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._unsent = memoryview(b"")
        if not self._unsent:
            self._selector.unregister(self._input)

    def finish(self) -> None:
        """Send what is left, and let the process leave, for a while."""
        if self._unsent:
            self._write()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_LEAVE)


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
