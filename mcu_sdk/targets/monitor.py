"""A board's console: what comes is shown, what is typed is asked. The port may go away and come back.

Requests go through `serial.Conversation`, as those of `run` and `verify` do.
"""

from __future__ import annotations

import os
import select
import sys
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, TYPE_CHECKING, Protocol

from mcu_sdk.errors import DeviceMissingError, McuSdkError, RunError, TargetTimeoutError
from mcu_sdk.targets.ports import Port, called, is_gone
from mcu_sdk.targets.protocol import Listener, Message, Transcript, new_number
from mcu_sdk.targets.serial import Conversation, Pace, RefusedError
from mcu_sdk.targets.verdict import check_verdict

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

QUIT = 0x1D
"""Ctrl-], which ends a monitor."""

_RETRY = 0.5  # seconds between two looks for a port that went away
_LOOKS_AGAIN = 0.1  # seconds between two looks at the port and the keyboard
_PIECE = 1 << 12


class Keyboard(Protocol):
    def line(self) -> str | None:
        """What was typed up to Enter; None if nothing was yet. Raises EOFError after the last of it."""


class Typed:
    """Lines from a descriptor: a terminal, which edits and shows them until Enter, or a file. Ctrl-] and Ctrl-D end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._held = b""
        self._ended = False

    @contextmanager
    def keys(self) -> Iterator[None]:
        """Make Ctrl-] end at once, if the descriptor is a terminal; as it was afterwards."""
        if not os.isatty(self._descriptor):
            yield
            return
        import termios

        before = termios.tcgetattr(self._descriptor)
        changed = termios.tcgetattr(self._descriptor)
        changed[6][termios.VEOL] = bytes((QUIT,))  # a line ends with it, too
        termios.tcsetattr(self._descriptor, termios.TCSANOW, changed)
        try:
            yield
        finally:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, before)

    def line(self) -> str | None:
        while b"\n" not in self._held and not self._ended:
            if not select.select([self._descriptor], [], [], 0)[0]:
                return None
            piece = os.read(self._descriptor, _PIECE)
            self._ended = not piece or QUIT in piece
            self._held += piece.split(bytes((QUIT,)))[0]
        line, found, rest = self._held.partition(b"\n")
        if not found and (self._ended and not line):
            raise EOFError
        self._held = rest
        return line.decode("utf-8", "replace").rstrip("\r")


class Screen:
    """Where text goes: the terminal, and a log file, each line with its time if that is wanted. What a board says outside
    of answers always has it: it is no part of the model's text. `notes` are for people: they go to standard error."""

    def __init__(
        self,
        out: IO[str] | None = None,
        log: IO[str] | None = None,
        *,
        timestamps: bool = False,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._outputs = [out if out is not None else sys.stdout, *([log] if log is not None else [])]
        self._log = log
        self._timestamps, self._now = timestamps, now
        self._at_line_start = True
        self._is_other = False  # what the line that is not at its end belongs to
        self._live = ""

    def text(self, text: str) -> None:
        """Some of an answer. Control characters are left out: they could do anything to a terminal."""
        shown = _visible(text)
        if shown and self._is_other:
            self._end_line()
        self._is_other = False
        self._show(shown, self._timestamps)

    def other(self, text: str) -> None:
        """What the board said outside of answers: its own messages, a boot loader's. Empty lines are left out."""
        for line in _visible(text).splitlines(keepends=True):
            if line.strip() and not self._is_other:
                self._end_line()
                self._is_other = True
            if line.strip() or (self._is_other and not self._at_line_start):
                self._show(line, stamped=True)

    def _end_line(self) -> None:
        if not self._at_line_start:
            self._show("\n", stamped=False)

    def _show(self, text: str, stamped: bool) -> None:
        self._wipe()
        for output in self._outputs:
            output.write(self._stamped(text) if stamped else text)
            output.flush()
        if text:
            self._at_line_start = text.endswith("\n")

    def typed(self, line: str) -> None:
        """What was asked: the terminal has shown it, the log has not."""
        if self._log is not None:
            stamp = self._stamp() if self._timestamps else ""
            self._log.write(f"{'' if self._at_line_start else chr(10)}{stamp}> {line}\n")
        self._at_line_start, self._is_other = True, False

    def note(self, text: str) -> None:
        """A line of ours."""
        self._end_line()
        self._wipe()
        print(text, file=sys.stderr, flush=True)

    def live(self, text: str) -> None:
        """A line that the next one of any kind replaces; only on a terminal, and between lines."""
        if self._at_line_start and sys.stderr.isatty() and text != self._live:
            self._wipe()
            sys.stderr.write(text)
            sys.stderr.flush()
            self._live = text

    def _wipe(self) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._live = ""

    def _stamp(self) -> str:
        return f"[{self._now().strftime('%H:%M:%S.%f')[:-3]}] "

    def _stamped(self, text: str) -> str:
        if not text:
            return text
        body, end = (text[:-1], "\n") if text.endswith("\n") else (text, "")
        first = self._stamp() if self._at_line_start else ""
        return first + body.replace("\n", f"\n{self._stamp()}") + end


def _visible(text: str) -> str:
    return "".join(char for char in text.replace("\r\n", "\n") if char.isprintable() or char in "\n\t")


@dataclass
class Counts:
    """What a monitor has seen."""

    asked: int = 0
    answered: int = 0
    tokens: int = 0
    failed: list[McuSdkError] = field(default_factory=list)


class Monitor:
    """`connect` opens the port, as `ports.open_port`; `message` makes a request of a line, or does what it says and makes none;
    `on_answer` is called with each prompt and its answer; `asks_again` says of an error whether the prompt is to be asked
    once more, by another request; `sleep` and `clock` are time's,
    for tests."""

    def __init__(
        self,
        port: str,
        connect: Callable[[], AbstractContextManager[Port]],
        message: Callable[[str], Message | None],
        keyboard: Keyboard,
        screen: Screen,
        *,
        baud: int = 115200,
        timeout: float = 600.0,
        pace: Pace | None = None,
        on_answer: Callable[[str, Transcript], None] | None = None,
        asks_again: Callable[[McuSdkError], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.counts = Counts()
        self._port, self._connect, self._message = port, connect, message
        self._keyboard, self._screen = keyboard, screen
        self._baud, self._timeout, self._pace = baud, timeout, pace or Pace()
        self._on_answer, self._asks_again = on_answer, asks_again
        self._clock, self._sleep = clock, sleep
        self._waiting: str | None = None  # a prompt that was typed and is not answered
        self._before: Conversation | None = None
        self._losses = 0  # how often the port went away before it was

    def run(self) -> None:
        """Until what is typed ends. Raises DeviceMissingError if the port cannot be opened at first; what goes wrong with a
        prompt is shown, and the next one is asked."""
        with self._connect() as connection:
            self._screen.note(f"{called(self._port)}: a line is a prompt; Ctrl-] ends.")
            is_open = self._serve_until_gone(connection)
        while not is_open:
            try:
                with self._connect() as connection:
                    self._screen.note(f"{called(self._port)} is back.")
                    is_open = self._serve_until_gone(connection)
            except DeviceMissingError:
                if not self._wait():
                    return

    def _wait(self) -> bool:
        """Some time before the port is looked for again; False if nobody waits for it any more."""
        try:
            self._waiting = self._waiting or self._keyboard.line() or None
        except EOFError:
            return False
        self._sleep(_RETRY)
        return True

    def _serve_until_gone(self, connection: Port) -> bool:
        """Show and ask until what is typed ends (True), or the port is gone (False)."""
        try:
            self._serve(connection)
        except OSError as error:
            if not is_gone(error):
                raise
            self._screen.note(f"{called(self._port)} was unplugged; waiting for it. Ctrl-] ends.")
            if self._waiting is not None:
                self._losses += 1
                if self._losses == self._pace.attempts:
                    self._fail(
                        RunError(f"{called(self._port)} went away {self._losses} times during a prompt.")
                    )
            return False
        return True

    def _serve(self, connection: Port) -> None:
        decoder = getincrementaldecoder("utf-8")("replace")
        while True:
            if self._waiting is None:
                try:
                    self._waiting = self._keyboard.line()
                except EOFError:
                    return
            if self._waiting is not None:
                self._ask(connection, self._waiting)
                continue
            self._screen.live(f"[{self.counts.answered} prompts, {self.counts.tokens} tokens]")
            data = connection.read(max(1, connection.in_waiting))
            self._screen.other(decoder.decode(data))

    def _ask(self, connection: Port, prompt: str) -> None:
        """One prompt, to its end; OSError if the port goes away, with the prompt still waiting."""
        if not prompt:
            self._waiting = None
            return
        if not self._losses:
            self.counts.asked += 1
            self._screen.typed(prompt)
        number, began = new_number(), self._clock()
        from serial import SerialTimeoutException

        listener = Listener(number, self._screen.text, self._screen.other)
        try:
            message = self._message(prompt)
            if message is None:
                self._waiting, self._losses = None, 0
                self.counts.asked -= 1
                return
            line = message.encode(number)
            self._converse(connection, line, listener)
            transcript = check_verdict(listener.transcript(), called(self._port))
        except SerialTimeoutException:
            self._fail(
                TargetTimeoutError(f"{called(self._port)} takes no bytes.", hint="Is its flow control on?")
            )
            return
        except RefusedError as error:
            try:
                check_verdict(error.answer, called(self._port))
            except McuSdkError as refused:
                self._fail(refused)
            return
        except McuSdkError as error:
            if self._asks_again is not None and self._asks_again(error):
                self._screen.note(f"{error.message} It is told the conversation again.")
                self.counts.asked -= 1
                return
            self._fail(error)
            return
        self._waiting, self._losses = None, 0
        self.counts.answered += 1
        if self._on_answer is not None:
            self._on_answer(prompt, transcript)
        self.counts.tokens += transcript.number("tokens") or 0
        self._screen.note(summary(transcript, self._clock() - began))

    def _converse(self, connection: Port, line: bytes, listener: Listener) -> None:
        """Until the answer has come; errors as `Conversation.hold`. A board that may be at work is waited for."""
        began, name = self._clock(), called(self._port)
        conversation = Conversation(
            connection, line, listener, name, self._pace, self._baud, clock=self._clock, before=self._before
        )
        if conversation.may_be_at_work:
            self._screen.note(
                f"{name} may still be at work on a prompt that was given up: it is waited for, at most {self._timeout:g} "
                "seconds. A reset ends that."
            )
        self._before = conversation
        conversation.begin(self._timeout)
        while not conversation.advance():
            self._screen.live(f"[{self._clock() - began:.0f} s, {listener.received:,} bytes]")

    def _fail(self, error: McuSdkError) -> None:
        self._waiting, self._losses = None, 0
        self.counts.failed.append(error)
        self._screen.note(f"error: {error}")


def summary(transcript: Transcript, seconds: float) -> str:
    """An answer's counts as a line."""
    tokens = transcript.number("tokens")
    parts = []
    if tokens is not None:
        parts.append(f"{transcript.number('prompt_tokens') or 0} + {tokens} tokens")
    if transcript.number("steps") is not None:
        parts.append(f"{transcript.number('steps')} steps")
    parts.append(f"{seconds:.1f} s")
    if tokens and seconds > 0:
        parts.append(f"{tokens / seconds:.1f} tokens/s over the line")
    last = transcript.number("instructions_last")
    if last is not None:
        parts.append(f"{last:,} instructions for the last")
    return f"[{', '.join(parts)}]"
