"""Which serial port is a board's, and what it means when one cannot be used."""

from __future__ import annotations

import errno
import os
import tty
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from serial import serialposix

from mcu_sdk.board.board import Board, list_boards
from mcu_sdk.errors import DeviceMissingError, RunError, UsageError
from mcu_sdk.targets.ports import find_port, open_port, port_errors
from tests.targets.flash.images import make_board


@dataclass
class Listed:
    device: str
    vid: int | None = 0x1366
    pid: int | None = 0x1069
    serial_number: str | None = None
    location: str | None = None
    description: str = "J-Link"


def board(*usb: dict[str, int]) -> Board:
    uart = {"driver": "cmsdk", "base": 0x40000000, "clock_hz": 25_000_000, "usb": usb}
    return make_board(None, uart=uart)


DK = board({"vid": 0x1366, "pid": 0x1051}, {"vid": 0x1366, "pid": 0x1069, "interface": 2})
FIRST, SECOND = Listed("/dev/ttyACM0", location="1-1:1.0"), Listed("/dev/ttyACM1", location="1-1:1.2")
OTHER = Listed("/dev/ttyUSB0", 0x0403, 0x6001)
INSIDE = Listed("/dev/ttyS0", None, None, description="n/a")


def test_a_port_is_found_by_its_usb_ids_and_interface() -> None:
    assert find_port(DK, "auto", [INSIDE, OTHER, FIRST, SECOND]) == "/dev/ttyACM1"
    assert find_port(DK, "auto", [FIRST, Listed("/dev/ttyACM7", pid=0x1051)]) == "/dev/ttyACM7"
    assert find_port(DK, "auto", [Listed("COM7")]) == "COM7"  # where interfaces are not told
    for named in ("/dev/ttyX", "./port", "COM3"):
        assert find_port(DK, named, []) == named


def test_two_boards_with_the_same_ids_are_told_apart_by_their_numbers() -> None:
    ports = [Listed("/dev/ttyACM1", serial_number="A1"), Listed("/dev/ttyACM3", serial_number="A2")]
    with pytest.raises(UsageError, match=r"Several .*: /dev/ttyACM1 \(J-Link, USB 1366:1069, serial number A1\); /dev/ttyACM3 .*--port"):  # fmt: skip
        find_port(DK, "auto", ports)
    assert find_port(DK, "A2", ports) == "/dev/ttyACM3"
    with pytest.raises(DeviceMissingError, match="no serial port 'A3', and none of a USB device with that"):
        find_port(DK, "A3", ports)


def test_a_board_that_is_not_there_is_named() -> None:
    with pytest.raises(DeviceMissingError, match=r"No serial port of demo .*1366:1051, 1366:1069\); ports: /dev/ttyUSB0"):  # fmt: skip
        find_port(DK, "auto", [OTHER])
    with pytest.raises(DeviceMissingError, match="ports: none"):
        find_port(DK, "auto", [])
    with pytest.raises(UsageError, match="demo does not say how its serial port is found"):
        find_port(board(), "auto", [OTHER])


@pytest.mark.parametrize(
    "packaged", [each for each in list_boards() if each.uart is not None], ids=lambda board: board.name
)
def test_a_board_s_port_is_found_by_what_its_debugger_is(packaged: Board) -> None:
    """But of boards that are only simulated here, and of those whose console is at pins without a usual adapter."""
    assert packaged.uart is not None
    is_simulated = packaged.name.startswith(("corstone-", "mps2-"))
    assert bool(packaged.uart.usb) != (is_simulated or packaged.name in ("teensy41", "netduino-plus-2"))
    for usb in packaged.uart.usb:
        there = Listed("/dev/ttyACM4", usb.vid, usb.pid, location=f"1-1:1.{usb.interface or 0}")
        assert find_port(packaged, "auto", [INSIDE, OTHER, there]) == "/dev/ttyACM4"


def test_two_boards_of_another_kind_with_the_same_debugger_are_told_apart() -> None:
    """An ST-LINK's ids say nothing of the board behind it."""
    nucleo = next(each for each in list_boards() if each.name == "nucleo-h743zi")
    ports = [
        Listed("/dev/ttyACM0", 0x0483, 0x374B, "A"),
        Listed("/dev/ttyACM1", 0x0483, 0x374B, "B"),
    ]
    with pytest.raises(UsageError, match=r"serial number A.*serial number B") as caught:
        find_port(nucleo, "auto", ports)
    assert caught.value.exit_code == 2 and find_port(nucleo, "B", ports) == "/dev/ttyACM1"


@pytest.fixture
def pseudo() -> Iterator[tuple[int, str]]:
    """The controller of a pseudo terminal, and its port."""
    controller, port = os.openpty()
    tty.setraw(port)
    yield controller, os.ttyname(port)
    os.close(port)
    try:
        os.close(controller)
    except OSError:
        assert True  # the test has


def test_a_port_that_is_in_use_is_named(pseudo: tuple[int, str]) -> None:
    _, port = pseudo
    with (
        open_port(port, 115200, poll=0.01, write_timeout=1),
        pytest.raises(DeviceMissingError, match="in use by another program") as caught,
    ):
        open_port(port, 115200, poll=0.01, write_timeout=1)
    assert f"fuser {port}" in caught.value.hint and caught.value.exit_code == 4
    open_port(port, 115200, poll=0.01, write_timeout=1).close()


@pytest.mark.parametrize(
    ("number", "complaint"),
    [
        (errno.EBUSY, "in use by another program"),
        (errno.EACCES, "may not be opened by you.*dialout"),
        (errno.EPERM, "may not be opened by you.*dialout"),
        (errno.ENOENT, "There is no serial port"),
        (errno.ENODEV, "There is no serial port"),
        (errno.ENXIO, "There is no serial port"),
        (errno.EINVAL, "cannot be used"),
    ],
)
def test_why_a_port_cannot_be_opened_is_named(
    monkeypatch: pytest.MonkeyPatch, number: int, complaint: str
) -> None:
    def fail(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(serialposix.os, "open", fail)
    with pytest.raises(DeviceMissingError, match=complaint) as caught:
        open_port("/dev/ttyACM0", 115200, poll=0.01, write_timeout=1)
    assert caught.value.exit_code == 4


def test_a_port_that_goes_away_is_named(pseudo: tuple[int, str]) -> None:
    controller, port = pseudo
    connection = open_port(port, 115200, poll=0.01, write_timeout=1)
    os.write(controller, b"x")
    with connection, pytest.raises(RunError, match=rf"the board at {port} was unplugged.*cable") as caught, port_errors(port):  # fmt: skip
        assert connection.read(1) == b"x"
        os.close(controller)
        while True:
            connection.read(max(1, connection.in_waiting))
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("number", [errno.EIO, errno.ENODEV, errno.ENXIO])
def test_what_a_port_says_when_it_goes_away(number: int) -> None:
    with pytest.raises(RunError, match="was unplugged"), port_errors("/dev/ttyACM0"):
        raise OSError(number, "gone")
    with pytest.raises(OSError, match="full"), port_errors("/dev/ttyACM0"):
        raise OSError(errno.ENOSPC, "full")
