"""The serial target, against boards that are played at the other end of a pseudo terminal: good ones, boards that
reset or do not listen yet, and lines that lose bytes. Times are short here, and nothing depends on how short."""

from __future__ import annotations

import os
import select
import threading
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.errors import (
    DeviceMissingError,
    RunError,
    TargetTimeoutError,
    TextError,
    UsageError,
)
from mcu_sdk.targets import serial
from mcu_sdk.targets.protocol import Request, Transcript
from mcu_sdk.targets.serial import Pace
from tests.targets.firmware import Firmware, is_whole

PACE = Pace(poll=0.01, reply=0.15, patience=1.5, quiet=0.2)
REQUEST = Request(ids=(1, 2), tokens=3)
SECONDS = 60
STALE = b"@mcu request=7\nOld\n@mcu digest=ff\n@mcu verdict=ok request=7 crc=12345678\n\x04"


class Board:
    """The firmware's end of the line. A test changes what it does before it runs."""

    def __init__(self) -> None:
        self.controller, port = os.openpty()
        tty.setraw(port)
        self.port = os.ttyname(port)
        self._port = port
        self.requests: list[bytes] = []
        self.bytes_sent: list[bytes] = []  # by the host
        self.lose = lambda data: data  # what a line makes of bytes, in either direction
        self.deaf = 0  # bytes that are discarded first
        self.before = b""  # said before the first answer to anything
        self.boot_noise = b""
        self.resets = 0  # requests that end in a reset
        self.silent_resets = 0  # the same, but nobody hears it say that it is ready
        self.answer = b"Hi \xc3\xbc\n@mcu ids=4,5\n@mcu digest=0a\n"
        self.verdict = b"ok"
        self.talks = True
        self.plain_ready = 0  # so often it says only that it is ready, as at boot
        self.ready = b"@mcu ready=1"
        self._line = b""
        self._firmware = Firmware(self._send)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _send(self, data: bytes) -> None:
        os.write(self.controller, self.lose(data))

    def _serve(self) -> None:
        while not self._stop.is_set():
            if not select.select([self.controller], [], [], 0.02)[0]:
                continue
            data = os.read(self.controller, 4096)
            self.bytes_sent.append(data)
            skipped = min(self.deaf, len(data))
            self.deaf -= skipped
            for byte in self.lose(data[skipped:]):
                self._hear(bytes((byte,)))

    def _hear(self, byte: bytes) -> None:
        if byte == b"\x15":
            self._line = b""
        elif byte != b"\n":
            self._line += byte
        elif self._line:
            line, self._line = self._line, b""
            if self.talks:
                self._take(line)

    def _take(self, line: bytes) -> None:
        before, self.before = self.before, b""
        self._send(before)
        if line == b"@ping":
            plain = self.plain_ready > 0
            self.plain_ready -= plain
            self._send(b"\n" + (b"@mcu ready=1" if plain else self.ready) + b"\n")
        elif not self._firmware.start(line):
            self._firmware.end(b"error reason=bad_crc")
        else:
            self.requests.append(line)
            if self.silent_resets:
                self.silent_resets -= 1
                self._firmware = Firmware(self._send)
            elif self.resets:
                self.resets -= 1
                self._firmware.write(self.answer[:5])
                self._firmware = Firmware(self._send)
                self._send(b"boot" + self.boot_noise + b"\n@mcu ready=1\n")
            else:
                self._firmware.write(self.answer)
                self._firmware.end(self.verdict)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self.controller)
        os.close(self._port)


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board()
    yield board
    board.close()


def ask(board: Board, request: Request = REQUEST, **options: Any) -> Transcript:
    return serial.run(board.port, request, timeout=SECONDS, **{"pace": PACE, **options})


def is_right(transcript: Transcript) -> bool:
    return (transcript.text, transcript.ids, transcript.digest) == ("Hi ü", (4, 5), "0a")


def test_a_request_is_answered_and_the_firmware_stays_ready(board: Board) -> None:
    said: list[str] = []
    for _ in range(2):
        assert is_right(ask(board, on_text=said.append))
    assert "".join(said) == "Hi üHi ü"
    assert len(set(board.requests)) == len(board.requests)  # each with a number of its own
    assert all(is_whole(line) for line in board.requests)
    assert not any(b"\x04" in data for data in board.bytes_sent)  # EOT would end the firmware


def test_a_refusal_is_explained(board: Board) -> None:
    board.verdict = b"error reason=text_not_encodable"
    with pytest.raises(TextError, match="cannot encode"):
        ask(board, Request(text="x"))


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(STALE, id="an answer to an earlier request"),
        pytest.param(STALE[20:], id="half an answer"),
        pytest.param(b"\x04\xff\x00boot\x04\n", id="noise with EOTs"),
        pytest.param(b"@mcu verdict=ok\n\x04", id="a verdict without a number"),
        pytest.param(b"@mcu verdict=error reason=bad_text\n\x04", id="a complaint about somebody's line"),
        pytest.param(b"@mcu digest=ff", id="half a line"),
    ],
)
def test_what_is_not_our_answer_is_none(board: Board, before: bytes) -> None:
    board.before = before
    assert is_right(ask(board))


@pytest.mark.parametrize("deaf", [3, 7, 8, 30, 100])
def test_a_board_that_does_not_listen_yet_is_asked_again(board: Board, deaf: int) -> None:
    board.deaf = deaf
    assert is_right(ask(board, pace=Pace(poll=0.01, reply=0.05)))


def test_a_board_that_resets_is_asked_again_and_not_for_ever(board: Board) -> None:
    board.resets = 2
    assert is_right(ask(board)) and len(board.requests) == 3
    board.resets = 100
    with pytest.raises(RunError, match=r"asked 5 times .* was reset, or its answer got lost \(5 times\)"):
        ask(board)


def test_a_reset_that_nobody_heard_is_found_by_asking(board: Board) -> None:
    board.silent_resets = 1
    assert is_right(ask(board)) and len(board.requests) == 2


def test_silence_is_named_before_the_time_is_over(board: Board) -> None:
    board.talks = False
    with pytest.raises(TargetTimeoutError, match=r"ready within 0.3 seconds; nothing came") as caught:
        ask(board, pace=Pace(poll=0.01, reply=0.1, patience=0.3))
    assert "baud" in caught.value.hint


def test_another_firmware_is_named(board: Board) -> None:
    board.lose = lambda data: b"Hello, world\n"
    with pytest.raises(TargetTimeoutError, match="none of them say so"):
        ask(board, pace=Pace(poll=0.01, reply=0.1, patience=0.3))


def test_a_line_that_the_firmware_cannot_read_is_explained(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Firmware, "start", lambda self, line: False)
    with pytest.raises(RunError, match=r"of another version, or the line loses bytes \(bad_crc"):
        ask(board)
    end = Firmware.end
    monkeypatch.setattr(Firmware, "end", lambda self, verdict: end(self, b"error reason=line_too_long"))
    with pytest.raises(UsageError, match="longer than its line buffer"):
        ask(board)


def test_the_whole_time_is_limited_too(board: Board) -> None:
    """An answer that has begun may take its time, but not more than was allowed."""
    board.silent_resets = 100
    board.lose = lambda data: b"" if b"ready" in data and board.requests else data
    with pytest.raises(TargetTimeoutError, match=r"within 0\.5 seconds"):
        serial.run(board.port, REQUEST, timeout=0.5, pace=PACE)


def test_a_flood_is_an_error(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial, "LARGEST_OUTPUT", 100)
    board.answer = b"x" * 2000
    with pytest.raises(RunError, match="flooded"):
        ask(board)


def test_a_port_that_does_not_exist_is_told() -> None:
    with pytest.raises(DeviceMissingError, match="There is no serial port '/dev/no-such-port'"):
        serial.run("/dev/no-such-port", REQUEST)


def test_a_file_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DeviceMissingError, match="cannot be used"):
        serial.run(str(tmp_path / "file"), REQUEST)
