"""The serial target, against a firmware that is played at the other end of a pseudo terminal."""

from __future__ import annotations

import os
import select
import threading
import tty
from collections.abc import Callable, Iterator

import pytest

from mcu_sdk.errors import RunError, TargetTimeoutError, TextError, ToolMissingError
from mcu_sdk.targets import serial
from mcu_sdk.targets.protocol import Request


class Board:
    """The firmware's end of the line: answers each line with what `answer` makes of it."""

    def __init__(self) -> None:
        self.controller, port = os.openpty()
        tty.setraw(port)
        self.port = os.ttyname(port)
        self._port = port
        self.lines: list[bytes] = []
        self.answer: Callable[[bytes], bytes] = lambda line: b""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        pending = b""
        while not self._stop.is_set():
            if not select.select([self.controller], [], [], 0.05)[0]:
                continue
            pending += os.read(self.controller, 4096)
            *lines, pending = pending.split(b"\n")
            for line in filter(None, lines):
                self.lines.append(line)
                os.write(self.controller, self.answer(line))

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


def test_a_request_is_answered_and_the_firmware_stays_ready(board: Board) -> None:
    board.answer = lambda line: b"Hi \xc3\xbc\n@mcu ids=4,5\n@mcu digest=0a\n@mcu verdict=ok\n\x04"
    said: list[str] = []
    for _ in range(2):
        transcript = serial.run(board.port, Request(ids=(1, 2)), timeout=20, on_text=said.append)
        assert (transcript.text, transcript.ids, transcript.digest) == ("Hi ü", (4, 5), "0a")
    assert "".join(said) == "Hi üHi ü"
    assert board.lines == [Request(ids=(1, 2)).encode().strip()] * 2  # no EOT, which would end the firmware


def test_a_refusal_is_explained(board: Board) -> None:
    board.answer = lambda line: b"@mcu verdict=error reason=text_not_encodable\n\x04"
    with pytest.raises(TextError, match="cannot encode"):
        serial.run(board.port, Request(text="x"), timeout=20)


def test_silence_is_a_timeout(board: Board) -> None:
    with pytest.raises(TargetTimeoutError, match=r"within 0\.5 seconds"):
        serial.run(board.port, Request(ids=(1,)), timeout=0.5)


def test_a_flood_is_an_error(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial, "LARGEST_OUTPUT", 100)
    board.answer = lambda line: b"x" * 2000
    with pytest.raises(RunError, match="flooded"):
        serial.run(board.port, Request(ids=(1,)), timeout=20)


def test_a_port_that_does_not_exist_is_told() -> None:
    with pytest.raises(ToolMissingError, match="cannot be used") as caught:
        serial.run("/dev/no-such-port", Request(ids=(1,)))
    assert "dialout" in caught.value.hint
