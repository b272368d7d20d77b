"""Boards that compute in silence for longer than anybody wants to wait, whose answer is given up: what is asked then is
answered when they are done. In time that is simulated."""

from __future__ import annotations

import pytest

from mcu_sdk.errors import TargetTimeoutError
from mcu_sdk.targets.protocol import Listener, Request
from mcu_sdk.targets.serial import Conversation, Pace
from tests.targets.test_bad_lines import ANSWER
from tests.targets.test_monitor import SHOWN, Keys, Plugged, watch

TIMEOUT = 10.0
BYTE = 10 / 115200  # seconds


class Busy(Plugged):
    """A board that looks at its line only between two requests, and while it does not speak. `works`: seconds that each
    answer takes (the last one's from then on); `holds`: bytes that wait for it meanwhile, the rest is lost."""

    def __init__(self, works: list[float], holds: int) -> None:
        super().__init__()
        self.works, self.holds = works, holds
        self.heard: list[bytes] = []  # requests that it took
        self._held = bytearray()
        self._busy_until = 0.0

    def write(self, data: bytes, /) -> int:
        for byte in data:
            self.now += BYTE
            self._work()
            if self.now >= self._busy_until:
                self._hear(bytes((byte,)))
            elif len(self._held) < self.holds:
                self._held.append(byte)
        return len(data)

    def read(self, size: int = 1, /) -> bytes:
        self._work()
        if self._held and not self.in_waiting:
            self.now = min(self._busy_until, self.now + self.poll)
            self._work()
        return super().read(size)

    def _work(self) -> None:
        while self._held and self.now >= self._busy_until:
            self._hear(bytes((self._held.pop(0),)))

    def _say(self, data: bytes, delay: float = 0.0) -> None:
        super()._say(data, delay)
        self._sent_at += BYTE * len(data)
        self._busy_until = self._sent_at

    def _take(self, line: bytes) -> None:
        if line == b"@ping":
            self._say(b"\n@mcu ready=1 model=" + b"5e" * 32 + b"\n")
            return
        if not self._firmware.start(line):
            self._firmware.end(b"error reason=bad_crc")
            return
        self.heard.append(line)
        self._say(b"", self.works.pop(0) if len(self.works) > 1 else self.works[0])
        self._firmware.write(ANSWER)
        self._firmware.end(b"ok")


@pytest.mark.parametrize("holds", [0, 1, 16, 64, 4096])
@pytest.mark.parametrize("works", [11.0, 13.0, 16.0, 19.5])
def test_only_the_prompt_that_takes_too_long_fails(
    holds: int, works: float, capsys: pytest.CaptureFixture[str]
) -> None:
    line = Busy([works, 0.5], holds)
    monitor, shown = watch(Keys("one", "two", "three", "four"), line, clock=line.clock, timeout=TIMEOUT)
    assert (monitor.counts.asked, monitor.counts.answered) == (4, 3)
    assert [type(error) for error in monitor.counts.failed] == [TargetTimeoutError]
    assert shown.count(SHOWN) == 3 + 1  # what was given up is shown when it comes, with its time
    assert capsys.readouterr().err.count("may still be at work on a prompt that was given up") == 1
    assert len(set(line.heard)) == len(line.heard) == 4  # none twice


def test_one_that_takes_far_too_long_is_waited_for_by_each(capsys: pytest.CaptureFixture[str]) -> None:
    line = Busy([35.0, 0.5], 64)
    monitor, _ = watch(Keys("one", "two", "three", "four", "five"), line, clock=line.clock, timeout=TIMEOUT)
    assert [str(error).count("end an earlier request") for error in monitor.counts.failed] == [0, 1, 1]
    assert monitor.counts.answered == 2 and len(line.heard) == 3
    assert capsys.readouterr().err.count("may still be at work") == 3


def test_a_reset_ends_the_waiting() -> None:
    line = Busy([1000.0, 0.5], 64)

    class Resetting(Keys):
        def line(self) -> str | None:
            if len(self.lines) == 1:  # the one before was given up
                line._coming.clear()
                line._sent_at = line._busy_until = line.now
                line._boot()
                line._say(b"\n@mcu ready=1\n", 0.3)
            return super().line()

    monitor, _ = watch(Resetting("one", "two"), line, clock=line.clock, timeout=TIMEOUT)
    assert monitor.counts.answered == 1 and line.now < TIMEOUT + 3


def test_nobody_waits_for_a_board_that_was_asked_nothing() -> None:
    line = Busy([0.5], 64)
    line._busy_until = 100.0
    monitor, _ = watch(Keys("one", "two"), line, clock=line.clock, timeout=TIMEOUT)
    assert ["say that it is ready" in str(error) for error in monitor.counts.failed] == [True, True]
    assert line.now < 6


@pytest.mark.parametrize("holds", [0, 1, 16, 64, 4096])
def test_pings_that_wait_do_not_cover_the_next_request(holds: int) -> None:
    """A long silence is asked about again and again; what answers this must not be in the way of what comes next."""
    line = Busy([20.0, 0.5], holds)
    for number in range(1, 5):
        listener = Listener(number)
        request = Request(ids=(1, 2), tokens=3).encode(number)
        conversation = Conversation(line, request, listener, "the board", Pace(), clock=line.clock)
        conversation.hold(600)
        assert listener.transcript().digest == "0a"
    assert len(line.heard) == 4
