"""A host's tensors in a real firmware: in QEMU, as a process with sanitizers, and behind lines that lose bytes."""

from __future__ import annotations

import base64
import os
import random
import select
import subprocess
import threading
import tty
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mcu_sdk.errors import McuSdkError, RunError, TargetTimeoutError
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.runners import simulator_device
from mcu_sdk.targets import serial
from mcu_sdk.targets.protocol import Message, Request, Transcript
from mcu_sdk.targets.serial import Pace
from mcu_sdk.targets.transfer import PUT_BYTES, Get, Put, Series, collect, messages_of, steps_of

STEPS = 3


def bytes_of_steps(project: Path) -> list[bytes]:
    """Inputs for some steps: float32[1, 8] and int64[1], the number of a row of two."""
    draw = np.random.default_rng(1)
    return [
        draw.standard_normal((1, 8)).astype(np.float32).tobytes() + np.array([step % 2]).tobytes()
        for step in range(STEPS)
    ]


def output_sizes(project: Path) -> list[int]:
    return [tensor.nbytes for tensor in read_pte((project / "model" / "model.pte").read_bytes()).outputs]


@pytest.fixture(scope="module")
def expected(tensor_project: Path) -> list[tuple[bytes, ...]]:
    """What the host's library computes."""
    model = HostModel(tensor_project / "build" / "host" / "libmodel.so")
    model.reset()
    steps = []
    for data in bytes_of_steps(tensor_project):
        outputs = model.run([data[:32], data[32:]])
        steps.append(tuple(output.tobytes() for output in outputs))
    return steps


def transfer(tensor_project: Path, target: str, *, at_once: bool) -> Series:
    program = {"qemu": "release/firmware.elf", "host": "host-debug/firmware"}[target]
    device = simulator_device(target, open_project(tensor_project), tensor_project / "build" / program)
    sizes = output_sizes(tensor_project)
    steps = steps_of(bytes_of_steps(tensor_project), sizes)
    messages = messages_of(steps)
    with closing(device.each(messages if at_once else iter(messages))) as answers:
        return collect(steps, sizes, answers)


@pytest.mark.parametrize("target", ["qemu", "host"])
@pytest.mark.parametrize("at_once", [True, False])
def test_outputs_are_the_librarys_on_every_target(
    tensor_project: Path, expected: list[tuple[bytes, ...]], target: str, at_once: bool
) -> None:
    series = transfer(tensor_project, target, at_once=at_once)
    assert list(series.outputs) == expected
    model = HostModel(tensor_project / "build" / "host" / "libmodel.so")
    flat = [np.frombuffer(output, np.uint8) for step in expected for output in step]
    assert series.transcript.digest == f"{model.digest(flat):016x}"


# ---- one line after the other, as a person could send them


def talk(tensor_project: Path, lines: Sequence[bytes]) -> list[dict[str, str]]:
    """The facts of each answer of the host build with sanitizers. It has to end by itself, and in order."""
    program = tensor_project / "build" / "host-debug" / "firmware"
    text = b"".join(line + b"\n" for line in lines) + b"\x04"
    done = subprocess.run([program], input=text, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    answers = done.stdout.split(b"\x04")
    assert answers.pop().strip() == b""
    facts = []
    for answer in answers:
        words = [word for line in answer.decode().splitlines() for word in line.split(" ")]
        facts.append(dict(word.split("=", 1) for word in words if "=" in word))
    return facts


def line(message: Message) -> bytes:
    return message.encode().rstrip(b"\n")


def test_what_comes_in_another_order_is_refused_with_the_position(tensor_project: Path) -> None:
    first, second = bytes(range(20)), bytes(20)
    lines = [
        line(Get(0, 0, 4)),
        line(Put(20, second)),
        line(Put(0, first)),
        line(Put(21, second)),
        line(Put(0, first)),  # begins anew
        line(Put(20, second)),
        line(Put(20, second)),  # again: its answer may have got lost
        line(Get(0, 0, 4)),
        line(Put(40, first)),
        line(Get(0, 0, 4)),  # the next step's inputs may lie over it
        line(Put(60, second + b"\0")),
        line(Request(steps=1)),
        line(Put(60, second)),
        line(Get(0, 28, 4)),
        line(Get(0, 28, 5)),
        line(Get(4, 0, 1)),
    ]
    facts = talk(tensor_project, lines)
    assert [one.get("reason", one["verdict"]) for one in facts] == [
        "no_outputs", "out_of_order", "ok", "out_of_order", "ok", "ok", "ok", "ok", "ok", "no_outputs",
        "too_many_bytes", "ok", "out_of_order", "ok", "no_such_bytes", "no_such_bytes",
    ]  # fmt: skip
    assert [facts[i]["position"] for i in (1, 3, 12)] == ["0", "20", "0"]
    assert facts[5]["digest"] == facts[6]["digest"] and facts[6]["steps"] == "1"
    assert len(base64.b64decode(facts[7]["data"])) == 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("@put at=0 data=", "bad_data"),
        ("@put at=0 data=AAA", "bad_data"),
        ("@put at=0 data=A===", "bad_data"),
        ("@put at=0 data==AAA", "bad_data"),
        ("@put at=0 data=AA=A", "bad_data"),
        ("@put at=0 data=AAB=", "bad_data"),
        ("@put at=0 data=AB==", "bad_data"),
        ("@put at=0 data=AA==AAAA", "bad_data"),
        ("@put at=0 data=AA-_", "bad_data"),
        ("@put at=0 data=AAAA ", "bad_data"),
        ("@put at= data=AAAA", "bad_number"),
        ("@put at=-1 data=AAAA", "bad_number"),
        ("@put at=18446744073709551616 data=AAAA", "bad_number"),
        ("@put at=18446744073709551615 data=AAAA", "out_of_order"),
        ("@put data=AAAA", "bad_number"),
        ("@put at=0", "bad_request"),
        ("@put at=0 data=" + "AAAA" * 14, "too_many_bytes"),
        ("@put request=1 at=0 data=AAAA", "bad_crc"),
        ("@put at=0 data=AAAA crc=00000000", "bad_crc"),
        ("@put request=x at=0 data=AAAA", "bad_number"),
        ("@get output=0 at=0", "bad_number"),
        ("@get output=0 at=0 bytes=4 ", "bad_number"),
        ("@get output=99999999999 at=0 bytes=4", "bad_number"),
        ("@get output=0 at=18446744073709551616 bytes=4", "bad_number"),
        ("@putat=0 data=AAAA", "unknown_request"),
        ("@get", "unknown_request"),
        ("@put at=0 data=" + "A" * 300, "line_too_long"),
    ],
)
def test_what_is_no_transfer_is_refused(tensor_project: Path, text: str, reason: str) -> None:
    (facts,) = talk(tensor_project, [text.encode()])
    assert (facts["verdict"], facts["reason"]) == ("error", reason)


@pytest.mark.parametrize("seed", range(4))
def test_no_line_stops_the_firmware(tensor_project: Path, seed: int) -> None:
    """Lines cut, joined, doubled and spoiled: as many answers as there are lines to answer, and no sanitizer's word."""
    draw = random.Random(seed)
    good = [line(Put(0, bytes(40))), line(Get(1, 0, 8)), Put(0, b"\1" * 20).encode(5).rstrip(b"\n")]
    good += [Get(0, 0, 8).encode(6).rstrip(b"\n"), line(Request(steps=2, seed=1)), line(Put(20, bytes(20)))]
    lines = []
    for _ in range(400):
        spoiled = bytearray(draw.choice(good))
        for _ in range(draw.choice([0, 1, 1, 3])):
            place = draw.randrange(len(spoiled) + 1)
            spoiled[place : place + draw.choice([0, 1, 9])] = draw.choice(
                [b"", b"=", b" ", b"9" * draw.randrange(30), b"@put ", draw.randbytes(3), b"A" * 200]
            )
        kept = bytes(byte for byte in spoiled if byte not in b"\n\r\x04\x15")
        lines += [kept] if kept not in (b"", b"@ping") else []
    answers = talk(tensor_project, lines)
    assert len(answers) == len(lines) and {one["verdict"] for one in answers} == {"ok", "error"}


# ---- over a serial line


class Board:
    """The host build at the other end of a pseudo terminal. `lose`: what the line makes of bytes. A board whose
    firmware ends, as noise can say, starts again."""

    def __init__(self, program: Path) -> None:
        self.controller, port = os.openpty()
        tty.setraw(port)
        self.port, self._port = os.ttyname(port), port
        self.lose = lambda data: data
        self.reset_after = -1  # bytes from the host
        self._program = program
        self._stop = threading.Event()
        self._start()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [self._program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def _end(self) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait()

    def _serve(self) -> None:
        while not self._stop.is_set():
            assert self._process.stdin is not None and self._process.stdout is not None
            ready, _, _ = select.select([self.controller, self._process.stdout], [], [], 0.02)
            if self.controller in ready:
                data = self.lose(os.read(self.controller, 4096))
                if 0 <= self.reset_after < len(data):
                    self._end()
                    self._start()
                    self.reset_after = -1
                    continue
                self.reset_after -= len(data) if self.reset_after >= 0 else 0
                self._process.stdin.write(data)
            if self._process.stdout in ready:
                said = os.read(self._process.stdout.fileno(), 4096)
                if said:
                    os.write(self.controller, self.lose(said))
                else:
                    self._end()
                    self._start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._end()
        os.close(self.controller)
        os.close(self._port)


@pytest.fixture
def board(tensor_project: Path) -> Iterator[Board]:
    board = Board(tensor_project / "build" / "host" / "firmware")
    yield board
    board.close()


PACE = Pace(poll=0.01, reply=0.3, patience=3, quiet=0.5)


def over_serial(board: Board, project: Path) -> list[tuple[bytes, ...]]:
    sizes = output_sizes(project)
    steps = steps_of(bytes_of_steps(project), sizes)
    with closing(serial.each(board.port, messages_of(steps), timeout=60, pace=PACE)) as answers:
        return list(collect(steps, sizes, map(checked, answers)).outputs)


def checked(answer: Transcript) -> Transcript:
    if answer.verdict != "ok":
        raise RunError(f"refused: {answer.facts}", hint="-")
    return answer


def test_a_port_gives_the_same(tensor_project: Path, board: Board, expected: list[tuple[bytes, ...]]) -> None:
    for _ in range(2):
        assert over_serial(board, tensor_project) == expected


def test_a_board_that_was_reset_has_lost_its_inputs(tensor_project: Path, board: Board) -> None:
    board.reset_after = PUT_BYTES
    with pytest.raises(RunError, match=r"out_of_order|no_outputs"):
        over_serial(board, tensor_project)


@pytest.mark.parametrize("seed", range(6))
def test_a_bad_line_gives_the_right_outputs_or_a_named_error(
    tensor_project: Path, board: Board, expected: list[tuple[bytes, ...]], seed: int
) -> None:
    draw = random.Random(seed)
    rate = [0.001, 0.003, 0.01][seed % 3]

    def lose(data: bytes) -> bytes:
        kept = bytearray()
        for byte in data:
            fate = draw.random() if draw.random() < rate else 1.0
            if fate >= 0.5:
                kept.append(byte ^ 1 << draw.randrange(8) if fate < 0.8 else byte)
        return bytes(kept)

    board.lose = lose
    try:
        assert over_serial(board, tensor_project) == expected
    except McuSdkError as error:
        assert isinstance(error, (RunError, TargetTimeoutError)) and error.hint
