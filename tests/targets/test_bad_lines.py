"""One request over lines that lose, double, flip and invent bytes, to boards that reset and do not listen: all of it drawn
from a seed, in time that is simulated."""

from __future__ import annotations

import random

import pytest

from mcu_sdk.errors import McuSdkError, RunError, TargetTimeoutError
from mcu_sdk.targets.protocol import Listener, Request, Transcript
from mcu_sdk.targets.serial import Conversation, Pace, RefusedError
from tests.targets.firmware import Firmware

NUMBER = 77
REQUEST = Request(ids=(1, 2), tokens=3).encode(NUMBER)
ANSWER = b"Hi \xc3\xbc, and so on\n@mcu ids=4,5\n@mcu digest=0a\n"
STALE = b"@mcu request=7\nOld\n@mcu digest=ff\n@mcu verdict=ok request=7 crc=12345678\n\x04"
LONGEST = 5.0
"""Seconds within which a right answer or an error has to be there."""


class Line:
    """The computer's end of a line, its firmware at the other, and the time.

    `rate`: the share of bytes that something happens to. `dies_after`: for each answer, after how many bytes it resets
    (None: not); `says_ready`: whether the boot message gets through. `deaf`: seconds after a reset."""

    def __init__(self, seed: int, rate: float) -> None:
        self.now = 0.0
        self.draw = draw = random.Random(seed)
        self.rate = rate
        self.poll = 0.1
        self.dies_after = [draw.choice([None, draw.randrange(60)]) for _ in range(draw.randrange(4))]
        self.deaf = draw.choice([0.0, 0.1, 0.3])
        self.says_ready = draw.random() < 0.7
        self.deaf_until = draw.choice([0.0, 0.0, 0.4])
        self.pauses = draw.choice([0.0, 0.0, 0.2])  # between the lines of an answer
        self._coming: list[tuple[float, int]] = []  # when, which byte
        self._sent_at = 0.0  # what the firmware said last
        self._line = b""
        self._boot()
        self._say(draw.choice([b"", b"", STALE, STALE[20:], b"\x04", b"@mcu ready=1\n", b"@mcu digest=ff", draw.randbytes(30)]))  # fmt: skip

    # ---- the computer's end

    def clock(self) -> float:
        return self.now

    @property
    def in_waiting(self) -> int:
        return sum(when <= self.now for when, _ in self._coming)

    def read(self, size: int = 1, /) -> bytes:
        if not self.in_waiting:
            following = self._coming[0][0] if self._coming else float("inf")
            self.now = min(following, self.now + self.poll)
        count = min(size, self.in_waiting)
        data, self._coming = self._coming[:count], self._coming[count:]
        return bytes(byte for _, byte in data)

    def write(self, data: bytes, /) -> int:
        self.now += len(data) * 10 / 115200
        if self.now >= self.deaf_until:
            for byte in self._lose(data):
                self._hear(bytes((byte,)))
        return len(data)

    # ---- the firmware's end

    def _boot(self) -> None:
        self._firmware = Firmware(self._say)
        self._limit: int | None = None

    def _say(self, data: bytes, delay: float = 0.0) -> None:
        if self._limit is not None:
            data, self._limit = data[: self._limit], max(0, self._limit - len(data))
        self._sent_at = begin = max(self.now, self._sent_at) + delay
        self._coming += [(begin + at * 10 / 115200, byte) for at, byte in enumerate(self._lose(data))]

    def _lose(self, data: bytes) -> bytes:
        kept = bytearray()
        for byte in data:
            fate = self.draw.random() if self.draw.random() < self.rate else 1.0
            if fate < 0.6:
                continue
            kept.append(byte ^ 1 << self.draw.randrange(8) if fate < 0.8 else byte)
            if fate < 0.9:
                kept += self.draw.randbytes(1)
        return bytes(kept)

    def _hear(self, byte: bytes) -> None:
        if byte == b"\x15":
            self._line = b""
        elif byte != b"\n":
            self._line += byte
        elif self._line:
            line, self._line = self._line, b""
            self._take(line)

    def _take(self, line: bytes) -> None:
        if line == b"@ping":
            self._say(b"\n@mcu ready=1\n")
            return
        dies_after = self.dies_after.pop() if self.dies_after else None
        self._limit = dies_after
        if not self._firmware.start(line):
            self._firmware.end(b"error reason=bad_crc")
        else:
            for part in ANSWER.splitlines(keepends=True):
                self._firmware.write(part)
                self._say(b"", self.pauses)
            self._firmware.end(b"ok")
        self._limit = None
        if dies_after is not None:
            self._reset()

    def _reset(self) -> None:
        self._boot()
        self.deaf_until = self.now + self.deaf
        if self.says_ready:
            self._say(self.draw.choice([b"", b"boot\x04", b"\x00\xff"]) + b"\n@mcu ready=1\n", self.deaf)


def ask(line: Line) -> Transcript:
    listener = Listener(NUMBER)
    Conversation(line, REQUEST, listener, "the board", Pace(), clock=line.clock).hold(600)
    return listener.transcript()


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.01, 0.05, 0.2])
def test_a_bad_line_gives_the_right_answer_or_a_named_error_in_time(rate: float) -> None:
    answered = 0
    for seed in range(200):
        line = Line(seed, rate)
        try:
            transcript = ask(line)
        except RefusedError:
            assert rate > 0, seed
        except McuSdkError as error:
            assert isinstance(error, (RunError, TargetTimeoutError)) and error.hint, seed
            assert rate > 0, (seed, error)
        else:
            answered += 1
            found = (transcript.text, transcript.ids, transcript.digest, transcript.verdict)
            assert found == ("Hi ü, and so on", (4, 5), "0a", "ok"), seed
        assert line.now < LONGEST, (seed, line.now)
    assert answered >= {0.0: 200, 0.001: 199, 0.01: 100, 0.05: 0, 0.2: 0}[rate]


@pytest.mark.parametrize("what", [b"", b"Hello, world\n", b"\x04\xff@mcu ", b"@mcu verdict=ok\n\x04"])
def test_what_is_no_firmware_of_ours_is_named_in_time(what: bytes) -> None:
    """Silence, and endless noise."""
    line = Line(0, 0.0)
    line.write = lambda data, /: line._say(what * 20) or len(data)  # type: ignore[method-assign,func-returns-value]
    with pytest.raises((RunError, TargetTimeoutError)):
        ask(line)
    assert line.now < LONGEST


def test_a_firmware_that_computes_in_silence_has_time() -> None:
    line = Line(3, 0.0)
    line.dies_after, line.pauses = [], 40.0
    assert ask(line).digest == "0a" and line.now > 100
