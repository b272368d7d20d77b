"""A monitor, with what is typed, the port and the time played."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.errors import DeviceMissingError
from mcu_sdk.targets.monitor import Monitor, Screen, Typed
from mcu_sdk.targets.protocol import Request
from mcu_sdk.targets.verdict import InputsLostError
from tests.targets.test_bad_lines import Line

SHOWN = "Hi ü, and so on"
NOON = datetime(2026, 1, 2, 12, 0, 0, 5000)
TIME = "[12:00:00.005] "


class Keys:
    """Lines, then the end; None stands for a look at which nothing has been typed."""

    def __init__(self, *lines: str | None) -> None:
        self.lines = list(lines)

    def line(self) -> str | None:
        if not self.lines:
            raise EOFError
        return self.lines.pop(0)


class Plugged(Line):
    """A good line that can be opened and closed; after `gone_after` reads its port is gone."""

    def __init__(self, gone_after: int | None = None, error: int = errno.EIO) -> None:
        super().__init__(0, 0.0)
        self.dies_after, self.pauses, self.deaf_until, self._coming = [], 0.0, 0.0, []
        self.gone_after, self.error = gone_after, error

    def __enter__(self) -> Plugged:
        return self

    def __exit__(self, *_: Any) -> None: ...

    def read(self, size: int = 1, /) -> bytes:
        if self.gone_after is not None:
            self.gone_after -= 1
            if self.gone_after < 0:
                raise OSError(self.error, "gone")
        return super().read(size)


def message(line: str) -> Request:
    return Request(text=line)


def watch(keys: Keys, *ports: Any, **options: Any) -> tuple[Monitor, str]:
    """A monitor that has ended, over ports that are there one after the other; an exception is a look that finds none."""
    waiting = list(ports)

    def connect() -> Any:
        found = waiting.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    out = io.StringIO()
    screen = Screen(out, now=lambda: NOON)
    monitor = Monitor("/dev/ttyX", connect, message, keys, screen, sleep=lambda _: None, **options)
    monitor.run()
    return monitor, out.getvalue()


def test_what_is_typed_is_asked_and_the_answer_shown(capsys: pytest.CaptureFixture[str]) -> None:
    line = Plugged()
    line._say(b"booting \x1b[31mred\x07\n")
    answers: list[tuple[str, str]] = []
    monitor, shown = watch(
        Keys(*[None] * 40, "one", "", None, "two"),
        line,
        clock=line.clock,
        on_answer=lambda prompt, answer: answers.append((prompt, answer.text)),
    )
    assert (monitor.counts.asked, monitor.counts.answered, monitor.counts.failed) == (2, 2, [])
    assert answers == [("one", SHOWN), ("two", SHOWN)]
    assert shown == f"{TIME}booting [31mred\n{SHOWN}\n{SHOWN}\n"  # no control characters
    assert capsys.readouterr().err.count(" s]") == 2


def test_what_a_board_says_of_itself_is_shown_with_its_time_at_any_moment() -> None:
    """Also while a prompt is asked; the protocol's own lines are not, then."""
    line = Plugged()
    line._say("\r\n\nmotor on, 20 °C\r\n@mcu ready=1\nno end of line".encode())
    monitor, shown = watch(Keys("one", "two"), line, clock=line.clock)
    assert monitor.counts.answered == 2
    assert shown == f"{TIME}motor on, 20 °C\n{TIME}no end of line\n{SHOWN}\n{SHOWN}\n"


def test_answers_and_other_text_share_no_line() -> None:
    out = io.StringIO()
    screen = Screen(out, now=lambda: NOON)
    for show, piece in (
        (screen.text, "an"), (screen.text, "swer"), (screen.other, "\n"), (screen.other, "led"), (screen.other, " on"),
        (screen.other, "\n\n  off"), (screen.text, "go\non"), (screen.other, "x\ny\n"), (screen.text, "end\n"),
    ):  # fmt: skip
        show(piece)
    assert out.getvalue() == f"answer\n{TIME}led on\n{TIME}  off\ngo\non\n{TIME}x\n{TIME}y\nend\n"


def test_a_port_that_goes_away_is_waited_for_and_its_prompt_asked_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    missing = DeviceMissingError("not there")
    for error in (errno.EIO, errno.ENODEV):
        monitor, shown = watch(Keys("one", "two"), Plugged(2, error), missing, missing, Plugged(1), Plugged())
        assert (monitor.counts.asked, monitor.counts.answered) == (2, 2) and not monitor.counts.failed
        assert shown.count(SHOWN) == 2
        err = capsys.readouterr().err
        assert err.count("was unplugged; waiting for it") == 2 and err.count("is back") == 2


def test_a_port_that_always_goes_away_fails_the_prompt_and_nothing_else() -> None:
    monitor, shown = watch(Keys("one", "two"), *(Plugged(1) for _ in range(5)), Plugged())
    assert monitor.counts.answered == 1 and shown.count(SHOWN) == 1
    assert "went away 5 times" in str(monitor.counts.failed[0])


def test_nobody_waits_for_a_port_any_more() -> None:
    monitor, _ = watch(
        Keys(None, None, None), Plugged(1), *(DeviceMissingError("not there") for _ in range(9))
    )
    assert monitor.counts.asked == 0


def test_a_port_that_is_not_there_at_first_is_an_error() -> None:
    with pytest.raises(DeviceMissingError, match="not there"):
        watch(Keys("one"), DeviceMissingError("not there"))


def test_another_error_is_no_unplugging() -> None:
    with pytest.raises(OSError, match="gone"):
        watch(Keys(None), Plugged(0, errno.ENOSPC))


def test_a_prompt_that_cannot_be_asked_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    line = Plugged()
    monitor, shown = watch(Keys("bad\udcff", "good"), line, clock=line.clock)
    assert monitor.counts.answered == 1 and SHOWN in shown
    assert "cannot be encoded as UTF-8" in capsys.readouterr().err


def test_a_silent_board_is_named_and_the_monitor_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    line = Plugged()
    line.deaf_until = 5.0
    monitor, _ = watch(Keys("one", *[None] * 60, "two"), line, clock=line.clock)
    assert (monitor.counts.asked, monitor.counts.answered) == (2, 1)
    assert "error: the board at /dev/ttyX was expected to say that it is ready" in capsys.readouterr().err


def test_lines_have_their_times_and_go_to_the_log(tmp_path: Path) -> None:
    out, log = io.StringIO(), io.StringIO()
    screen = Screen(out, log, timestamps=True, now=lambda: datetime(2026, 1, 2, 3, 4, 5, 678000))
    for piece in ("a", "b\nc", "\n", "d"):
        screen.text(piece)
    screen.typed("prompt")
    screen.text("e\n")
    time = "[03:04:05.678] "
    assert out.getvalue() == f"{time}ab\n{time}c\n{time}d{time}e\n"
    assert log.getvalue() == f"{time}ab\n{time}c\n{time}d\n{time}> prompt\n{time}e\n"


def lines_of(write: Callable[[int], None]) -> list[str]:
    reader, writer = os.pipe()
    write(writer)
    os.close(writer)
    keys, found = Typed(reader), []
    with keys.keys():
        while True:
            try:
                line = keys.line()
            except EOFError:
                os.close(reader)
                return found
            assert line is not None
            found.append(line)


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        (b"", []),
        ("ü\r\nb\n".encode(), ["ü", "b"]),
        (b"a\nrest", ["a", "rest"]),
        (b"a\n\nb\x1dc\n", ["a", "", "b"]),
        (b"\x1da\n", []),
    ],
)
def test_what_is_typed_comes_in_lines_until_it_ends(typed: bytes, lines: list[str]) -> None:
    assert lines_of(lambda writer: os.write(writer, typed)) == lines  # type: ignore[arg-type,return-value]


def test_on_a_terminal_ctrl_bracket_ends_at_once_and_nothing_is_left_changed() -> None:
    import termios

    controller, terminal = os.openpty()
    before = termios.tcgetattr(terminal)
    keys = Typed(terminal)
    with keys.keys():
        assert keys.line() is None
        os.write(controller, b"hello\n")
        assert keys.line() == "hello"
        os.write(controller, b"\x1d")
        with pytest.raises(EOFError):
            keys.line()
    assert termios.tcgetattr(terminal) == before
    os.close(controller)
    os.close(terminal)


def test_a_line_may_be_no_request_and_an_error_may_be_asked_about_again() -> None:
    """A conversation is forgotten without a word to the board; one that the board has lost is told it again."""
    line, asked = Plugged(), []

    def message_of(prompt: str) -> Request | None:
        asked.append(prompt)
        if len(asked) == 2:
            raise InputsLostError("It was reset.")
        return None if prompt == "@new" else Request(text=prompt)

    waiting = [line]
    screen = Screen(io.StringIO(), now=lambda: NOON)
    monitor = Monitor(
        "/dev/ttyX", waiting.pop, message_of, Keys("one", "two", "@new", "three"), screen, clock=line.clock,
        sleep=lambda _: None, asks_again=lambda error: isinstance(error, InputsLostError),
    )  # fmt: skip
    monitor.run()
    assert asked == ["one", "two", "two", "@new", "three"]
    assert (monitor.counts.asked, monitor.counts.answered, monitor.counts.failed) == (3, 3, [])
